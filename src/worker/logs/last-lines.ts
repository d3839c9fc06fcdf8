import type { LogLine } from '../../core/task-source.ts';

/** Who says a line. */
export type Speaker = Pick<LogLine, 'stream' | 'part'>;

/** What a line counts at least: its place in the table is not free either. */
const lineCostMin = 16;

export function costOf(bytes: number): number {
  return Math.max(lineCostMin, bytes + 1);
}

/**
 * The last lines of many, and how much came before them.
 *
 * Kept as bytes in rings that are made once: a program may say a gigabyte, and no line of it should become a string
 * only to be forgotten.
 */
export class LastLines {
  cutLines = 0;
  /** Of text. */
  cutBytes = 0;
  readonly #costMax: number;
  readonly #bytes: Buffer;
  // Of each line, in the same place of each ring.
  readonly #lengths: Int32Array;
  readonly #saidMs: Float64Array;
  readonly #speakers: Speaker[] = [];
  #first = 0;
  #count = 0;
  /** Where the first line begins and where the next goes, in `#bytes`. */
  #start = 0;
  #end = 0;
  #cost = 0;

  constructor(costMax: number) {
    this.#costMax = costMax;
    this.#bytes = Buffer.alloc(costMax);
    const linesMax = Math.ceil(costMax / lineCostMin);
    this.#lengths = new Int32Array(linesMax);
    this.#saidMs = new Float64Array(linesMax);
  }

  add(speaker: Speaker, saidMs: number, bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    const cost = costOf(length);
    while (this.#count > 0 && this.#cost + cost > this.#costMax) this.#cutFirst();
    if (cost > this.#costMax) {
      this.cutLines += 1;
      this.cutBytes += length;
      return;
    }
    const place = (this.#first + this.#count) % this.#lengths.length;
    this.#lengths[place] = length;
    this.#saidMs[place] = saidMs;
    this.#speakers[place] = speaker;
    const untilBorder = bytes.copy(this.#bytes, this.#end, start, end);
    if (untilBorder < length) bytes.copy(this.#bytes, 0, start + untilBorder, end);
    this.#end = (this.#end + length) % this.#costMax;
    this.#count += 1;
    this.#cost += cost;
  }

  *lines(): Generator<{ speaker: Speaker; saidMs: number; bytes: Buffer }> {
    let start = this.#start;
    for (let index = 0; index < this.#count; index += 1) {
      const place = (this.#first + index) % this.#lengths.length;
      const length = this.#lengths[place] as number;
      const end = start + length;
      const beyond = Math.max(0, end - this.#costMax);
      yield {
        speaker: this.#speakers[place] as Speaker,
        saidMs: this.#saidMs[place] as number,
        bytes: Buffer.concat([this.#bytes.subarray(start, end), this.#bytes.subarray(0, beyond)]),
      };
      start = end % this.#costMax;
    }
  }

  #cutFirst(): void {
    const length = this.#lengths[this.#first] as number;
    this.#first = (this.#first + 1) % this.#lengths.length;
    this.#start = (this.#start + length) % this.#costMax;
    this.#count -= 1;
    this.#cost -= costOf(length);
    this.cutLines += 1;
    this.cutBytes += length;
  }
}
