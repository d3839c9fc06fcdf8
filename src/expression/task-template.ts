/**
 * What a task of a process runs and gets, as its definition says it: with the expressions still to be evaluated.
 * Compiled once; filled for each claim.
 */
import type { Json } from '../core/json.ts';
import type { SecretPart, SecretText } from '../core/secret-text.ts';
import { mapTexts, type Spec } from '../core/spec.ts';
import { inputBytesMax } from '../core/task-input.ts';
import { evaluate, type Scope } from './evaluate.ts';
import { ExpressionFailure, Meter } from './limits.ts';
import type { Node, TaskMember } from './node.ts';
import { showValues } from './show-values.ts';
import { type ExpressionPart, isTemplate, parseTemplate, type TemplatePart } from './template.ts';
import { checkResult, type JsonObject, toText } from './values.ts';

export interface TaskTemplate {
  spec: Spec<TextTemplate> | null;
  input: JsonTemplate;
  /** What it asks of other tasks, by their names; null: it has no expression at all. */
  asks: Map<string, Set<TaskMember>> | null;
  /** What this version cannot read, of a definition that another one published. */
  failure: FillFailure | null;
}

type TextTemplate = SecretText | Expressed;

interface Expressed {
  place: string;
  parts: TemplatePart[];
}

/** JSON in which some texts are templates; what has none in it stands as it is. */
type JsonTemplate =
  | { kind: 'value'; value: Json }
  | { kind: 'list'; items: JsonTemplate[] }
  | { kind: 'map'; entries: [string, JsonTemplate][] }
  | ({ kind: 'text' } & Expressed);

/** Of one text that a program gets: what Linux takes as one argument or variable, less the variable's name. */
const textBytesMax = 130_000;
/** Of all that expressions put into the texts of one task. */
const textsBytesMax = 1_048_576;

/** An expression that failed, and where. */
export class FillFailure extends Error {
  readonly details: { expression: string; place: string; values: Record<string, string> };

  constructor(reason: string, details: FillFailure['details']) {
    super(`${details.place}: \${{ ${cut(details.expression)} }}: ${reason}`);
    this.name = 'FillFailure';
    this.details = details;
  }
}

const shownLettersMax = 300;

function cut(text: string): string {
  return text.length > shownLettersMax ? `${text.slice(0, shownLettersMax).toWellFormed()}…` : text;
}

/** Of what has been checked when its definition was published. */
export function compileTask({ spec, input }: { spec: Spec | null; input: Json }): TaskTemplate {
  const asks: NonNullable<TaskTemplate['asks']> = new Map();
  let hasExpressions = false;
  let failure: FillFailure | null = null;
  const compile = (text: string, place: string): TextTemplate => {
    if (!isTemplate(text)) return text;
    const { parts, problems } = parseTemplate(text);
    const [problem] = problems;
    if (problem) {
      const { start, end } = problem.span;
      failure ??= new FillFailure(problem.message, { expression: text.slice(start, end), place, values: {} });
      hasExpressions = true;
    }
    const expressions = parts.filter(isExpression);
    if (expressions.length === 0) return parts as SecretPart[];
    hasExpressions = true;
    for (const { names } of expressions) {
      for (const { name, member } of names.tasks) {
        const members = asks.get(name) ?? new Set();
        asks.set(name, members.add(member));
      }
    }
    return { place, parts };
  };
  const compiled = {
    spec: spec && mapTexts(spec, compile),
    input: compileJson(input, 'input', compile),
  };
  return { ...compiled, asks: hasExpressions ? asks : null, failure };
}

/** It recurses: a definition nests no deeper than JSON may. */
function compileJson(
  value: Json,
  place: string,
  compile: (text: string, place: string) => TextTemplate,
): JsonTemplate {
  const asItIs = { kind: 'value', value } as const;
  if (typeof value === 'string') {
    const text = compile(value, place);
    return typeof text === 'object' && 'parts' in text ? { kind: 'text', ...text } : asItIs;
  }
  if (typeof value !== 'object' || value === null) return asItIs;
  if (Array.isArray(value)) {
    const items = value.map((item, index) => compileJson(item, `${place}[${index}]`, compile));
    return items.every(({ kind }) => kind === 'value') ? asItIs : { kind: 'list', items };
  }
  const entries = Object.entries(value).map(([key, item]): [string, JsonTemplate] => [
    key,
    compileJson(
      item,
      /^\w{1,60}$/.test(key) ? `${place}.${key}` : `${place}[${JSON.stringify(key)}]`,
      compile,
    ),
  ]);
  return entries.every(([, { kind }]) => kind === 'value') ? asItIs : { kind: 'map', entries };
}

function isExpression(part: TemplatePart): part is ExpressionPart {
  return typeof part === 'object' && 'node' in part;
}

export interface FilledTask {
  spec: Spec<SecretText> | null;
  input: Json;
}

/**
 * The values in place of the expressions, the secrets left to the worker.
 *
 * @throws FillFailure
 */
export function fillTask(template: TaskTemplate, scope: Scope, { now }: { now: number }): FilledTask {
  if (template.failure) throw template.failure;
  const filling = new Filling(scope, now);
  return {
    spec: template.spec && mapTexts(template.spec, (text) => filling.fillText(text)),
    input: filling.fillInput(template.input),
  };
}

/** All expressions of one task, within one budget. */
class Filling {
  readonly #scope: Scope;
  readonly #now: number;
  readonly #meter = new Meter();
  #textsBytes = 0;

  constructor(scope: Scope, now: number) {
    this.#scope = scope;
    this.#now = now;
  }

  fillText(text: TextTemplate): SecretText {
    if (typeof text === 'string' || Array.isArray(text)) return text;
    const { parts, place } = text;
    let bytes = 0;
    const filled: SecretPart[] = [];
    const add = (said: string) => {
      bytes += Buffer.byteLength(said);
      const last = filled.at(-1);
      if (typeof last === 'string') filled[filled.length - 1] = last + said;
      else filled.push(said);
    };
    for (const part of parts) {
      if (typeof part === 'string') add(part);
      else if (isExpression(part)) {
        this.#try(part, place, () => {
          add(toText(this.#evaluate(part.node), this.#meter));
          this.#checkBytes(bytes);
        });
      } else filled.push(part);
    }
    this.#textsBytes += bytes;
    return filled.every((part) => typeof part === 'string') ? filled.join('') : filled;
  }

  #checkBytes(bytes: number): void {
    const hint = 'hand it over in "input", which programs read from $SKIPJACK_INPUT';
    if (bytes > textBytesMax)
      throw new ExpressionFailure(`makes a text of more than ${textBytesMax} bytes: ${hint}`, 'limit');
    if (this.#textsBytes + bytes > textsBytesMax)
      throw new ExpressionFailure(
        `makes the texts of this task exceed ${textsBytesMax} bytes: ${hint}`,
        'limit',
      );
  }

  fillInput(template: JsonTemplate): Json {
    const filled = this.#fillJson(template);
    if (template.kind === 'value' || Buffer.byteLength(JSON.stringify(filled)) <= inputBytesMax)
      return filled;
    const message = `makes the input of this task larger than ${inputBytesMax} bytes`;
    throw new FillFailure(message, { expression: '…', place: 'input', values: {} });
  }

  #fillJson(template: JsonTemplate): Json {
    switch (template.kind) {
      case 'value':
        return template.value;
      case 'list':
        return template.items.map((item) => this.#fillJson(item));
      case 'map': {
        const map: JsonObject = {};
        for (const [key, item] of template.entries) map[key] = this.#fillJson(item);
        return map;
      }
      case 'text': {
        const [only] = template.parts;
        if (template.parts.length > 1 || only === undefined || !isExpression(only)) {
          return this.fillText(template) as string;
        }
        return this.#try(only, template.place, () => {
          const value = this.#evaluate(only.node);
          checkResult(value, this.#meter);
          return value;
        });
      }
    }
  }

  #evaluate(node: Node): Json {
    return evaluate(node, this.#scope, { meter: this.#meter, now: this.#now, random: Math.random });
  }

  #try<Value>({ text, node }: ExpressionPart, place: string, fill: () => Value): Value {
    try {
      return fill();
    } catch (error) {
      if (!(error instanceof ExpressionFailure)) throw error;
      const details = { expression: text, place, values: showValues(node, this.#scope) };
      throw new FillFailure(error.message, details);
    }
  }
}
