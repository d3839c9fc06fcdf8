/** What is wrong with a definition: as the checks say it, and as people and programs get it. */

import { escapePointer } from '../core/json.ts';

/** Keys and indexes from the root to a value. */
export type Path = readonly (string | number)[];

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
  /** The line of the source, cut around the column if it is long. */
  excerpt?: string;
  /** Other places that have to do with it: the first of two tasks of the same name. */
  related?: RelatedPlace[];
}

export interface RelatedPlace {
  line: number;
  column: number;
  message: string;
  excerpt: string;
}

/** What the caret goes under: the value, its key, or the map that lacks the key. */
export type Part = 'value' | 'key' | 'map';

/** A place in a text value: `at`, in the part of it from `start` to `end`, all counted in the value. */
export interface Within {
  text: string;
  start: number;
  end: number;
  at: number;
}

interface Said {
  path: Path;
  /** By default the value. */
  of?: Part;
  code: string;
  message: string;
  /** Asked for what is shown only: it compares with every name there is. */
  suggest?: () => string | undefined;
}

/** A problem as a check says it. */
export interface Finding extends Said {
  /** The caret goes there, if that part of the value stands in the source as it is. */
  within?: Within;
  related?: { path: Path; message: string }[];
}

/** Takes a problem in. */
export type Report = (finding: Finding) => void;

/** A problem with its offsets in the source. */
export interface PlacedFinding extends Said {
  offset: number;
  related?: { offset: number; message: string }[];
}

export function toPointer(path: Path): string {
  return path.map((part) => `/${escapePointer(String(part))}`).join('');
}

const quotedLengthMax = 80;

/** A name in quotes, on one line and cut, as messages show it. */
export function quote(name: string): string {
  return JSON.stringify(name.length > quotedLengthMax ? `${name.slice(0, quotedLengthMax)}…` : name);
}
