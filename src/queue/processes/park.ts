/**
 * Active tasks without a queue item: what they wait for, and how they come to the queue. Their processes must have
 * been locked by an earlier statement.
 */
import type { Parking } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';

/** Says what parked tasks wait for. Whoever does sees to what will wake them, in the same transaction. */
export async function parkTasks(
  tx: Transaction,
  tasks: { taskId: string; waitsFor: Parking }[],
): Promise<void> {
  if (tasks.length === 0) return;
  await tx.query(
    `with parked as materialized (
       select * from jsonb_to_recordset($1::jsonb) as parked ("taskId" uuid, "waitsFor" text) limit ${tasks.length}
     )
     update skipjack.tasks as task set waits_for = parked."waitsFor"
     from parked
     where task.id = parked."taskId" and task.id = any (array(select "taskId" from parked))
       and task.waits_for is not null`,
    [JSON.stringify(tasks.map(({ taskId, waitsFor }) => ({ taskId, waitsFor })))],
  );
}

/**
 * Parked tasks go on the queue, held if their process is paused; those that are not parked are passed over. Answers
 * the hints to give after the commit.
 */
export async function queueTasks(
  tx: Transaction,
  tasks: { taskId: string; delayMs?: number; runAt?: string }[],
): Promise<Hint[]> {
  if (tasks.length === 0) return [];
  const { rows } = await tx.query<{ queue: string; priority: number }>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), wanted as materialized (
       select *
       from jsonb_to_recordset($1::jsonb) as wanted ("taskId" uuid, "delayMs" bigint, "runAt" timestamptz)
       limit ${tasks.length}
     ), active as (
       update skipjack.tasks as task set waits_for = null
       from wanted
       where task.id = wanted."taskId" and task.id = any (array(select "taskId" from wanted)) and task.waits_for is not null
       returning task.*, wanted."delayMs" as delay_ms, wanted."runAt" as run_at
     ), queued as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, timeout_ms, held)
       select active.id, active.process_id, active.queue, active.priority,
         -- Not before now: what was looked at a moment ago is not looked at again.
         greatest(active.run_at, clock.at + coalesce(active.delay_ms, 0) * interval '1 millisecond'),
         active.claim_no, active.timeout_ms, process.paused and process.state in ('running', 'failing')
       from active
       cross join clock
       cross join lateral (select * from skipjack.processes where id = active.process_id limit 1) as process
     )
     select distinct queue, priority from active`,
    [JSON.stringify(tasks.map(({ taskId, delayMs, runAt }) => ({ taskId, delayMs, runAt })))],
  );
  if (rows.length === 0) return [];
  return [{ lines: rows.map((row): [string, number] => [row.queue, row.priority]) }];
}
