import type { SaidLine } from './said-line.ts';

/** The last lines of many, and how much came before them. */
export class LastLines {
  cutLines = 0;
  /** Of text. */
  cutBytes = 0;
  readonly #costMax: number;
  readonly #costOf: (line: SaidLine) => number;
  #kept: SaidLine[] = [];
  /** Those before are cut; they leave the array many at once, or each would move all the others. */
  #first = 0;
  #cost = 0;

  constructor({ costMax, costOf }: { costMax: number; costOf: (line: SaidLine) => number }) {
    this.#costMax = costMax;
    this.#costOf = costOf;
  }

  get lines(): SaidLine[] {
    return this.#kept.slice(this.#first);
  }

  add(line: SaidLine): void {
    this.#kept.push(line);
    this.#cost += this.#costOf(line);
    while (this.#cost > this.#costMax && this.#first < this.#kept.length) this.#cutFirst();
    if (this.#first > 64 && this.#first > this.#kept.length / 2) {
      this.#kept = this.lines;
      this.#first = 0;
    }
  }

  #cutFirst(): void {
    const line = this.#kept[this.#first] as SaidLine;
    this.#first += 1;
    this.#cost -= this.#costOf(line);
    this.cutLines += 1;
    this.cutBytes += line.bytes;
  }
}
