import { setTimeout as pause } from 'node:timers/promises';
import { reconnectDelayMs, withJitter } from '../core/backoff.ts';
import type { ClaimedTask, TaskSource } from '../core/task-source.ts';
import type { Announce } from './events.ts';

/** How long one claim waits for work at the source. */
const waitMs = 30_000;

/** Between claims that brought nothing to run, though they answered at once. */
const idlePauseMs = 50;

interface ClaimLoopOptions {
  source: TaskSource;
  worker: string;
  queues: string[];
  leaseMs: number;
  timeoutGraceMs: number;
  /** How many tasks to ask for now, and how many of them would start at once. */
  room: () => { limit: number; startLimit: number };
  /** Takes the tasks over; false when none of them is for this worker to run. */
  take: (tasks: ClaimedTask[]) => boolean;
  announce: Announce;
  signal: AbortSignal;
}

/**
 * Claims while there is room, until `signal` is aborted.
 *
 * One claim at a time, and the source does the waiting. A claim that waits with a small limit, asked for
 * before more slots became free, costs one more round trip when work comes: the next claim follows at once and
 * asks for all the room there is. That is cheaper than to take a waiting claim back with each slot that frees.
 */
export class ClaimLoop {
  readonly #options: ClaimLoopOptions;
  #roomChanged = false;
  #wake: (() => void) | undefined;
  #waiting: AbortController | undefined;

  constructor(options: ClaimLoopOptions) {
    this.#options = options;
    const end = () => {
      this.retract();
      this.noteRoom();
    };
    options.signal.addEventListener('abort', end, { once: true });
  }

  /** Takes a waiting claim back, for there is less room than it asked for. */
  retract(): void {
    this.#waiting?.abort();
  }

  /** There may be room again. Remembered, so that it is not missed between looking and waiting. */
  noteRoom(): void {
    this.#roomChanged = true;
    this.#wake?.();
  }

  async run(): Promise<void> {
    const { source, worker, queues, leaseMs, timeoutGraceMs, room, take, announce, signal } = this.#options;
    let failures = 0;
    while (!signal.aborted) {
      this.#roomChanged = false;
      const { limit, startLimit } = room();
      if (limit === 0) {
        await this.#untilRoomChanges();
        continue;
      }
      const askedMs = performance.now();
      const waiting = new AbortController();
      this.#waiting = waiting;
      let tasks: ClaimedTask[];
      try {
        tasks = await source.claim({
          worker,
          queues,
          limit,
          startLimit,
          leaseMs,
          timeoutGraceMs,
          waitMs,
          signal: waiting.signal,
        });
        failures = 0;
      } catch (error) {
        if (waiting.signal.aborted) continue;
        announce('source.failed', { call: 'claim', error });
        failures += 1;
        await this.#pause(reconnectDelayMs(failures));
        continue;
      }
      const some = take(tasks);
      if (!some && performance.now() - askedMs < idlePauseMs) await this.#pause(withJitter(idlePauseMs));
    }
  }

  async #untilRoomChanges(): Promise<void> {
    if (this.#roomChanged) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#options.signal }).catch(() => {});
  }
}
