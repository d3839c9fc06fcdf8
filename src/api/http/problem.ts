/**
 * Errors as problem documents (RFC 9457), and what an exception means over HTTP.
 *
 * What we did not foresee is a 500 that tells the caller nothing but the id under which it was logged.
 */
import { type ErrorCode, errorCatalogue, type Problem, SkipjackError } from '../../core/errors.ts';
import { isConnectionFault, isDataFault, isLockTimeout, isRepeatable } from '../../database/faults.ts';
import { ConnectionsBusy } from '../../database/pool.ts';

export const problemType = 'application/problem+json';

export interface ProblemDocument {
  type: string;
  title: string;
  status: number;
  detail: string;
  code: ErrorCode;
  problems: Problem[];
  /** The path that was asked for. */
  instance?: string;
  request_id?: string;
  [extra: string]: unknown;
}

/** In seconds: long enough for a connection to come back, short enough not to be noticed. */
const retryAfterS = 1;

/** The error that people see for whatever was thrown. */
export function toSkipjackError(error: unknown): SkipjackError {
  if (error instanceof SkipjackError) return error;
  if (error instanceof ConnectionsBusy) {
    return new SkipjackError('overloaded', 'No connection to the database was free. Try again in a second.', {
      cause: error,
    });
  }
  if (isConnectionFault(error)) {
    return new SkipjackError('database_unreachable', 'The database does not answer. Try again in a second.', {
      cause: error,
    });
  }
  // Nothing happened, and the same again may succeed.
  if (isRepeatable(error) || isLockTimeout(error)) {
    return new SkipjackError('overloaded', "Two transactions were in each other's way. Try again.", {
      cause: error,
    });
  }
  // The last net: our schemas let a value through that Postgres does not take.
  if (isDataFault(error)) {
    return new SkipjackError('invalid_request', 'Postgres does not take one of the values.', {
      cause: error,
    });
  }
  return new SkipjackError('internal', 'The fault was logged under this request id.', { cause: error });
}

export function toProblemDocument(
  error: SkipjackError,
  { instance, requestId }: { instance?: string; requestId?: string } = {},
): ProblemDocument {
  return {
    type: problemTypeUri(error.code),
    title: errorCatalogue[error.code].title,
    status: error.status,
    code: error.code,
    ...explain(error),
    ...(instance === undefined ? {} : { instance }),
    ...(requestId === undefined ? {} : { request_id: requestId }),
    ...error.extra,
  };
}

/**
 * Problems shown at most, and characters of a text: keys may be as long as a body, and as many. A definition has
 * a hundred, and one that says how many more there are.
 */
const problemsMax = 101;
const textMax = 1_000;

/** What happened, no longer than people read. */
export function explain({ message, problems }: SkipjackError): { detail: string; problems: Problem[] } {
  const cut = (text: string) => (text.length > textMax ? `${text.slice(0, textMax).toWellFormed()}…` : text);
  return {
    detail: cut(message),
    problems: problems.slice(0, problemsMax).map((problem) => ({
      ...problem,
      ...(problem.pointer === undefined ? {} : { pointer: cut(problem.pointer) }),
      message: cut(problem.message),
    })),
  };
}

function problemTypeUri(code: ErrorCode): string {
  return `urn:skipjack:problem:${code}`;
}

/** Headers that belong to an error beside its content type. */
export function problemHeaders(error: SkipjackError): Record<string, string> {
  if (error.status === 503) return { 'retry-after': String(retryAfterS) };
  if (error.code === 'unauthorized') return { 'www-authenticate': 'Bearer realm="skipjack"' };
  if (Array.isArray(error.extra.accept)) return { accept: error.extra.accept.join(', ') };
  // What is left of the body is not read: the connection is of no further use.
  if (error.code === 'body_too_large') return { connection: 'close' };
  if (Array.isArray(error.extra.allow)) return { allow: error.extra.allow.join(', ') };
  return {};
}

/** One thing that is wrong with what was asked. */
export function invalidRequest(problems: Problem[]): SkipjackError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError('invalid_request', `${first?.pointer || 'The body'}: ${first?.message}${more}`, {
    problems,
  });
}

export function notFound(what: string, id: string): SkipjackError {
  return new SkipjackError('not_found', `There is no ${what} with the id "${id.slice(0, 200)}".`);
}
