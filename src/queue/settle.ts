/**
 * Settle: ends attempts, any mix of outcomes for any number of tasks, in one statement.
 *
 * The fence: an item is ours only by (task_id, claim_no). Items are locked one by one in the order of their
 * ids, so two settles of the same tasks cannot deadlock; a row that had to be waited for is judged as it is
 * then, and everything the judgement needs is on that row or never changes. Zero rows for a claim number is an
 * answer: the record says whether this very outcome had been settled before (`repeated`) or the claim is lost.
 *
 * `verdict` is the SQL of `judge` in core/outcomes.ts; a test compares them over every combination.
 * The lateral joins with `limit 1` and the `limit` behind the input tell the planner how few rows there are.
 */

import { lossesMax } from '../core/task.ts';
import type { Outcome, SettleResult } from '../core/task-source.ts';
import type { Database } from '../database/connection.ts';
import { claimKey } from './claim-key.ts';

/** A worker's outcome with the claim it speaks of, or the reaper's word that a claim is lost. */
export type ClaimOutcome = { taskId: string; claimNo: number } & (Outcome | { kind: 'lost' });

interface SettledRow {
  task_id: string;
  claim_no: number;
  state: 'active' | 'completed' | 'failed' | 'cancelled';
  verdict: string;
  next_try_at: Date | null;
  awaited: boolean;
  queue: string;
  priority: number;
}

/** Answers in the order of `outcomes`. The same claim twice in one call: the first counts. */
export async function settleTasks(db: Database, outcomes: ClaimOutcome[]): Promise<SettleResult[]> {
  const firsts = new Map(
    outcomes.toReversed().map((outcome) => [claimKey(idOf(outcome), outcome.claimNo), outcome]),
  );
  const { text, values } = settleStatement([...firsts.values()]);
  const { rows } = await db.pool.query<SettledRow>(text, values);
  announceSettled(db, rows);
  const settled = new Map(rows.map((row) => [firsts.get(claimKey(row.task_id, row.claim_no)), row]));
  const missing = outcomes.filter((outcome) => !settled.has(outcome));
  const known = missing.length > 0 ? await readRecords(db, missing) : new Map<string, KnownRow>();
  return outcomes.map((outcome) => {
    const row = settled.get(outcome);
    if (!row) return explainMissing(outcome, known.get(idOf(outcome)));
    return {
      kind: 'settled',
      state: row.state,
      nextTryAt: row.next_try_at?.toISOString() ?? null,
      repeated: false,
    };
  });
}

/** Postgres answers ids in lower case, however they were asked for. */
function idOf(outcome: ClaimOutcome): string {
  return outcome.taskId.toLowerCase();
}

/** Exported for the test that reads its plan. */
export function settleStatement(outcomes: ClaimOutcome[]): { text: string; values: unknown[] } {
  const rows = outcomes.map((outcome) => {
    const { taskId, claimNo, kind } = outcome;
    return {
      task_id: taskId,
      claim_no: claimNo,
      outcome: kind,
      output: ('output' in outcome ? outcome.output : null) ?? null,
      error: 'error' in outcome ? outcome.error : null,
      retry_wanted: !('retry' in outcome && outcome.retry === false),
      exit_code: 'exitCode' in outcome ? (outcome.exitCode ?? null) : null,
      run_ms: 'runMs' in outcome ? (outcome.runMs ?? null) : null,
      delay_ms: 'delayMs' in outcome ? (outcome.delayMs ?? null) : null,
    };
  });
  const text = `
with clock as materialized (
  select clock_timestamp() as at
), outcomes as materialized (
  select *
  from jsonb_to_recordset($1::jsonb) as outcome (
    task_id uuid, claim_no integer, outcome text, output jsonb, error jsonb, retry_wanted boolean,
    exit_code integer, run_ms bigint, delay_ms bigint)
  order by task_id
  limit ${rows.length}
), mine as materialized (
  select item.*, outcomes.outcome, outcomes.output, outcomes.error, outcomes.retry_wanted, outcomes.exit_code,
    outcomes.run_ms, outcomes.delay_ms
  from outcomes
  cross join lateral (
    select *
    from skipjack.queue_items as item
    where item.task_id = outcomes.task_id and item.claim_no = outcomes.claim_no and item.worker is not null
      and (outcomes.outcome <> 'lost' or item.lease_expires_at < clock_timestamp())
    limit 1
    for update
  ) as item
), counted as materialized (
  select mine.*, task.retry, coalesce((task.retry ->> 'attempts')::integer, 1) as attempts_max,
    case
      when mine.outcome = 'lost' and mine.started_at is null then 'released'
      -- Equal times: the holder takes no grace, so it leaves timeouts to us, and its lease ended with its deadline.
      when mine.outcome = 'lost' and (mine.overdue or mine.lease_expires_at = mine.deadline_at) then 'timed_out'
      when mine.outcome = 'cancelled' then 'released'
      else mine.outcome
    end as counts_as
  from mine
  cross join lateral (select task.retry from skipjack.tasks as task where task.id = mine.task_id limit 1) as task
), judged as materialized (
  select counted.*,
    case
      when outcome = 'completed' then 'completed'
      when cancel_requested then 'cancelled'
      when counts_as = 'released' then 'again'
      when counts_as = 'lost' then case when losses + 1 >= ${lossesMax} then 'lost_too_often' else 'again' end
      when retry_wanted and failures + 1 < attempts_max then 'retry'
      else 'failed'
    end as verdict
  from counted
), explained as materialized (
  select judged.*, clock.at,
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
      when 'retry' then clock.at + skipjack.retry_delay_ms(retry, failures + 1) * interval '1 millisecond'
      else greatest(available_at, clock.at + delay_ms * interval '1 millisecond')
    end as next_try_at,
    coalesce(run_ms, floor(extract(epoch from clock.at - started_at) * 1000)::bigint) as ran_ms
  from judged
  cross join clock
), ended as (
  delete from skipjack.queue_items as item
  using explained
  where item.task_id = explained.task_id and explained.state <> 'active'
), back as (
  update skipjack.queue_items as item set
    worker = null, claim_id = null, claimed_at = null, started_at = null, lease_expires_at = null, deadline_at = null,
    overdue = false,
    failures = item.failures + explained.failed_once,
    losses = item.losses + explained.lost_once,
    available_at = explained.next_try_at
  from explained
  where item.task_id = explained.task_id and explained.state = 'active'
), recorded as (
  insert into skipjack.attempts (
    task_id, claim_no, attempt, outcome, error, output, exit_code, worker, claimed_at, started_at, ended_at, run_ms)
  select task_id, claim_no, failures + losses + 1,
    case when verdict = 'cancelled' then 'cancelled' else counts_as end,
    case when verdict = 'cancelled' then error else attempt_error end,
    output, exit_code, worker, claimed_at, coalesce(started_at, claimed_at), at, ran_ms
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
    wait_ms = greatest(0, floor(extract(epoch from explained.claimed_at - explained.available_at) * 1000)),
    run_ms = explained.ran_ms,
    exit_code = explained.exit_code,
    output = explained.output,
    error = case explained.verdict
      when 'failed' then explained.attempt_error
      when 'lost_too_often' then jsonb_build_object('code', 'lost_too_often',
        'message', 'Lost ${lossesMax} times: each time the lease ran out before an outcome came. The last to hold it was "' || explained.worker || '".')
    end
  from explained
  where task.id = explained.task_id and explained.state <> 'active'
), buried as (
  insert into skipjack.dead_letters as letter (task_id, name, queue, reason, failed_at)
  select explained.task_id, task.name, explained.queue,
    case explained.verdict when 'lost_too_often' then 'lost_too_often' else 'failed' end, explained.at
  from explained
  cross join lateral (select task.name from skipjack.tasks as task where task.id = explained.task_id limit 1) as task
  where explained.state = 'failed'
  on conflict (task_id) do update set reason = excluded.reason, failed_at = excluded.failed_at, replayed_at = null
)
select task_id, claim_no, state, verdict, queue, priority, awaited,
  case when state = 'active' then next_try_at end as next_try_at
from explained`;
  return { text, values: [JSON.stringify(rows)] };
}

function announceSettled(db: Database, rows: SettledRow[]) {
  const ended = rows.filter((row) => row.awaited && row.state !== 'active').map((row) => row.task_id);
  const lines = rows
    .filter((row) => row.state === 'active')
    .map((row): [string, number] => [row.queue, row.priority]);
  if (ended.length > 0) db.hints.announce({ ended });
  if (lines.length > 0) db.hints.announce({ lines, putBack: rows.some((row) => row.verdict === 'again') });
}

interface KnownRow {
  id: string;
  state: string;
  /** Of the last claim, and who made it; null when it was given back and nobody has claimed since. */
  claim_no: number;
  worker: string | null;
  recorded: { claim_no: number; outcome: string }[];
}

/** What the record says of tasks whose claim was not there to settle. */
async function readRecords(db: Database, outcomes: ClaimOutcome[]): Promise<Map<string, KnownRow>> {
  const { rows } = await db.pool.query<KnownRow>(
    `select task.id, task.state, coalesce(item.claim_no, task.claim_no) as claim_no,
       case when item.task_id is null then task.worker else item.worker end as worker,
       coalesce((select jsonb_agg(jsonb_build_object('claim_no', attempt.claim_no, 'outcome', attempt.outcome))
         from skipjack.attempts as attempt where attempt.task_id = task.id), '[]') as recorded
     from skipjack.tasks as task
     left join skipjack.queue_items as item on item.task_id = task.id
     where task.id = any ($1::uuid[])`,
    [outcomes.map((outcome) => outcome.taskId)],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** The same claim with the same outcome, settled before: the answer had been lost. Anything else: the claim is. */
function explainMissing(outcome: ClaimOutcome, known: KnownRow | undefined): SettleResult {
  if (!known) return { kind: 'not_found' };
  const { state } = known;
  if (wasSettledSo(outcome, known)) {
    const settledState = state as 'active' | 'completed' | 'failed' | 'cancelled';
    return { kind: 'settled', state: settledState, nextTryAt: null, repeated: true };
  }
  return state === 'active' ? { kind: 'lease_lost' } : { kind: 'already_settled', state };
}

/** By the traces that each outcome leaves: see `verdict` and `recorded` above. */
function wasSettledSo({ kind, claimNo }: ClaimOutcome, known: KnownRow): boolean {
  const recorded = known.recorded.find((attempt) => attempt.claim_no === claimNo)?.outcome;
  const isLast = known.claim_no === claimNo;
  switch (kind) {
    case 'completed':
      return isLast && known.state === 'completed';
    case 'released':
    case 'cancelled': {
      // Under a cancel request either ended the task; without one either gave it back, and left no attempt.
      const endedIt = known.state === 'cancelled' && known.worker !== null;
      const gaveItBack = known.worker === null && recorded === undefined;
      return isLast && (endedIt || gaveItBack);
    }
    default:
      return recorded === kind || recorded === 'cancelled';
  }
}
