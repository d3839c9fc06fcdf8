/**
 * Stop: ends what will not run any more in processes that the caller has locked: tasks that wait are cancelled,
 * running ones are asked to stop and keep their process from ending until they have.
 *
 * First the items are locked, in the order of their ids, as settle locks them; then, in the next statement, it is
 * decided which of them are claimed: one that was being claimed meanwhile is seen as it is.
 */
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { lockItems } from './lock.ts';

/** Answers the hints to give after the commit. */
export async function stopProcesses(
  tx: Transaction,
  {
    whole,
    behindFailures = [],
  }: {
    /** Processes of which nothing more may start. */
    whole: string[];
    /** Processes that go on, but for what needs, however remotely, a task that failed for good. */
    behindFailures?: string[];
  },
): Promise<Hint[]> {
  return [
    ...(whole.length > 0 ? await stopWhole(tx, whole) : []),
    ...(behindFailures.length > 0 ? await cancelBehindFailures(tx, behindFailures) : []),
  ];
}

interface Stopped {
  workers: string[] | null;
  ended_tasks: string[] | null;
  ended_processes: string[] | null;
}

async function stopWhole(tx: Transaction, ids: string[]): Promise<Hint[]> {
  await lockItems(tx, ids);
  const { rows } = await tx.query<Stopped>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), live as materialized (
       select id, process_id, state from skipjack.tasks where process_id = any ($1::uuid[]) and state in ('pending', 'active')
     ), waiting as (
       delete from skipjack.queue_items as item
       where item.task_id = any (array(select id from live)) and item.worker is null
       returning item.task_id, item.claim_no, item.failures, item.losses, item.awaited
     ), flagged as (
       update skipjack.queue_items as item set cancel_requested = true
       where item.task_id = any (array(select id from live)) and item.worker is not null
       returning item.worker
     ), ended as (
       update skipjack.tasks as task set state = 'cancelled', finished_at = clock.at,
         claim_no = coalesce(waiting.claim_no, task.claim_no), failures = coalesce(waiting.failures, task.failures),
         losses = coalesce(waiting.losses, task.losses)
       from live
       left join waiting on waiting.task_id = live.id
       cross join clock
       where task.id = live.id and (live.state = 'pending' or waiting.task_id is not null)
       returning task.id, task.process_id, waiting.awaited
     ), ${countDown}
     select (select array_agg(distinct worker) from flagged) as workers, ${endedTasks} as ended_tasks,
       (select array_agg(id::text) from counted_down where awaited and unfinished = 0) as ended_processes`,
    [ids],
  );
  return hintsOf(rows[0]);
}

/** All of them are pending: a need that failed never counts as met. */
async function cancelBehindFailures(tx: Transaction, ids: string[]): Promise<Hint[]> {
  const { rows } = await tx.query<Stopped>(
    `with recursive clock as materialized (
       select clock_timestamp() as at
     ), behind as (
       select task.process_id, dependent.ordinal
       from skipjack.tasks as task
       cross join lateral unnest(task.dependents) as dependent (ordinal)
       -- Behind failures of before nothing is pending any more, so the walk begins at the new ones.
       join skipjack.tasks as next on next.process_id = task.process_id and next.ordinal = dependent.ordinal
       where task.process_id = any ($1::uuid[]) and task.state = 'failed' and not task.continue_on_error
         and next.state = 'pending'
       union
       select behind.process_id, dependent.ordinal
       from behind
       join skipjack.tasks as task on task.process_id = behind.process_id and task.ordinal = behind.ordinal
       cross join lateral unnest(task.dependents) as dependent (ordinal)
     ), ended as (
       update skipjack.tasks as task set state = 'cancelled', finished_at = clock.at
       from behind
       cross join clock
       where task.process_id = behind.process_id and task.ordinal = behind.ordinal and task.state = 'pending'
       returning task.id, task.process_id, null::boolean as awaited
     ), ${countDown}
     select null::text[] as workers, ${endedTasks} as ended_tasks,
       (select array_agg(id::text) from counted_down where awaited and unfinished = 0) as ended_processes`,
    [ids],
  );
  return hintsOf(rows[0]);
}

const endedTasks = `(
       select array_agg(ended.id::text)
       from ended join skipjack.processes as process on process.id = ended.process_id
       where ended.awaited or process.tasks_awaited)`;

const countDown = `counted as materialized (
       select process_id, count(*)::integer as ended from ended group by process_id
     ), counted_down as (
       update skipjack.processes as process set
         unfinished = process.unfinished - counted.ended,
         revision = process.revision + 1,
         state = case when process.unfinished > counted.ended then process.state
           when process.state = 'cancelling' then 'cancelled' else 'failed' end,
         finished_at = case when process.unfinished = counted.ended then clock.at end
       from counted
       cross join clock
       where process.id = counted.process_id
       returning process.id, process.awaited, process.unfinished
     )`;

function hintsOf(stopped: Stopped | undefined): Hint[] {
  const ended = [...(stopped?.ended_tasks ?? []), ...(stopped?.ended_processes ?? [])];
  return [
    ...(stopped?.workers ? [{ workers: stopped.workers }] : []),
    ...(ended.length > 0 ? [{ ended }] : []),
  ];
}
