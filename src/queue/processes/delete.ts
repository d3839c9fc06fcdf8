/** Deletes the record of a process that has ended: its tasks with all that belongs to them, its events, its key. */
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
    // By an array of ids: where it believes that nothing ever failed, Postgres would walk every attempt in a join.
    await tx.query(
      `with gone as (
         delete from skipjack.tasks where process_id = $1 returning id
       ), letters as (
         delete from skipjack.dead_letters where task_id = any (array(select id from gone))
       ), tries as (
         delete from skipjack.attempts where task_id = any (array(select id from gone))
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
