/**
 * Cancel: ends a task that waits, asks a running one to stop.
 *
 * First lock, then decide in the next statement: within one statement the decision would be made on the
 * snapshot from before the wait, and a task that was being claimed would be missed.
 */
import { hasEnded, type TaskState } from '../core/task.ts';
import { type Database, inTransaction } from '../database/connection.ts';

export type CancelResult =
  | { kind: 'cancelled' }
  /** Its worker was asked to stop; the task ends when it has, or when the lease runs out. */
  | { kind: 'requested'; worker: string }
  | { kind: 'ended'; state: string }
  /** It is for its process to go on or not. */
  | { kind: 'of_process'; processId: string }
  | { kind: 'not_found' };

export async function cancelTask(db: Database, taskId: string): Promise<CancelResult> {
  let awaited: string | null = null;
  const result = await inTransaction(db, async (tx): Promise<CancelResult> => {
    const locked = await tx.query<{ task_id: string; worker: string | null; awaited: boolean }>(
      'select task_id, worker, awaited from skipjack.queue_items where task_id = $1 and process_id is null for update',
      [taskId],
    );
    const item = locked.rows[0];
    if (!item) {
      const { rows } = await tx.query<{ state: TaskState; process_id: string | null }>(
        'select state, process_id from skipjack.tasks where id = $1',
        [taskId],
      );
      const task = rows[0];
      if (!task) return { kind: 'not_found' };
      if (task.process_id === null || hasEnded(task.state)) return { kind: 'ended', state: task.state };
      return { kind: 'of_process', processId: task.process_id };
    }
    // The id as Postgres writes it: who waits knows the task by that.
    if (item.awaited) awaited = item.task_id;
    if (item.worker !== null) {
      await tx.query('update skipjack.queue_items set cancel_requested = true where task_id = $1', [taskId]);
      return { kind: 'requested', worker: item.worker };
    }
    await tx.query(
      `with ended as (delete from skipjack.queue_items where task_id = $1 returning *)
       update skipjack.tasks as task set state = 'cancelled', finished_at = clock_timestamp(),
         claim_no = ended.claim_no, failures = ended.failures, losses = ended.losses
       from ended where task.id = ended.task_id`,
      [taskId],
    );
    return { kind: 'cancelled' };
  });
  if (result.kind === 'requested') db.hints.announce({ workers: [result.worker] });
  if (result.kind === 'cancelled' && awaited !== null) db.hints.announce({ ended: [awaited] });
  return result;
}
