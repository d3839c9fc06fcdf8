-- The process language as people see it: new columns of views at their ends, and the tree of processes.
--
--   views       task_status (waits_for, item_of, item_index), process_progress (waiting), process_history (processes
--               that tasks have started), throughput (skipped)
--   functions   skipjack.process_tree(uuid)

create or replace view skipjack.task_status as
select
  task.id,
  task.name,
  task.queue,
  task.priority,
  case
    when task.state <> 'active' then task.state
    when task.waits_for is not null then 'waiting'
    when item.started_at is not null then 'running'
    when item.available_at > now() then 'scheduled'
    else 'ready'
  end as state,
  coalesce(item.failures + item.losses + 1, greatest(task.failures + task.losses + (task.state = 'completed')::integer, 1)) as attempt,
  coalesce((task.retry ->> 'attempts')::integer, 1) as attempts_max,
  coalesce(item.failures, task.failures) as failures,
  coalesce(item.losses, task.losses) as losses,
  item.available_at,
  coalesce(item.worker, task.worker) as worker,
  item.lease_expires_at,
  coalesce(item.cancel_requested, false) as cancel_requested,
  task.labels,
  task.created_at,
  coalesce(item.started_at, task.started_at) as started_at,
  task.finished_at,
  task.wait_ms,
  task.run_ms,
  task.exit_code,
  task.error,
  task.process_id,
  task.ordinal,
  coalesce(item.held, false) as held,
  case when item.started_at is not null then item.progress end as progress,
  case when task.finished_at is not null then task.cpu_ms end as cpu_ms,
  case when task.finished_at is not null then task.memory_peak_bytes end as memory_peak_bytes,
  task.waits_for,
  task.item_of,
  task.item_index
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id;
--> statement-breakpoint
comment on view skipjack.task_status is
  'Each task as people see it: state is pending, scheduled, ready, running, waiting, completed, failed, cancelled or skipped; waits_for: what a waiting one is parked for (engine, items, process, time or event); available_at is when one on a queue is due; held: its process is paused; progress: how far a running one is, in its worker''s words (a number is per cent); cpu_ms, memory_peak_bytes: what the attempt that ended it used, where its worker could tell; item_of, item_index: of an item of an each, the ordinal of that task and its place in the list, from 0.';
--> statement-breakpoint

create or replace view skipjack.process_progress as
select
  process.id,
  process.name,
  definition.version,
  process.state,
  process.paused,
  process.tasks,
  process.unfinished,
  floor(100.0 * (process.tasks - process.unfinished) / process.tasks)::integer as percent,
  counted.pending,
  counted.active,
  counted.completed,
  counted.failed,
  counted.cancelled,
  counted.skipped,
  process.created_at,
  process.finished_at,
  counted.waiting,
  process.parent_process_id,
  process.depth
from skipjack.processes as process
join skipjack.definitions as definition on definition.id = process.definition_id
cross join lateral (
  select
    count(*) filter (where task.state = 'pending') as pending,
    count(*) filter (where task.state = 'active') as active,
    count(*) filter (where task.state = 'completed') as completed,
    count(*) filter (where task.state = 'failed') as failed,
    count(*) filter (where task.state = 'cancelled') as cancelled,
    count(*) filter (where task.state = 'skipped') as skipped,
    count(*) filter (where task.state = 'active' and task.waits_for is not null) as waiting
  from skipjack.tasks as task
  where task.process_id = process.id
) as counted;
--> statement-breakpoint
comment on view skipjack.process_progress is
  'Each process with its tasks by state, items included; percent of them have ended; waiting: of the active ones, those that are parked for an engine, their items, a process, a time or an event. Reads the tasks of the processes you ask for.';
--> statement-breakpoint

create or replace view skipjack.process_history as
select id as process_id, created_at as at, 'process_started' as event, null::uuid as task_id, null::text as task,
  null::text as by, null::jsonb as details, 1 as step
from skipjack.processes
union all
select process_id, at, case
    when event in ('completed_by_name', 'failed_by_name') then 'task_'
    -- What on_failure started, or could not.
    when event like 'failure\_process\_%' then ''
    else 'process_'
  end || event,
  task_id, (select name from skipjack.tasks where id = task_id), by, details, 2
from skipjack.process_events
union all
-- A retry opens a process again; that it had failed is known from the retry.
select process_id, (details ->> 'failed_at')::timestamptz, 'process_failed', null, null, null, null, 6
from skipjack.process_events
where event = 'retried'
union all
select task.process_id, coalesce(item.started_at, task.started_at), 'task_started', task.id, task.name,
  coalesce(item.worker, task.worker), null, 3
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id
where task.process_id is not null and coalesce(item.started_at, task.started_at) is not null
union all
select child.parent_process_id, child.created_at, 'child_process_started', child.parent_task_id,
  (select name from skipjack.tasks where id = child.parent_task_id), null,
  jsonb_build_object('process_id', child.id, 'definition', child.name, 'detached', child.detached), 3
from skipjack.processes as child
where child.parent_process_id is not null and child.parent_task_id is not null
union all
select task.process_id, attempt.ended_at, 'attempt_' || attempt.outcome, task.id, task.name, attempt.worker, attempt.error, 4
from skipjack.tasks as task
join skipjack.attempts as attempt on attempt.task_id = task.id
where task.process_id is not null
union all
select process_id, finished_at, 'task_' || state, id, name, worker, error, 5
from skipjack.tasks
where process_id is not null and finished_at is not null
union all
select id, finished_at, 'process_' || state, null, null, null, null, 6
from skipjack.processes
where finished_at is not null;
--> statement-breakpoint
comment on view skipjack.process_history is
  'What happened to a process and its tasks, read from the times in the record: where process_id = … order by at, step. child_process_started: a task has started a process, which is in the details.';
--> statement-breakpoint

create or replace view skipjack.throughput as
select
  date_trunc('minute', finished_at) as minute,
  queue,
  count(*) filter (where state = 'completed') as completed,
  count(*) filter (where state = 'failed') as failed,
  count(*) filter (where state = 'cancelled') as cancelled,
  avg(wait_ms) filter (where state = 'completed') as wait_ms_mean,
  avg(run_ms) filter (where state = 'completed') as run_ms_mean,
  sum(cpu_ms) as cpu_ms_sum,
  count(*) filter (where state = 'skipped') as skipped
from skipjack.tasks
where finished_at is not null
group by 1, 2;
--> statement-breakpoint
comment on view skipjack.throughput is
  'Tasks that ended, by minute and queue. Reads every task that is kept. cpu_ms_sum: of the attempts that ended them, as far as their workers could tell.';
--> statement-breakpoint

-- A function and not a view: it begins at one process, and reads no other but those below it.
create function skipjack.process_tree(root uuid)
returns table (
  process_id uuid, level integer, definition text, state text, paused boolean, percent integer, parent_process_id uuid,
  parent_task_id uuid, parent_task text, detached boolean, created_at timestamptz, finished_at timestamptz)
language sql stable
as $$
  with recursive tree as (
    select process.id, 0 as level, array[process.id] as path
    from skipjack.processes as process
    where process.id = root
    union all
    select child.id, tree.level + 1, tree.path || child.id
    from tree
    join skipjack.processes as child on child.parent_process_id = tree.id
    -- Processes start processes so deep at most; a circle, which there cannot be, would end.
    where tree.level < 32
  )
  select process.id, tree.level, process.name, process.state, process.paused,
    floor(100.0 * (process.tasks - process.unfinished) / process.tasks)::integer, process.parent_process_id,
    process.parent_task_id, (select task.name from skipjack.tasks as task where task.id = process.parent_task_id),
    process.detached, process.created_at, process.finished_at
  from tree
  join skipjack.processes as process on process.id = tree.id
  order by tree.path
$$;
--> statement-breakpoint
comment on function skipjack.process_tree(uuid) is
  'A process and those that it has started, and they, each below its parent: select * from skipjack.process_tree(''0199…''). level counts from 0, the process that you name; parent_task is null for what on_failure has started.';
