/** Functions on numbers. There is one sort, JSON's: `int` drops what is behind the point, nothing else. */
import type { Json } from '../../core/json.ts';
import type { FunctionRule } from '../functions.ts';
import { ExpressionFailure, type Meter } from '../limits.ts';
import { shorten } from '../values.ts';

const number = ['number'] as const;

const toNumber: FunctionRule = {
  takes: [['number', 'text', 'boolean']],
  gives: 'number',
  run: ([value]: [number | string | boolean], { meter }) => readNumber(value, meter),
};

export const numberFunctions: Record<string, FunctionRule> = {
  number: toNumber,
  // As CEL calls it.
  double: toNumber,
  int: {
    ...toNumber,
    run: ([value]: [number | string | boolean], { meter }) => Math.trunc(readNumber(value, meter)),
  },
  abs: onNumber(Math.abs),
  floor: onNumber(Math.floor),
  ceil: onNumber(Math.ceil),
  // Halves away from 0, as people round.
  round: onNumber((value) => Math.sign(value) * Math.round(Math.abs(value))),
  random_int: {
    takes: [number, number],
    gives: 'number',
    run: ([from, to]: [number, number], { random }) => {
      if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || to < from || to - from >= 2 ** 48)
        throw new ExpressionFailure(`random_int(${from}, ${to}) takes two whole numbers, the smaller first`);
      return from + Math.floor(random() * (to - from + 1));
    },
  },
};

function onNumber(run: (value: number) => number): FunctionRule {
  return { takes: [number], gives: 'number', run: ([value]: [number]): Json => run(value) };
}

function readNumber(value: number | string | boolean, meter: Meter): number {
  if (typeof value !== 'string') return Number(value);
  meter.chargeText(320 + value.length);
  const trimmed = value.trim();
  if (/^[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?$/i.test(trimmed.slice(0, 400)) && trimmed.length <= 400) {
    const read = Number(trimmed);
    if (Number.isFinite(read)) return read;
  }
  throw new ExpressionFailure(`${shorten(value)} is not a number`);
}
