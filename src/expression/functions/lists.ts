/** Functions on lists and maps. */
import type { Json } from '../../core/json.ts';
import type { FunctionRule } from '../functions.ts';
import { ExpressionFailure, expressionLimits, type Meter } from '../limits.ts';
import { type JsonObject, keysOf, kindOf, nameOfKind } from '../values.ts';
import { countLetters } from './texts.ts';

const list = ['list'] as const;
const map = ['map'] as const;
const number = ['number'] as const;

export const listFunctions: Record<string, FunctionRule> = {
  size: {
    takes: [['list', 'map', 'text']],
    gives: 'number',
    run: ([value]: [Json[] | JsonObject | string], { meter }) => {
      if (Array.isArray(value)) return value.length;
      if (typeof value === 'object') return keysOf(value, meter).length;
      meter.charge(value.length >> 3);
      return countLetters(value);
    },
  },
  keys: { takes: [map], gives: 'list', run: ([value]: [JsonObject], { meter }) => keysOf(value, meter) },
  values: {
    takes: [map],
    gives: 'list',
    run: ([value]: [JsonObject], { meter }) => keysOf(value, meter).map((key) => value[key] as Json),
  },
  sort: { takes: [list], gives: 'list', run: ([value]: [Json[]], { meter }) => sorted(value, meter) },
  sum: {
    takes: [list],
    gives: 'number',
    run: ([value]: [Json[]], { meter }) => {
      meter.charge(value.length);
      return value.reduce<number>((sum, item) => {
        if (typeof item !== 'number')
          throw new ExpressionFailure(`sum takes numbers, not ${nameOfKind(kindOf(item))}`);
        return sum + item;
      }, 0);
    },
  },
  min: extreme('min', (order) => order < 0),
  max: extreme('max', (order) => order > 0),
  flatten: {
    takes: [list],
    gives: 'list',
    run: ([value]: [Json[]], { meter }) => {
      const flat: Json[] = [];
      for (const item of value) {
        meter.charge(1 + (Array.isArray(item) ? item.length : 0));
        if (Array.isArray(item)) for (const inner of item) flat.push(inner);
        else flat.push(item);
      }
      return flat;
    },
  },
  unique: {
    takes: [list],
    gives: 'list',
    run: ([value]: [Json[]], { meter }) => {
      const seen = new Set<Json>();
      return value.filter((item) => {
        // What is a list or map is told by its text; a text gets a mark, so as not to be one of those.
        const key =
          typeof item === 'object' ? sortedText(item, meter) : typeof item === 'string' ? `"${item}` : item;
        meter.chargeText(typeof key === 'string' ? 16 + key.length : 16);
        if (seen.has(key)) return false;
        seen.add(key);
        return true;
      });
    },
  },
  range: {
    takes: [number, number],
    optional: 1,
    gives: 'list',
    run: ([first, second]: [number, number | undefined], { meter }) => {
      const [from, to] = second === undefined ? [0, first] : [first, second];
      if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to))
        throw new ExpressionFailure(`range(${from}, ${to}) takes whole numbers`);
      const count = Math.max(0, to - from);
      if (count > expressionLimits.rangeMax)
        throw new ExpressionFailure(
          `range makes a list of more than ${expressionLimits.rangeMax} numbers`,
          'limit',
        );
      meter.charge(count);
      return Array.from({ length: count }, (_, index) => from + index);
    },
  },
};

/** Numbers by their size, texts by their code units: the same on every machine. */
export function compare(one: Json, other: Json, { what, meter }: { what: string; meter: Meter }): number {
  if (typeof one === 'number' && typeof other === 'number') return one - other;
  if (typeof one === 'string' && typeof other === 'string') {
    meter.charge(Math.min(one.length, other.length) >> 6);
    return one < other ? -1 : one > other ? 1 : 0;
  }
  const kinds = `${nameOfKind(kindOf(one))} and ${nameOfKind(kindOf(other))}`;
  throw new ExpressionFailure(`${what} takes two numbers or two texts, not ${kinds}`);
}

function sorted(value: Json[], meter: Meter): Json[] {
  const rule = { what: 'sort', meter };
  meter.charge(value.length);
  if (value.every((item) => typeof item === 'number')) {
    meter.charge(2 * value.length);
    return [...Float64Array.from(value).sort()];
  }
  if (value.length === 1) compare(value[0] as Json, value[0] as Json, rule);
  return value.toSorted((one, other) => {
    meter.charge(1);
    return compare(one, other, rule);
  });
}

function extreme(what: string, isBetter: (order: number) => boolean): FunctionRule {
  return {
    takes: [['list', 'number', 'text'], 'any'],
    optional: 1,
    gives: 'any',
    run: ([first, second]: [Json, Json | undefined], { meter }) => {
      const of = second === undefined ? first : [first, second];
      if (!Array.isArray(of)) throw new ExpressionFailure(`${what} takes a list, or two values`);
      const [start, ...others] = of;
      if (start === undefined) throw new ExpressionFailure(`${what} of an empty list`, 'missing');
      meter.charge(of.length);
      const rule = { what, meter };
      compare(start, start, rule);
      return others.reduce((best, item) => (isBetter(compare(item, best, rule)) ? item : best), start);
    },
  };
}

/** The same text for the same value, in whatever order its keys are. */
function sortedText(value: Json, meter: Meter): string {
  meter.charge(6);
  if (typeof value === 'string') meter.chargeText(value.length * 2);
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const text = Array.isArray(value)
    ? `[${value.map((item) => sortedText(item, meter)).join()}]`
    : `{${sorted(keysOf(value, meter), meter)
        .map((key) => `${JSON.stringify(key)}:${sortedText(value[key as string] as Json, meter)}`)
        .join()}}`;
  meter.checkLength(text.length);
  meter.chargeText(text.length);
  return text;
}
