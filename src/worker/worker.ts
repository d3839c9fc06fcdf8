import { hostname } from 'node:os';
import type { ClaimedTask, HeartbeatResult } from '../core/task-source.ts';
import { announceRegularly } from './announcement.ts';
import { atMost } from './at-most.ts';
import { runAttempt } from './attempt.ts';
import { attemptEnded } from './attempt-ended.ts';
import { type Claim, openClaim } from './claim.ts';
import { ClaimLoop } from './claim-loop.ts';
import { Announcer, type WorkerEvents } from './events.ts';
import { builtInExecutors } from './executors/built-in.ts';
import type { Executor } from './executors/executor.ts';
import { executorPicker, type Pick } from './executors/pick.ts';
import { FetchAhead } from './fetch-ahead.ts';
import { Heartbeats } from './heartbeats.ts';
import { LogShipper } from './logs/log-shipper.ts';
import { type CheckedOptions, checkOptions, type WorkerOptions } from './options.ts';
import { openVault, type Vault } from './secrets/vault.ts';
import { SettleLine } from './settle-line.ts';
import { Slots } from './slots.ts';
import { AttemptStopped } from './stop-reason.ts';
import { sweepRegularly } from './sweep.ts';

/** What this worker cannot run goes back for so long, so that it does not come straight back. */
const refusedDelayMs = 5_000;

/** How long an attempt that has ended waits for the server to take its last lines. */
const logCloseMsMax = 5_000;

/** Bounds on the steps of a drain, each after what the attempts themselves may take. */
const drainMs = { claim: 5_000, kill: 5_000 + logCloseMsMax, flush: 10_000, leave: 2_000 } as const;

/** Claims tasks from a source and runs them. */
export interface Worker {
  /** As people see it: name, pid, and something unique. */
  readonly id: string;
  /** Those that it serves. */
  readonly queues: string[];
  readonly stats: WorkerStats;
  /** Begins to claim. Once. */
  start(): void;
  /**
   * Drains: claims nothing more, gives back what has not started, waits up to `graceMs` for what runs, kills and
   * gives back the rest, and hands over all outcomes. Bounded in time. Every call returns the same promise.
   */
  stop(options?: { graceMs?: number }): Promise<void>;
  /** Subscribes; returns what ends the subscription. */
  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void;
}

export interface WorkerStats {
  running: number;
  /** Claimed ahead, not started. */
  held: number;
  /** Ended; the server has not answered yet. */
  settling: number;
  freeSlots: number;
}

/**
 * Makes a worker. It does nothing before `start()`.
 *
 * @throws RangeError for options that it cannot work with.
 *
 * @example
 * const worker = createWorker({ source, handlers: { greet: async ({ name }) => `hello ${name}` }, slots: 4 });
 * worker.on('attempt.ended', ({ task, success }) => console.log(task.name, success));
 * worker.start();
 * process.once('SIGTERM', () => worker.stop());
 */
export function createWorker(options: WorkerOptions): Worker {
  return new TaskWorker(checkOptions(options));
}

class TaskWorker implements Worker {
  readonly id: string;
  readonly queues: string[];
  readonly #options: CheckedOptions;
  readonly #pick: (task: ClaimedTask) => Pick;
  readonly #announcer = new Announcer();
  /** Aborted: claim nothing more. */
  readonly #claiming = new AbortController();
  /** Aborted: gone. */
  readonly #present = new AbortController();
  readonly #ahead = new FetchAhead();
  readonly #slots: Slots;
  readonly #settles: SettleLine;
  readonly #logs: LogShipper;
  readonly #vault: Vault;
  readonly #heartbeats: Heartbeats;
  readonly #loop: ClaimLoop;
  #looping: Promise<void> | undefined;
  #announcing: Promise<void> | undefined;
  #forgetStopHints = () => {};
  #stopped: Promise<void> | undefined;

  constructor(options: CheckedOptions) {
    const { id, source, handlers, executors, policy, queues, slots, leaseMs, timeoutGraceMs } = options;
    const { announce } = this.#announcer;
    this.id = id;
    this.queues = queues;
    this.#options = options;
    this.#pick = executorPicker(
      { ...builtInExecutors(options), ...executors },
      executors.handler === undefined ? new Set(Object.keys(handlers)) : null,
    );
    this.#vault = openVault({ dir: policy.secretsDir, environment: process.env });
    this.#logs = new LogShipper({
      source,
      bytesMax: policy.logBytesMax,
      closeMsMax: logCloseMsMax,
      onError: (error) => announce('source.failed', { call: 'logs', error }),
    });
    const noteRoom = () => {
      this.#slots.fill();
      this.#loop.noteRoom();
    };
    this.#settles = new SettleLine({ source, announce, onSettled: noteRoom });
    this.#slots = new Slots({
      size: slots,
      mayStart: () => !this.#settles.isFull,
      run: (claim, executor) => this.#run(claim, executor),
      onOverdue: (claim) => this.#giveBack(claim),
      onStuck: () => this.#giveBackHeld(),
      onFree: noteRoom,
    });
    this.#heartbeats = new Heartbeats({
      source,
      leaseMs,
      timeoutGraceMs,
      claims: () => [
        ...this.#slots.held.keys(),
        ...this.#slots.running.keys(),
        ...this.#settles.waiting.keys(),
      ],
      onAnswer: (claim, answer) => this.#obey(claim, answer),
      announce,
    });
    this.#loop = new ClaimLoop({
      source,
      worker: id,
      queues,
      leaseMs,
      timeoutGraceMs,
      room: () => this.#room(),
      take: (tasks) => this.#take(tasks),
      announce,
      signal: this.#claiming.signal,
    });
  }

  get stats(): WorkerStats {
    const { held, running, free } = this.#slots;
    return { running: running.size, held: held.size, settling: this.#settles.waiting.size, freeSlots: free };
  }

  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    return this.#announcer.on(name, listener);
  }

  start(): void {
    if (this.#looping || this.#stopped) throw new Error('a worker is started once');
    const { source, queues, slots, version } = this.#options;
    const { announce } = this.#announcer;
    this.#forgetStopHints = source.onStopHint(this.id, () => this.#heartbeats.beatAll());
    this.#heartbeats.start();
    this.#announcing = announceRegularly(
      source,
      { id: this.id, host: hostname(), pid: process.pid, queues, slots, version },
      { announce, signal: this.#present.signal },
    );
    // Nobody waits for a sweep: what it leaves the next one finds.
    void sweepRegularly(this.#options, { announce, signal: this.#present.signal });
    this.#looping = this.#loop.run();
  }

  stop({ graceMs = this.#options.graceMs }: { graceMs?: number } = {}): Promise<void> {
    this.#stopped ??= this.#looping === undefined ? Promise.resolve() : this.#drain(this.#looping, graceMs);
    return this.#stopped;
  }

  /** How many tasks to claim now, and how many of those would start at once. */
  #room(): { limit: number; startLimit: number } {
    const { free, held } = this.#slots;
    const target = this.#ahead.target(this.#options.slots);
    // With all slots busy the stock is filled up when half of it is used: not a claim for each task.
    const wait = this.#settles.isFull || (free === 0 && held.size > target / 2);
    if (wait) return { limit: 0, startLimit: 0 };
    return { limit: free + Math.max(0, target - held.size), startLimit: free };
  }

  /** False when nothing of it is to be run here. */
  #take(tasks: ClaimedTask[]): boolean {
    let some = false;
    for (const task of tasks) {
      const claim = openClaim(task, this.#options.leaseMs);
      const pick = this.#pick(task);
      if (this.#claiming.signal.aborted) {
        this.#giveBack(claim);
      } else if ('why' in pick) {
        this.#settles.add(claim, { kind: 'released', delayMs: refusedDelayMs });
        this.#announcer.announce('task.refused', { task, why: pick.why });
      } else {
        this.#slots.hold(claim, pick.executor);
        some = true;
      }
    }
    this.#slots.fill();
    return some;
  }

  #giveBack(claim: Claim): void {
    this.#settles.add(claim, { kind: 'released' });
  }

  /** Long tasks came among quick ones, and those held behind them waste their time here. */
  #giveBackHeld(): void {
    this.#ahead.pause();
    // First, or a claim that still waits for more to hold would take them back at once.
    this.#loop.retract();
    for (const claim of this.#slots.takeHeld()) this.#giveBack(claim);
  }

  async #run(claim: Claim, executor: Executor): Promise<{ stillRunning?: Promise<unknown> | undefined }> {
    const { task } = claim;
    const { announce } = this.#announcer;
    announce('attempt.started', { task });
    if (!claim.startKnown) this.#heartbeats.noteStart();
    const { outcome, runMs, abandoned } = await runAttempt(claim, executor, {
      killGraceMs: this.#options.killGraceMs,
      heartbeat: () => this.#heartbeats.beat([claim]),
      readOutput: (taskId) => this.#options.source.readOutput(taskId),
      vault: this.#vault,
      log: this.#logs.open(task),
      progress: (progress) => this.#heartbeats.noteProgress(claim, progress),
    });
    this.#ahead.ended(runMs);
    if (outcome === null) claim.phase = 'over';
    else this.#settles.add(claim, outcome);
    announce('attempt.ended', attemptEnded(task, outcome, runMs));
    if (abandoned === undefined) return {};
    announce('attempt.abandoned', { task, reason: abandoned.reason });
    return { stillRunning: abandoned.stillRunning };
  }

  /** Does what a heartbeat was told about a claim. */
  #obey(claim: Claim, answer: Extract<HeartbeatResult, { kind: 'stop' | 'gone' }>): void {
    // Being stopped already: what it ends as is decided, and said once.
    if (claim.stop.signal.aborted) return;
    const { task } = claim;
    if (answer.kind === 'gone') this.#announcer.announce('lease.lost', { task });
    if (claim.phase === 'running') {
      claim.stop.abort(new AttemptStopped(answer.kind === 'gone' ? 'lease_lost' : answer.reason));
      return;
    }
    this.#slots.held.delete(claim);
    if (answer.kind === 'gone') claim.phase = 'over';
    else if (answer.reason === 'cancelled') this.#settles.add(claim, { kind: 'cancelled' });
    else this.#giveBack(claim);
    this.#loop.noteRoom();
  }

  async #drain(looping: Promise<void>, graceMs: number): Promise<void> {
    const { announce } = this.#announcer;
    const { source, killGraceMs } = this.#options;
    announce('drain.started', { running: this.#slots.running.size });
    this.#claiming.abort();
    for (const claim of this.#slots.close()) this.#giveBack(claim);
    // A claim that was under way may still bring tasks; they are given back as they come.
    const looped = atMost(drainMs.claim, looping);
    if (!(await atMost(graceMs, this.#slots.empty()))) {
      for (const claim of this.#slots.running.keys()) claim.stop.abort(new AttemptStopped('shutdown'));
      await atMost(killGraceMs + drainMs.kill, this.#slots.empty());
    }
    await looped;
    // Attempts that have ended may still wait for a server that is away to take their last lines.
    this.#logs.close();
    await atMost(drainMs.leave, this.#slots.empty());
    await atMost(drainMs.flush, this.#settles.flushed());
    this.#heartbeats.stop();
    this.#forgetStopHints();
    this.#present.abort();
    // In this order, or a late announcement would put the worker back on the list.
    await atMost(drainMs.leave, this.#announcing ?? Promise.resolve());
    const leaving = source.removeWorker(this.id).catch((error: unknown) => {
      announce('source.failed', { call: 'remove', error });
    });
    await atMost(drainMs.leave, leaving);
    announce('drain.ended', { unsettled: this.#settles.waiting.size });
    this.#settles.close();
  }
}
