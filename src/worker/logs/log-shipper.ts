import { reconnectDelayMs } from '../../core/backoff.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { LogResult, TaskSource } from '../../core/task-source.ts';
import { atMost } from '../at-most.ts';
import type { OpenLog } from './attempt-log.ts';
import { ClaimLines, weightOf } from './claim-lines.ts';
import { LimitedLog } from './limited-log.ts';
import type { SaidLine } from './said-line.ts';

/** Lines gather for so long before they are sent, unless an attempt waits for them. */
const gatherMs = 100;
/** So much does not gather any further. */
const gatherBytesMax = 1024 * 1024;
/** Of one call. */
const callBytesMax = 4 * 1024 * 1024;
const callChunksMax = 500;
/** While so much waits, readers of programs wait too, until it is half as much. */
const fullBytes = 16 * 1024 * 1024;
/** A server that takes nothing for so long is as good as away. */
const patienceMs = 5_000;
/** A call that has not come back after this is made again: the same chunk twice counts once. */
const callMsMax = 30_000;
/** After so many failures the claims of a call are tried one by one: one of them may fail the others. */
const togetherTriesMax = 3;

interface LogShipperOptions {
  source: Pick<TaskSource, 'appendLogs'>;
  /** Kept of what one attempt says, in bytes of text. */
  bytesMax: number;
  /** Hears of each call that failed. */
  onError: (error: unknown) => void;
  /**
   * Waiting for the server, of all attempts, in bytes of memory; what comes on top is dropped and counted. Before that
   * readers wait, as long as the server takes lines.
   */
  waitingBytesMax?: number;
  /** How long an attempt waits at its end for its lines to be handed over. */
  closeMsMax?: number;
}

/**
 * Hands what attempts say to the server: the lines of many attempts in one call, one call at a time.
 *
 * What fails is tried again, under the same numbers, for as long as the attempt waits. A refusal (a SkipjackError with
 * a status of 4xx) is final: the line that it is about is found by sending fewer, and a remark stands in its place. No
 * log holds up another. None holds up its task for `closeMsMax` in which the server answers nothing, but while it cannot
 * be reached: the outcome cannot be told then either.
 */
export class LogShipper {
  readonly #options: Required<LogShipperOptions>;
  /** Those with lines, in turn. */
  readonly #ready = new Set<ClaimLines>();
  readonly #closers = new Map<ClaimLines, () => void>();
  #waitingBytes = 0;
  #running = false;
  #closed = false;
  /** In a row. */
  #failures = 0;
  /** The last call did not reach the server, or the server not its database, or it takes nothing. */
  #isAway = false;
  /** Calls that were answered. */
  #answered = 0;
  #roomAgain: Promise<void> | null = null;
  #tellRoom = () => {};
  #notBeforeMs = 0;
  #wake = () => {};

  constructor(options: LogShipperOptions) {
    this.#options = { waitingBytesMax: 48 * 1024 * 1024, closeMsMax: 10_000, ...options };
  }

  /** For each claim once, when its attempt begins. */
  open(task: { id: string; token: string }): OpenLog {
    const claim = new ClaimLines(task);
    const log = new LimitedLog({
      bytesMax: this.#options.bytesMax,
      onLine: (line) => this.#add(claim, line),
      room: () => (claim.isOver ? null : this.#room()),
    });
    let closed: Promise<void> | undefined;
    return {
      open: (stream, part) => log.open(stream, part),
      say: (text, options) => log.say(text, options),
      close: () => {
        log.close();
        closed ??= this.#handOver(claim);
        return closed;
      },
    };
  }

  /** The worker is gone: nothing is tried again. */
  close(): void {
    this.#closed = true;
    for (const claim of [...this.#ready]) this.#end(claim);
    this.#wake();
    this.#tellRoom();
  }

  #room(): Promise<void> | null {
    if (this.#waitingBytes < fullBytes || this.#isAway || this.#closed) return null;
    this.#roomAgain ??= this.#untilRoom();
    return this.#roomAgain;
  }

  async #untilRoom(): Promise<void> {
    const room = new Promise<void>((resolve) => {
      this.#tellRoom = resolve;
    });
    for (let answered = -1; answered !== this.#answered && !this.#isAway; ) {
      answered = this.#answered;
      if (await atMost(patienceMs, room)) break;
      this.#isAway = answered === this.#answered;
    }
    this.#roomAgain = null;
  }

  #add(claim: ClaimLines, line: SaidLine): void {
    if (claim.isOver || this.#closed) return;
    if (this.#waitingBytes + weightOf(line) > this.#options.waitingBytesMax) {
      claim.dropped += 1;
      return;
    }
    this.#changed(claim, () => claim.add(line));
    if (!this.#ready.has(claim)) {
      this.#ready.add(claim);
      this.#start();
    } else if (this.#waitingBytes >= gatherBytesMax) {
      this.#wake();
    }
  }

  async #handOver(claim: ClaimLines): Promise<void> {
    if (claim.isOver || this.#closed) return;
    this.#changed(claim, () => claim.noteDropped());
    if (claim.isEmpty) return;
    claim.isClosing = true;
    this.#ready.add(claim);
    const closed = new Promise<void>((resolve) => {
      this.#closers.set(claim, resolve);
    });
    this.#start();
    for (let answered = this.#answered; !(await atMost(this.#options.closeMsMax, closed)); ) {
      if (!this.#isAway && answered === this.#answered) return this.#end(claim);
      answered = this.#answered;
    }
  }

  /** Nothing more of it is sent. */
  #end(claim: ClaimLines): void {
    claim.isOver = true;
    this.#changed(claim, () => claim.clear());
    this.#settle(claim);
  }

  /** Takes it off the list when nothing waits. */
  #settle(claim: ClaimLines): void {
    if (!claim.isEmpty) return;
    this.#ready.delete(claim);
    this.#closers.get(claim)?.();
    this.#closers.delete(claim);
  }

  #changed(claim: ClaimLines, change: () => void): void {
    const before = claim.weight;
    change();
    this.#waitingBytes += claim.weight - before;
    if (this.#waitingBytes <= fullBytes / 2) this.#tellRoom();
  }

  #start(): void {
    if (this.#running) this.#wake();
    else void this.#run();
  }

  /** Never rejects. */
  async #run(): Promise<void> {
    this.#running = true;
    while (this.#ready.size > 0) {
      const pauseMs = this.#pauseMs();
      if (pauseMs > 0) await this.#pause(pauseMs);
      else await this.#send(this.#gather());
    }
    this.#running = false;
  }

  /** How long until something is to be sent; looked at again whenever something changes. */
  #pauseMs(): number {
    const nowMs = performance.now();
    if (this.#notBeforeMs > nowMs) return this.#notBeforeMs - nowMs;
    const isMuch = this.#waitingBytes >= gatherBytesMax;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const claim of this.#ready) {
      const ripeMs = isMuch || claim.isClosing ? 0 : claim.oldestMs + gatherMs;
      dueMs = Math.min(dueMs, Math.max(ripeMs, claim.notBeforeMs));
      if (dueMs <= nowMs) return 0;
    }
    return dueMs - nowMs;
  }

  async #pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      timer = setTimeout(resolve, ms);
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }

  /** What goes into the next call; a claim that goes alone does when its turn comes. */
  #gather(): { claim: ClaimLines; lines: SaidLine[] }[] {
    const nowMs = performance.now();
    const parts: { claim: ClaimLines; lines: SaidLine[] }[] = [];
    let room = callBytesMax;
    for (const claim of [...this.#ready]) {
      if (claim.notBeforeMs > nowMs || (claim.isAlone && parts.length > 0)) continue;
      const { lines, bytes } = claim.take(room);
      if (parts.length > 0 && bytes > room) break;
      parts.push({ claim, lines });
      room -= bytes;
      // Behind the others the next time.
      this.#ready.delete(claim);
      this.#ready.add(claim);
      if (claim.isAlone || parts.length === callChunksMax) break;
    }
    return parts;
  }

  async #send(parts: { claim: ClaimLines; lines: SaidLine[] }[]): Promise<void> {
    let results: LogResult[];
    try {
      results = await withinTime(
        this.#options.source.appendLogs(parts.map(({ claim, lines }) => claim.toChunk(lines))),
      );
      if (results.length !== parts.length)
        throw new Error(`${parts.length} chunks of logs were handed over, ${results.length} answered`);
    } catch (error) {
      if (this.#closed) return;
      this.#options.onError(error);
      this.#isAway = isUnreachable(error);
      if (this.#isAway) this.#tellRoom();
      const claims = parts.map(({ claim }) => claim).filter((claim) => !claim.isOver);
      if (isRefusal(error)) this.#obey(claims, error);
      else this.#putOff(claims);
      return;
    }
    this.#failures = 0;
    this.#isAway = false;
    this.#answered += 1;
    for (const [index, { claim }] of parts.entries()) {
      if (claim.isOver) continue;
      if (results[index]?.kind === 'kept') {
        this.#changed(claim, () => claim.kept());
        this.#settle(claim);
      } else {
        this.#end(claim);
      }
    }
  }

  /** Refused as they were, these chunks would be again. */
  #obey(claims: ClaimLines[], error: SkipjackError): void {
    for (const claim of claims) {
      if (isAboutContent(error) && (claims.length > 1 || claim.sendFewer())) {
        claim.isAlone = true;
        continue;
      }
      this.#changed(claim, () => claim.giveUp(`the server refused: ${error.code}`));
      this.#settle(claim);
    }
  }

  /** The fault may pass; the same chunks later. */
  #putOff(claims: ClaimLines[]): void {
    const nowMs = performance.now();
    this.#failures += 1;
    this.#notBeforeMs = nowMs + reconnectDelayMs(this.#failures);
    const [only] = claims;
    if (only !== undefined && claims.length === 1) {
      only.isAlone = true;
      only.tries += 1;
      only.notBeforeMs = nowMs + reconnectDelayMs(only.tries);
    } else if (this.#failures >= togetherTriesMax) {
      for (const claim of claims) claim.isAlone = true;
    }
  }
}

async function withinTime<Value>(call: Promise<Value>): Promise<Value> {
  if (await atMost(callMsMax, call)) return call;
  throw new Error(`the server did not answer within ${callMsMax / 1_000} s`);
}

/** The same again would be refused again. */
function isRefusal(error: unknown): error is SkipjackError {
  return error instanceof SkipjackError && error.status >= 400 && error.status < 500 && error.status !== 408;
}

function isUnreachable(error: unknown): boolean {
  return (
    error instanceof SkipjackError &&
    (error.code === 'server_unreachable' || error.code === 'database_unreachable')
  );
}

/** It may be one line that the whole call was refused for, or its size. */
function isAboutContent({ code }: SkipjackError): boolean {
  return code === 'invalid_request' || code === 'invalid_json' || code === 'body_too_large';
}
