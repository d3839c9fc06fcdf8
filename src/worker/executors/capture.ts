import { storableText } from '../storable.ts';

/**
 * What a program writes, kept within bounds however much it is. They are bounds of its JSON text, as which it is handed
 * over, and in which a newline is two bytes.
 *
 * Chunks are copied: a chunk keeps the whole buffer alive that it was read into, and a program that writes single bytes
 * makes a million of them.
 */

/** Room for the mark that says how much was cut. */
const markBytes = 64;

/** Keeps the beginning. */
export class HeadCapture {
  readonly #bytesMax: number;
  #kept = Buffer.alloc(0);
  #keptBytes = 0;
  #totalBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(chunk: Buffer): void {
    this.#totalBytes += chunk.length;
    const bytes = Math.min(chunk.length, this.#bytesMax - this.#keptBytes);
    if (bytes === 0) return;
    this.#kept = withRoomFor(this.#kept, this.#keptBytes, bytes, this.#bytesMax);
    this.#keptBytes += chunk.copy(this.#kept, this.#keptBytes, 0, bytes);
  }

  /** Storable text of at most `bytesMax` bytes of JSON; without its final newline if nothing was cut. */
  text(): string {
    const kept = this.#kept.subarray(0, this.#keptBytes);
    // Replacement characters are longer than what they replace: measured again as what it became.
    const text = storableText(kept.toString('utf8'));
    const whole = Buffer.from(text);
    if (this.#totalBytes <= this.#bytesMax && jsonBytes(whole) <= this.#bytesMax)
      return text.replace(/\r?\n$/, '');
    // What was cut in the middle by the capture became one replacement character at the very end.
    const head = cutHead(whole, this.#bytesMax - markBytes).toString('utf8');
    return `${head}\n[… cut: ${this.#totalBytes} bytes in all]`;
  }
}

/** Keeps the end. */
export class TailCapture {
  readonly #bytesMax: number;
  #kept = Buffer.alloc(0);
  #keptBytes = 0;
  #totalBytes = 0;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  add(chunk: Buffer): void {
    this.#totalBytes += chunk.length;
    const tail = chunk.length > this.#bytesMax ? chunk.subarray(chunk.length - this.#bytesMax) : chunk;
    if (this.#keptBytes + tail.length > this.#bytesMax * 2) {
      const from = this.#keptBytes - this.#bytesMax;
      this.#kept.copyWithin(0, from, this.#keptBytes);
      this.#keptBytes = this.#bytesMax;
    }
    // Twice the bound, so that the kept bytes move once per `bytesMax` written and not with each chunk.
    this.#kept = withRoomFor(this.#kept, this.#keptBytes, tail.length, this.#bytesMax * 2);
    this.#keptBytes += tail.copy(this.#kept, this.#keptBytes);
  }

  /** Storable text of at most `bytesMax` bytes of JSON; without its final newline. */
  text(): string {
    const kept = this.#kept.subarray(0, this.#keptBytes);
    const text = storableText(kept.toString('utf8'));
    const whole = Buffer.from(text);
    if (this.#totalBytes <= this.#bytesMax && jsonBytes(whole) <= this.#bytesMax)
      return text.replace(/\r?\n$/, '');
    const tail = cutTail(whole, this.#bytesMax - markBytes).toString('utf8');
    return `[… cut: ${this.#totalBytes} bytes in all]\n${tail}`.replace(/\r?\n$/, '');
  }
}

function withRoomFor(buffer: Buffer, used: number, more: number, bytesMax: number): Buffer<ArrayBuffer> {
  if (used + more <= buffer.length) return buffer as Buffer<ArrayBuffer>;
  const larger = Buffer.allocUnsafe(Math.min(bytesMax, Math.max(used + more, buffer.length * 2, 4_096)));
  buffer.copy(larger, 0, 0, used);
  return larger;
}

/** Of valid UTF-8, as JSON text has it. */
function jsonBytes(text: Buffer): number {
  let bytes = 2;
  for (const byte of text) bytes += bytesInJson(byte);
  return bytes;
}

function bytesInJson(byte: number): number {
  if (byte >= 0x20) return byte === 0x22 || byte === 0x5c ? 2 : 1;
  // \b, \t, \n, \f and \r have a short form; the others are written as \u001b.
  return (byte >= 0x08 && byte <= 0x0a) || byte === 0x0c || byte === 0x0d ? 2 : 6;
}

/** At most `bytesMax` bytes of JSON from the beginning of valid UTF-8, ending between two characters. */
export function cutHead(text: Buffer, bytesMax: number): Buffer {
  let end = 0;
  for (let left = bytesMax; end < text.length; end += 1) {
    left -= bytesInJson(text[end] as number);
    if (left < 0) break;
  }
  while (end > 0 && isContinuation(text[end])) end -= 1;
  return text.subarray(0, end);
}

/** At most `bytesMax` bytes of JSON from the end of valid UTF-8, beginning between two characters. */
function cutTail(text: Buffer, bytesMax: number): Buffer {
  let start = text.length;
  for (let left = bytesMax; start > 0; start -= 1) {
    left -= bytesInJson(text[start - 1] as number);
    if (left < 0) break;
  }
  while (isContinuation(text[start])) start += 1;
  return text.subarray(start);
}

/** Whether this byte of UTF-8 is not the first of its character. */
function isContinuation(byte: number | undefined): boolean {
  return byte !== undefined && (byte & 0b1100_0000) === 0b1000_0000;
}
