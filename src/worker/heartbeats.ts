import { withJitter } from '../core/backoff.ts';
import type { Json } from '../core/json.ts';
import type { HeartbeatResult, TaskSource } from '../core/task-source.ts';
import { type Claim, markProgressKnown, noteProgress, toLease } from './claim.ts';
import type { Announce } from './events.ts';

/** A task held ahead that still runs after this is worth telling the server about. */
const startReportMs = 50;

/** How far attempts are is told so often at most, however often they say it. */
const progressReportMs = 2_000;

/** The next try after a failed or busy beat. */
const againMs = 500;

interface HeartbeatsOptions {
  source: TaskSource;
  leaseMs: number;
  timeoutGraceMs: number;
  /** Every claim in this worker's hands. */
  claims: () => Claim[];
  /** What the server said of a claim, other than that all is well. */
  onAnswer: (claim: Claim, answer: Exclude<HeartbeatResult, { kind: 'extended' | 'busy' }>) => void;
  announce: Announce;
}

/**
 * Keeps the leases: all of them in one call every third of a lease, and at once when told to.
 *
 * One call at a time; what becomes due meanwhile goes into the next. When the server does not answer, the
 * attempts go on: the lease may run out, but nobody has taken the task until a beat says that it is gone.
 */
export class Heartbeats {
  readonly #options: HeartbeatsOptions;
  readonly #due = new Set<Claim>();
  #running: Promise<void> | undefined;
  #next: Promise<void> | undefined;
  #timers: {
    regular?: NodeJS.Timeout;
    again?: NodeJS.Timeout;
    starts?: NodeJS.Timeout;
    progress?: NodeJS.Timeout;
  } = {};
  #stopped = true;

  constructor(options: HeartbeatsOptions) {
    this.#options = options;
  }

  start(): void {
    this.#stopped = false;
    this.#scheduleRegular();
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of Object.values(this.#timers)) clearTimeout(timer);
  }

  beatAll(): void {
    void this.beat(this.#options.claims());
  }

  /** Resolves when a beat for `claims` that began after this call has been answered, or has failed. */
  beat(claims: Claim[]): Promise<void> {
    for (const claim of claims) this.#due.add(claim);
    this.#next ??= (this.#running ?? Promise.resolve()).then(() => {
      this.#next = undefined;
      this.#running = this.#beatDue();
      return this.#running;
    });
    return this.#next;
  }

  /** A task that the server thinks is only held has started. */
  noteStart(): void {
    if (this.#stopped || this.#timers.starts !== undefined) return;
    this.#timers.starts = setTimeout(() => {
      delete this.#timers.starts;
      const unknown = this.#options
        .claims()
        .filter((claim) => claim.phase === 'running' && !claim.startKnown);
      const longAgo = performance.now() - startReportMs / 2;
      const ripe = unknown.filter((claim) => claim.startedMs <= longAgo);
      if (ripe.length > 0) void this.beat(ripe);
      if (ripe.length < unknown.length) this.noteStart();
    }, startReportMs);
  }

  /** Notes how far an attempt is; the server hears of it with the next beat, two seconds from now at the latest. */
  noteProgress(claim: Claim, progress: Json): void {
    if (!noteProgress(claim, progress)) return;
    if (this.#stopped || this.#timers.progress !== undefined) return;
    this.#timers.progress = setTimeout(() => {
      delete this.#timers.progress;
      const untold = this.#options
        .claims()
        .filter((each) => each.phase === 'running' && each.progress !== undefined);
      if (untold.length > 0) void this.beat(untold);
    }, progressReportMs);
  }

  async #beatDue(): Promise<void> {
    const claims = [...this.#due].filter((claim) => claim.phase !== 'over');
    this.#due.clear();
    if (claims.length === 0) return;
    const { source, leaseMs, timeoutGraceMs, announce, onAnswer } = this.#options;
    const leases = claims.map(toLease);
    // The moment of asking, not of the answer: the server cannot have extended the lease before it.
    const askedMs = performance.now();
    let answers: HeartbeatResult[];
    try {
      answers = await source.heartbeat(leases, { leaseMs, timeoutGraceMs });
    } catch (error) {
      announce('source.failed', { call: 'heartbeat', error });
      this.#scheduleAgain(claims);
      return;
    }
    const busy: Claim[] = [];
    for (const [index, claim] of claims.entries()) {
      const answer = answers[index];
      const told = leases[index]?.progress;
      if (told !== undefined && (answer?.kind === 'extended' || answer?.kind === 'stop'))
        markProgressKnown(claim, told);
      if (answer === undefined || answer.kind === 'busy') {
        busy.push(claim);
      } else if (answer.kind === 'extended') {
        claim.leaseEndsMs = askedMs + leaseMs;
        claim.startKnown ||= leases[index]?.started === true;
      } else if (claim.phase === 'held' || claim.phase === 'running') {
        // An outcome on its way may have been settled by now, so that its claim is rightly gone.
        onAnswer(claim, answer);
      }
    }
    if (busy.length > 0) this.#scheduleAgain(busy);
  }

  #scheduleRegular(): void {
    if (this.#stopped) return;
    this.#timers.regular = setTimeout(
      () => {
        this.beatAll();
        this.#scheduleRegular();
      },
      withJitter(this.#options.leaseMs / 3),
    );
  }

  #scheduleAgain(claims: Claim[]): void {
    if (this.#stopped) return;
    for (const claim of claims) this.#due.add(claim);
    if (this.#timers.again !== undefined) return;
    this.#timers.again = setTimeout(
      () => {
        delete this.#timers.again;
        void this.beat([]);
      },
      withJitter(Math.min(againMs, this.#options.leaseMs / 6)),
    );
  }
}
