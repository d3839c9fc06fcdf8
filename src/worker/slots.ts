import type { Claim } from './claim.ts';
import type { Executor } from './executors/executor.ts';

/** A held task waits at most so long for its turn; then another worker may have it sooner. */
const heldMsMax = 1_000;

interface SlotsOptions {
  size: number;
  /** False while too many outcomes wait for the server. */
  mayStart: () => boolean;
  /** Resolves when the attempt has ended; never rejects. */
  run: (claim: Claim, executor: Executor) => Promise<{ stillRunning?: Promise<unknown> | undefined }>;
  /** A held task's lease has run out: somebody else may hold it. */
  onOverdue: (claim: Claim) => void;
  /** Held tasks have waited too long. */
  onStuck: () => void;
  /** There is room again: time to `fill`, and to claim. */
  onFree: () => void;
}

/** What runs and what waits for its turn. Never more runs than there are slots. */
export class Slots {
  /** Oldest first. */
  readonly held = new Map<Claim, Executor>();
  readonly running = new Map<Claim, Promise<void>>();
  /** Handlers that ignored their signal and have not returned yet. */
  #abandoned = 0;
  #closed = false;
  #stuckTimer: NodeJS.Timeout | undefined;
  readonly #options: SlotsOptions;

  constructor(options: SlotsOptions) {
    this.#options = options;
  }

  /**
   * An abandoned handler gives its slot back, or one that hangs would take a slot with it for ever. But no
   * more of them are tolerated than there are slots: beyond that each takes one until it returns.
   */
  get free(): number {
    const { size } = this.#options;
    return Math.max(0, size - this.running.size - Math.max(0, this.#abandoned - size));
  }

  hold(claim: Claim, executor: Executor): void {
    this.held.set(claim, executor);
    this.#watchHeld();
  }

  /** Starts what is held, oldest first, while there is room. */
  fill(): void {
    while (!this.#closed && this.free > 0 && this.#options.mayStart()) {
      const [oldest] = this.held;
      if (oldest === undefined) return;
      const [claim, executor] = oldest;
      this.held.delete(claim);
      if (claim.leaseEndsMs <= performance.now()) this.#options.onOverdue(claim);
      else this.running.set(claim, this.#start(claim, executor));
    }
  }

  /** Starts nothing any more. Returns what was held. */
  close(): Claim[] {
    this.#closed = true;
    return this.takeHeld();
  }

  takeHeld(): Claim[] {
    const held = [...this.held.keys()];
    this.held.clear();
    clearTimeout(this.#stuckTimer);
    this.#stuckTimer = undefined;
    return held;
  }

  /** Resolves when nothing runs of what runs now. */
  async empty(): Promise<void> {
    await Promise.all(this.running.values());
  }

  async #start(claim: Claim, executor: Executor): Promise<void> {
    claim.phase = 'running';
    claim.startedMs = performance.now();
    const { stillRunning } = await this.#options.run(claim, executor);
    this.running.delete(claim);
    if (stillRunning) this.#countAbandoned(stillRunning);
    this.#options.onFree();
  }

  #countAbandoned(stillRunning: Promise<unknown>): void {
    this.#abandoned += 1;
    const ended = () => {
      this.#abandoned -= 1;
      this.#options.onFree();
    };
    stillRunning.then(ended, ended);
  }

  #watchHeld(): void {
    if (this.#stuckTimer !== undefined) return;
    this.#stuckTimer = setTimeout(() => {
      this.#stuckTimer = undefined;
      const [oldest] = this.held.keys();
      if (oldest === undefined) return;
      if (performance.now() - oldest.receivedMs >= heldMsMax) this.#options.onStuck();
      else this.#watchHeld();
    }, heldMsMax / 4);
  }
}
