-- What attempts used and how far they are, in the views: new columns at their ends.
--
--   views    task_status (progress, cpu_ms, memory_peak_bytes), attempt_history (cpu_ms, memory_peak_bytes),
--            throughput (cpu_ms_sum)

-- Progress only while it runs, figures only when it has ended: what an older replica does not clear when a task
-- goes back is not taken for news.
create or replace view skipjack.task_status as
select
  task.id,
  task.name,
  task.queue,
  task.priority,
  case
    when task.state <> 'active' then task.state
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
  case when task.finished_at is not null then task.memory_peak_bytes end as memory_peak_bytes
from skipjack.tasks as task
left join skipjack.queue_items as item on item.task_id = task.id;
--> statement-breakpoint
comment on view skipjack.task_status is
  'Each task as people see it: state is pending, scheduled, ready, running, completed, failed, cancelled or skipped; available_at is when an active one is due; held: its process is paused; progress: how far a running one is, in its worker''s words (a number is per cent); cpu_ms, memory_peak_bytes: what the attempt that ended it used, where its worker could tell.';
--> statement-breakpoint

create or replace view skipjack.attempt_history as
select task_id, claim_no, attempt, outcome, worker, error, exit_code, claimed_at, started_at, ended_at, run_ms, cpu_ms,
  memory_peak_bytes
from skipjack.attempts
union all
select id, claim_no, failures + losses + 1, 'completed', worker, null, exit_code, null, started_at, finished_at, run_ms,
  cpu_ms, memory_peak_bytes
from skipjack.tasks
where state = 'completed';
--> statement-breakpoint
comment on view skipjack.attempt_history is
  'Every attempt that has ended: those that did not complete their task, and the one that did. Order by claim_no. cpu_ms, memory_peak_bytes: what it used, where its worker could tell.';
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
  sum(cpu_ms) as cpu_ms_sum
from skipjack.tasks
where finished_at is not null
group by 1, 2;
--> statement-breakpoint
comment on view skipjack.throughput is
  'Tasks that ended, by minute and queue. Reads every task that is kept. cpu_ms_sum: of the attempts that ended them, as far as their workers could tell.';
