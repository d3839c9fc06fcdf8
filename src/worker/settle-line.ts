import { type Batcher, createBatcher } from '../core/batching.ts';
import type { Outcome, SettleResult, TaskSource } from '../core/task-source.ts';
import type { Claim } from './claim.ts';
import type { Announce } from './events.ts';

/** While so much waits to be settled, nothing new is claimed or started: the server is away or behind. */
const waitingTasksMax = 2_000;
const waitingBytesMax = 64 * 1_048_576;

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
 * An outcome's claim stays held until it is answered: it is beaten for, so that a server that comes back late
 * still finds it ours.
 */
export class SettleLine {
  /** What has ended here and not been answered there. */
  readonly waiting = new Map<Claim, Promise<void>>();
  readonly #options: SettleLineOptions;
  readonly #batcher: Batcher<Entry, SettleResult>;
  #waitingBytes = 0;

  constructor(options: SettleLineOptions) {
    this.#options = options;
    this.#batcher = createBatcher<Entry, SettleResult>({
      flush: (entries) =>
        options.source.settle(
          entries.map(({ claim: { task }, outcome }) => ({ id: task.id, token: task.token, ...outcome })),
        ),
      sizeOf: ({ bytes }) => bytes,
      // A slow batch (large outputs, a process under a lock) does not hold up the next.
      lanes: 2,
      // Bounded by `isFull`, and beyond it by what runs and is held: an outcome is never refused.
      waitingMax: Number.POSITIVE_INFINITY,
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

  async #settle(entry: Entry): Promise<void> {
    const { claim, outcome, bytes } = entry;
    const { announce, onSettled } = this.#options;
    this.#waitingBytes += bytes;
    try {
      const result = await this.#batcher.add(entry);
      if (result.kind === 'invalid' && outcome.kind !== 'released') {
        // Left alone, the task would wait for its lease to run out, and come to the same end five times.
        await this.#batcher.add({ claim, outcome: notStorable(result.message), bytes: 0 });
      }
      if (result.kind !== 'settled') announce('settle.refused', { task: claim.task, result });
    } catch (error) {
      announce('source.failed', { call: 'settle', error });
    }
    this.#waitingBytes -= bytes;
    claim.phase = 'over';
    this.waiting.delete(claim);
    onSettled();
  }
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
