/** The SQL of settle for tasks of processes against the pure functions, over every combination. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import {
  type Attempted,
  countsAs,
  effectOf,
  isStopping,
  judge,
  type OfProcess,
  processAfter,
} from '../../../src/core/outcomes.ts';
import { hasProcessEnded } from '../../../src/core/process.ts';
import { type ClaimOutcome, settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { publish, retryOf } from '../../support/processes.ts';

const outcomes = ['completed', 'failed', 'timed_out', 'cancelled', 'released', 'lost'] as const;
const yesNo = [true, false];
/** `x`: nothing but the case is unfinished; `x d`: d needs it; `x d o w`: o runs and w waits beside them. */
const shapes = ['x', 'x d', 'x d o w'] as const;

interface Case {
  id: string;
  taskId: string;
  shape: (typeof shapes)[number];
  attempted: Attempted;
  process: OfProcess;
}

function everyAttempt(): Attempted[] {
  const all: Attempted[] = [];
  // Only what has started can be overdue, and only a failure can be called final.
  for (const outcome of outcomes)
    for (const cancelRequested of yesNo)
      for (const started of yesNo)
        for (const retryWanted of yesNo)
          for (const overdue of yesNo)
            for (const [failures, attemptsMax] of [
              [0, 1],
              [0, 3],
              [1, 3],
              [2, 3],
            ] as const)
              for (const losses of [0, 3, 4])
                if ((started || !overdue) && (retryWanted || outcome === 'failed' || outcome === 'timed_out'))
                  all.push({
                    outcome,
                    cancelRequested,
                    started,
                    retryWanted,
                    overdue,
                    failures,
                    losses,
                    attemptsMax,
                  });
  return all;
}

function everyCase(isWanted: (attempted: Attempted, process: OfProcess) => boolean): Case[] {
  const all: Case[] = [];
  for (const state of ['running', 'failing', 'cancelling'] as const)
    for (const failFast of yesNo)
      for (const continueOnError of yesNo)
        for (const attempted of everyAttempt()) {
          const process = { state, failFast, continueOnError };
          if (!isWanted(attempted, process)) continue;
          for (const shape of shapes) all.push({ id: newId(), taskId: newId(), shape, attempted, process });
        }
  return all;
}

/**
 * Processes as they stand before the settle: x, claimed; what the shape adds, cancelled already where the process
 * is stopping; and the task that made it fail or be cancelled.
 */
async function layOut(database: TestDatabase, cases: Case[]) {
  const definitionId = await publish(database, { x: [] });
  const json = JSON.stringify(
    cases.map(({ id, taskId, shape, attempted, process }) => ({
      ...attempted,
      id,
      task_id: taskId,
      state: process.state,
      fail_fast: process.failFast,
      stopping: isStopping(process),
      // So long that no machine is slow enough to see it pass.
      retry: { ...retryOf(attempted.attemptsMax), delay_ms: 3_600_000, max_delay_ms: 3_600_000 },
      tasks: [
        { name: 'x', ordinal: 1, dependents: shape === 'x' ? null : [2], coe: process.continueOnError },
        ...(shape === 'x' ? [] : [{ name: 'd', ordinal: 2 }]),
        ...(shape === 'x d o w' ? ['o', 'w'].map((name, index) => ({ name, ordinal: 3 + index })) : []),
        ...(process.state === 'running' ? [] : [{ name: 'history', ordinal: 5 }]),
      ],
    })),
  );
  await database.sql(
    `with wanted as materialized (
       select * from jsonb_to_recordset($1::jsonb) as c (id uuid, task_id uuid, state text, fail_fast boolean, stopping boolean,
         started boolean, overdue boolean, "cancelRequested" boolean, failures integer, losses integer, retry jsonb, tasks jsonb)
     ), laid as materialized (
       select wanted.id as process_id, wanted.state as process_state, wanted.stopping, wanted.retry, task.*,
         case when name = 'x' then wanted.task_id else skipjack.new_id() end as id,
         case when name = 'history' then case when wanted.state = 'failing' then 'failed' else 'cancelled' end
           when name = 'x' or (name = 'o' and wanted.stopping) then 'active' when wanted.stopping then 'cancelled'
           when name = 'd' then 'pending' else 'active' end as state
       from wanted
       cross join lateral jsonb_to_recordset(wanted.tasks) as task (name text, ordinal integer, dependents integer[], coe boolean)
     ), processes as (
       insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, created_at)
       select id, $2, state, fail_fast, jsonb_array_length(tasks), counted.unfinished, clock_timestamp() - interval '1 hour'
       from wanted
       join (
         select process_id, count(*) filter (where state in ('pending', 'active')) as unfinished from laid group by process_id
       ) as counted on counted.process_id = wanted.id
     ), items as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, failures, losses,
         timeout_ms, worker, claimed_at, started_at, deadline_at, lease_expires_at, overdue, cancel_requested)
       select laid.id, process_id, 'default', 5, clock_timestamp() - interval '1 minute', 9, wanted.failures, wanted.losses,
         1000, 'w', clock_timestamp(), case when started then clock_timestamp() - interval '10 seconds' end,
         case when started then clock_timestamp() - interval '1 hour' end,
         clock_timestamp() - interval '1 second', overdue, "cancelRequested"
       from laid join wanted on wanted.id = process_id where name = 'x'
       union all
       select laid.id, process_id, 'default', 5, clock_timestamp(), 1, 0, 0, 1000, 'w', clock_timestamp(), clock_timestamp(),
         null, clock_timestamp() + interval '1 hour', false, stopping
       from laid where name = 'o'
       union all
       select id, process_id, 'default', 5, clock_timestamp(), 0, 0, 0, 1000, null, null, null, null, null, false, false
       from laid where name = 'w' and state = 'active'
     ), tries as (
       -- What had been counted before is on record.
       insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
       select task_id, number, number, 'failed', '{}', 'w', clock_timestamp(), clock_timestamp()
       from wanted cross join lateral generate_series(1, failures + losses) as number
     )
     insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, retry, timeout_ms, created_at,
       finished_at, error, unmet, dependents, continue_on_error)
     select id, process_id, ordinal, name, 'default', 5, state, case when name = 'x' then retry end, 1000,
       clock_timestamp() - interval '1 hour', case when state in ('failed', 'cancelled') then clock_timestamp() end,
       case when state = 'failed' then '{}'::jsonb end, (state = 'pending')::integer, dependents, coalesce(coe, false)
     from laid`,
    [json, definitionId],
  );
}

function settlementOf({ id, taskId, attempted }: Case): ClaimOutcome {
  const claim = { taskId, claimNo: 9, processId: id };
  const { outcome: kind, retryWanted: retry } = attempted;
  if (kind === 'completed') return { ...claim, kind, output: 1 };
  if (kind === 'failed' || kind === 'timed_out')
    return { ...claim, kind, error: { code: 'x', message: 'x' }, retry };
  return { ...claim, kind };
}

const stateAfter = {
  completed: 'completed',
  failed: 'failed',
  lost_too_often: 'failed',
  cancelled: 'cancelled',
  retry: 'retries',
  again: 'waiting',
} as const;

/** All that the pure functions say of a case. */
function expected({ shape, attempted, process }: Case) {
  const verdict = judge(attempted, process);
  const effect = effectOf(verdict, process);
  const counted = countsAs(attempted);
  const isTry = verdict !== 'completed' && verdict !== 'cancelled';
  const hasRun = attempted.started || attempted.outcome === 'failed' || attempted.outcome === 'timed_out';
  const stopped = isStopping(process);
  const stops = effect === 'fails' && process.failFast;
  const isLive = verdict === 'retry' || verdict === 'again';
  const tasks: Record<string, string> = { x: stateAfter[verdict] };
  if (shape !== 'x')
    tasks.d = stopped || effect === 'fails' ? 'cancelled' : effect === 'advances' ? 'waiting' : 'pending';
  if (shape === 'x d o w') {
    tasks.o = stopped || stops ? 'stopping' : 'running';
    tasks.w = stopped || stops ? 'cancelled' : 'waiting';
  }
  const left = Object.values(tasks).filter(
    (state) => !['completed', 'failed', 'cancelled'].includes(state),
  ).length;
  const state = isLive ? process.state : processAfter(process, effect, left);
  return {
    tasks,
    process: { state, unfinished: left, ended: hasProcessEnded(state) },
    failures: attempted.failures + (isTry && ['failed', 'timed_out'].includes(counted) ? 1 : 0),
    losses: attempted.losses + (isTry && counted === 'lost' ? 1 : 0),
    attempt:
      verdict === 'completed' || (verdict === 'cancelled' && !hasRun) || (isTry && counted === 'released')
        ? null
        : verdict === 'cancelled'
          ? 'cancelled'
          : counted,
    letter:
      verdict === 'lost_too_often'
        ? verdict
        : verdict === 'failed' && !process.continueOnError
          ? verdict
          : null,
  };
}

async function compare(database: TestDatabase, cases: Case[]) {
  console.time('lay');
  await layOut(database, cases);
  console.timeEnd('lay');
  console.time('settle');
  const chunks = Array.from({ length: Math.ceil(cases.length / 1_000) }, (_, index) =>
    cases.slice(index * 1_000, (index + 1) * 1_000),
  );
  for (const chunk of chunks) {
    const results = await settleTasks(database.db, chunk.map(settlementOf));
    expect(results.every((result) => result.kind === 'settled' && !result.repeated)).toBe(true);
  }
  console.timeEnd('settle');
  console.time('read');
  const rows = await database.sql<{ id: string; found: unknown }>(
    `select process.id, jsonb_build_object(
       'tasks', jsonb_object_agg(task.name, case when task.state <> 'active' then task.state
         when item.cancel_requested then 'stopping' when item.worker is not null then 'running'
         when item.available_at > clock_timestamp() + interval '30 minutes' then 'retries' else 'waiting' end)
         filter (where task.name <> 'history'),
       'process', jsonb_build_object('state', process.state, 'unfinished', process.unfinished,
         'ended', process.finished_at is not null),
       'failures', sum(coalesce(item.failures, task.failures)) filter (where task.name = 'x'),
       'losses', sum(coalesce(item.losses, task.losses)) filter (where task.name = 'x'),
       'attempt', min(attempt.outcome), 'letter', min(letter.reason)) as found
     from skipjack.processes as process
     join skipjack.tasks as task on task.process_id = process.id
     left join skipjack.queue_items as item on item.task_id = task.id
     left join skipjack.attempts as attempt on attempt.task_id = task.id and attempt.claim_no = 9
     left join skipjack.dead_letters as letter on letter.task_id = task.id
     group by process.id`,
  );
  console.timeEnd('read');
  console.time('cmp');
  const found = new Map(rows.map((row) => [row.id, row.found]));
  for (const each of cases) {
    const { shape, attempted, process } = each;
    expect({ shape, attempted, process, found: found.get(each.id) }).toEqual({
      shape,
      attempted,
      process,
      found: expected(each),
    });
  }
  console.timeEnd('cmp');
  console.log(`verdict: ${cases.length} cases compared`);
}

test('settle does to a task and its process what judge, effectOf and processAfter say', async ({
  database,
}) => {
  const cases = everyCase(({ cancelRequested }, process) => cancelRequested === isStopping(process));
  expect(cases.length).toBeGreaterThan(10_000);
  await compare(database, cases);
});

test('also where flag and process disagree, which no move of ours brings about', async ({ database }) => {
  // A cancelled task leaves those behind it pending in a process that goes on: the auditor would say so.
  database.skipAudit();
  await compare(
    database,
    everyCase(({ cancelRequested }, process) => cancelRequested !== isStopping(process)),
  );
});
