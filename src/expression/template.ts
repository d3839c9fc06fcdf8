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
const closing = '}}';
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

/**
 * Of a text that is an expression, bare or with one `${{ … }}` around it: the expression, without blanks, and where it
 * begins. What is neither is answered as it is, and cannot be read.
 */
export function unwrapExpression(written: string): { text: string; textAt: number } {
  const start = written.search(/\S/);
  if (start === -1) return { text: '', textAt: 0 };
  const whole = written.trim();
  const isWrapped = whole.startsWith(opening) && start + whole.length === endOf(written, start);
  const inner = isWrapped ? whole.slice(opening.length, -closing.length) : whole;
  const text = inner.trim();
  return { text, textAt: written.indexOf(text, start + (isWrapped ? opening.length : 0)) };
}

/** One `${{ … }}` and nothing else: such a text keeps the type of its value. */
export function isOneExpression(text: string): boolean {
  return text.startsWith(opening) && endOf(text, 0) === text.length;
}

/** Of a text that is an expression, bare or wrapped: as parseTemplate does, with the whole of it as its one part. */
export function parseWhole(written: string): Template {
  const { text, textAt } = unwrapExpression(written);
  const parsed = parseExpression(text);
  const span = { start: textAt, end: textAt + text.length };
  if (parsed.kind === 'expression') {
    const { node, names } = parsed;
    return { parts: [{ text, node, names, ...span, textAt }], problems: [] };
  }
  const { problem } = parsed;
  const open = text.indexOf(opening);
  if (problem.code !== 'invalid_expression' || open === -1) {
    return { parts: [], problems: [{ ...problem, at: textAt + problem.at, span }] };
  }
  const message =
    endOf(text, open) === -1
      ? unclosed(open).message
      : 'this is one expression: bare, or with one ${{ … }} around the whole of it';
  return { parts: [], problems: [{ code: 'invalid_expression', at: textAt + open, message, span }] };
}

/** An expression, bare or wrapped, with `${{ … }}` around it; null if it would not be the same one there. */
export function wrapExpression(written: string): string | null {
  const { text } = unwrapExpression(written);
  const wrapped = `${opening} ${text} ${closing}`;
  return unwrapExpression(wrapped).text === text ? wrapped : null;
}

/** Behind the `}}` of the `${{` at `start`; -1: there is none. */
function endOf(text: string, start: number): number {
  const close = findClose(text, start + opening.length);
  return close === -1 ? -1 : close + closing.length;
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
