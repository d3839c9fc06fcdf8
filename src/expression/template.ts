/**
 * A text with `${{ … }}`, taken apart once: into what stands there as it is, references to secrets, which are the
 * worker's, and expressions. What an expression yields is never taken apart again.
 */
import { secretNamePattern } from '../core/secret-text.ts';
import type { Node } from './node.ts';
import { type ExpressionProblem, type Names, parseExpression } from './parse.ts';

export type TemplatePart = string | { secret: string } | ExpressionPart;

export interface ExpressionPart extends Span {
  /** As written, without blanks around it. */
  text: string;
  node: Node;
  names: Names;
}

/** `${{ … }}` within its text. */
interface Span {
  start: number;
  end: number;
  /** Where the expression's own text begins: its offsets count from there. */
  textAt: number;
}

export interface Template {
  parts: TemplatePart[];
  problems: TemplateProblem[];
}

/** `at` counts from the beginning of the whole text; `span` is the `${{ … }}` around it. */
export type TemplateProblem = ExpressionProblem & { span: { start: number; end: number } };

const opening = '${{';
/** In one text. */
const expressionsMax = 1_000;
/** Told of one text; the rest is not read. */
const problemsMax = 20;

export function isTemplate(text: string): boolean {
  return text.includes(opening);
}

export function parseTemplate(text: string): Template {
  const template: Template = { parts: [], problems: [] };
  let done = 0;
  let found = 0;
  for (let start = text.indexOf(opening); start !== -1; start = text.indexOf(opening, done)) {
    if (template.problems.length === problemsMax) break;
    if (start > done) template.parts.push(text.slice(done, start));
    if (found === expressionsMax) {
      const message = `this text has more than ${expressionsMax} expressions`;
      template.problems.push({ code: 'too_large', at: start, message, span: { start, end: start + 3 } });
      break;
    }
    found += 1;
    const textAt = start + opening.length;
    const close = findClose(text, textAt);
    const end = close === -1 ? text.length : close + 2;
    const part =
      close === -1 ? unclosed(start) : parsePart(text.slice(textAt, close), { start, end, textAt });
    if ('code' in part) template.problems.push({ ...part, span: { start, end } });
    else template.parts.push(part);
    done = end;
  }
  if (done < text.length) template.parts.push(text.slice(done));
  return template;
}

function unclosed(at: number): ExpressionProblem {
  return { code: 'invalid_expression', at, message: 'this ${{ has no }}' };
}

function parsePart(inner: string, span: Span): { secret: string } | ExpressionPart | ExpressionProblem {
  const text = inner.trim();
  const secret = text.startsWith('secrets.') ? text.slice('secrets.'.length) : '';
  if (secretNamePattern.test(secret)) return { secret };
  const textAt = span.textAt + inner.indexOf(text);
  const parsed = parseExpression(text);
  if (parsed.kind === 'problem') return { ...parsed.problem, at: textAt + parsed.problem.at };
  return { text, node: parsed.node, names: parsed.names, ...span, textAt };
}

/** The `}}` that is neither in quotes nor the end of a map in a map; -1: there is none. */
function findClose(text: string, from: number): number {
  let depth = 0;
  let at = from;
  while (at < text.length) {
    const letter = text[at] as string;
    if (letter === '"' || letter === "'") {
      at = skipQuoted(text, at);
      continue;
    }
    if (letter === '{') depth += 1;
    if (letter === '}') {
      if (depth === 0 && text[at + 1] === '}') return at;
      depth = Math.max(0, depth - 1);
    }
    at += 1;
  }
  return -1;
}

/** As the parser reads it: also in a raw text no quote after a backslash ends it. */
function skipQuoted(text: string, at: number): number {
  const quote = text[at] as string;
  const fence = text.startsWith(quote.repeat(3), at) ? quote.repeat(3) : quote;
  for (let next = at + fence.length; next < text.length; next += 1) {
    if (text[next] === '\\') next += 1;
    else if (text.startsWith(fence, next)) return next + fence.length;
  }
  return text.length;
}
