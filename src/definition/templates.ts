/** Expressions in tasks: each is compiled, and what it names is looked for in the definition. */
import type { Json } from '../core/json.ts';
import type { InputRule, InputType } from '../core/plan.ts';
import type { StaticType } from '../expression/check-types.ts';
import { callsAmong, type StatusCalls } from '../expression/condition.ts';
import { nameKinds, nameOfKind } from '../expression/values.ts';
import { type Check, type JsonMap, subjectOf } from './check.ts';
import { type CompiledText, CompiledTexts } from './compiled-texts.ts';
import { type Path, quote, type Within } from './problem.ts';
import { findInJson, findTexts, type TextPlace } from './template-places.ts';

/** A name in an expression, of which is known later whether it may be asked for. */
export interface Reference {
  name: string;
  path: Path;
  within: Within;
}

/** What expressions name beside inputs: other tasks, and `item` or `index`. */
export interface Uses {
  tasks: Reference[];
  items: Reference[];
}

/** Reads the templates of one definition. What is wrong with them is reported. */
export class TemplateReader {
  readonly #checks: Check;
  readonly #inputs: Record<string, InputRule> | null;
  readonly #texts: CompiledTexts;

  constructor(inputs: Record<string, InputRule> | null, checks: Check) {
    this.#checks = checks;
    this.#inputs = inputs;
    const types = Object.entries(inputs ?? {}).map(([name, { type }]) => [name, staticTypes[type]] as const);
    this.#texts = new CompiledTexts(new Map(types));
  }

  /** All templates of a task, or of what all tasks have in common. */
  read(task: JsonMap, path: Path): Uses {
    return this.#readAll(findTexts(task, path));
  }

  readOutput(output: Json): Uses {
    return this.#readAll(findInJson(output, ['output'], { data: 'output', isBeforeItems: true }));
  }

  /** Which of `always()` and the others an `if` calls that has been read. */
  callsOf(condition: string): StatusCalls {
    const { expressions } = this.#texts.find(condition, 'bare');
    return callsAmong(expressions.flatMap(({ names }) => names.statuses));
  }

  #readAll(places: TextPlace[]): Uses {
    const uses: Uses = { tasks: [], items: [] };
    for (const place of places) this.#read(place, uses);
    return uses;
  }

  #read(place: TextPlace, uses: Uses): void {
    const { text, path, data } = place;
    const { report, suggester } = this.#checks;
    if (place.isKey) {
      const message = 'a key is no template: ${{ … }} can stand in values';
      report({ path, of: 'key', code: 'misplaced_expression', message });
      return;
    }
    const { tooMany, ...compiled } = this.#texts.read(text, place.isBare ? 'bare' : 'template');
    if (tooMany !== undefined) report({ path, code: 'too_many_expressions', message: tooMany });
    for (const { code, message, at, near, span } of compiled.problems) {
      const suggest = near && (() => suggester.nearest(near.word, near.candidates));
      report({ path, code, message, within: { text, ...span, at }, ...(suggest ? { suggest } : {}) });
    }
    if (data !== undefined && compiled.secretAt !== null) {
      const at = compiled.secretAt;
      const message = `a secret cannot stand in "${data}", which is stored and shown: it can in "env", "args", "cmd", "entrypoint" and "registry"`;
      report({ path, code: 'misplaced_secret', message, within: { text, start: at, end: at + 3, at } });
    }
    for (const { names, start, end, textAt } of compiled.expressions) {
      const refer = ({ name, at }: { name: string; at: number }): Reference => ({
        name,
        path,
        within: { text, start, end, at: textAt + at },
      });
      for (const each of names.inputs) this.#checkInput(refer(each));
      for (const each of names.statuses) this.#checkStatus(refer(each), place);
      for (const each of names.items) {
        if (place.isBeforeItems) this.#refuseItem(refer(each), place);
        else uses.items.push(refer(each));
      }
      for (const each of names.tasks) uses.tasks.push(refer(each));
    }
    this.#checkType(compiled, place);
  }

  #checkType({ expressions }: CompiledText, { text, path, takes }: TextPlace): void {
    const [only] = expressions;
    if (!takes || !only?.isWhole || only.type === 'any' || takes.includes(only.type)) return;
    const { start, end, textAt } = only;
    const message = `${subjectOf(path)} takes ${nameKinds(takes)}, not ${nameOfKind(only.type)}`;
    const within = { text, start, end, at: textAt };
    this.#checks.report({ path, code: 'invalid_expression', message, within });
  }

  #checkInput({ name, path, within }: Reference): void {
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

  #checkStatus({ name, path, within }: Reference, { data }: TextPlace): void {
    if (data === 'if') return;
    const message = `${name}() says how other tasks have ended, and stands in "if" only`;
    this.#checks.report({ path, within, code: 'unknown_name', message });
  }

  #refuseItem({ name, path, within }: Reference, { data }: TextPlace): void {
    const message =
      data === 'output'
        ? `there is no "${name}" in "output": only a task with "each" or "matrix" knows it`
        : `there is no "${name}" in "${data}", which is decided before there are items`;
    this.#checks.report({ path, within, code: 'unknown_name', message });
  }

  /** Of a task without `each` or `matrix`. */
  refuseItems({ items }: Uses): void {
    for (const { name, path, within } of items) {
      const message = `there is no "${name}" here: only a task with "each" or "matrix" knows it`;
      this.#checks.report({ path, within, code: 'unknown_name', message });
    }
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
