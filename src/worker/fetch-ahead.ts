/**
 * How many tasks a worker holds beyond those that it runs.
 *
 * None, as a rule: a task in a busy worker's hands is a task that an idle worker cannot have. Only while tasks
 * are so quick that the way to the server and back dwarfs them does it hold the work of the next moment.
 */

/** Above this median run time nothing is fetched ahead. */
const quickMsMax = 50;

/** How much work is held, by the median. */
const aheadMs = 200;

const aheadTasksMax = 1_000;

/** The median says little before so many tasks have ended. */
const samplesMin = 5;
const samplesMax = 50;

/** Held tasks that did not get their turn proved the median wrong: do without for so long. */
const pauseMs = 10_000;

export class FetchAhead {
  #runMs: number[] = [];
  #next = 0;
  #pausedUntilMs = 0;

  ended(runMs: number): void {
    this.#runMs[this.#next] = runMs;
    this.#next = (this.#next + 1) % samplesMax;
  }

  pause(): void {
    this.#pausedUntilMs = performance.now() + pauseMs;
  }

  /** How many tasks to hold ahead of `slots` slots. */
  target(slots: number): number {
    if (this.#runMs.length < samplesMin || performance.now() < this.#pausedUntilMs) return 0;
    return aheadOf(median(this.#runMs), slots);
  }
}

/** Some 200 ms of work for `slots` slots, at most 1000 tasks; nothing when tasks take longer than 50 ms. */
export function aheadOf(medianRunMs: number, slots: number): number {
  if (medianRunMs > quickMsMax) return 0;
  return Math.min(aheadTasksMax, Math.floor((slots * aheadMs) / Math.max(medianRunMs, 0.1)));
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
