/**
 * What programs hand over: JSON and text, checked, bounded and copied before it meets the values of others.
 *
 * TypeScript promises less than it seems: a Date is an object, a number may be NaN, and plain JavaScript has no
 * types at all. What Postgres would store as something else is refused, not changed.
 */
import { type ErrorCode, type Problem, SkipjackError } from '../core/errors.ts';
import { findJsonProblem, findTextProblem, type Json, type JsonProblem, jsonLimits } from '../core/json.ts';

interface JsonBounds {
  bytesMax: number;
  nodesMax?: number;
}

/**
 * A copy, so that what was checked is what is sent, whatever becomes of the original meanwhile.
 *
 * @throws SkipjackError with a pointer to what is wrong.
 */
export function requireJson(
  value: unknown,
  { pointer, code = 'invalid_request', ...bounds }: JsonBounds & { pointer: string; code?: ErrorCode },
): Json {
  const problem = findProblem(value, bounds);
  if (problem) throw refused(code, [{ ...problem, pointer: pointer + problem.pointer }]);
  return JSON.parse(JSON.stringify(value)) as Json;
}

/** @throws SkipjackError `invalid_request` */
export function requireText(
  value: unknown,
  { pointer, lettersMax }: { pointer: string; lettersMax: number },
): string {
  const problem = (message: string) => refused('invalid_request', [{ pointer, message }]);
  if (typeof value !== 'string') throw problem('is not a text');
  if (value.length < 1 || value.length > lettersMax)
    throw problem(`has fewer than 1 or more than ${lettersMax} letters`);
  const bad = findTextProblem(value);
  if (bad) throw problem(`has ${bad}`);
  return value;
}

/** The first problem in words, the others counted. */
export function refused(code: ErrorCode, problems: Problem[]): SkipjackError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError(code, `${first?.pointer}: ${first?.message}${more}`, { problems });
}

function findProblem(value: unknown, bounds: JsonBounds): JsonProblem | null {
  const { bytesMax, nodesMax = jsonLimits.nodesMax } = bounds;
  const problem = findForeign(value, bounds) ?? findJsonProblem(value, { ...jsonLimits, nodesMax });
  if (problem) return problem;
  return Buffer.byteLength(JSON.stringify(value)) > bytesMax ? tooLarge(bytesMax) : null;
}

function tooLarge(bytesMax: number): JsonProblem {
  return {
    pointer: '',
    message: `is larger than ${bytesMax} bytes; keep it elsewhere and hand over where it is`,
  };
}

/**
 * A Date, a Map, an instance of a class: JSON.stringify makes texts of them, or nothing. And what is larger than its
 * bounds, before anything is made of it: a text of half a gigabyte cannot even be written out.
 */
function findForeign(
  given: unknown,
  { bytesMax, nodesMax = jsonLimits.nodesMax }: JsonBounds,
): JsonProblem | null {
  let nodes = 0;
  let letters = 0;
  const visit = (value: unknown, pointer: string, depth: number): JsonProblem | null => {
    nodes += 1;
    if (nodes > nodesMax) return { pointer, message: `more than ${nodesMax} values` };
    if (depth > jsonLimits.depthMax) return { pointer, message: `nested deeper than ${jsonLimits.depthMax}` };
    if (typeof value === 'string') letters += value.length;
    if (letters > bytesMax) return tooLarge(bytesMax);
    if (typeof value !== 'object' || value === null) return null;
    if (!Array.isArray(value) && !isPlain(value))
      return { pointer, message: `${describe(value)}, not plain JSON` };
    for (const key of Object.keys(value)) {
      if (!Array.isArray(value)) letters += key.length;
      const at = `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
      const found = visit((value as Record<string, unknown>)[key], at, depth + 1);
      if (found) return found;
    }
    return null;
  };
  return visit(given, '', 1);
}

/** Of whatever realm: its prototype is the end of the chain, or it has none. */
function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

function describe(value: object): string {
  const name: unknown = value.constructor?.name;
  return typeof name === 'string' && name !== '' ? `is of the class ${name.slice(0, 100)}` : 'is of a class';
}
