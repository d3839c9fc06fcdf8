/** What is wrong with a definition, and the list in which the checks gather it. */

/** Keys and indexes from the root to a value. */
export type Path = readonly (string | number)[];

export interface RelatedPlace {
  line: number;
  column: number;
  message: string;
  excerpt: string;
}

export interface DefinitionProblem {
  /** JSON pointer (RFC 6901) to the offending value; of a missing key, where it would be. */
  pointer: string;
  /** Both from 1; columns count characters as people see them. */
  line: number;
  column: number;
  /** Stable; the README of this room lists them. */
  code: string;
  message: string;
  /** What was meant, perhaps. */
  suggestion?: string;
  /** The line of the source, cut around the column. */
  excerpt?: string;
  /** Other places that have to do with it: the first of two tasks of the same name. */
  related?: RelatedPlace[];
}

/** A problem as the checks know it: where by path, and of what. */
export interface Finding {
  path: Path;
  /** What the caret goes under: the value (default), its key, or the map that lacks the key. */
  of?: 'value' | 'key' | 'map';
  code: string;
  message: string;
  /** Asked for problems that are shown only: it compares with every name there is. */
  suggest?: () => string | undefined;
  related?: { path: Path; of?: 'key'; message: string }[];
}

/** Takes a problem in. */
export type Report = (finding: Finding) => void;

/** A finding with its place in the source. */
export interface PlacedFinding extends Finding {
  offset: number;
  relatedOffsets?: number[];
}

const problemsMax = 100;

/**
 * The problems in the order of the checks: the first hundred are kept, the rest is counted.
 *
 * A place is blamed once: what an alias repeats is one mistake, and so is a number too large to be a number.
 */
export class ProblemList {
  readonly kept: PlacedFinding[] = [];
  readonly #seen = new Set<string>();
  left = 0;

  get isFull(): boolean {
    return this.kept.length >= problemsMax;
  }

  get count(): number {
    return this.kept.length + this.left;
  }

  /** `locate` is asked for what is kept only. */
  add(finding: Finding, locate: () => { offset: number; relatedOffsets?: number[] }): void {
    if (this.isFull) {
      this.left += 1;
      return;
    }
    const placed = { ...finding, ...locate() };
    const { offset, of = 'value', path } = placed;
    const place = `${offset} ${of} ${of === 'map' ? path.at(-1) : ''}`;
    if (this.#seen.has(place)) return;
    this.#seen.add(place);
    this.kept.push(placed);
  }
}

export function toPointer(path: Path): string {
  return path.map((part) => `/${String(part).replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

const quotedLengthMax = 80;

/** A name in quotes, on one line and cut, as messages show it. */
export function quote(name: string): string {
  return JSON.stringify(name.length > quotedLengthMax ? `${name.slice(0, quotedLengthMax)}…` : name);
}
