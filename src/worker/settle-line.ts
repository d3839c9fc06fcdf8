import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs } from '../core/backoff.ts';
import { type Batcher, createBatcher } from '../core/batching.ts';
import { SkipjackError } from '../core/errors.ts';
import type { Outcome, SettleResult, TaskSource } from '../core/task-source.ts';
import type { Claim } from './claim.ts';
import type { Announce } from './events.ts';

/** While so much waits to be settled, nothing new is claimed or started: the server is away or behind. */
const waitingTasksMax = 2_000;
const waitingBytesMax = 64 * 1_048_576;

/** A batch that failed so often is halved: it may be one outcome that fails the others. */
const wholeTriesMax = 3;

interface Entry {
  claim: Claim;
  outcome: Outcome;
  bytes: number;
}

interface SettleLineOptions {
  source: TaskSource;
  announce: Announce;
  /** A claim is over; there may be room again. */
  onSettled: () => void;
}

/**
 * Hands outcomes to the server, as many at once as have gathered while the last ones were on their way.
 *
 * Work that was done is never dropped for a fault that may pass: whatever the source throws is tried again
 * until the line is closed, unless it is a refusal (a SkipjackError with a status of 4xx). A batch that keeps
 * failing is halved until the outcome that fails is alone; that one then tries by itself, and holds up nobody.
 *
 * An outcome's claim stays held until it is answered: it is beaten for, so that a server that comes back late
 * still finds it ours.
 */
export class SettleLine {
  /** What has ended here and not been answered there. */
  readonly waiting = new Map<Claim, Promise<void>>();
  readonly #options: SettleLineOptions;
  readonly #batcher: Batcher<Entry, SettleResult>;
  readonly #closing = new AbortController();
  #waitingBytes = 0;

  constructor(options: SettleLineOptions) {
    this.#options = options;
    this.#batcher = createBatcher<Entry, SettleResult>({
      flush: (entries) => this.#flush(entries),
      sizeOf: ({ bytes }) => bytes,
      // A slow batch (large outputs, a process under a lock) does not hold up the next.
      lanes: 2,
      // Bounded by `isFull`, and beyond it by what runs and is held: an outcome is never refused.
      waitingMax: Number.POSITIVE_INFINITY,
      classify: (error, tries) => {
        if (this.#closing.signal.aborted) return 'fail';
        if (isRefusal(error)) return isAboutContent(error) ? 'bisect' : 'fail';
        return tries < wholeTriesMax ? 'repeat' : 'bisect';
      },
      beforeRepeat: (_error, tries) => this.#pause(tries),
    });
  }

  get isFull(): boolean {
    return this.waiting.size >= waitingTasksMax || this.#waitingBytes >= waitingBytesMax;
  }

  add(claim: Claim, outcome: Outcome): void {
    claim.phase = 'settling';
    this.waiting.set(claim, this.#settle({ claim, outcome, bytes: sizeOf(outcome) }));
  }

  /** Resolves when every outcome that waits now has been answered. */
  async flushed(): Promise<void> {
    await Promise.all(this.waiting.values());
  }

  /** Tries nothing again. */
  close(): void {
    this.#closing.abort();
  }

  async #settle(entry: Entry): Promise<void> {
    const { claim, outcome, bytes } = entry;
    const { announce, onSettled } = this.#options;
    this.#waitingBytes += bytes;
    const result = await this.#untilAnswered(entry);
    if (result?.kind === 'invalid' && outcome.kind !== 'released') {
      // Left alone, the task would wait for its lease to run out, and come to the same end five times.
      await this.#untilAnswered({ claim, outcome: notStorable(result.message), bytes: 0 });
    }
    if (result !== null && result.kind !== 'settled')
      announce('settle.refused', { task: claim.task, result });
    this.#waitingBytes -= bytes;
    claim.phase = 'over';
    this.waiting.delete(claim);
    onSettled();
  }

  /** What the server says; null when the line was closed before it said anything. */
  async #untilAnswered(entry: Entry): Promise<SettleResult | null> {
    let failure: unknown;
    try {
      return await this.#batcher.add(entry);
    } catch (error) {
      failure = error;
    }
    for (let tries = wholeTriesMax; !isRefusal(failure); tries += 1) {
      await this.#pause(tries);
      if (this.#closing.signal.aborted) return null;
      try {
        const [result] = await this.#flush([entry]);
        return result as SettleResult;
      } catch (error) {
        failure = error;
      }
    }
    return { kind: 'invalid', message: failure.message };
  }

  async #flush(entries: Entry[]): Promise<SettleResult[]> {
    const { source, announce } = this.#options;
    try {
      const results = await source.settle(
        entries.map(({ claim: { task }, outcome }) => ({ id: task.id, token: task.token, ...outcome })),
      );
      if (results.length === entries.length) return results;
      throw new Error(`${entries.length} outcomes were handed over, ${results.length} answered`);
    } catch (error) {
      announce('source.failed', { call: 'settle', error });
      throw error;
    }
  }

  async #pause(tries: number): Promise<void> {
    await sleep(reconnectDelayMs(tries), undefined, { signal: this.#closing.signal }).catch(() => {});
  }
}

/** The same again would be refused again. */
function isRefusal(error: unknown): error is SkipjackError {
  return error instanceof SkipjackError && error.status >= 400 && error.status < 500 && error.status !== 408;
}

/** It may be one outcome's values that the whole batch was refused for, or its size: a proxy's bound, say. */
function isAboutContent({ code }: SkipjackError): boolean {
  return code === 'invalid_request' || code === 'body_too_large';
}

function notStorable(why: string): Outcome {
  return {
    kind: 'failed',
    error: { code: 'output_invalid', message: `the database cannot store what the attempt put out: ${why}` },
  };
}

function sizeOf(outcome: Outcome): number {
  if (outcome.kind === 'completed' && outcome.output === null) return 0;
  return JSON.stringify(outcome).length;
}
