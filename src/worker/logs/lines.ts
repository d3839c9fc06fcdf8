/**
 * Bytes to lines that can be stored.
 *
 * A line ends at `\n`; one `\r` before it goes too. A line longer than 16 KiB becomes several, cut between characters.
 * Bytes that are no UTF-8, and NUL, become U+FFFD. A line is known when it has ended: a prompt without a newline is
 * seen when the program goes on, or ends.
 */
import { storableText } from '../storable.ts';

export const lineBytesMax = 16 * 1024;

const newline = 0x0a;
const carriageReturn = 0x0d;

/** Of at most 16 KiB, in the bytes from `start` to `end`; they are good until it returns. */
type OnLine = (bytes: Buffer, start: number, end: number) => void;

export class LineSplitter {
  readonly #onLine: OnLine;
  /** The beginning of a line that has not ended. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;

  constructor(onLine: OnLine) {
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      if (this.#heldBytes === 0) {
        this.#endLine(chunk, start, end);
      } else {
        this.#hold(chunk.subarray(start, end));
        const line = this.#takeHeld();
        this.#endLine(line, 0, line.length);
      }
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
  }

  end(): void {
    if (this.#heldBytes === 0) return;
    const line = this.#takeHeld();
    this.#say(line, 0, line.length);
  }

  #endLine(line: Buffer, start: number, end: number): void {
    const isPair = end > start && line[end - 1] === carriageReturn;
    this.#say(line, start, isPair ? end - 1 : end);
  }

  #say(line: Buffer, start: number, end: number): void {
    let from = start;
    while (end - from > lineBytesMax) {
      const cut = wholeCharacters(line, from + lineBytesMax);
      this.#onLine(line, from, cut);
      from = cut;
    }
    this.#onLine(line, from, end);
  }

  #hold(bytes: Buffer): void {
    let left = bytes;
    // A byte more than a line may have: a `\r` that goes, or where to see whether a character ends before it.
    while (this.#heldBytes + left.length > lineBytesMax + 1) {
      const room = lineBytesMax + 1 - this.#heldBytes;
      this.#append(left.subarray(0, room));
      left = left.subarray(room);
      const full = this.#takeHeld();
      const end = wholeCharacters(full, lineBytesMax);
      this.#onLine(full, 0, end);
      this.#append(Buffer.from(full.subarray(end)));
    }
    this.#append(left);
  }

  #append(bytes: Buffer): void {
    const length = this.#heldBytes + bytes.length;
    if (length > this.#held.length) {
      const larger = Buffer.allocUnsafe(
        Math.min(lineBytesMax + 1, Math.max(length, this.#held.length * 2, 256)),
      );
      this.#held.copy(larger, 0, 0, this.#heldBytes);
      this.#held = larger;
    }
    bytes.copy(this.#held, this.#heldBytes);
    this.#heldBytes = length;
  }

  /** Good until the next bytes are held. */
  #takeHeld(): Buffer {
    const held = this.#held.subarray(0, this.#heldBytes);
    this.#heldBytes = 0;
    return held;
  }
}

/** A line as text that can be stored; in pieces if it has grown past 16 KiB, for what was no UTF-8 does. */
export function decodeLine(bytes: Buffer, start: number, end: number): string[] {
  return cutText(storableText(bytes.toString('utf8', start, end)));
}

/** A text in pieces of at most `lineBytesMax` bytes. */
export function cutText(text: string): string[] {
  if (text.length * 3 <= lineBytesMax || Buffer.byteLength(text) <= lineBytesMax) return [text];
  const pieces: string[] = [];
  let left = Buffer.from(text);
  while (left.length > lineBytesMax) {
    const end = wholeCharacters(left, lineBytesMax);
    pieces.push(left.toString('utf8', 0, end));
    left = left.subarray(end);
  }
  return [...pieces, left.toString('utf8')];
}

/** Where to cut, at `end` or before it, so that the character there stays whole; in what is no UTF-8, anywhere. */
function wholeCharacters(bytes: Buffer, end: number): number {
  for (let cut = end; cut > end - 4; cut -= 1) {
    if (((bytes[cut] ?? 0) & 0b1100_0000) !== 0b1000_0000) return cut;
  }
  return end;
}
