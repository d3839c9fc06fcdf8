/** JSON values inside expressions: what they are, when two are the same, how they are written. */
import { findTextProblem, type Json } from '../core/json.ts';
import { ExpressionFailure, expressionLimits, type Meter } from './limits.ts';

export type JsonObject = { [key: string]: Json };

/** As people read it in messages. */
export type Kind = 'text' | 'number' | 'boolean' | 'nothing' | 'list' | 'map';

export function kindOf(value: Json): Kind {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'object') return 'map';
  return typeof value === 'string' ? 'text' : (typeof value as 'number' | 'boolean');
}

const names: Record<Kind, string> = {
  text: 'text',
  number: 'a number',
  boolean: 'a boolean',
  nothing: 'null',
  list: 'a list',
  map: 'a map',
};

export function nameOfKind(kind: Kind): string {
  return names[kind];
}

export function nameKinds(kinds: readonly Kind[]): string {
  const words = kinds.map(nameOfKind);
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`;
}

/** By value, however deep. */
export function areEqual(one: Json, other: Json, meter: Meter): boolean {
  meter.charge(1);
  if (one === other) {
    if (typeof one === 'string') meter.chargeText(one.length);
    return true;
  }
  if (typeof one === 'string' && typeof other === 'string') {
    if (one.length === other.length) meter.chargeText(one.length);
    return false;
  }
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false;
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false;
    return one.every((item, index) => areEqual(item, other[index] as Json, meter));
  }
  const keys = keysOf(one, meter);
  if (keys.length !== keysOf(other, meter).length) return false;
  return keys.every(
    (key) => Object.hasOwn(other, key) && areEqual(one[key] as Json, other[key] as Json, meter),
  );
}

/** A large map is a hash table, of which to list the keys takes 150 ns each. */
export function keysOf(map: JsonObject, meter: Meter): string[] {
  const keys = Object.keys(map);
  meter.charge(1 + 4 * keys.length);
  return keys;
}

/** A text is itself, null is empty, the rest is JSON. */
export function toText(value: Json, meter: Meter): string {
  if (typeof value === 'string') {
    checkResult(value, meter);
    return value;
  }
  return value === null ? '' : toJsonText(value, meter);
}

export function toJsonText(value: Json, meter: Meter): string {
  meter.charge(20);
  checkResult(value, meter);
  const text = JSON.stringify(value);
  meter.checkLength(text.length);
  return text;
}

/**
 * Refuses what is too large or cannot be stored. Values share their parts, so that a few nodes may say gigabytes:
 * to be counted before they are written. Answers how many letters of JSON there are, at the least.
 */
export function checkResult(
  value: Json,
  meter: Meter,
  lettersMax: number = expressionLimits.resultLettersMax,
): number {
  let letters = 0;
  const add = (more: number) => {
    letters += more;
    if (letters > lettersMax) {
      const message = `is a value of more than ${lettersMax} letters of JSON`;
      throw new ExpressionFailure(message, 'limit');
    }
  };
  const checkText = (text: string) => {
    add(text.length + 2);
    meter.chargeText(text.length);
    const bad = findTextProblem(text);
    if (bad) throw new ExpressionFailure(`makes a text with ${bad}`);
  };
  const visit = (part: Json, depth: number) => {
    meter.charge(1);
    if (depth > expressionLimits.resultDepthMax) {
      throw new ExpressionFailure(
        `is a value nested deeper than ${expressionLimits.resultDepthMax}`,
        'limit',
      );
    }
    if (typeof part === 'string') checkText(part);
    else if (Array.isArray(part)) {
      add(2 + part.length);
      for (const item of part) visit(item, depth + 1);
    } else if (typeof part === 'object' && part !== null) {
      add(2);
      for (const key of keysOf(part, meter)) {
        checkText(key);
        add(2);
        visit(part[key] as Json, depth + 1);
      }
    } else add(typeof part === 'number' ? String(part).length : 4);
  };
  visit(value, 1);
  return letters;
}

const shownLettersMax = 100;
const shownItemsMax = 5;

/** A value for a message: its beginning. */
export function shorten(value: Json): string {
  const text = JSON.stringify(cut(value, 1)) as string;
  return text.length > shownLettersMax ? `${text.slice(0, shownLettersMax).toWellFormed()}…` : text;
}

function cut(value: Json, depth: number): Json {
  if (typeof value === 'string') return value.slice(0, shownLettersMax + 1).toWellFormed();
  if (typeof value !== 'object' || value === null) return value;
  if (depth > 3) return '…';
  if (Array.isArray(value)) {
    const shown = value.slice(0, shownItemsMax).map((item) => cut(item, depth + 1));
    return value.length > shownItemsMax ? [...shown, '…'] : shown;
  }
  const shown: [string, Json][] = [];
  for (const key in value) {
    if (shown.length === shownItemsMax) return { ...Object.fromEntries(shown), '…': '…' };
    if (Object.hasOwn(value, key)) shown.push([key, cut(value[key] as Json, depth + 1)]);
  }
  return Object.fromEntries(shown);
}
