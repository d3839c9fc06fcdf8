import { isId } from '../core/ids.ts';
import { findTextProblem, type Json } from '../core/json.ts';
import type { ProcessState } from '../core/process.ts';
import type { ProcessContext } from '../core/task-source.ts';
import { type LogPage, readLogPage } from '../queue/logs/read.ts';
import type { LogPlace } from '../queue/logs/subject.ts';
import { cancelProcess } from '../queue/processes/cancel.ts';
import { deleteProcess } from '../queue/processes/delete.ts';
import { describeAsWritten } from '../queue/processes/describe.ts';
import { endTaskByName, type NamedOutcome } from '../queue/processes/end-by-name.ts';
import type { MoveOptions } from '../queue/processes/lock.ts';
import { setProcessPaused } from '../queue/processes/pause.ts';
import { type RetryOptions, retryProcess } from '../queue/processes/retry.ts';
import type { Queue } from '../queue/queue.ts';
import { checkError, checkInputs, checkMove, checkOutput, type GivenError } from './check-outcome.ts';
import { type ActiveRow, readActive } from './read-active.ts';
import { type ProcessView, readProcess, readProcessState } from './read-processes.ts';
import { noSuchProcess, refusedEnd, refusedMove } from './refusals.ts';
import { refused } from './values.ts';

/** A task that can be worked on, or is being worked on. */
export interface ActiveTask extends ActiveRow {
  /** Of its definition, as written: `${{ … }}` is evaluated for whoever claims the task. */
  input: Json;
  process: ProcessContext | null;
  /** The outputs of its needs by name. */
  needs: Record<string, Json>;
  /** Outputs too large to come along: name → id of the task that has it. */
  large_needs: Record<string, string>;
  /** TunaCorn's word: the process's input and, over it, the members of its needs' outputs. */
  attributes: Record<string, Json>;
}

/** With each come outputs of up to a megabyte. */
const activeMax = 100;
const logLinesMax = 1_000;

/** What a timer can hold: 24 days. */
const waitMsMax = 2_147_483_647;

/**
 * One process. It holds no state of its own: every call asks the database.
 *
 * Calls throw a SkipjackError when they are refused: `not_found`, `already_settled`, `already_claimed`,
 * `not_active`, `already_ended`, `not_ended`, `not_failed`, `has_parent` and `compensated` for a retry of what cannot
 * go on by itself, `invalid_input` for inputs of tasks that have none to change, `precondition_failed` when
 * `ifRevision` is not the process's, and `invalid_request` for what cannot be stored.
 */
export class ProcessHandle {
  readonly id: string;
  readonly #queue: Queue;

  constructor(queue: Queue, id: string) {
    this.#queue = queue;
    // As Postgres writes it: its end is announced by this text.
    this.id = String(id).toLowerCase();
  }

  /** Its state, progress, input and output. */
  async read(): Promise<ProcessView> {
    const view = await readProcess(this.#queue.db, this.#askedId());
    if (!view) throw noSuchProcess(this.id);
    return view;
  }

  /**
   * The tasks whose needs have ended, with what they need to be worked on; in the order of the definition, the first
   * hundred.
   */
  async getActiveTasks(): Promise<ActiveTask[]> {
    const { db, plans } = this.#queue;
    const rows = await readActive(db, this.#askedId(), { limit: activeMax });
    if (rows === null) throw noSuchProcess(this.id);
    const described = await describeAsWritten(
      db,
      plans,
      rows.map(({ place }) => ({ place, outputs: 'direct' })),
    );
    return rows.map(({ place: _place, ...row }, index) => {
      const { input = null, process = null, needs = {}, large_needs = {} } = described[index] ?? {};
      return { ...row, input, process, needs, large_needs, attributes: toAttributes(process, needs) };
    });
  }

  /**
   * Completes an active task that nobody holds, by its name or ordinal.
   *
   * The same call again answers the same: `repeated` is true. The output is JSON, of at most 1 MiB.
   */
  async complete(
    task: string,
    output: Json = null,
    options: MoveOptions = {},
  ): Promise<{ repeated: boolean }> {
    return this.#end(task, { kind: 'completed', output: checkOutput(output) }, options);
  }

  /**
   * Fails an active task that nobody holds, for good: its retry policy is not asked.
   *
   * An Error is recorded by its `code` and message.
   */
  async fail(task: string, error: GivenError, options: MoveOptions = {}): Promise<{ repeated: boolean }> {
    return this.#end(task, { kind: 'failed', error: checkError(error) }, options);
  }

  /**
   * What its tasks said, in the order in which it was taken: at most a thousand lines, and where the next page begins
   * (`after`). `hasMore` is false at the end of what has been said so far.
   */
  async readLog({ after, limit = logLinesMax }: { after?: LogPlace; limit?: number } = {}): Promise<LogPage> {
    const subject = { what: 'process', id: this.#askedId() } as const;
    const lines = Math.min(Math.max(1, limit), logLinesMax);
    const page = await readLogPage(this.#queue.db, subject, { limit: lines, ...(after ? { after } : {}) });
    if (page.entries.length === 0) await this.#state();
    return page;
  }

  async isComplete(): Promise<boolean> {
    return (await this.#state()) === 'completed';
  }

  /** Also while tasks that were running when another failed have yet to stop. */
  async isFailed(): Promise<boolean> {
    const state = await this.#state();
    return state === 'failed' || state === 'failing';
  }

  /**
   * Waits for the end, at most `waitMs` (Infinity: 24 days); answers the process as it is then, also when `signal`
   * is aborted.
   */
  async waitForEnd({ waitMs, signal }: { waitMs: number; signal?: AbortSignal }): Promise<ProcessView> {
    await this.#queue.waitForEnd('process', this.#askedId(), {
      waitMs: Math.min(waitMs, waitMsMax),
      ...(signal ? { signal } : {}),
    });
    return this.read();
  }

  /** Asks for its end: what waits is cancelled at once, what runs is asked to stop. */
  async cancel(options: MoveOptions = {}): Promise<void> {
    const result = await cancelProcess(this.#queue.db, this.#askedId(), checkMove(options));
    if (result.kind !== 'cancelling') throw refusedMove(this.id, result);
  }

  async pause(options: MoveOptions = {}): Promise<void> {
    await this.#setPaused(true, options);
  }

  async resume(options: MoveOptions = {}): Promise<void> {
    await this.#setPaused(false, options);
  }

  /**
   * Goes on from what failed. Answers the names of the tasks that are tried again.
   *
   * With `inputs`, failed tasks get other ones than the definition says, taken as they are: there is nothing to
   * evaluate in them.
   *
   * ```ts
   * await engine.process(id).retry({ inputs: { 'Review Credit': { applicant: 'Ann' } } });
   * ```
   */
  async retry({ inputs, ...options }: MoveOptions & Pick<RetryOptions, 'inputs'> = {}): Promise<string[]> {
    const checked = { ...checkMove(options), inputs: checkInputs(inputs) };
    const result = await retryProcess(this.#queue.db, this.#askedId(), checked);
    if (result.kind !== 'retried') throw refusedMove(this.id, result);
    return result.tasks;
  }

  /** Deletes the record of an ended process. */
  async delete(options: MoveOptions = {}): Promise<void> {
    const result = await deleteProcess(this.#queue.db, this.#askedId(), checkMove(options));
    if (result.kind !== 'deleted') throw refusedMove(this.id, result);
  }

  /** What is no UUID is the id of nothing. */
  #askedId(): string {
    if (!isId(this.id)) throw noSuchProcess(this.id);
    return this.id;
  }

  async #state(): Promise<ProcessState> {
    const state = await readProcessState(this.#queue.db, this.#askedId());
    if (state === null) throw noSuchProcess(this.id);
    return state;
  }

  async #setPaused(paused: boolean, options: MoveOptions): Promise<void> {
    const result = await setProcessPaused(this.#queue.db, this.#askedId(), paused, checkMove(options));
    if (result.kind !== 'done') throw refusedMove(this.id, result);
  }

  async #end(task: string, outcome: NamedOutcome, options: MoveOptions): Promise<{ repeated: boolean }> {
    const name = String(task);
    const bad = findTextProblem(name);
    if (bad) throw refused('invalid_request', [{ pointer: '/task', message: `has ${bad}` }]);
    const result = await endTaskByName(this.#queue.db, this.#askedId(), name, outcome, checkMove(options));
    if (result.kind !== 'ended') throw refusedEnd(this.id, name, result);
    return { repeated: result.repeated };
  }
}

/** Made of own members, never by assignment: an input from SQL may have one that is called `__proto__`. */
function toAttributes(process: ProcessContext | null, needs: Record<string, Json>): Record<string, Json> {
  const parts = [process?.input ?? null, ...Object.values(needs)];
  return Object.fromEntries(
    parts.flatMap((part) =>
      typeof part === 'object' && part !== null && !Array.isArray(part) ? Object.entries(part) : [],
    ),
  );
}
