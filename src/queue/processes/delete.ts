/**
 * Deletes the record of a process that has ended: its tasks with all that belongs to them, its events, its key. Logs go
 * with their tasks, by a trigger (`skipjack.delete_logs`).
 */
import { hasProcessEnded } from '../../core/process.ts';
import { type Database, inTransaction } from '../../database/connection.ts';
import { lockProcess, type MoveOptions, requireRevision } from './lock.ts';

export type DeleteProcessResult =
  | { kind: 'deleted' }
  | { kind: 'not_ended'; state: string }
  | { kind: 'not_found' };

export async function deleteProcess(
  db: Database,
  id: string,
  options: MoveOptions = {},
): Promise<DeleteProcessResult> {
  return inTransaction(db, async (tx): Promise<DeleteProcessResult> => {
    const process = await lockProcess(tx, id);
    if (!process) return { kind: 'not_found' };
    requireRevision(process, options);
    if (!hasProcessEnded(process.state)) return { kind: 'not_ended', state: process.state };
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
    return { kind: 'deleted' };
  });
}
