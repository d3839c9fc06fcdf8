import type { Context } from 'hono';
import type { Awaited } from '../queue/end-waiters.ts';
import { notFound } from './http/problem.ts';
import type { ApiParts } from './parts.ts';

/** Whether the task or process ended within `waitMs`. */
export async function waitForEnd(
  { queue, longPolls }: ApiParts,
  c: Context,
  { what, id, waitMs }: { what: Awaited; id: string; waitMs: number },
): Promise<boolean> {
  const result = await longPolls.during(c, (signal) => queue.waitForEnd(what, id, { waitMs, signal }));
  if (result === 'not_found') throw notFound(what, id);
  return result === 'ended';
}
