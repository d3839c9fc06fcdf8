/**
 * The one catalogue of the errors that people see: a stable code, its HTTP status, the CLI's exit code, and a
 * title. The sentence that says what happened and what to do comes with each throw.
 */
export const errorCatalogue = {
  // What was asked is malformed.
  invalid_json: { status: 400, exit: 5, title: 'The body is not valid JSON' },
  invalid_request: { status: 400, exit: 5, title: 'The request does not fit its schema' },
  invalid_definition: { status: 422, exit: 5, title: 'The definition has problems' },
  invalid_input: { status: 422, exit: 5, title: 'The input does not fit the definition' },
  misplaced_expression: { status: 422, exit: 5, title: 'An expression cannot stand here' },
  unauthorized: { status: 401, exit: 1, title: 'An API key is needed' },
  host_not_allowed: { status: 403, exit: 1, title: 'This Host header is not accepted' },
  origin_not_allowed: { status: 403, exit: 1, title: 'A web page of another origin may not do this' },
  not_found: { status: 404, exit: 3, title: 'There is no such thing' },
  method_not_allowed: { status: 405, exit: 1, title: 'This method is not allowed here' },
  request_timeout: { status: 408, exit: 7, title: 'The request took too long to arrive' },
  body_too_large: { status: 413, exit: 5, title: 'The body is too large' },
  unsupported_media_type: { status: 415, exit: 5, title: 'This content type is not read here' },
  headers_too_large: { status: 431, exit: 5, title: 'The headers are too large' },
  // What was asked does not fit what is.
  lease_lost: { status: 409, exit: 4, title: 'The claim is no longer held' },
  already_settled: { status: 409, exit: 4, title: 'The task has ended already' },
  already_claimed: { status: 409, exit: 4, title: 'Somebody holds the task' },
  already_replayed: { status: 409, exit: 4, title: 'The dead letter was replayed already' },
  not_claimable: { status: 409, exit: 4, title: 'The task cannot be claimed now' },
  token_mismatch: { status: 409, exit: 4, title: 'The token belongs to another task' },
  idempotency_conflict: { status: 409, exit: 4, title: 'The idempotency key was used for another request' },
  not_ended: { status: 409, exit: 4, title: 'It has not ended' },
  not_active: { status: 409, exit: 4, title: 'The task is not active' },
  already_ended: { status: 409, exit: 4, title: 'The process has ended already' },
  not_failed: { status: 409, exit: 4, title: 'The process has not failed' },
  has_parent: { status: 409, exit: 4, title: 'The process is part of another' },
  compensated: { status: 409, exit: 4, title: 'What the process had done was put right by another' },
  part_of_process: { status: 409, exit: 4, title: 'The task belongs to a process' },
  definition_inactive: { status: 409, exit: 4, title: 'Nothing is started by this definition any more' },
  precondition_failed: { status: 412, exit: 4, title: 'The process has moved since' },
  // We cannot answer now.
  idempotency_key_busy: { status: 503, exit: 7, title: 'Another transaction holds the idempotency key' },
  event_busy: { status: 503, exit: 7, title: 'Another transaction sends the same event' },
  overloaded: { status: 503, exit: 7, title: 'Too much is waiting; try again' },
  database_unreachable: { status: 503, exit: 7, title: 'The database does not answer' },
  schema_outdated: { status: 503, exit: 7, title: 'The database schema does not fit this version' },
  server_unreachable: { status: 503, exit: 7, title: 'The server does not answer' },
  timeout: { status: 504, exit: 124, title: 'Waited too long' },
  internal: { status: 500, exit: 1, title: 'A fault in Skipjack' },
  address_taken: { status: 500, exit: 1, title: 'Another program listens there' },
  usage: { status: 400, exit: 2, title: 'The command line is not understood' },
} as const;

export type ErrorCode = keyof typeof errorCatalogue;

export interface Problem {
  /** JSON pointer into the body, or the name of a parameter. */
  pointer?: string;
  code?: string;
  message: string;
  /** In the text of a definition, counted from 1. */
  line?: number;
  column?: number;
  /** That line of the text, or the part of it around the column. */
  excerpt?: string;
  /** What may have been meant. */
  suggestion?: string;
  /** Other places that the problem is about: the first of two equal names. */
  related?: { line: number; column: number; message: string; excerpt?: string }[];
}

/** An error that a person or program is meant to see. */
export class SkipjackError extends Error {
  readonly code: ErrorCode;
  readonly problems: Problem[];
  /** More members for the problem document: the holder of a lease, the id behind a key. */
  readonly extra: Record<string, unknown>;

  constructor(
    code: ErrorCode,
    message: string,
    {
      cause,
      problems = [],
      extra = {},
    }: { cause?: unknown; problems?: Problem[]; extra?: Record<string, unknown> } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SkipjackError';
    this.code = code;
    this.problems = problems;
    this.extra = extra;
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }

  get exitCode(): number {
    return errorCatalogue[this.code].exit;
  }
}
