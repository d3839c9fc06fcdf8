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

export class LineSplitter {
  readonly #onLine: (text: string) => void;
  /** The beginning of a line that has not ended. */
  #held = Buffer.alloc(0);
  #heldBytes = 0;

  constructor(onLine: (text: string) => void) {
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    let start = 0;
    for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, start)) {
      const last = chunk.subarray(start, end);
      if (this.#heldBytes === 0) {
        this.#endLine(last);
      } else {
        this.#hold(last);
        this.#endLine(this.#takeHeld());
      }
      start = end + 1;
    }
    this.#hold(chunk.subarray(start));
  }

  end(): void {
    if (this.#heldBytes > 0) this.#say(this.#takeHeld());
  }

  #endLine(line: Buffer): void {
    this.#say(line.at(-1) === carriageReturn ? line.subarray(0, -1) : line);
  }

  #say(line: Buffer): void {
    let left = line;
    while (left.length > lineBytesMax) {
      const end = wholeCharacters(left, lineBytesMax);
      this.#say(left.subarray(0, end));
      left = left.subarray(end);
    }
    const text = storableText(left.toString('utf8'));
    // What was no UTF-8 has grown.
    if (text.length * 3 <= lineBytesMax) this.#onLine(text);
    else for (const piece of cutText(text)) this.#onLine(piece);
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
      this.#say(full.subarray(0, end));
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

/** Where to cut so that the character there stays whole; in what is no UTF-8, anywhere. */
function wholeCharacters(bytes: Buffer, bytesMax: number): number {
  for (let end = bytesMax; end > bytesMax - 4; end -= 1) {
    if (((bytes[end] ?? 0) & 0b1100_0000) !== 0b1000_0000) return end;
  }
  return bytesMax;
}
