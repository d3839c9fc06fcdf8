import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import type { ProcessContext } from '../core/task-source.ts';
import { cancelProcess } from '../queue/processes/cancel.ts';
import { deleteProcess } from '../queue/processes/delete.ts';
import { describeTasks } from '../queue/processes/describe.ts';
import { endTaskByName, type NamedOutcome } from '../queue/processes/end-by-name.ts';
import type { MoveOptions } from '../queue/processes/lock.ts';
import { setProcessPaused } from '../queue/processes/pause.ts';
import { retryProcess } from '../queue/processes/retry.ts';
import type { Queue } from '../queue/queue.ts';
import { type ActiveRow, readActive } from './read-active.ts';
import { type ProcessView, readProcess } from './read-processes.ts';
import { noSuchProcess, refusedEnd, refusedMove } from './refusals.ts';

/** A task that can be worked on, or is being worked on. */
export interface ActiveTask extends ActiveRow {
  /** Of its definition. */
  input: Json;
  process: ProcessContext | null;
  /** The outputs of its needs by name. */
  needs: Record<string, Json>;
  /** TunaCorn's word: the process's input and, over it, the members of its needs' outputs. */
  attributes: Record<string, Json>;
}

/**
 * One process. It holds no state of its own: every call asks the database.
 *
 * Calls throw a SkipjackError when they are refused: `not_found`, `already_settled`, `already_claimed`,
 * `not_active`, `already_ended`, `not_failed`, and `precondition_failed` when `ifRevision` is not the process's.
 */
export class ProcessHandle {
  readonly id: string;
  readonly #queue: Queue;

  constructor(queue: Queue, id: string) {
    this.#queue = queue;
    this.id = id;
  }

  /** Its state, progress, input and output. */
  async read(): Promise<ProcessView> {
    const view = await readProcess(this.#queue.db, this.id);
    if (!view) throw noSuchProcess(this.id);
    return view;
  }

  /** The tasks whose needs have ended, with what they need to be worked on; in the order of the definition. */
  async getActiveTasks(): Promise<ActiveTask[]> {
    const { db, plans } = this.#queue;
    const rows = await readActive(db, this.id);
    if (rows === null) throw noSuchProcess(this.id);
    const described = await describeTasks(
      db,
      plans,
      rows.map(({ place }) => ({ place, outputs: 'direct' })),
    );
    return rows.map(({ place: _place, ...row }, index) => {
      const { input = null, process = null, needs = {} } = described[index] ?? {};
      return { ...row, input, process, needs, attributes: toAttributes(process, needs) };
    });
  }

  /**
   * Completes an active task that nobody holds, by its name or ordinal.
   *
   * The same call again answers the same: `repeated` is true.
   */
  complete(task: string, output: Json = null, options: MoveOptions = {}): Promise<{ repeated: boolean }> {
    return this.#end(task, { kind: 'completed', output }, options);
  }

  /** Fails an active task that nobody holds, for good: its retry policy is not asked. */
  fail(
    task: string,
    error: string | ({ message: string } & Partial<TaskError>),
    options: MoveOptions = {},
  ): Promise<{ repeated: boolean }> {
    const given = typeof error === 'string' ? { message: error } : error;
    return this.#end(task, { kind: 'failed', error: { code: 'failed', ...given } }, options);
  }

  async isComplete(): Promise<boolean> {
    return (await this.read()).state === 'completed';
  }

  /** Also while tasks that were running when another failed have yet to stop. */
  async isFailed(): Promise<boolean> {
    const { state } = await this.read();
    return state === 'failed' || state === 'failing';
  }

  /** Waits for the end, at most `waitMs`; answers the process as it is then. */
  async waitForEnd(wait: { waitMs: number; signal?: AbortSignal }): Promise<ProcessView> {
    await this.#queue.waitForEnd('process', this.id, wait);
    return this.read();
  }

  /** Asks for its end: what waits is cancelled at once, what runs is asked to stop. */
  async cancel(options: MoveOptions = {}): Promise<void> {
    const result = await cancelProcess(this.#queue.db, this.id, options);
    if (result.kind !== 'cancelling') throw refusedMove(this.id, result);
  }

  async pause(options: MoveOptions = {}): Promise<void> {
    await this.#setPaused(true, options);
  }

  async resume(options: MoveOptions = {}): Promise<void> {
    await this.#setPaused(false, options);
  }

  /** Goes on from what failed. Answers the names of the tasks that are tried again. */
  async retry(options: MoveOptions = {}): Promise<string[]> {
    const result = await retryProcess(this.#queue.db, this.id, options);
    if (result.kind !== 'retried') throw refusedMove(this.id, result);
    return result.tasks;
  }

  /** Deletes the record of an ended process. */
  async delete(options: MoveOptions = {}): Promise<void> {
    const result = await deleteProcess(this.#queue.db, this.id, options);
    if (result.kind !== 'deleted') throw refusedMove(this.id, result);
  }

  async #setPaused(paused: boolean, options: MoveOptions): Promise<void> {
    const result = await setProcessPaused(this.#queue.db, this.id, paused, options);
    if (result.kind !== 'done') throw refusedMove(this.id, result);
  }

  async #end(task: string, outcome: NamedOutcome, options: MoveOptions): Promise<{ repeated: boolean }> {
    const result = await endTaskByName(this.#queue.db, this.id, task, outcome, options);
    if (result.kind !== 'ended') throw refusedEnd(this.id, task, result);
    return { repeated: result.repeated };
  }
}

function toAttributes(process: ProcessContext | null, needs: Record<string, Json>): Record<string, Json> {
  const parts = [process?.input ?? null, ...Object.values(needs)];
  return Object.assign(
    {},
    ...parts.filter((part) => typeof part === 'object' && part !== null && !Array.isArray(part)),
  );
}
