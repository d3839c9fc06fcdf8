/** JSON and texts as a definition says them → what is filled later: compiled once, with what they ask for. */
import type { Json } from '../core/json.ts';
import type { SecretPart, SecretText } from '../core/secret-text.ts';
import { FillFailure } from './fill-failure.ts';
import type { TaskMember } from './node.ts';
import type { Names } from './parse.ts';
import { type ExpressionPart, isTemplate, parseTemplate, type TemplatePart } from './template.ts';

export type TextTemplate = SecretText | Expressed;

export interface Expressed {
  place: string;
  parts: TemplatePart[];
}

/** JSON in which some texts are templates; what has none in it stands as it is. */
export type JsonTemplate =
  | { kind: 'value'; value: Json }
  | { kind: 'list'; items: JsonTemplate[] }
  | { kind: 'map'; entries: [string, JsonTemplate][] }
  | ({ kind: 'text' } & Expressed);

/** What expressions ask of other tasks, by the tasks' names. */
export type Asks = Map<string, Set<TaskMember>>;

/** Compiles what has been checked when its definition was published. */
export class Compiler {
  readonly asks: Asks = new Map();
  hasExpressions = false;
  /** What this version cannot read, of a definition that another one published. */
  failure: FillFailure | null = null;

  compileText(text: string, place: string): TextTemplate {
    if (!isTemplate(text)) return text;
    const { parts, problems } = parseTemplate(text);
    const [problem] = problems;
    if (problem) {
      const { start, end } = problem.span;
      this.fail(problem.message, { expression: text.slice(start, end), place });
      this.hasExpressions = true;
    }
    const expressions = parts.filter(isExpression);
    if (expressions.length === 0) return parts as SecretPart[];
    this.hasExpressions = true;
    for (const { names } of expressions) this.ask(names);
    return { place, parts };
  }

  /** It recurses: a definition nests no deeper than JSON may. */
  compileJson(value: Json, place: string): JsonTemplate {
    const asItIs = { kind: 'value', value } as const;
    if (typeof value === 'string') {
      const text = this.compileText(value, place);
      return typeof text === 'object' && 'parts' in text ? { kind: 'text', ...text } : asItIs;
    }
    if (typeof value !== 'object' || value === null) return asItIs;
    if (Array.isArray(value)) {
      const items = value.map((item, index) => this.compileJson(item, `${place}[${index}]`));
      return items.every(({ kind }) => kind === 'value') ? asItIs : { kind: 'list', items };
    }
    const entries = Object.entries(value).map(([key, item]): [string, JsonTemplate] => [
      key,
      this.compileJson(item, /^\w{1,60}$/.test(key) ? `${place}.${key}` : `${place}[${JSON.stringify(key)}]`),
    ]);
    return entries.every(([, { kind }]) => kind === 'value') ? asItIs : { kind: 'map', entries };
  }

  ask({ tasks }: Names): void {
    for (const { name, member } of tasks) {
      const members = this.asks.get(name) ?? new Set();
      this.asks.set(name, members.add(member));
    }
  }

  /** The first is kept. */
  fail(reason: string, { expression, place }: { expression: string; place: string }): void {
    this.failure ??= new FillFailure(reason, { expression, place, values: {} });
  }
}

export function isExpression(part: TemplatePart): part is ExpressionPart {
  return typeof part === 'object' && 'node' in part;
}
