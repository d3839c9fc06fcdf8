/**
 * Functions on times. A time is a text as JSON writes it, in UTC with milliseconds: `2026-01-31T08:00:00.000Z`. So two
 * times compare as texts do, and every program reads them.
 */
import { parseDuration } from '../../core/durations.ts';
import type { FunctionRule } from '../functions.ts';
import { ExpressionFailure, type Meter } from '../limits.ts';
import { shorten } from '../values.ts';

const text = ['text'] as const;
const time = ['text', 'number'] as const;

export const timeFunctions: Record<string, FunctionRule> = {
  now: { takes: [], gives: 'text', run: (_args, { now, meter }) => write(now, meter) },
  parse_time: {
    takes: [time],
    gives: 'text',
    run: ([value]: [string | number], { meter }) => write(read(value, meter), meter),
  },
  epoch_ms: {
    takes: [time],
    gives: 'number',
    run: ([value]: [string | number], { meter }) => read(value, meter),
  },
  add_time: {
    takes: [time, text],
    gives: 'text',
    run: ([value, duration]: [string | number, string], { meter }) => {
      const isBack = duration.startsWith('-');
      const ms = parseDuration(isBack ? duration.slice(1) : duration);
      if (ms === null)
        throw new ExpressionFailure(
          `${shorten(duration)} is not a duration: write 500ms, 30s, 10m, 2h, 7d or -7d`,
        );
      return write(read(value, meter) + (isBack ? -ms : ms), meter);
    },
  },
  format_time: {
    takes: [time, text],
    gives: 'text',
    run: ([value, pattern]: [string | number, string], { meter }) => {
      const at = write(read(value, meter), meter);
      meter.chargeText(640 + pattern.length * 64);
      const parts: Record<string, string> = {
        YYYY: at.slice(0, 4),
        MM: at.slice(5, 7),
        DD: at.slice(8, 10),
        HH: at.slice(11, 13),
        mm: at.slice(14, 16),
        ss: at.slice(17, 19),
        SSS: at.slice(20, 23),
      };
      return pattern.replaceAll(/YYYY|MM|DD|HH|mm|SSS|ss/g, (part) => parts[part] ?? part);
    },
  },
};

/** Half a microsecond, to read one or to write one. */
const costOfTime = 20;

/** A date alone, or RFC 3339 with its offset: what means another time elsewhere is not taken. */
const pattern = /^\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,9})?)?(Z|[+-]\d\d:\d\d))?$/;

function read(value: string | number, meter: Meter): number {
  meter.charge(costOfTime);
  const ms = typeof value === 'number' ? value : pattern.test(value) ? Date.parse(value) : Number.NaN;
  // A day that a month does not have would be taken for one of the next.
  const isDay =
    typeof value === 'number' ||
    new Date(`${value.slice(0, 10)}T00:00:00Z`).getUTCDate() === Number(value.slice(8, 10));
  if (Number.isNaN(ms) || !isDay)
    throw new ExpressionFailure(
      `${shorten(value)} is not a time: write 2026-01-31 or 2026-01-31T08:00:00Z, or milliseconds since 1970`,
    );
  return ms;
}

const firstMs = Date.parse('0001-01-01T00:00:00Z');
const lastMs = Date.parse('9999-12-31T23:59:59.999Z');

function write(ms: number, meter: Meter): string {
  meter.charge(costOfTime);
  if (!(ms >= firstMs && ms <= lastMs))
    throw new ExpressionFailure('makes a time that is not between the years 1 and 9999');
  return new Date(Math.trunc(ms)).toISOString();
}
