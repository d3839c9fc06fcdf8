import type { Logger } from 'pino';
import type { Json } from '../core/json.ts';
import type { TaskInput } from '../core/task-input.ts';
import type { RunnableTask } from './executors/executor.ts';

/**
 * A function that runs tasks, registered under its name.
 *
 * What it returns is the task's output: anything that `JSON.stringify` takes, at most 1 MiB of it; `undefined`
 * is null. What it throws fails the attempt: `code`, `message` and `details` of the error are kept, and the
 * retry policy decides, unless it is a {@link FinalError}. When `context.signal` is aborted it should end soon.
 *
 * At-least-once: after a crash or a lost lease the same task runs again, so what it does should bear that.
 *
 * @example
 * const handlers = {
 *   'send-email': async (input: { to: string }, { signal, task }) => {
 *     const sent = await fetch(mailUrl, { method: 'POST', body: JSON.stringify({ ...input, key: task.id }), signal });
 *     return { status: sent.status };
 *   },
 * };
 */
// biome-ignore lint/suspicious/noExplicitAny: `unknown` would refuse every handler that says what it expects.
export type Handler = (input: any, context: TaskContext) => unknown;

/** What a handler is given besides its input. */
export interface TaskContext {
  /** Its `item` says which item of an `each` or `matrix` it is, and what that is. */
  task: RunnableTask;
  /** Counted from 1. */
  attempt: number;
  /** Aborted, with an `AttemptStopped` as reason, on timeout, cancel, shutdown, or when the claim was lost. */
  signal: AbortSignal;
  /**
   * Writes to the worker's log. Messages of level `info` and above are lines of the task's own log too, whatever the
   * level of the worker's.
   */
  log: Logger;
  /**
   * Says how far it is, for people to see: JSON of at most 1 KiB; a number is per cent. Only the last one counts, and
   * it travels with the next heartbeat.
   *
   * @throws TypeError for what is no JSON, or larger.
   */
  progress(value: Json): void;
  /** Extends the lease now. Rarely needed: the worker does so by itself. Resolves when the server has answered. */
  heartbeat(): Promise<void>;
  /**
   * Adds a task, once for this task however often it is tried. Takes what `POST /v1/tasks` takes.
   *
   * Calls are told apart by their order. A handler that may make them in another order, or leave one out, on
   * its next attempt gives each a `key`.
   *
   * @throws SkipjackError `invalid_request`; `idempotency_conflict` when an earlier attempt added another task
   * in this call's place; `idempotency_key_busy` when another attempt is adding it right now.
   */
  enqueue(task: TaskInput, options?: { key?: string }): Promise<{ id: string; created: boolean }>;
}

/**
 * Thrown by a handler when trying again is no use: the task fails, whatever its retry policy says.
 *
 * @example
 * throw new FinalError('the account is closed', { code: 'account_closed' });
 */
export class FinalError extends Error {
  readonly code: string;
  readonly details: unknown;

  constructor(
    message: string,
    { code = 'handler_error', details, cause }: { code?: string; details?: unknown; cause?: unknown } = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'FinalError';
    this.code = code;
    this.details = details;
  }
}
