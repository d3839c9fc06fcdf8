import type { LogLine } from '../../core/task-source.ts';
import { storableText } from '../storable.ts';
import type { AttemptLog, LogStream } from './attempt-log.ts';
import { LastLines } from './last-lines.ts';
import { cutText, LineSplitter } from './lines.ts';
import { remark, type SaidLine } from './said-line.ts';

/** Kept of the end, where most failures say why. */
const endBytesMax = 64 * 1024;

/** What a line counts at least: its place in the table is not free either. */
const lineCostMin = 16;

/**
 * The log of one attempt within its limit: the beginning as it comes, and of what is past that only the end, after a
 * line that says how much was left out between them. So an attempt may say what it likes, in bounded memory.
 *
 * Lines keep the order in which they ended, whichever stream they are from.
 */
export class LimitedLog implements AttemptLog {
  readonly #onLine: (line: SaidLine) => void;
  readonly #endBytes: number;
  #roomAtBeginning: number;
  /** Since the beginning is full. */
  #lastLines: LastLines | undefined;
  readonly #splitters = new Set<LineSplitter>();
  #closed = false;

  /** `bytesMax`: of text and newlines. */
  constructor({ bytesMax, onLine }: { bytesMax: number; onLine: (line: SaidLine) => void }) {
    this.#onLine = onLine;
    this.#endBytes = Math.min(endBytesMax, Math.floor(bytesMax / 4));
    this.#roomAtBeginning = bytesMax - this.#endBytes;
  }

  open(stream: 'stdout' | 'stderr', part?: string): LogStream {
    const splitter = new LineSplitter((text) => this.#add(text, stream, part ?? null));
    this.#splitters.add(splitter);
    return {
      write: (chunk) => {
        if (this.#splitters.has(splitter)) splitter.write(chunk);
      },
      end: () => {
        if (this.#splitters.delete(splitter)) splitter.end();
      },
    };
  }

  say(text: string, { stream = 'skipjack', part }: { stream?: LogLine['stream']; part?: string } = {}): void {
    for (const line of text.replace(/\r?\n$/, '').split(/\r?\n/)) {
      for (const piece of cutText(storableText(line))) this.#add(piece, stream, part ?? null);
    }
  }

  /** Adds what was held back. Nothing that is said after it counts. */
  close(): void {
    if (this.#closed) return;
    for (const splitter of this.#splitters) splitter.end();
    this.#splitters.clear();
    this.#closed = true;
    if (this.#lastLines === undefined) return;
    const { lines, cutLines, cutBytes } = this.#lastLines;
    const saidMs = lines[0]?.saidMs ?? performance.now();
    if (cutLines > 0) this.#onLine(remark(`[… cut: ${cutLines} lines, ${cutBytes} bytes]`, saidMs));
    for (const line of lines) this.#onLine(line);
    this.#lastLines = undefined;
  }

  #add(text: string, stream: LogLine['stream'], part: string | null): void {
    if (this.#closed) return;
    const bytes = Buffer.byteLength(text);
    const line = { saidMs: performance.now(), stream, part, text, bytes, isRemark: false };
    if (this.#lastLines === undefined) {
      const cost = costOf(line);
      if (cost <= this.#roomAtBeginning) {
        this.#roomAtBeginning -= cost;
        this.#onLine(line);
        return;
      }
      // For good: a shorter line that would still fit would stand before longer ones that came first.
      this.#lastLines = new LastLines({ costMax: this.#endBytes, costOf });
    }
    this.#lastLines.add(line);
  }
}

function costOf({ bytes }: SaidLine): number {
  return Math.max(lineCostMin, bytes + 1);
}
