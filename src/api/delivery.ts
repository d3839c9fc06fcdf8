/**
 * Claimed tasks must reach their worker. When the connection closes before the answer is out, they go back at
 * once instead of waiting for their leases to run out.
 *
 * Not when the caller gave a claim id: it may have asked again by now, and hold them.
 */
import type { Context } from 'hono';
import type { ClaimedTask } from '../core/task-source.ts';
import { decodeToken } from '../core/token.ts';
import type { Queue } from '../queue/queue.ts';
import type { ApiLogger } from './http/logger.ts';

export function releaseIfUndelivered(
  c: Context,
  tasks: ClaimedTask[],
  { queue, log }: { queue: Queue; log: ApiLogger },
): void {
  if (tasks.length === 0) return;
  // The server aborts it when the connection closes before the last byte was handed to the system.
  const { signal } = c.req.raw;
  const release = () => {
    log.debug({ tasks: tasks.length }, 'releasing tasks that could not be delivered');
    for (const { id, token } of tasks) {
      const claim = decodeToken(token, id);
      if (claim === null) continue;
      // If this fails too, the lease runs out.
      queue.settle({ ...claim, kind: 'released' }).catch((error) => {
        log.debug({ err: error, task: id }, 'could not release a task');
      });
    }
  };
  if (signal.aborted) release();
  else signal.addEventListener('abort', release, { once: true });
}
