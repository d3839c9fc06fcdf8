import type { LogLine } from '../../core/task-source.ts';
import { storableText } from '../storable.ts';
import type { AttemptLog, LogStream } from './attempt-log.ts';
import { costOf, LastLines, type Speaker } from './last-lines.ts';
import { cutText, decodeLine, LineSplitter } from './lines.ts';
import { remark, type SaidLine } from './said-line.ts';

/** Kept of the end, where most failures say why. */
const endBytesMax = 64 * 1024;

/**
 * The log of one attempt within its limit: the beginning as it comes, and of what is past that only the end, after a
 * line that says how much was left out between them. So an attempt may say what it likes, in bounded memory.
 *
 * Lines keep the order in which they ended, whichever stream they are from.
 */
export class LimitedLog implements AttemptLog {
  readonly #onLine: (line: SaidLine) => void;
  readonly #room: () => Promise<void> | null;
  readonly #endBytes: number;
  #roomAtBeginning: number;
  /** Since the beginning is full. */
  #lastLines: LastLines | undefined;
  readonly #splitters = new Set<LineSplitter>();
  #closed = false;

  /** `bytesMax`: of text and newlines. `room`: see `LogStream`. */
  constructor({
    bytesMax,
    onLine,
    room = () => null,
  }: {
    bytesMax: number;
    onLine: (line: SaidLine) => void;
    room?: () => Promise<void> | null;
  }) {
    this.#onLine = onLine;
    this.#room = room;
    this.#endBytes = Math.min(endBytesMax, Math.floor(bytesMax / 4));
    this.#roomAtBeginning = bytesMax - this.#endBytes;
  }

  open(stream: 'stdout' | 'stderr', part?: string): LogStream {
    const speaker = { stream, part: part ?? null };
    const splitter = new LineSplitter((bytes, start, end) => this.#add(speaker, bytes, start, end));
    this.#splitters.add(splitter);
    return {
      write: (chunk) => {
        if (this.#splitters.has(splitter)) splitter.write(chunk);
      },
      // Past the beginning nothing is handed on before the end.
      room: () => (this.#lastLines === undefined ? this.#room() : null),
      end: () => {
        if (this.#splitters.delete(splitter)) splitter.end();
      },
    };
  }

  say(text: string, { stream = 'skipjack', part }: { stream?: LogLine['stream']; part?: string } = {}): void {
    const speaker = { stream, part: part ?? null };
    for (const line of text.replace(/\r?\n$/, '').split(/\r?\n/)) {
      for (const piece of cutText(storableText(line))) {
        const bytes = Buffer.from(piece);
        this.#add(speaker, bytes, 0, bytes.length);
      }
    }
  }

  /** Adds what was held back. Nothing that is said after it counts. */
  close(): void {
    if (this.#closed) return;
    for (const splitter of this.#splitters) splitter.end();
    this.#splitters.clear();
    this.#closed = true;
    if (this.#lastLines === undefined) return;
    const { cutLines, cutBytes } = this.#lastLines;
    const last = [...this.#lastLines.lines()];
    if (cutLines > 0) this.#onLine(remark(`[… cut: ${cutLines} lines, ${cutBytes} bytes]`, last[0]?.saidMs));
    for (const { speaker, saidMs, bytes } of last) {
      for (const text of decodeLine(bytes, 0, bytes.length)) this.#onLine(toLine(speaker, text, saidMs));
    }
    this.#lastLines = undefined;
  }

  #add(speaker: Speaker, bytes: Buffer, start: number, end: number): void {
    if (this.#closed) return;
    const saidMs = performance.now();
    if (this.#lastLines === undefined) {
      const lines = decodeLine(bytes, start, end).map((text) => toLine(speaker, text, saidMs));
      const cost = lines.reduce((sum, line) => sum + costOf(line.bytes), 0);
      if (cost <= this.#roomAtBeginning) {
        this.#roomAtBeginning -= cost;
        for (const line of lines) this.#onLine(line);
        return;
      }
      // For good: a shorter line that would still fit would stand before longer ones that came first.
      this.#lastLines = new LastLines(this.#endBytes);
    }
    this.#lastLines.add(speaker, saidMs, bytes, start, end);
  }
}

function toLine(speaker: Speaker, text: string, saidMs: number): SaidLine {
  return { ...speaker, text, saidMs, bytes: Buffer.byteLength(text), isRemark: false };
}
