/** Claiming for a caller over HTTP: says that its worker lives, waits, and sees to the delivery. */
import type { Context } from 'hono';
import type { ClaimedTask } from '../core/task-source.ts';
import { defined } from './defined.ts';
import { releaseIfUndelivered } from './delivery.ts';
import type { ApiParts } from './parts.ts';
import { type ClaimBody, workerNameDefault } from './schemas/claim.ts';

export async function claimFor(parts: ApiParts, c: Context, body: ClaimBody): Promise<ClaimedTask[]> {
  const { queue, longPolls, announcements } = parts;
  if (body.worker !== undefined) {
    announcements.byClaim({
      id: body.worker,
      host: remoteAddress(c),
      pid: 0,
      queues: body.queues,
      slots: body.limit,
      version: '',
    });
  }
  const tasks = await longPolls.during(c, (signal) =>
    queue.claim({
      queues: body.queues,
      limit: body.limit,
      worker: body.worker ?? workerNameDefault,
      leaseMs: body.lease,
      timeoutGraceMs: body.timeout_grace,
      waitMs: body.wait,
      signal,
      ...defined({ startLimit: body.start_limit, claimId: body.claim_id }),
      outputs: body.outputs,
      ...([body.name, body.definition, body.label].every((each) => each === undefined)
        ? {}
        : { filter: defined({ name: body.name, definition: body.definition, label: body.label }) }),
    }),
  );
  if (body.claim_id === undefined) releaseIfUndelivered(c, tasks, parts);
  return tasks;
}

/** Who is at the other end; unknown where no socket is, as in tests of the app alone. */
function remoteAddress(c: Context): string {
  const bindings = c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined;
  return bindings?.incoming?.socket?.remoteAddress ?? 'unknown';
}
