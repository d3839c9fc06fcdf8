/**
 * The path and the query of a request, decoded strictly.
 *
 * Hono leaves what it cannot decode as it is, and takes the last of two parameters of one name; here both are
 * mistakes that the caller hears of.
 */
import { findTextProblem } from '../../core/json.ts';
import { invalidRequest } from './problem.ts';

/** Path and query as they were sent. */
export function splitUrl(url: string): { path: string; query: string } {
  const start = url.indexOf('/', url.indexOf('://') + 3);
  const rest = start < 0 ? '/' : (url.slice(start).split('#', 1)[0] ?? '/');
  const mark = rest.indexOf('?');
  return mark < 0 ? { path: rest, query: '' } : { path: rest.slice(0, mark), query: rest.slice(mark + 1) };
}

/** @throws SkipjackError `invalid_request` when the path is not UTF-8 in percent-encoding. */
export function checkPath(path: string): void {
  const decoded = decode(path);
  if (decoded === null) {
    throw invalidRequest([
      { pointer: 'path', message: 'is not UTF-8 in percent-encoding (write "%" as %25)' },
    ]);
  }
  const problem = findTextProblem(decoded);
  if (problem) throw invalidRequest([{ pointer: 'path', message: `has ${problem}` }]);
}

/** @throws SkipjackError `invalid_request` for what cannot be decoded and for a name that comes twice. */
export function parseQuery(query: string): Record<string, string> {
  const parsed = new Map<string, string>();
  for (const pair of query.split('&').filter((part) => part !== '')) {
    const equals = pair.indexOf('=');
    const name = decode((equals < 0 ? pair : pair.slice(0, equals)).replaceAll('+', ' '));
    const value = decode((equals < 0 ? '' : pair.slice(equals + 1)).replaceAll('+', ' '));
    const problem =
      name === null || value === null
        ? 'is not UTF-8 in percent-encoding (write "%" as %25)'
        : findTextProblem(name + value);
    if (name === null || value === null || problem) {
      throw invalidRequest([{ pointer: pair.slice(0, 100), message: problem ?? 'cannot be read' }]);
    }
    if (parsed.has(name)) throw invalidRequest([{ pointer: name, message: 'is given twice' }]);
    parsed.set(name, value);
  }
  return Object.fromEntries(parsed);
}

function decode(text: string): string | null {
  try {
    return decodeURIComponent(text);
  } catch {
    return null;
  }
}
