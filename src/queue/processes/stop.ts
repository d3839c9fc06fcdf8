/**
 * Stop: ends what will not run any more in processes that the caller has locked: tasks that wait are cancelled,
 * running ones are asked to stop and keep their process from ending until they have. Clean-up tasks of the kind that
 * a process runs as it stops are spared.
 *
 * First the items are locked, in the order of their ids, as settle locks them; then, in the next statement, it is
 * decided which of them are claimed: one that was being claimed meanwhile is seen as it is.
 *
 * A parked task is not held by anybody, so it ends here, and with it what would have woken it. One that waits for a
 * process which it has started goes on waiting: that process is told to cancel, and the engine that ends it ends the
 * task. It is told by a row in its inbox; its lock is not ours to take any more. One that is sent its event, even if
 * its sender has not ended, waits for an engine to hand that over: a retry would wait for it in vain. Who sends an event
 * deletes what waits for it, so it is sent where that is gone or locked; the engine is reminded, for the sender may
 * roll back.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { engineLine } from './inbox.ts';
import { lockItems } from './lock.ts';

/** Answers the hints to give after the commit. */
export async function stopProcesses(
  tx: Transaction,
  {
    whole,
    behindFailures = [],
    withEngine = true,
  }: {
    /** Processes of which nothing more may start but clean-ups. */
    whole: string[];
    /** Processes that go on, but for what needs, however remotely, a task that failed for good. */
    behindFailures?: string[];
    /** False: none of them needs an engine (`lockProcesses`), and the statements are shorter. */
    withEngine?: boolean;
  },
): Promise<Hint[]> {
  const hints = whole.length > 0 ? await stopWhole(tx, whole, withEngine) : [];
  if (behindFailures.length > 0) hints.push(...(await cancelBehindFailures(tx, behindFailures, withEngine)));
  return hints;
}

/** The items of an `each` of which too many have failed. The rest of the process goes on. */
export async function stopItems(
  tx: Transaction,
  { processId, ordinal }: { processId: string; ordinal: number },
): Promise<Hint[]> {
  const items = `select task.id, task.process_id, task.state, task.waits_for, task.item_of
       from skipjack.item_lists as list
       cross join lateral (
         select * from skipjack.tasks
         where process_id = list.process_id and ordinal between list.first_ordinal and list.last_ordinal
           and state in ('pending', 'active')
         offset 0
       ) as task
       where list.process_id = any ($1::uuid[]) and list.ordinal = $2`;
  await tx.query(
    `select
     from (select id from (${items}) as item where state = 'active' order by id) as task
     cross join lateral (select from skipjack.queue_items where task_id = task.id limit 1 for update) as item`,
    [[processId], ordinal],
  );
  crashPoint('stop_items_locked');
  return stop(tx, items, [[processId], ordinal], true);
}

async function stopWhole(tx: Transaction, ids: string[], withEngine: boolean): Promise<Hint[]> {
  await lockItems(tx, ids);
  crashPoint('stop_items_locked');
  if (!withEngine) {
    const live = `select task.id, task.process_id, task.state, task.waits_for
       from unnest($1::uuid[]) as wanted (id)
       cross join lateral (
         select * from skipjack.tasks where process_id = wanted.id and state in ('pending', 'active') offset 0
       ) as task`;
    return stop(tx, live, [ids], false);
  }
  return stop(
    tx,
    `select task.id, task.process_id, task.state, task.waits_for, task.item_of
       from unnest($1::uuid[]) as wanted (id)
       cross join lateral (select state from skipjack.processes where id = wanted.id limit 1) as process
       cross join lateral (
         select * from skipjack.tasks where process_id = wanted.id and state in ('pending', 'active') offset 0
       ) as task
       where not case when process.state = 'cancelling' then task.runs_on_cancel else task.runs_on_failure end`,
    [ids],
    true,
  );
}

interface Stopped {
  workers: string[] | null;
  ended_tasks: string[] | null;
  ended_processes: string[] | null;
  posted: boolean;
  lines: [string, number][] | null;
}

/** Ends the unended tasks that `live` selects; their items are locked. `$1` are ids of processes. */
async function stop(tx: Transaction, live: string, values: unknown[], withEngine: boolean): Promise<Hint[]> {
  const { rows } = await tx.query<Stopped>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), ${withEngine ? spareThoseSent(live) : `live as materialized (\n       ${live}\n     )`}, waiting as (
       delete from skipjack.queue_items as item
       where item.task_id = any (array(select id from live)) and item.worker is null
       returning item.task_id, item.claim_no, item.failures, item.losses, item.awaited
     ), flagged as (
       update skipjack.queue_items as item set cancel_requested = true
       where item.task_id = any (array(select id from live)) and item.worker is not null
       returning item.worker
     ), ended as (
       update skipjack.tasks as task set state = 'cancelled', finished_at = clock.at, waits_for = null,
         claim_no = coalesce(live.claim_no, task.claim_no), failures = coalesce(live.failures, task.failures),
         losses = coalesce(live.losses, task.losses)
       from (
         select live.id, live.state, live.waits_for, waiting.task_id, waiting.claim_no, waiting.failures, waiting.losses,
           waiting.awaited
         from live
         -- Full, though all of them are live: ten thousand are then not looked for among ten thousand, one by one, where
         -- Postgres believes that there are none. Without the offset it would find out.
         full join waiting on waiting.task_id = live.id
         offset 0
       ) as live
       cross join clock
       where task.id = live.id
         and (live.state = 'pending' or live.task_id is not null or live.waits_for <> 'process')
       returning task.id, task.process_id, task.item_of, live.waits_for, live.awaited
     ), ${withEngine ? `${wakeOthers}, ` : ''}${countDown(withEngine)}
     select (select array_agg(distinct worker) from flagged) as workers, ${endedTasks} as ended_tasks,
       (select array_agg(id::text) from counted_down where awaited and unfinished = 0) as ended_processes,
       ${
         withEngine
           ? `exists (select from told) or exists (select from posted) or exists (select from reminded) as posted,
       (select jsonb_agg(distinct jsonb_build_array(queue, priority)) from released) as lines`
           : 'false as posted, null::jsonb as lines'
       }`,
    values,
  );
  crashPoint('stop_done');
  return hintsOf(rows[0]);
}

/** All of them are pending: a need that failed never counts as met. */
async function cancelBehindFailures(tx: Transaction, ids: string[], withEngine: boolean): Promise<Hint[]> {
  const { rows } = await tx.query<Stopped>(
    `with recursive clock as materialized (
       select clock_timestamp() as at
     ), behind as (
       select failed.process_id, dependent.ordinal
       from unnest($1::uuid[]) as wanted (id)
       cross join lateral (
         select process_id, dependents from skipjack.tasks
         where process_id = wanted.id and state = 'failed' and not continue_on_error offset 0
       ) as failed
       cross join lateral unnest(failed.dependents) as dependent (ordinal)
       -- Behind failures of before only clean-ups are pending, so the walk begins at the new ones.
       cross join lateral (
         select from skipjack.tasks
         where process_id = failed.process_id and ordinal = dependent.ordinal and state = 'pending' limit 1
       ) as next
       union
       select behind.process_id, dependent.ordinal
       from behind
       cross join lateral (
         select dependents from skipjack.tasks where process_id = behind.process_id and ordinal = behind.ordinal limit 1
       ) as task
       cross join lateral unnest(task.dependents) as dependent (ordinal)
     ), waiting as materialized (
       select task.place
       from behind
       cross join lateral (
         select ctid as place from skipjack.tasks
         where process_id = behind.process_id and ordinal = behind.ordinal and state = 'pending' and not runs_on_failure
         limit 1
       ) as task
     ), ended as (
       update skipjack.tasks as task set state = 'cancelled', finished_at = clock.at
       from waiting
       cross join clock
       where task.ctid = waiting.place and task.ctid = any (array(select place from waiting))
       returning task.id, task.process_id, task.item_of, null::boolean as awaited
     ), ${countDown(withEngine)}
     select null::text[] as workers, ${endedTasks} as ended_tasks,
       (select array_agg(id::text) from counted_down where awaited and unfinished = 0) as ended_processes,
       ${withEngine ? 'exists (select from posted)' : 'false'} as posted, null::jsonb as lines`,
    [ids],
  );
  crashPoint('stop_behind_failures_done');
  return hintsOf(rows[0]);
}

/** Those that somebody waits for, by themselves or because of their process. */
const endedTasks = `(
       select array_agg(id::text) from ended
       where awaited or process_id = any (array(
         select id from skipjack.processes where id = any ($1::uuid[]) and tasks_awaited)))`;

/** What would have woken parked tasks that are `ended`. None of them is being sent its event: see `spareThoseSent`. */
export const forgetEnded = `forgotten as (
       delete from skipjack.engine_items
       where process_id = any (array(select distinct process_id from ended where waits_for is not null))
         and task_id in (select id from ended where waits_for is not null)
     ), nobody_waits as (
       delete from skipjack.event_waits
       where task_id = any (array(select id from ended where waits_for = 'event'))
     )`;

/** `unended`, but for those that are sent their events. */
function spareThoseSent(unended: string): string {
  return `unended as materialized (
       ${unended}
     ), not_sent as materialized (
       select task_id from skipjack.event_waits
       where task_id = any (array(select id from unended where waits_for = 'event'))
       order by task_id
       for update skip locked
     ), live as materialized (
       select * from unended where waits_for is distinct from 'event' or id in (select task_id from not_sent)
     ), reminded as (
       insert into skipjack.engine_items (process_id, task_id, kind, available_at)
       select unended.process_id, unended.id, 'timer', clock.at
       from unended
       cross join clock
       where unended.waits_for = 'event' and unended.id not in (select task_id from not_sent)
       returning process_id
     )`;
}

/** What was to wake those that have `ended`, and who else is to hear of it. */
const wakeOthers = `${forgetEnded}, children as materialized (
       select child.id, child.parent_task_id
       from (select distinct process_id from live where waits_for = 'process') as parent
       cross join lateral (
         select id, parent_task_id from skipjack.processes
         where parent_process_id = parent.process_id
           -- A failed one may be on its way back: what finds it ended passes it over.
           and not detached and state in ('running', 'failing', 'failed')
         offset 0
       ) as child
     ), told as (
       insert into skipjack.engine_items (process_id, kind, available_at)
       select child.child_id, 'cancel', clock.at
       from (
         select children.id as child_id, live.waits_for
         from live full join children on children.parent_task_id = live.id
         offset 0
       ) as child
       cross join clock
       where child.waits_for = 'process' and child.child_id is not null
       returning process_id
     ), released as (
       -- Of a process that is being cancelled a pause holds nothing back any more.
       update skipjack.queue_items as item set held = false
       where item.held and item.task_id = any (array(
         select task.id
         from unnest($1::uuid[]) as wanted (id)
         cross join lateral (
           select * from skipjack.processes where id = wanted.id and paused and cleans_up and state = 'cancelling' limit 1
         ) as process
         cross join lateral (
           select id from skipjack.tasks
           where process_id = process.id and state = 'active' and waits_for is null and runs_on_cancel offset 0
         ) as task))
       returning item.queue, item.priority
     )`;

/** Those whose tasks have `ended` count down. */
function countDown(withEngine: boolean): string {
  return `counted as materialized (
       select process_id, count(*)::integer as ended from ended group by process_id
     ), counted_down as (
       update skipjack.processes as process set
         unfinished = process.unfinished - counted.ended,
         revision = process.revision + 1,
         state = case when process.unfinished > counted.ended or process.finishes then process.state
           when process.state = 'cancelling' then 'cancelled' else 'failed' end,
         finished_at = case when process.unfinished = counted.ended and not process.finishes then clock.at end
       from counted
       cross join clock
       where process.id = counted.process_id and process.id = any ($1::uuid[])
       returning process.id, process.awaited and not process.finishes as awaited, process.unfinished, process.finishes
     )${withEngine ? tellEngine : ''}`;
}

/** Lists of items count down, too, and an engine is told what of the processes `$1` is left for it. */
const tellEngine = `, counted_items as (
       update skipjack.item_lists as list set unended = list.unended - items.ended
       from (select process_id, item_of, count(*)::integer as ended from ended where item_of is not null group by 1, 2) as items
       where list.process_id = items.process_id and list.ordinal = items.item_of
       returning list.process_id, list.task_id, list.unended
     ), posted as (
       insert into skipjack.engine_items (process_id, task_id, kind, available_at)
       select thought.process_id, thought.task_id, thought.kind, clock.at
       from (
         select id as process_id, null::uuid as task_id, 'finish' as kind from counted_down where unfinished = 0 and finishes
         union all
         -- Where its whole process stops, the task has ended with its items.
         select process_id, task_id, 'items'
         from counted_items
         where unended = 0 and not exists (select from ended where ended.id = counted_items.task_id)
           and exists (select from skipjack.tasks as task where task.id = counted_items.task_id and task.waits_for = 'items')
         union all
         select process.id, null, 'cleanup'
         from unnest($1::uuid[]) as wanted (id)
         cross join lateral (select * from skipjack.processes where id = wanted.id limit 1) as process
         left join counted on counted.process_id = process.id
         where process.cleans_up and process.state in ('failing', 'cancelling') and process.unfinished > coalesce(counted.ended, 0)
           and not exists (
             select from skipjack.engine_items as known
             where known.process_id = process.id and known.kind = 'cleanup' offset 0)
       ) as thought
       cross join clock
       returning process_id
     ), cleared as (
       delete from skipjack.engine_items
       where process_id = any (array(select id from counted_down where unfinished = 0 and not finishes)) and task_id is null
     )`;

function hintsOf(stopped: Stopped | undefined): Hint[] {
  const ended = [...(stopped?.ended_tasks ?? []), ...(stopped?.ended_processes ?? [])];
  return [
    ...(stopped?.workers ? [{ workers: stopped.workers }] : []),
    ...(ended.length > 0 ? [{ ended }] : []),
    ...(stopped?.posted ? [{ lines: [engineLine] }] : []),
    ...(stopped?.lines ? [{ lines: stopped.lines, putBack: true }] : []),
  ];
}
