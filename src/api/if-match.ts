/**
 * `If-Match`: a move is made only on the process that its caller has seen. Its ETag is its revision in quotes,
 * and the queue compares under the lock of the process; tags that are none of ours match nothing.
 */
import { z } from 'zod';
import { SkipjackError } from '../core/errors.ts';
import type { Engine } from '../engine/engine.ts';

const tag = String.raw`(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`;
const list = new RegExp(String.raw`^${tag}(?:[ \t]*,[ \t]*${tag})*$`);

/** The revisions that match; null: any. Weak tags never match (RFC 9110, 13.1.1). */
const ifMatchSchema = z
  .string()
  .refine((text) => text === '*' || list.test(text), {
    error: 'is neither * nor a list of ETags in quotes: send the ETag of the process as it came, such as "3"',
    abort: true,
  })
  .transform((text) =>
    text === '*' ? null : [...text.matchAll(/(?<!W\/)"(\d{1,15})"/g)].map(([, revision]) => Number(revision)),
  )
  .meta({ description: 'One ETag of the process or several; without a match 412', example: '"3"' });

export const ifMatchHeaders = z.object({ 'if-match': ifMatchSchema.optional() });

export function etagOf({ revision }: { revision: number }): string {
  return `"${revision}"`;
}

/** @throws SkipjackError `not_found`, `precondition_failed`. */
export async function readPrecondition(
  engine: Engine,
  id: string,
  { 'if-match': revisions }: z.output<typeof ifMatchHeaders>,
): Promise<{ ifRevision: number | null }> {
  if (revisions == null) return { ifRevision: null };
  if (revisions.length === 1) return { ifRevision: revisions[0] as number };
  const { revision } = await engine.process(id).read();
  if (revisions.includes(revision)) return { ifRevision: revision };
  throw new SkipjackError(
    'precondition_failed',
    `No ETag of If-Match is the process's: it is at revision ${revision}. Read it again, then decide.`,
    { extra: { revision } },
  );
}
