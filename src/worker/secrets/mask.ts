/**
 * Hides the values of secrets in what an attempt puts out: logs, output, errors.
 *
 * A program may print a value in two halves, so a stream is masked before anything cuts it: what may be the beginning
 * of a value is held back until it is known not to be.
 */
import type { Json } from '../../core/json.ts';
import { formsOf } from './forms.ts';
import { HiddenBytes, hiddenText } from './hidden.ts';
import { FormSearch } from './search.ts';

export interface Mask {
  /** For one stream of bytes. */
  stream(): MaskedStream;
  text(text: string): string;
  /** Every text in it, keys included, and numbers of four characters and more: a secret may be digits only. */
  json<Value extends Json>(value: Value): Value;
}

export interface MaskedStream {
  /** What is certain of everything up to here. May be empty, and may share its bytes with `chunk`. */
  push(chunk: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
}

const nothing = Buffer.alloc(0);

/** For an attempt without secrets: everything is as it was. */
export const noMask: Mask = {
  stream: () => ({ push: (chunk) => chunk, end: () => nothing }),
  text: (text) => text,
  json: (value) => value,
};

/**
 * Puts `***` where one of `values` stands in one of its forms (`forms.ts`). Places that overlap or touch become one.
 *
 * Linear in what it reads, whatever the values are. A stream holds back no more than the longest form less a byte.
 * What looks like a value because of the `***` in it (a secret that has stars itself) is not looked for again.
 */
export function createMask(values: string[]): Mask {
  const forms = new Set(values.flatMap((value) => [...formsOf(value)]));
  if (forms.size === 0) return noMask;
  const search = new FormSearch([...forms].map((form) => Buffer.from(form)));
  const text = (shown: string) => hiddenText(search, shown);
  return {
    stream: () => new HiddenBytes(search),
    text,
    json: <Value extends Json>(value: Value) => maskedJson(value, text) as Value,
  };
}

/** Shorter numbers could only hold secrets that are none, and a status or a count would no longer be one. */
const numberLengthMin = 4;

function maskedJson(value: Json, text: (text: string) => string): Json {
  if (typeof value === 'string') return text(value);
  if (typeof value === 'number') {
    const digits = String(value);
    const shown = digits.length < numberLengthMin ? digits : text(digits);
    return shown === digits ? value : shown;
  }
  if (Array.isArray(value)) return value.map((item) => maskedJson(item, text));
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [text(key), maskedJson(item, text)]));
}
