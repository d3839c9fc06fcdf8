/**
 * What the ends of tasks mean for locked processes that need an engine: the form of `advance` in settle-statement.ts
 * that knows of thinking, items, clean-ups and ends that are not for arithmetic. Settle uses it, and whoever ends
 * parked tasks (end-tasks.ts).
 *
 * It goes on from a set `explained`: task_id, process_id, position, state after (`active`: it has not ended),
 * continue_on_error, dependents, item_of, runs_on_failure, runs_on_cancel; and from `clock`.
 *
 * What ends before its process is stopped, in the order of the batch, advances it, and what ends behind that does not.
 * What was advanced in vain is cancelled by `stop.ts`, in the next statement, but for clean-up tasks: those have their
 * needs, and go on. A list of items gives the turn of each that has ended to the next, until too many have failed.
 * An engine is told by rows in its inbox, which take their turn from the lock of the process: nothing is ever waited for.
 */
export const advanceWithEngine = `, moved as materialized (
  select process_id, count(*) filter (where state <> 'active')::integer as ended,
    bool_or(state = 'failed' and not continue_on_error and item_of is null) as fails
  from explained
  group by process_id
), standing as materialized (
  select moved.process_id, moved.ended, process.state, process.fail_fast, process.finishes, process.cleans_up,
    process.paused and process.state <> 'cancelling' as paused,
    process.awaited and not process.finishes as awaited,
    process.unfinished - moved.ended as left_over,
    -- One that stops already is not stopped again.
    moved.fails and process.state <> 'cancelling' and not (process.state = 'failing' and process.fail_fast) as fails
  from moved
  cross join lateral (select * from skipjack.processes where id = moved.process_id limit 1) as process
), placed as materialized (
  select explained.process_id, explained.position, explained.state, explained.dependents, explained.item_of,
    explained.continue_on_error,
    case when standing.state = 'cancelling' then explained.runs_on_cancel else explained.runs_on_failure end as spared,
    standing.state = 'cancelling' or (standing.fail_fast and (standing.state = 'failing' or coalesce(
      bool_or(explained.state = 'failed' and not explained.continue_on_error and explained.item_of is null) over earlier,
      false))) as stopped
  from explained
  join standing on standing.process_id = explained.process_id
  where explained.state <> 'active'
  window earlier as (
    partition by explained.process_id order by explained.position rows between unbounded preceding and 1 preceding)
), met as materialized (
  select placed.process_id, dependent.ordinal, count(*)::integer as needs, bool_or(placed.state = 'skipped') as skipped
  from placed
  cross join lateral unnest(placed.dependents) as dependent (ordinal)
  where not placed.stopped
    and (placed.state in ('completed', 'skipped') or (placed.state = 'failed' and placed.continue_on_error))
  group by placed.process_id, dependent.ordinal
), listed as materialized (
  select list.*, placed.state = 'failed' as fails, placed.stopped and not placed.spared as stopped,
    list.failed + count(*) filter (where placed.state = 'failed') over (
      partition by placed.process_id, placed.item_of order by placed.position) as failed_so_far
  from placed
  cross join lateral (
    select * from skipjack.item_lists where process_id = placed.process_id and ordinal = placed.item_of limit 1
  ) as list
), lists as materialized (
  select process_id, ordinal, task_id, next_ordinal, last_ordinal, unended - count(*)::integer as unended,
    failed + count(*) filter (where fails)::integer as failed,
    failed <= failures_max and failed + count(*) filter (where fails) > failures_max as given_up,
    count(*) filter (where failed_so_far <= failures_max and not stopped) as turns
  from listed
  group by process_id, ordinal, task_id, next_ordinal, last_ordinal, unended, failed, failures_max
), turns as materialized (
  select lists.process_id, lists.ordinal as item_of, item.ordinal, item.place
  from lists
  cross join lateral (
    select task.ordinal, task.ctid as place
    from skipjack.tasks as task
    where task.process_id = lists.process_id and task.ordinal between lists.next_ordinal and lists.last_ordinal
      and task.state = 'pending'
    order by task.ordinal
    limit lists.turns
  ) as item
), counted_items as (
  update skipjack.item_lists as list set
    unended = lists.unended, failed = lists.failed, next_ordinal = coalesce(taken.last + 1, list.next_ordinal)
  from lists
  left join (
    select process_id, item_of, max(ordinal) as last from turns group by process_id, item_of
  ) as taken on taken.process_id = lists.process_id and taken.item_of = lists.ordinal
  where list.process_id = lists.process_id and list.ordinal = lists.ordinal
    and list.process_id = any (array(select process_id from lists))
), waiting as materialized (
  select task.ctid as place, met.needs, met.skipped
  from met
  cross join lateral (
    select task.ctid
    from skipjack.tasks as task
    where task.process_id = met.process_id and task.ordinal = met.ordinal and task.state = 'pending'
    limit 1
  ) as task
  union all
  select place, 1, false from turns
), advanced as (
  update skipjack.tasks as task set
    unmet = task.unmet - waiting.needs,
    thinks = task.thinks or waiting.skipped,
    state = case when task.unmet = waiting.needs then 'active' else 'pending' end,
    waits_for = case when task.unmet = waiting.needs and (task.thinks or waiting.skipped) then 'engine' end
  -- As arrays: whatever Postgres believes of the tables, of these it takes it that they are short. So it goes by places.
  from unnest(array(select place from waiting), array(select needs from waiting), array(select skipped from waiting))
    as waiting (place, needs, skipped)
  where task.ctid = waiting.place
  returning task.id, task.process_id, task.queue, task.priority, task.timeout_ms, task.claim_no, task.state, task.waits_for
), queued as (
  insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, timeout_ms, held)
  select advanced.id, advanced.process_id, advanced.queue, advanced.priority, clock.at, advanced.claim_no,
    advanced.timeout_ms, standing.paused
  from advanced
  join standing on standing.process_id = advanced.process_id
  cross join clock
  where advanced.state = 'active' and advanced.waits_for is null
), counted_down as (
  update skipjack.processes as process set
    unfinished = standing.left_over,
    revision = process.revision + 1,
    state = case
      when standing.left_over > 0 or standing.finishes
        then case when standing.fails and process.state = 'running' then 'failing' else process.state end
      when process.state = 'cancelling' then 'cancelled'
      when standing.fails or process.state = 'failing' then 'failed'
      else 'completed'
    end,
    finished_at = case when standing.left_over = 0 and not standing.finishes then clock.at end
  from standing
  cross join clock
  where process.id = standing.process_id and standing.ended > 0
    and process.id = any (array(select process_id from standing))
), posted as (
  insert into skipjack.engine_items (process_id, task_id, kind, available_at)
  select thought.process_id, thought.task_id, thought.kind, clock.at
  from (
    select process_id, id as task_id, 'think' as kind from advanced where waits_for = 'engine'
    union all
    select lists.process_id, lists.task_id, 'items'
    from lists
    cross join lateral (
      select from skipjack.tasks as task where task.id = lists.task_id and task.waits_for = 'items' limit 1
    ) as parked
    where lists.unended = 0 or lists.given_up
    union all
    select process_id, null, 'finish' from standing where ended > 0 and left_over = 0 and finishes
    union all
    -- One is enough, and whoever takes it needs the lock that we hold.
    select process_id, null, 'cleanup'
    from standing
    where ended > 0 and left_over > 0 and cleans_up and (state in ('failing', 'cancelling') or fails)
      and not exists (
        -- With an offset it is looked for by the process, and not in a join with all that lies there.
        select from skipjack.engine_items as known
        where known.process_id = standing.process_id and known.kind = 'cleanup' offset 0)
  ) as thought
  cross join clock
  returning process_id
), cleared as (
  delete from skipjack.engine_items
  where process_id = any (array(select process_id from standing where ended > 0 and left_over = 0 and not finishes))
    and task_id is null
)`;

/** Where new work is, that of an engine included. */
export const linesWithEngine = `(select jsonb_agg(distinct line) from (
    select jsonb_build_array(queue, priority) as line from advanced where state = 'active' and waits_for is null
    union all
    select '["$engine", 0]' from posted
  ) as lines)`;
