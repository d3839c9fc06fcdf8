import type { Context } from 'hono';
import { notFound } from './http/problem.ts';
import type { ApiParts } from './parts.ts';

/** Whether the task ended within `waitMs`. */
export async function waitForEnd(
  { queue, longPolls }: ApiParts,
  c: Context,
  id: string,
  waitMs: number,
): Promise<boolean> {
  const result = await longPolls.during(c, (signal) => queue.waitForEnd('task', id, { waitMs, signal }));
  if (result === 'not_found') throw notFound('task', id);
  return result === 'ended';
}
