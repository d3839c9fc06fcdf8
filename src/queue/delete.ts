/**
 * Deletes the record of a task that has ended, with its attempts, its log, its dead letter and its idempotency key.
 * The log goes by a trigger (`skipjack.delete_logs`).
 */
import { type Database, inTransaction } from '../database/connection.ts';

export type DeleteResult =
  | { kind: 'deleted' }
  | { kind: 'not_ended'; state: string }
  | { kind: 'of_process'; processId: string }
  | { kind: 'not_found' };

export async function deleteTask(db: Database, taskId: string): Promise<DeleteResult> {
  return inTransaction(db, async (tx): Promise<DeleteResult> => {
    // A process's task is deleted with its process, which locks in another order.
    const known = await tx.query<{ process_id: string | null }>(
      'select process_id from skipjack.tasks where id = $1',
      [taskId],
    );
    const processId = known.rows[0]?.process_id ?? null;
    if (processId !== null) return { kind: 'of_process', processId };
    // The dead letter first, as replay does: whoever has it decides whether the task is still over.
    await tx.query('select from skipjack.dead_letters where task_id = $1 for update', [taskId]);
    const { rows } = await tx.query<{ state: string }>(
      'select state from skipjack.tasks where id = $1 for update',
      [taskId],
    );
    if (!rows[0]) return { kind: 'not_found' };
    const { state } = rows[0];
    if (state === 'active' || state === 'pending') return { kind: 'not_ended', state };
    await tx.query(
      `with letter as (delete from skipjack.dead_letters where task_id = $1),
         tries as (delete from skipjack.attempts where task_id = $1),
         keys as (delete from skipjack.idempotency_keys where made_id = $1 and scope = 'task')
       delete from skipjack.tasks where id = $1`,
      [taskId],
    );
    return { kind: 'deleted' };
  });
}

/** Deletes a dead letter; its task stays in the record as failed. */
export async function deleteDeadLetter(db: Database, taskId: string): Promise<boolean> {
  const { rowCount } = await db.pool.query('delete from skipjack.dead_letters where task_id = $1', [taskId]);
  return rowCount === 1;
}
