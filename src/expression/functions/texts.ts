/** Functions on texts, and between texts and other values. Letters are counted as Unicode counts them. */
import { findJsonProblem, type Json } from '../../core/json.ts';
import type { CallContext, FunctionRule } from '../functions.ts';
import { ExpressionFailure } from '../limits.ts';
import { kindOf, nameOfKind, toJsonText } from '../values.ts';

const text = ['text'] as const;
const number = ['number'] as const;
const any = 'any' as const;

const upper: FunctionRule = {
  takes: [text],
  gives: 'text',
  run: ([value]: [string], { meter }) => {
    meter.chargeText(value.length);
    return value.toUpperCase();
  },
};

const lower: FunctionRule = {
  takes: [text],
  gives: 'text',
  run: ([value]: [string], { meter }) => {
    meter.chargeText(value.length);
    return value.toLowerCase();
  },
};

export const textFunctions: Record<string, FunctionRule> = {
  upper,
  lower,
  // As CEL calls them.
  upperAscii: upper,
  lowerAscii: lower,
  trim: {
    takes: [text],
    gives: 'text',
    run: ([value]: [string], { meter }) => {
      meter.chargeText(value.length);
      return value.trim();
    },
  },
  contains: search((value, part) => value.includes(part)),
  startsWith: search((value, part) => value.startsWith(part)),
  endsWith: search((value, part) => value.endsWith(part)),
  indexOf: {
    takes: [text, text],
    gives: 'number',
    run: ([value, part]: [string, string], { meter }) => {
      meter.chargeText(value.length * 2 + part.length);
      const found = value.indexOf(part);
      return found < 0 ? -1 : countLetters(value.slice(0, found));
    },
  },
  substring: {
    takes: [text, number, number],
    optional: 1,
    gives: 'text',
    run: ([value, from, to]: [string, number, number | undefined], { meter }) => {
      meter.charge(value.length >> 2);
      const letters = [...value];
      const end = to ?? letters.length;
      if (!Number.isInteger(from) || !Number.isInteger(end) || from < 0 || end < from || end > letters.length)
        throw new ExpressionFailure(
          `substring(${from}, ${end}) is not within a text of ${letters.length} letters`,
          'missing',
        );
      return letters.slice(from, end).join('');
    },
  },
  replace: {
    takes: [text, text, text],
    gives: 'text',
    run: ([value, from, to]: [string, string, string], { meter }) => {
      if (from === '') throw new ExpressionFailure('replace("", …) says nothing to be replaced');
      const count = splitAt(value, from, { meter }).length - 1;
      meter.checkLength(value.length + count * (to.length - from.length));
      meter.chargeText(count * to.length);
      return value.replaceAll(from, () => to);
    },
  },
  split: {
    takes: [text, text],
    gives: 'list',
    run: ([value, separator]: [string, string], context) => splitAt(value, separator, context),
  },
  join: {
    takes: [['list'], text],
    optional: 1,
    gives: 'text',
    run: ([list, separator = '']: [Json[], string | undefined], { meter }) => {
      meter.charge(list.length);
      let length = 0;
      const texts = list.map((item) => {
        if (typeof item === 'object')
          throw new ExpressionFailure(
            `join takes texts, numbers and booleans, not ${nameOfKind(kindOf(item))}`,
          );
        const written = String(item);
        length += written.length + separator.length;
        meter.checkLength(length);
        return written;
      });
      meter.chargeText(length);
      return texts.join(separator);
    },
  },
  string: {
    takes: [any],
    gives: 'text',
    run: ([value]: [Json], { meter }) => (typeof value === 'string' ? value : toJsonText(value, meter)),
  },
  to_json: {
    takes: [any],
    gives: 'text',
    run: ([value]: [Json], { meter }) => toJsonText(value, meter),
  },
  json: {
    takes: [text],
    gives: any,
    run: ([value]: [string], { meter }) => {
      // 15 ns a letter, the check of what came out included.
      meter.charge(40 + (value.length >> 1));
      let parsed: Json;
      try {
        parsed = JSON.parse(value);
      } catch {
        throw new ExpressionFailure('json(…) is given a text that is not JSON');
      }
      const problem = findJsonProblem(parsed);
      if (problem) throw new ExpressionFailure(`json(…) is given ${problem.message}`);
      return parsed;
    },
  },
  type: { takes: [any], gives: 'text', run: ([value]: [Json]) => typeNames[kindOf(value)] },
};

/** As the inputs of a definition call them. */
const typeNames = {
  text: 'string',
  number: 'number',
  boolean: 'boolean',
  nothing: 'null',
  list: 'array',
  map: 'object',
} as const;

function search(find: (value: string, part: string) => boolean): FunctionRule {
  return {
    takes: [text, text],
    gives: 'boolean',
    run: ([value, part]: [string, string], { meter }) => {
      meter.chargeText(value.length * 2 + part.length);
      return find(value, part);
    },
  };
}

function splitAt(value: string, separator: string, { meter }: Pick<CallContext, 'meter'>): string[] {
  meter.charge(1 + (separator === '' ? value.length >> 2 : value.length >> 4));
  if (separator === '') return [...value];
  const parts = value.split(separator);
  meter.charge(parts.length);
  return parts;
}

export function countLetters(value: string): number {
  let count = 0;
  for (const _letter of value) count += 1;
  return count;
}
