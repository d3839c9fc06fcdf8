/**
 * Retry: a failed process goes on from where it failed. Its failed tasks are active again with a new budget of
 * attempts and losses, what the failure had cancelled is pending again, their dead letters are marked. What has
 * completed, or failed under `continue_on_error`, stays. Replaying the dead letter of one of its tasks is this.
 *
 * Claim numbers go on from where they were, so that no token of the earlier life fits the new one. Under the
 * lock: of two at once one wins, the other finds the process running.
 */
import { type Database, inTransaction, type Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { recordEvent } from './events.ts';
import { lockProcess, type MoveOptions, requireRevision } from './lock.ts';

export type RetryProcessResult =
  | { kind: 'retried'; tasks: string[] }
  | { kind: 'not_failed'; state: string }
  | { kind: 'not_found' };

export async function retryProcess(
  db: Database,
  id: string,
  options: MoveOptions = {},
): Promise<RetryProcessResult> {
  const { result, hints } = await inTransaction(db, (tx) => retryLocking(tx, id, options));
  for (const hint of hints) db.hints.announce(hint);
  return result;
}

/** In a transaction of the caller's that has locked no item and no later process yet. The hints are for after it. */
export async function retryLocking(
  tx: Transaction,
  id: string,
  options: MoveOptions = {},
): Promise<{ result: RetryProcessResult; hints: Hint[] }> {
  const process = await lockProcess(tx, id);
  if (!process) return { result: { kind: 'not_found' }, hints: [] };
  requireRevision(process, options);
  if (process.state !== 'failed') return { result: { kind: 'not_failed', state: process.state }, hints: [] };

  const { rows } = await tx.query<{ name: string }>(
    `select name from skipjack.tasks
     where process_id = $1 and state = 'failed' and not continue_on_error order by ordinal`,
    [id],
  );
  const failed = rows.map((row) => row.name);
  await recordEvent(tx, {
    processId: id,
    event: 'retried',
    by: options.by,
    details: { failed: failed.slice(0, 100), failed_at: process.finished_at },
  });
  const revived = await tx.query<{ queue: string; priority: number }>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), again as materialized (
       select id, ordinal, dependents, state = 'failed' as failed
       from skipjack.tasks
       where process_id = $1 and (state = 'cancelled' or (state = 'failed' and not continue_on_error))
     ), waiting as materialized (
       select dependent.ordinal, count(*)::integer as unmet
       from again cross join lateral unnest(again.dependents) as dependent (ordinal)
       group by dependent.ordinal
     ), marked as (
       update skipjack.dead_letters as letter set replayed_at = clock.at, replays = replays + 1
       from again cross join clock
       where letter.task_id = again.id and again.failed and letter.replayed_at is null
     ), revived as (
       update skipjack.tasks as task set
         state = case when waiting.unmet is null then 'active' else 'pending' end, unmet = coalesce(waiting.unmet, 0),
         failures = 0, losses = 0, worker = null, started_at = null, finished_at = null,
         wait_ms = null, run_ms = null, cpu_ms = null, memory_peak_bytes = null, exit_code = null, output = null,
         error = null
       from again
       left join waiting on waiting.ordinal = again.ordinal
       where task.id = again.id
       returning task.id, task.queue, task.priority, task.claim_no, task.timeout_ms, task.state
     ), queued as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, timeout_ms)
       select id, $1, queue, priority, clock.at, claim_no, timeout_ms
       from revived cross join clock
       where state = 'active'
     ), reopened as (
       update skipjack.processes set state = 'running', paused = false, finished_at = null, revision = revision + 1,
         unfinished = (select count(*) from again)
       where id = $1
     )
     select distinct queue, priority from revived where state = 'active'`,
    [id],
  );
  const lines = revived.rows.map((row): [string, number] => [row.queue, row.priority]);
  return { result: { kind: 'retried', tasks: failed }, hints: [{ lines, putBack: true }] };
}
