/** `${{ … }}` in tasks: each is compiled, and what it names is looked for in the definition. */
import type { Json } from '../core/json.ts';
import { type InputRule, type InputType, planLimits } from '../core/plan.ts';
import { checkTypes, type InputTypes, type StaticType } from '../expression/check-types.ts';
import type { Names } from '../expression/parse.ts';
import { isTemplate, parseTemplate, type TemplateProblem } from '../expression/template.ts';
import { type Check, isJsonMap, type JsonMap } from './check.ts';
import { type Path, quote, type Within } from './problem.ts';

/** A task that an expression asks for: whether it may is known when the needs are. */
export interface TaskReference {
  name: string;
  path: Path;
  within: Within;
}

/** A text, compiled: the same one in a thousand tasks is compiled once. */
interface Compiled {
  problems: TemplateProblem[];
  /** Where the first reference to a secret begins. */
  secretAt: number | null;
  expressions: { names: Names; start: number; end: number; textAt: number }[];
}

/** Reads the templates of one definition. */
export class TemplateReader {
  readonly #checks: Check;
  readonly #inputs: Record<string, InputRule> | null;
  readonly #types: InputTypes;
  readonly #compiled = new Map<string, Compiled>();
  #count = 0;
  #letters = 0;
  #isFull = false;

  constructor(inputs: Record<string, InputRule> | null, checks: Check) {
    this.#checks = checks;
    this.#inputs = inputs;
    this.#types = new Map(Object.entries(inputs ?? {}).map(([name, { type }]) => [name, staticTypes[type]]));
  }

  /** All templates of a task, or of what all tasks have in common. What is wrong with them has been reported. */
  read(task: JsonMap, path: Path): TaskReference[] {
    return [
      ...findProgramTexts(task, path).flatMap(({ text, path: at }) =>
        this.#readText(text, at, { isData: false }),
      ),
      ...this.#readInput(task.input, [...path, 'input']),
    ];
  }

  /** It recurses: values nest no deeper than a document may. */
  #readInput(value: Json | undefined, path: Path): TaskReference[] {
    if (typeof value === 'string') return this.#readText(value, path, { isData: true });
    if (Array.isArray(value)) return value.flatMap((item, index) => this.#readInput(item, [...path, index]));
    if (!isJsonMap(value)) return [];
    return Object.entries(value).flatMap(([key, item]) => {
      if (isTemplate(key)) {
        const message = 'a key is no template: ${{ … }} can stand in the values of "input"';
        this.#checks.report({ path: [...path, key], of: 'key', code: 'not_supported_yet', message });
      }
      return this.#readInput(item, [...path, key]);
    });
  }

  #readText(text: string, path: Path, { isData }: { isData: boolean }): TaskReference[] {
    if (!isTemplate(text)) return [];
    const compiled = this.#compile(text, path);
    const { report, suggester } = this.#checks;
    for (const { code, message, at, near, span } of compiled.problems) {
      const suggest = near && (() => suggester.nearest(near.word, near.candidates));
      report({ path, code, message, within: { text, ...span, at }, ...(suggest ? { suggest } : {}) });
    }
    if (isData && compiled.secretAt !== null) {
      const at = compiled.secretAt;
      const message =
        'a secret cannot stand in "input", which is stored and shown: it can in "env", "args", "cmd", "entrypoint" and "registry"';
      report({ path, code: 'misplaced_secret', message, within: { text, start: at, end: at + 3, at } });
    }
    return compiled.expressions.flatMap(({ names, start, end, textAt }) => {
      const withinAt = (at: number): Within => ({ text, start, end, at: textAt + at });
      for (const { name, at } of names.inputs) this.#checkInput(name, path, withinAt(at));
      return names.tasks.map(({ name, at }) => ({ name, path, within: withinAt(at) }));
    });
  }

  #checkInput(name: string, path: Path, within: Within): void {
    const known = this.#inputs;
    if (known === null || Object.hasOwn(known, name)) return;
    this.#checks.report({
      path,
      within,
      code: 'unknown_input',
      message: `the definition takes no input ${quote(name)}`,
      suggest: () => this.#checks.suggester.nearest(name, Object.keys(known)),
    });
  }

  #compile(text: string, path: Path): Compiled {
    const known = this.#compiled.get(text);
    this.#count += known?.expressions.length ?? 0;
    const compiled = known ?? this.#compileNew(text);
    this.#compiled.set(text, compiled);
    const { expressionsMax, expressionLettersMax } = planLimits;
    if (!this.#isFull && (this.#count > expressionsMax || this.#letters > expressionLettersMax)) {
      this.#isFull = true;
      const bound =
        this.#count > expressionsMax
          ? `${expressionsMax} expressions`
          : `${expressionLettersMax} letters of expressions`;
      const message = `there are more than ${bound}`;
      this.#checks.report({ path, code: 'too_many_expressions', message });
    }
    return compiled;
  }

  #compileNew(text: string): Compiled {
    // Past the bound nothing more is compiled: the definition is refused as it is.
    if (this.#isFull) return { problems: [], secretAt: null, expressions: [] };
    const { parts, problems } = parseTemplate(text);
    const compiled: Compiled = { problems, secretAt: null, expressions: [] };
    this.#count += problems.length;
    for (const { span } of problems) this.#letters += span.end - span.start;
    for (const part of parts) {
      if (typeof part === 'string') continue;
      if ('secret' in part) {
        compiled.secretAt ??= text.search(/\$\{\{\s*secrets\./);
        continue;
      }
      const { names, start, end, textAt } = part;
      compiled.expressions.push({ names, start, end, textAt });
      const mistake = checkTypes(part.node, this.#types);
      if (mistake) problems.push({ ...mistake, at: textAt + mistake.at, span: { start, end } });
      this.#letters += end - start;
    }
    this.#count += compiled.expressions.length;
    return compiled;
  }
}

const staticTypes: Record<InputType, StaticType> = {
  string: 'text',
  number: 'number',
  integer: 'number',
  boolean: 'boolean',
  object: 'map',
  array: 'list',
  any: 'any',
};

interface TextAt {
  text: string;
  path: Path;
}

/** The texts of a program or container in which secrets and expressions may stand, as far as they are texts. */
function findProgramTexts(task: JsonMap, path: Path): TextAt[] {
  const parts = ['pre', 'post', 'sidecars'].flatMap((key) =>
    listIn(task, key).flatMap((part, index) =>
      isJsonMap(part) ? textsOfPart(part, [...path, key, index]) : [],
    ),
  );
  return [...textsOfPart(task, path), ...textsIn(task.registry, [...path, 'registry']), ...parts];
}

function textsOfPart(part: JsonMap, path: Path): TextAt[] {
  return ['args', 'cmd', 'entrypoint', 'env'].flatMap((key) => textsIn(part[key], [...path, key]));
}

function listIn(map: JsonMap, key: string): Json[] {
  const value = map[key];
  return Array.isArray(value) ? value : [];
}

function textsIn(value: Json | undefined, path: Path): TextAt[] {
  const entries: [string | number, Json][] = Array.isArray(value)
    ? [...value.entries()]
    : isJsonMap(value)
      ? Object.entries(value)
      : [];
  return entries.flatMap(([key, text]) => (typeof text === 'string' ? [{ text, path: [...path, key] }] : []));
}

/** What a task takes over of the defaults' templates: of `env` what it does not have itself. */
export function inheritedReferences(task: JsonMap, references: TaskReference[]): TaskReference[] {
  const hasProgram = ['image', 'command', 'run'].some((key) => task[key] !== undefined);
  return references.filter(({ path: [, key, name] }) => {
    if (key === 'registry') return task.image !== undefined && task.registry === undefined;
    return hasProgram && !(isJsonMap(task.env) && Object.hasOwn(task.env, String(name)));
  });
}
