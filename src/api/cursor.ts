/**
 * Cursors: where a page of a list ended, as opaque text. What comes back is checked like anything else that
 * comes from outside.
 */
import { z } from 'zod';
import { isId } from '../core/ids.ts';
import { findTextProblem } from '../core/json.ts';
import type { HistoryPlace } from '../engine/read-processes.ts';

export type CursorParts = [string, ...string[]];

/** A time as Postgres writes it. */
const moment = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d){0,2}$/;

export function encodeCursor(parts: CursorParts): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

const message = 'is not a cursor: hand over the "next_cursor" of the page before as it is, or leave it out';
/** A name has up to 200 letters, each of several bytes. */
const cursorText = z.string().max(2_000).meta({ description: 'The `next_cursor` of the page before' });

/** A cursor whose parts `read` understands; it answers undefined for those that it does not. */
function cursorSchema<Place>(read: (parts: string[]) => Place | undefined) {
  return cursorText.transform((text, context) => {
    const place = read(decode(text));
    if (place !== undefined) return place;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  });
}

/** A cursor over ids. */
export const idCursorSchema = cursorSchema(([id = '', ...rest]) =>
  isId(id) && rest.length === 0 ? id : undefined,
);

/** A cursor over names. */
export const nameCursorSchema = cursorSchema(([name = '', ...rest]) =>
  name !== '' && findTextProblem(name) === null && rest.length === 0 ? name : undefined,
);

/** A cursor over whole numbers: ordinals, versions. */
export const numberCursorSchema = cursorSchema(([number = '', ...rest]) =>
  /^\d{1,9}$/.test(number) && rest.length === 0 ? Number(number) : undefined,
);

/** A cursor over times, and ids where times are equal. */
export const momentCursorSchema = cursorSchema(([at = '', id = '', ...rest]) =>
  isMoment(at) && isId(id) && rest.length === 0 ? { failedAt: at, id } : undefined,
);

/** A cursor over what happened to a process. */
export const historyCursorSchema = cursorSchema(
  ([at = '', step = '', id = '', ...rest]): HistoryPlace | undefined =>
    isMoment(at) && /^\d$/.test(step) && isId(id) && rest.length === 0 ? [at, Number(step), id] : undefined,
);

function isMoment(text: string): boolean {
  return moment.test(text) && !Number.isNaN(Date.parse(text.slice(0, 19)));
}

function decode(text: string): string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : [];
  } catch {
    return [];
  }
}
