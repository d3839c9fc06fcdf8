/** Enqueueing one task, and what its outcomes mean over HTTP. */

import { SkipjackError } from '../core/errors.ts';
import type { NewTask } from '../core/task.ts';
import type { Queue } from '../queue/queue.ts';
import { invalidRequest } from './http/problem.ts';

export interface Enqueued {
  id: string;
  /** The idempotency key had made it before, by the same request. */
  replayed: boolean;
}

/** @throws SkipjackError when it was not enqueued. */
export async function enqueueTask(queue: Queue, task: NewTask): Promise<Enqueued> {
  const result = await queue.enqueue(task);
  switch (result.kind) {
    case 'created':
      return { id: result.id, replayed: false };
    case 'existing':
      return { id: result.id, replayed: true };
    case 'key_conflict':
      throw new SkipjackError(
        'idempotency_conflict',
        `Another request with this idempotency key made task ${result.id}. Use a new key for a new request.`,
        { extra: { id: result.id } },
      );
    case 'key_busy':
      throw new SkipjackError(
        'idempotency_key_busy',
        'Another transaction holds the idempotency key. Ask again when it has ended.',
      );
    case 'invalid':
      throw invalidRequest([{ pointer: '', message: `Postgres does not take it: ${result.message}` }]);
  }
}
