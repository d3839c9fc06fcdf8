import type { LogChunk } from '../../core/task-source.ts';
import { remark, type SaidLine } from './said-line.ts';

/** Of one claim in one call. */
const chunkLinesMax = 5_000;
const chunkBytesMax = 1024 * 1024;

/** What a line takes in memory beside its text. */
const lineOverheadBytes = 128;

/** In bytes of memory, roughly. */
export function weightOf({ bytes }: SaidLine): number {
  return bytes + lineOverheadBytes;
}

/**
 * The lines of one claim that wait for the server, and their numbers.
 *
 * Lines are numbered when they are first sent, so that what was dropped before leaves no gap. A chunk that was sent
 * and not answered is sent again with the same lines under the same numbers: the server may have kept it.
 */
export class ClaimLines {
  readonly id: string;
  readonly token: string;
  /** Of all that waits, in bytes of memory. */
  weight = 0;
  /** The server takes no more of them, or nobody waits for them. */
  isOver = false;
  /** The attempt waits for its lines to be handed over. */
  isClosing = false;
  /** Sent in calls of its own: it may be what fails the calls of others. */
  isAlone = false;
  /** Calls that failed, it alone being in them. */
  tries = 0;
  notBeforeMs = 0;
  /** Lines for which there was no room. */
  dropped = 0;
  #lines: SaidLine[] = [];
  /** The number of the first line that waits. */
  #firstLine = 1;
  /** Lines under way, from the first. */
  #sent = 0;
  #linesMax = chunkLinesMax;

  constructor({ id, token }: { id: string; token: string }) {
    this.id = id;
    this.token = token;
  }

  get isEmpty(): boolean {
    return this.#lines.length === 0;
  }

  get oldestMs(): number {
    return this.#lines[0]?.saidMs ?? Number.POSITIVE_INFINITY;
  }

  /** Where lines are missing, a remark stands. */
  add(line: SaidLine): void {
    this.noteDropped(line.saidMs);
    this.#push(line);
  }

  noteDropped(saidMs?: number): void {
    if (this.dropped === 0) return;
    this.#push(remark(`[… dropped: ${this.dropped} lines that the server did not take in time]`, saidMs));
    this.dropped = 0;
  }

  /** The next lines to send, the same until they are answered. `bytesMax`: their room in the call. */
  take(bytesMax = chunkBytesMax): { lines: SaidLine[]; bytes: number } {
    const most = this.#sent > 0 ? this.#sent : Math.min(this.#linesMax, this.#lines.length);
    const room = this.#sent > 0 ? Number.POSITIVE_INFINITY : Math.min(bytesMax, chunkBytesMax);
    let bytes = 0;
    let count = 0;
    for (; count < most; count += 1) {
      const weight = weightOf(this.#lines[count] as SaidLine);
      if (count > 0 && bytes + weight > room) break;
      bytes += weight;
    }
    this.#sent = count;
    return { lines: this.#lines.slice(0, count), bytes };
  }

  /** As the server takes it, at this moment. */
  toChunk(lines: SaidLine[]): LogChunk {
    const nowMs = performance.now();
    return {
      id: this.id,
      token: this.token,
      firstLine: this.#firstLine,
      lines: lines.map(({ saidMs, stream, part, text }) => ({
        agoMs: Math.max(0, Math.round(nowMs - saidMs)),
        stream,
        part,
        text,
      })),
    };
  }

  /** What was sent is kept. */
  kept(): void {
    this.#firstLine += this.#sent;
    this.#shift(this.#sent);
    this.#linesMax = Math.min(chunkLinesMax, this.#linesMax * 2);
    this.tries = 0;
    this.notBeforeMs = 0;
    // While it finds out which line is refused, it does not fail others again.
    this.isAlone = this.#linesMax < chunkLinesMax;
  }

  /** A line of those sent may be what the server refuses: fewer the next time. False: it was one line only. */
  sendFewer(): boolean {
    if (this.#sent <= 1) return false;
    this.#linesMax = Math.ceil(this.#sent / 2);
    this.#sent = 0;
    return true;
  }

  /** Gives up what was sent; a remark stands for it, unless it was a remark itself. */
  giveUp(why: string): void {
    const [first] = this.#lines;
    const count = this.#sent;
    this.#shift(count);
    if (first === undefined || (count === 1 && first.isRemark)) return;
    const said = remark(`[… dropped: ${count} ${count === 1 ? 'line' : 'lines'} that ${why}]`, first.saidMs);
    this.#lines.unshift(said);
    this.weight += weightOf(said);
  }

  clear(): void {
    this.#shift(this.#lines.length);
    this.dropped = 0;
  }

  #push(line: SaidLine): void {
    this.#lines.push(line);
    this.weight += weightOf(line);
  }

  #shift(count: number): void {
    for (const line of this.#lines.splice(0, count)) this.weight -= weightOf(line);
    this.#sent = 0;
  }
}
