/** A source by lines: where an offset is, in the line and column that people count, and how that line looks. */

/** `Intl.Segmenter` takes some microseconds a line: longer lines are counted by code points. */
const segmentedLengthMax = 4_000;

/** A line that is cut shows so many characters, the first so many of them before the place. */
const excerptLengthMax = 100;
const excerptLead = 40;
/** A place up to this column is shown with its line from the start. */
const uncutColumnMax = 60;
/** UTF-16 units that surely hold an excerpt: a family of emoji takes eleven. */
const excerptUnitsMax = 2_000;

const segmenter = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

export interface Place {
  line: number;
  column: number;
  excerpt: string;
}

export class SourceText {
  readonly #lineStarts: number[] = [0];
  readonly text: string;

  constructor(text: string) {
    this.text = text;
    for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1))
      this.#lineStarts.push(at + 1);
  }

  /** Line and column of a UTF-16 offset, both from 1. */
  place(offset: number): Place {
    const line = this.#lineAt(offset);
    const start = this.#lineStarts[line - 1] ?? 0;
    const next = this.#lineStarts[line];
    let end = next === undefined ? this.text.length : next - 1;
    if (this.text[end - 1] === '\r') end -= 1;
    const at = Math.max(start, Math.min(offset, end));
    const column = countCharacters(this.text.slice(start, at)) + 1;
    return { line, column, excerpt: this.#excerpt({ start, at, end, column }) };
  }

  #lineAt(offset: number): number {
    let low = 0;
    let high = this.#lineStarts.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if ((this.#lineStarts[middle] ?? 0) <= offset) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  #excerpt({ start, at, end, column }: { start: number; at: number; end: number; column: number }): string {
    const before = toCharacters(this.text.slice(Math.max(start, at - excerptUnitsMax), at));
    const after = toCharacters(this.text.slice(at, Math.min(end, at + excerptUnitsMax)));
    const lead = column > uncutColumnMax ? ['…', ...before.slice(-excerptLead)] : before;
    const space = excerptLengthMax - lead.length;
    return [...lead, ...after.slice(0, space), after.length > space ? '…' : ''].join('');
  }
}

/** How many characters of an excerpt are before the place of that column: the other half of how it was cut. */
export function excerptLeadOf(column: number): number {
  return column > uncutColumnMax ? excerptLead + 1 : column - 1;
}

/** Characters as people see them: a flag is one, and so is e with an accent however it is written. */
export function toCharacters(text: string): string[] {
  return isPlain(text) ? [...text] : Array.from(segmenter.segment(text), ({ segment }) => segment);
}

function countCharacters(text: string): number {
  if (isPlain(text)) return text.length;
  if (text.length <= segmentedLengthMax) return toCharacters(text).length;
  let count = 0;
  for (const _codePoint of text) count += 1;
  return count;
}

function isPlain(text: string): boolean {
  return /^[\t\x20-\x7e]*$/.test(text);
}
