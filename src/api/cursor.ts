/**
 * Cursors: where a page of a list ended, as opaque text. What comes back is checked like anything else that
 * comes from outside.
 */
import { z } from 'zod';
import { isId } from '../core/ids.ts';

export type CursorParts = [string, ...string[]];

/** An id, or what the order is by, as Postgres writes a time, and an id. */
const moment = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d{1,6})?[+-]\d\d(:\d\d){0,2}$/;

export function encodeCursor(parts: CursorParts): string {
  return Buffer.from(JSON.stringify(parts)).toString('base64url');
}

const message = 'is not a cursor: hand over the "next_cursor" of the page before as it is, or leave it out';
const cursorText = z.string().max(500).meta({ description: 'The `next_cursor` of the page before' });

/** A cursor over ids. */
export const idCursorSchema = cursorText.transform((text, context) => {
  const [id, ...rest] = decode(text);
  if (id !== undefined && isId(id) && rest.length === 0) return id;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

/** A cursor over times, and ids where times are equal. */
export const momentCursorSchema = cursorText.transform((text, context) => {
  const [at, id, ...rest] = decode(text);
  const isMoment = at !== undefined && moment.test(at) && !Number.isNaN(Date.parse(at.slice(0, 19)));
  if (isMoment && id !== undefined && isId(id) && rest.length === 0) return { failedAt: at, id };
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});

function decode(text: string): string[] {
  try {
    const parts: unknown = JSON.parse(Buffer.from(text, 'base64url').toString('utf8'));
    return Array.isArray(parts) && parts.every((part) => typeof part === 'string') ? parts : [];
  } catch {
    return [];
  }
}
