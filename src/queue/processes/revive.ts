/**
 * What is to be done again of a failed process, in statements of their own: the process is locked, all of it has
 * ended, and nobody else writes to its rows. So after the first one what is live is what was revived.
 *
 *   tasks      failed and cancelled ones, and all that follows from them: pending, or active if they need none of these
 *   items      of an active `each`: those that failed or were cancelled; the list counts them, and nothing else
 *   lists      of a pending `each` go: it will be thought about, and may have other items
 *   the rest   queue items, thoughts, the deadline, the process itself
 *
 * An active task goes to the queue, or is parked as it was: for its items; for the process that it had started, if
 * that has failed and can go on; else for an engine, if one must think about it.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Transaction } from '../../database/connection.ts';
import { engineLine } from './inbox.ts';

/** Names of the tasks that failed for good and are tried again, in the order of the plan. */
export async function readFailed(tx: Transaction, id: string): Promise<string[]> {
  const { rows } = await tx.query<{ name: string }>(
    `select name from skipjack.tasks
     where process_id = $1 and state = 'failed' and not continue_on_error and item_of is null order by ordinal`,
    [id],
  );
  return rows.map((row) => row.name);
}

/** Ordinals of the tasks that are tried again, and how many of the others each of them needs. For process $1. */
export const againSql = `again as (
       select ordinal, dependents
       from skipjack.tasks
       where process_id = $1 and item_of is null and (state = 'cancelled' or (state = 'failed' and not continue_on_error))
       union
       select task.ordinal, task.dependents
       from again
       cross join lateral unnest(again.dependents) as dependent (ordinal)
       cross join lateral (
         select ordinal, dependents from skipjack.tasks where process_id = $1 and ordinal = dependent.ordinal limit 1
       ) as task
     ), waiting as materialized (
       select dependent.ordinal, count(*)::integer as unmet
       from again cross join lateral unnest(again.dependents) as dependent (ordinal)
       group by dependent.ordinal
     )`;

/** For each task of process $1 that waited for a process: the last one it had started, and whether that can go on. */
const childrenSql = `children as materialized (
       select distinct on (child.parent_task_id) child.parent_task_id, child.id,
         child.state = 'failed' and not exists (
           select from skipjack.process_results as result
           where result.process_id = child.id and result.failure_process_id is not null) as goes_on
       from skipjack.processes as child
       where child.parent_process_id = $1 and not child.detached
       -- Ids are made by engines, whose clocks may differ.
       order by child.parent_task_id, child.created_at desc, child.id desc
     )`;

/** The record of a life that is over; its attempts stay. */
const freshSql = `failures = 0, losses = 0, worker = null, started_at = null, finished_at = null, wait_ms = null,
         run_ms = null, cpu_ms = null, memory_peak_bytes = null, exit_code = null, output = null, error = null`;

const markedSql = `marked as (
       update skipjack.dead_letters as letter set replayed_at = clock_timestamp(), replays = replays + 1
       where letter.replayed_at is null and letter.ctid = any (array(
         select waiting.ctid from placed
         cross join lateral (select ctid from skipjack.dead_letters where task_id = placed.id offset 0) as waiting))
     )`;

/**
 * The process must be locked, and have failed. Answers the lines where there is work now.
 *
 * Rows are found one by one and changed by their places: where it believes that the tables are small, Postgres would
 * rather read all of them. They do not move: whoever changes them holds the process.
 */
export async function reviveProcess(tx: Transaction, id: string): Promise<{ lines: [string, number][] }> {
  await tx.query(
    `with recursive ${againSql}, ${childrenSql}, skipping as materialized (
       -- What needs a task that stays skipped is thought about, also if that was skipped while the process stopped.
       select distinct dependent.ordinal
       from skipjack.tasks as task
       cross join lateral unnest(task.dependents) as dependent (ordinal)
       where task.process_id = $1 and task.state = 'skipped' and task.ordinal not in (select ordinal from again)
     ), placed as materialized (
       select task.place, task.id, coalesce(waiting.unmet, 0) as unmet,
         task.thinks or skipping.ordinal is not null as thinks,
         case when waiting.unmet is not null then null
           when exists (select from skipjack.item_lists where process_id = $1 and ordinal = again.ordinal) then 'items'
           when children.goes_on then 'process'
           when task.thinks or skipping.ordinal is not null then 'engine' end as waits_for
       from again
       cross join lateral (
         select ctid as place, id, thinks from skipjack.tasks where process_id = $1 and ordinal = again.ordinal limit 1
       ) as task
       left join waiting on waiting.ordinal = again.ordinal
       left join skipping on skipping.ordinal = again.ordinal
       left join children on children.parent_task_id = task.id
     ), ${markedSql}
     update skipjack.tasks as task set
       state = case when placed.unmet = 0 then 'active' else 'pending' end, unmet = placed.unmet, thinks = placed.thinks,
       waits_for = placed.waits_for, ${freshSql}
     from placed
     where task.ctid = placed.place and task.ctid = any (array(select place from placed))`,
    [id],
  );
  crashPoint('retry_tasks_revived');
  await reviveItems(tx, id);
  crashPoint('retry_items_revived');
  await dropItems(tx, id);
  crashPoint('retry_items_dropped');
  return { lines: await setGoing(tx, id) };
}

async function reviveItems(tx: Transaction, id: string): Promise<void> {
  await tx.query(
    `with ${childrenSql}, lists as materialized (
       select list.*
       from skipjack.item_lists as list
       cross join lateral (
         select from skipjack.tasks where process_id = $1 and ordinal = list.ordinal and waits_for = 'items' limit 1
       ) as task
       where list.process_id = $1
     ), placed as materialized (
       select item.place, item.id, item.ordinal, item.thinks, lists.ordinal as list_ordinal, lists.concurrency,
         row_number() over (partition by lists.ordinal order by item.ordinal) as turn
       from lists
       cross join lateral (
         select ctid as place, id, ordinal, thinks
         from skipjack.tasks
         where process_id = $1 and ordinal between lists.first_ordinal and lists.last_ordinal
           and state in ('failed', 'cancelled')
         offset 0
       ) as item
     ), revived as (
       update skipjack.tasks as task set
         state = case when placed.turn <= placed.concurrency then 'active' else 'pending' end,
         unmet = case when placed.turn <= placed.concurrency then 0 else 1 end,
         waits_for = case when placed.turn > placed.concurrency then null when children.goes_on then 'process'
           when placed.thinks then 'engine' end, ${freshSql}
       from placed
       left join children on children.parent_task_id = placed.id
       where task.ctid = placed.place and task.ctid = any (array(select place from placed))
     ), ${markedSql}
     update skipjack.item_lists as list set
       unended = counted.unended, failed = 0, next_ordinal = coalesce(counted.next_ordinal, list.last_ordinal + 1)
     from (
       select lists.ordinal, count(placed.id)::integer as unended,
         min(placed.ordinal) filter (where placed.turn > placed.concurrency) as next_ordinal
       from lists left join placed on placed.list_ordinal = lists.ordinal
       group by lists.ordinal
     ) as counted
     where list.process_id = $1 and list.ordinal = counted.ordinal`,
    [id],
  );
}

async function dropItems(tx: Transaction, id: string): Promise<void> {
  await tx.query(
    `with lists as (
       delete from skipjack.item_lists as list
       where list.process_id = $1 and exists (
         select from skipjack.tasks as task
         where task.process_id = $1 and task.ordinal = list.ordinal and task.state = 'pending')
       returning list.first_ordinal, list.last_ordinal
     ), items as (
       delete from skipjack.tasks where ctid = any (array(
         select item.ctid from lists
         cross join lateral (
           select ctid from skipjack.tasks
           where process_id = $1 and ordinal between lists.first_ordinal and lists.last_ordinal offset 0
         ) as item))
       returning id
     ), letters as (
       delete from skipjack.dead_letters where ctid = any (array(
         select letter.ctid from items
         cross join lateral (select ctid from skipjack.dead_letters where task_id = items.id offset 0) as letter))
     ), tries as (
       delete from skipjack.attempts where ctid = any (array(
         select attempt.ctid from items
         cross join lateral (select ctid from skipjack.attempts where task_id = items.id offset 0) as attempt))
     )
     update skipjack.processes set tasks = tasks - counted.items
     from (select count(*)::integer as items from items) as counted
     where id = $1 and counted.items > 0`,
    [id],
  );
}

/** What is live gets what moves it. */
async function setGoing(tx: Transaction, id: string): Promise<[string, number][]> {
  // Left over from the life before: of a clean-up that was due by then, of a timer that nobody waits for.
  await tx.query(
    `with thoughts as (
       delete from skipjack.engine_items where process_id = $1 and kind not in ('retry', 'cancel')
     )
     delete from skipjack.process_results where process_id = $1`,
    [id],
  );
  crashPoint('retry_thoughts_dropped');
  const { rows } = await tx.query<{ lines: [string, number][] | null; thoughts: number }>(
    `with ${childrenSql}, clock as materialized (
       select clock_timestamp() as at
     ), live as materialized (
       select task.id, task.queue, task.priority, task.claim_no, task.timeout_ms, task.state, task.waits_for, list.unended
       from skipjack.tasks as task
       left join lateral (
         select unended from skipjack.item_lists
         where process_id = $1 and ordinal = task.ordinal and task.waits_for = 'items'
         limit 1
       ) as list on true
       where task.process_id = $1 and task.state in ('pending', 'active')
     ), reopened as (
       update skipjack.processes as process set state = 'running', paused = false, finished_at = null,
         revision = process.revision + 1, unfinished = (select count(*) from live),
         -- The deadline may have made it true.
         fail_fast = (definition.plan ->> 'fail_fast')::boolean,
         -- Its parent was deleted, or it would have been retried with that one.
         detached = process.detached or (process.parent_process_id is not null and not exists (
           select from skipjack.processes as parent where parent.id = process.parent_process_id))
       from skipjack.definitions as definition
       where process.id = $1 and definition.id = process.definition_id
       returning (definition.plan ->> 'deadline_ms')::bigint as deadline_ms
     ), queued as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, timeout_ms)
       select id, $1, queue, priority, clock.at, claim_no, timeout_ms
       from live cross join clock
       where state = 'active' and waits_for is null
     ), posted as (
       insert into skipjack.engine_items (process_id, task_id, kind, available_at)
       select thought.process_id, thought.task_id, thought.kind, clock.at
       from clock
       cross join lateral (
         select $1::uuid as process_id, id as task_id, 'think' as kind from live where waits_for = 'engine'
         union all
         select $1, id, 'items' from live where waits_for = 'items' and unended = 0
         union all
         select children.id, null, 'retry' from live join children on children.parent_task_id = live.id
         where live.waits_for = 'process'
         union all
         select $1, null, 'finish' where not exists (select from live)
       ) as thought
       returning 1
     ), limited as (
       insert into skipjack.engine_items (process_id, kind, available_at)
       select $1, 'deadline', clock.at + reopened.deadline_ms * interval '1 millisecond'
       from reopened cross join clock
       where reopened.deadline_ms is not null
     )
     select (select count(*)::integer from posted) as thoughts,
       (select jsonb_agg(distinct jsonb_build_array(queue, priority)) from live where state = 'active' and waits_for is null) as lines`,
    [id],
  );
  crashPoint('retry_going');
  const lines = rows[0]?.lines ?? [];
  return rows[0]?.thoughts ? [...lines, engineLine] : lines;
}
