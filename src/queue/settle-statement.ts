/**
 * The statement that settles, in three forms: for tasks that stand alone; for tasks of processes, whose row in
 * `processes` the caller has locked in an earlier statement; and for those of processes some of which need an engine
 * (processes/advance.ts), which costs more to plan.
 *
 * Items are locked one by one in the order of their ids, so two settles of the same tasks cannot deadlock; a row
 * that had to be waited for is judged as it is then, and everything the judgement needs is on that row, on a row
 * of a locked process, or never changes. `alone` is the SQL of `judge` in core/outcomes.ts; a test compares them
 * over every combination.
 *
 * In a process, outcomes of one batch count in the order of the batch: the first that fails the process stops
 * those behind it, exactly as if each had come by itself. What a process that goes on gains from the batch is
 * done here as well: dependents lose a need, those that have none left are queued, the process counts down and
 * ends. A process that this batch stops is left to `stop.ts`, in statements of their own: one that both activates
 * and cancels would do each on a snapshot that does not see the other.
 *
 * The lateral joins with `limit 1` and the `limit` behind the input tell the planner how few rows there are. Items
 * are changed by an array of their ids: where it believes that the queue is empty, it would walk all of it in a join.
 * Pending tasks are updated by their place (ctid): nobody moves them while we hold their process.
 */
import { lossesMax } from '../core/task.ts';
import { advanceWithEngine, linesWithEngine } from './processes/advance.ts';
import type { ClaimOutcome } from './settle.ts';

export function settleStatement(
  outcomes: ClaimOutcome[],
  { inProcesses, withEngine = false }: { inProcesses: boolean; withEngine?: boolean },
): { text: string; values: unknown[] } {
  const rows = outcomes.map((outcome, position) => ({
    task_id: outcome.taskId,
    claim_no: outcome.claimNo,
    process_id: outcome.processId ?? null,
    position,
    outcome: outcome.kind,
    output: ('output' in outcome ? outcome.output : null) ?? null,
    error: 'error' in outcome ? outcome.error : null,
    retry_wanted: !('retry' in outcome && outcome.retry === false),
    exit_code: 'exitCode' in outcome ? (outcome.exitCode ?? null) : null,
    run_ms: 'runMs' in outcome ? wholeOrNull(outcome.runMs) : null,
    // Most have none, and what is left out need not be parsed.
    ...('cpuMs' in outcome ? { cpu_ms: wholeOrNull(outcome.cpuMs) } : {}),
    ...('memoryPeakBytes' in outcome ? { memory_peak_bytes: wholeOrNull(outcome.memoryPeakBytes) } : {}),
    delay_ms: 'delayMs' in outcome ? (outcome.delayMs ?? null) : null,
  }));
  const standing = withEngine
    ? standingWithEngine
    : inProcesses
      ? `cross join lateral (
    select state = 'cancelling' or (state = 'failing' and fail_fast) as stopping, fail_fast, tasks_awaited
    from skipjack.processes where id = mine.process_id limit 1
  ) as process`
      : 'cross join (select false as stopping, false as fail_fast, false as tasks_awaited) as process';
  const fails = `alone in ('failed', 'lost_too_often') and not continue_on_error${withEngine ? ' and item_of is null' : ''}`;
  const verdict = inProcesses
    ? `case when alone <> 'completed' and fail_fast and bool_or(${fails})
        over (partition by process_id order by position rows between unbounded preceding and 1 preceding)
      then 'cancelled' else alone end`
    : 'alone';
  const text = `
with clock as materialized (
  select clock_timestamp() as at
), outcomes as materialized (
  select *
  from jsonb_to_recordset($1::jsonb) as outcome (
    task_id uuid, claim_no integer, process_id uuid, position integer, outcome text, output jsonb, error jsonb,
    retry_wanted boolean, exit_code integer, run_ms bigint, cpu_ms bigint, memory_peak_bytes bigint, delay_ms bigint)
  order by task_id
  limit ${rows.length}
), mine as materialized (
  select item.*, outcomes.position, outcomes.outcome, outcomes.output, outcomes.error, outcomes.retry_wanted,
    outcomes.exit_code, outcomes.run_ms, outcomes.cpu_ms, outcomes.memory_peak_bytes, outcomes.delay_ms
  from outcomes
  cross join lateral (
    select *
    from skipjack.queue_items as item
    where item.task_id = outcomes.task_id and item.claim_no = outcomes.claim_no and item.worker is not null
      and item.process_id ${inProcesses ? '= outcomes.process_id' : 'is null'}
      and (outcomes.outcome <> 'lost' or item.lease_expires_at < clock_timestamp())
    limit 1
    for update
  ) as item
), counted as materialized (
  select mine.*, task.name, task.dependents, task.continue_on_error, task.retry,
    coalesce((task.retry ->> 'attempts')::integer, 1) as attempts_max, process.stopping, process.fail_fast,
    process.tasks_awaited,${withEngine ? ' task.item_of, task.runs_on_failure, task.runs_on_cancel,' : ''}
    case
      when mine.outcome = 'lost' and mine.started_at is null then 'released'
      -- Equal times: the holder takes no grace, so it leaves timeouts to us, and its lease ended with its deadline.
      when mine.outcome = 'lost' and (mine.overdue or mine.lease_expires_at = mine.deadline_at) then 'timed_out'
      when mine.outcome = 'cancelled' then 'released'
      else mine.outcome
    end as counts_as,
    -- Drawn once: the pause that is judged is the one that is waited.
    case when mine.outcome in ('failed', 'timed_out', 'lost') and mine.failures + 1 < (task.retry ->> 'attempts')::integer
      then skipjack.retry_delay_ms(task.retry, mine.failures + 1) * interval '1 millisecond' end as pause,
    -- From the start of the first attempt on; what was never started and is lost was none.
    coalesce(mine.retry_until, case mine.outcome when 'failed' then coalesce(mine.started_at, mine.claimed_at)
        when 'timed_out' then coalesce(mine.started_at, mine.claimed_at) when 'lost' then mine.started_at end
      + (task.retry ->> 'within_ms')::bigint * interval '1 millisecond') as until
  from mine
  cross join lateral (select * from skipjack.tasks as task where task.id = mine.task_id limit 1) as task
  ${standing}
), judged as materialized (
  select counted.*, clock.at,
    case
      when outcome = 'completed' then 'completed'
      when cancel_requested or stopping then 'cancelled'
      when counts_as = 'released' then 'again'
      when counts_as = 'lost' then case when losses + 1 >= ${lossesMax} then 'lost_too_often' else 'again' end
      when retry_wanted and failures + 1 < attempts_max
        and (until is null or clock.at + pause <= until)
        and (not retry ? 'on' or coalesce(retry #> '{on,exit_codes}' @> to_jsonb(exit_code), false)
          or coalesce(retry #> '{on,codes}' ? (error ->> 'code'), false)
          or coalesce(counts_as = 'timed_out' and retry #> '{on,codes}' ? 'timed_out', false)) then 'retry'
      else 'failed'
    end as alone
  from counted
  cross join clock
), ordered as materialized (
  select judged.*, ${verdict} as verdict
  from judged
), explained as materialized (
  select ordered.*,
    case verdict when 'completed' then 'completed' when 'failed' then 'failed' when 'lost_too_often' then 'failed'
      when 'cancelled' then 'cancelled' else 'active' end as state,
    case when verdict = 'cancelled' then started_at is not null or outcome in ('failed', 'timed_out')
      else counts_as in ('failed', 'timed_out', 'lost') end and verdict <> 'completed' as recorded,
    (counts_as in ('failed', 'timed_out') and verdict not in ('completed', 'cancelled'))::integer as failed_once,
    (counts_as = 'lost' and verdict not in ('completed', 'cancelled'))::integer as lost_once,
    case
      when counts_as = 'timed_out' and outcome = 'lost' then jsonb_build_object('code', 'timed_out',
        'message', 'The attempt ran past its timeout of ' || timeout_ms || ' ms and its worker did not stop it.')
      when counts_as = 'lost' then jsonb_build_object('code', 'lost',
        'message', 'The lease ran out: worker "' || worker || '" died, froze or lost its connection.')
      else error
    end as attempt_error,
    -- Its old place in the line, but not before a pause that was asked for.
    case verdict
      when 'retry' then at + pause
      else greatest(available_at, at + delay_ms * interval '1 millisecond')
    end as next_try_at,
    greatest(0, floor(extract(epoch from claimed_at - available_at) * 1000))::bigint as waited_ms,
    coalesce(run_ms, floor(extract(epoch from at - started_at) * 1000)::bigint) as ran_ms
  from ordered
), ended as (
  delete from skipjack.queue_items where task_id = any (array(select task_id from explained where state <> 'active'))
), back as (
  update skipjack.queue_items as item set
    worker = null, claim_id = null, claimed_at = null, started_at = null, lease_expires_at = null, deadline_at = null,
    overdue = false, progress = null,
    failures = item.failures + explained.failed_once,
    losses = item.losses + explained.lost_once,
    available_at = explained.next_try_at,
    retry_until = explained.until
  from explained
  where item.task_id = explained.task_id
    and item.task_id = any (array(select task_id from explained where state = 'active'))
), recorded as (
  insert into skipjack.attempts (
    task_id, claim_no, attempt, outcome, error, output, exit_code, worker, claimed_at, started_at, ended_at, run_ms,
    cpu_ms, memory_peak_bytes)
  select task_id, claim_no, failures + losses + 1,
    case when verdict = 'cancelled' then 'cancelled' else counts_as end,
    case when verdict = 'cancelled' then error else attempt_error end,
    output, exit_code, worker, claimed_at, coalesce(started_at, claimed_at), at, ran_ms,
    cpu_ms, memory_peak_bytes
  from explained
  where recorded
), finished as (
  update skipjack.tasks as task set
    state = explained.state,
    claim_no = explained.claim_no,
    failures = explained.failures + explained.failed_once,
    losses = explained.losses + explained.lost_once,
    worker = explained.worker,
    started_at = coalesce(explained.started_at, explained.claimed_at),
    finished_at = explained.at,
    wait_ms = explained.waited_ms,
    run_ms = explained.ran_ms,
    cpu_ms = explained.cpu_ms,
    memory_peak_bytes = explained.memory_peak_bytes,
    exit_code = explained.exit_code,
    output = explained.output,
    error = case explained.verdict
      when 'failed' then explained.attempt_error
      when 'lost_too_often' then jsonb_build_object('code', 'lost_too_often',
        'message', 'Lost ${lossesMax} times: each time the lease ran out before an outcome came. The last to hold it was "' || explained.worker || '".')
    end
  from explained
  where task.id = explained.task_id and explained.state <> 'active'
    and task.id = any (array(select task_id from explained where state <> 'active'))
), buried as (
  insert into skipjack.dead_letters as letter (task_id, name, queue, reason, failed_at)
  select task_id, name, queue, case verdict when 'lost_too_often' then 'lost_too_often' else 'failed' end, at
  from explained
  where state = 'failed' and (not continue_on_error or verdict = 'lost_too_often')
  on conflict (task_id) do update set reason = excluded.reason, failed_at = excluded.failed_at, replayed_at = null
)${withEngine ? advanceWithEngine : inProcesses ? advance : ''}
select
  (select json_agg(json_build_object('task_id', task_id, 'claim_no', claim_no, 'state', state, 'verdict', verdict,
    'queue', queue, 'priority', priority, 'awaited', awaited or tasks_awaited,
    'attempt', case when verdict = 'completed' then 'completed' when not recorded then null
      when verdict = 'cancelled' then 'cancelled' else counts_as end,
    'next_try_at', case when state = 'active' then next_try_at end,
    'wait_ms', case when state <> 'active' then waited_ms end,
    'run_ms', case when state <> 'active' then ran_ms end)) from explained) as settled,
  ${
    inProcesses
      ? `(select jsonb_agg(jsonb_build_object('id', process_id, 'fails', fails, 'fail_fast', fail_fast, 'left_over', left_over,
    'awaited', awaited)) from standing) as processes,
  ${withEngine ? linesWithEngine : `(select jsonb_agg(distinct jsonb_build_array(queue, priority)) from advanced where state = 'active')`} as lines`
      : 'null::jsonb as processes, null::jsonb as lines'
  }`;
  return { text, values: [JSON.stringify(rows)] };
}

/** A figure as its column takes it. */
function wholeOrNull(figure: number | null | undefined): number | null {
  return Number.isFinite(figure) ? Math.round(figure as number) : null;
}

/** A task that is spared when its process stops is not stopped by a failure before it in the batch either. */
const standingWithEngine = `cross join lateral (
    select (state = 'cancelling' and not task.runs_on_cancel)
        or (state = 'failing' and fail_fast and not task.runs_on_failure) as stopping,
      fail_fast and not case when state = 'cancelling' then task.runs_on_cancel else task.runs_on_failure end as fail_fast,
      tasks_awaited
    from skipjack.processes where id = mine.process_id limit 1
  ) as process`;

/** What the ends of tasks mean for the locked processes that they belong to. */
const advance = `, moved as materialized (
  select process_id, count(*) filter (where state <> 'active')::integer as ended,
    bool_or(state = 'failed' and not continue_on_error) as fails
  from explained
  group by process_id
), standing as materialized (
  select moved.*, process.state, process.fail_fast, process.paused, process.awaited,
    process.unfinished - moved.ended as left_over,
    process.state = 'cancelling' or (process.fail_fast and (process.state = 'failing' or moved.fails)) as stops
  from moved
  cross join lateral (select * from skipjack.processes where id = moved.process_id limit 1) as process
), met as materialized (
  select explained.process_id, dependent.ordinal, count(*)::integer as needs
  from explained
  join standing on standing.process_id = explained.process_id and not standing.stops
  cross join lateral unnest(explained.dependents) as dependent (ordinal)
  where explained.state = 'completed' or (explained.state = 'failed' and explained.continue_on_error)
  group by explained.process_id, dependent.ordinal
), waiting as materialized (
  select task.ctid as place, met.needs, met.process_id
  from met
  cross join lateral (
    select task.ctid
    from skipjack.tasks as task
    where task.process_id = met.process_id and task.ordinal = met.ordinal and task.state = 'pending'
    limit 1
  ) as task
), advanced as (
  update skipjack.tasks as task set
    unmet = task.unmet - waiting.needs,
    state = case when task.unmet = waiting.needs then 'active' else 'pending' end
  -- As arrays: whatever Postgres believes of the tables, of these it takes it that they are short. So it goes by places.
  from unnest(array(select place from waiting), array(select needs from waiting)) as waiting (place, needs)
  where task.ctid = waiting.place
  returning task.id, task.process_id, task.queue, task.priority, task.timeout_ms, task.claim_no, task.state
), queued as (
  insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, timeout_ms, held)
  select advanced.id, advanced.process_id, advanced.queue, advanced.priority, clock.at, advanced.claim_no,
    advanced.timeout_ms, standing.paused
  from advanced
  join standing on standing.process_id = advanced.process_id
  cross join clock
  where advanced.state = 'active'
), counted_down as (
  update skipjack.processes as process set
    unfinished = standing.left_over,
    revision = process.revision + 1,
    state = case
      when standing.left_over > 0 then case when standing.fails and process.state = 'running' then 'failing' else process.state end
      when process.state = 'cancelling' then 'cancelled'
      when standing.fails or process.state = 'failing' then 'failed'
      else 'completed'
    end,
    finished_at = case when standing.left_over = 0 then clock.at end
  from standing
  cross join clock
  where process.id = standing.process_id and standing.ended > 0
    and process.id = any (array(select process_id from standing))
)`;
