/** Times and durations that expressions come to. */
import { parseDuration } from '../../core/durations.ts';
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';

export const sleepMsMax = 366 * 86_400_000;

/** RFC 3339 with its offset. */
const timePattern = /^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(?:[Zz]|[+-]\d{2}:\d{2})$/;
/** What queue items can hold; with a day to spare for any offset. */
const [timeMin, timeMax] = [Date.UTC(1970, 0, 2), Date.UTC(9998, 11, 30)];

export function readSleep(value: Json): { delayMs: number } | { error: TaskError } {
  const ms = typeof value === 'string' ? parseDuration(value.trim()) : null;
  if (ms !== null && ms <= sleepMsMax) return { delayMs: ms };
  return refused(`sleep is ${show(value)}, not a duration of at most 366 days, as 90s or 2h`);
}

/** `sleptTo`: as far ahead as one may sleep. */
export function readTime(
  value: Json,
  { place, sleptTo }: { place: string; sleptTo: number | null },
): { at: string } | { error: TaskError } {
  const text = typeof value === 'string' ? value.trim() : '';
  const ms = timePattern.test(text) && isDay(text) ? Date.parse(text.replace(' ', 'T')) : Number.NaN;
  if (!(ms >= timeMin && ms <= timeMax))
    return refused(`${place} is ${show(value)}, not a time in RFC 3339, as 2026-01-31T08:00:00Z`);
  if (sleptTo !== null && ms > sleptTo)
    return refused(`${place} is ${show(value)}: nobody sleeps longer than 366 days`);
  return { at: new Date(ms).toISOString() };
}

/** JavaScript takes February 30 for March 2. */
function isDay(text: string): boolean {
  const date = text.slice(0, 10);
  const ms = Date.parse(date);
  return !Number.isNaN(ms) && new Date(ms).toISOString().startsWith(date);
}

function refused(message: string): { error: TaskError } {
  return { error: { code: 'invalid_time', message } };
}

const shownLettersMax = 100;

/** A value for a message: its beginning. */
export function show(value: Json): string {
  const text = JSON.stringify(value);
  return text.length > shownLettersMax ? `${text.slice(0, shownLettersMax).toWellFormed()}…` : text;
}
