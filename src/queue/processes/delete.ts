/**
 * Deletes the record of a process that has ended: its tasks with all that belongs to them, its result, its events, its
 * key. Logs go with their tasks, by a trigger (`skipjack.delete_logs`).
 *
 * What a task of it had started stays, and is then nobody's. The other way round, a process whose end the task that
 * started it has yet to hear of is kept: its output is read from it, or it is retried with the other. So the two are
 * locked together.
 */
import { crashPoint } from '../../core/crash-point.ts';
import { hasProcessEnded } from '../../core/process.ts';
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import { lockProcess, lockProcesses, type MoveOptions, requireRevision } from './lock.ts';

export type DeleteProcessResult =
  | { kind: 'deleted' }
  | { kind: 'not_ended'; state: string }
  /** The task that started it waits for its outcome. */
  | { kind: 'not_taken'; parentId: string }
  | { kind: 'not_found' };

export async function deleteProcess(
  db: Database,
  id: string,
  options: MoveOptions = {},
): Promise<DeleteProcessResult> {
  const result = await inTransaction(db, async (tx): Promise<DeleteProcessResult> => {
    // Never changes once it is there.
    const known = await tx.query<{ parent_process_id: string | null }>(
      'select parent_process_id from skipjack.processes where id = $1',
      [id],
    );
    crashPoint('delete_parent_found');
    const parentId = known.rows[0]?.parent_process_id ?? null;
    if (parentId !== null) {
      await lockProcesses(tx, [id, parentId]);
      crashPoint('delete_parent_locked');
    }
    const process = await lockProcess(tx, id);
    if (!process) return { kind: 'not_found' };
    requireRevision(process, options);
    if (!hasProcessEnded(process.state)) return { kind: 'not_ended', state: process.state };
    if (parentId !== null && (await isAwaited(tx, id))) return { kind: 'not_taken', parentId };
    // By their places: where it believes that little ever failed, Postgres would rather read every letter and attempt.
    // They do not move: whoever changes them holds the process.
    await tx.query(
      `with gone as (
         delete from skipjack.tasks where process_id = $1 returning id
       ), letters as (
         delete from skipjack.dead_letters where ctid = any (array(
           select letter.ctid from gone
           cross join lateral (select ctid from skipjack.dead_letters where task_id = gone.id offset 0) as letter))
       ), tries as (
         delete from skipjack.attempts where ctid = any (array(
           select attempt.ctid from gone
           cross join lateral (select ctid from skipjack.attempts where task_id = gone.id offset 0) as attempt))
       ), waits as (
         delete from skipjack.event_waits where ctid = any (array(
           select wait.ctid from gone
           cross join lateral (select ctid from skipjack.event_waits where task_id = gone.id offset 0) as wait))
       ), lists as (
         delete from skipjack.item_lists where process_id = $1
       ), thoughts as (
         delete from skipjack.engine_items where process_id = $1
       ), results as (
         delete from skipjack.process_results where process_id = $1
       ), events as (
         delete from skipjack.process_events where process_id = $1
       ), inputs as (
         delete from skipjack.process_inputs where process_id = $1
       ), keys as (
         delete from skipjack.idempotency_keys where made_id = $1 and scope = 'process'
       )
       delete from skipjack.processes where id = $1`,
      [id],
    );
    crashPoint('delete_done');
    return { kind: 'deleted' };
  });
  crashPoint('delete_committed');
  return result;
}

/** Whether the task that started it waits for it. Of several that it started one after the other, the last. */
async function isAwaited(tx: Transaction, id: string): Promise<boolean> {
  const { rows } = await tx.query<{ awaited: boolean }>(
    `select not child.detached and exists (
       select from skipjack.tasks as task
       where task.id = child.parent_task_id and task.process_id = child.parent_process_id and task.waits_for = 'process'
     ) and not exists (
       select from skipjack.processes as later
       where later.parent_process_id = child.parent_process_id and later.parent_task_id = child.parent_task_id
         and not later.detached and (later.created_at, later.id) > (child.created_at, child.id)
     ) as awaited
     from skipjack.processes as child where child.id = $1`,
    [id],
  );
  crashPoint('delete_awaited_read');
  return rows[0]?.awaited ?? false;
}
