/** The SQL of settle against the pure function, over every combination. */
import { expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { type Attempted, countsAs, judge } from '../../src/core/outcomes.ts';
import { type ClaimOutcome, settleTasks } from '../../src/queue/settle.ts';
import { test } from '../support/database.ts';

const outcomes: Attempted['outcome'][] = [
  'completed',
  'failed',
  'timed_out',
  'cancelled',
  'released',
  'lost',
];
const yesNo = [true, false];

function everyCombination(): Attempted[] {
  const all: Attempted[] = [];
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
  return all
    .filter(
      ({ outcome, started, retryWanted, overdue }) =>
        // Only what has started can be overdue, and only a failure can be called final.
        (started || !overdue) && (retryWanted || outcome === 'failed' || outcome === 'timed_out'),
    )
    .flatMap((attempted) => [attempted, ...everyPolicy(attempted)]);
}

/** What `on` and `within` make of it. The lists are asked of what is said to have failed; the time of everything. */
function everyPolicy(attempted: Attempted): Attempted[] {
  const all: Attempted[] = [];
  const says = attempted.outcome === 'failed' || attempted.outcome === 'timed_out';
  for (const retryOn of [
    undefined,
    { exit_codes: [75] },
    { codes: ['x'] },
    { exit_codes: [1, 75], codes: ['y', 'x'] },
    { codes: ['timed_out'] },
    { exit_codes: [0], codes: ['y'] },
  ])
    for (const exitCode of says ? [null, 0, 75] : [null])
      for (const isTooLate of yesNo)
        all.push({ ...attempted, retryOn, exitCode, errorCode: says ? 'x' : null, isTooLate });
  return all;
}

test('settle does what judge says, for every outcome under every circumstance', async ({ database }) => {
  const cases = everyCombination().map((attempted) => ({ id: newId(), attempted }));
  expect(cases.length).toBeGreaterThan(400);
  const json = JSON.stringify(
    cases.map(({ id, attempted }) => ({
      id,
      ...attempted,
      retry: {
        attempts: attempted.attemptsMax,
        backoff: 'fixed',
        // So long that no machine is slow enough to see it pass.
        delay_ms: 3_600_000,
        max_delay_ms: 3_600_000,
        jitter: false,
        ...(attempted.retryOn && { on: attempted.retryOn }),
        // After the first attempt the item knows until when, and the policy is not asked again.
        ...(attempted.isTooLate !== undefined && {
          within_ms: isFirst(attempted) === attempted.isTooLate ? 1_800_000 : 7_200_000,
        }),
      },
      until_s:
        attempted.isTooLate === undefined || isFirst(attempted) ? null : attempted.isTooLate ? 1_800 : 7_200,
    })),
  );
  await database.sql(
    `insert into skipjack.tasks (id, name, queue, priority, retry, timeout_ms, created_at)
     select id, 'case', 'default', 5, retry, 1000, clock_timestamp() - interval '1 hour'
     from jsonb_to_recordset($1::jsonb) as c (id uuid, retry jsonb)`,
    [json],
  );
  await database.sql(
    `insert into skipjack.queue_items (task_id, queue, priority, available_at, claim_no, failures, losses, timeout_ms,
       worker, claimed_at, started_at, deadline_at, lease_expires_at, overdue, cancel_requested, retry_until)
     select id, 'default', 5, clock_timestamp() - interval '1 minute', 9, failures, losses, 1000, 'w', clock_timestamp(),
       case when started then clock_timestamp() - interval '10 seconds' end,
       case when started then clock_timestamp() - interval '1 hour' end,
       clock_timestamp() - interval '1 second', overdue, "cancelRequested",
       clock_timestamp() + until_s * interval '1 second'
     from jsonb_to_recordset($1::jsonb) as c (
       id uuid, started boolean, overdue boolean, "cancelRequested" boolean, failures integer, losses integer, until_s integer)`,
    [json],
  );
  // What had been counted before is on record.
  await database.sql(
    `insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
     select id, number, number, 'failed', '{}', 'w', clock_timestamp(), clock_timestamp()
     from jsonb_to_recordset($1::jsonb) as c (id uuid, failures integer, losses integer)
     cross join lateral generate_series(1, failures + losses) as number`,
    [json],
  );

  await settleTasks(
    database.db,
    cases.map(({ id, attempted }): ClaimOutcome => {
      const claim = { taskId: id, claimNo: 9 };
      const { outcome: kind, retryWanted: retry } = attempted;
      if (kind === 'completed') return { ...claim, kind, output: 1 };
      if (kind === 'failed' || kind === 'timed_out')
        return {
          ...claim,
          kind,
          error: { code: 'x', message: 'x' },
          retry,
          exitCode: attempted.exitCode ?? null,
        };
      return { ...claim, kind };
    }),
  );

  const rows = await database.sql<{
    id: string;
    state: string;
    code: string | null;
    failures: number;
    losses: number;
    pause: string | null;
    outcome: string | null;
    reason: string | null;
  }>(
    `select task.id, task.state, task.error ->> 'code' as code,
       coalesce(item.failures, task.failures) as failures, coalesce(item.losses, task.losses) as losses,
       case when item.available_at > clock_timestamp() + interval '30 minutes' then 'later' when item.task_id is not null then 'now' end as pause,
       attempt.outcome, letter.reason
     from skipjack.tasks as task
     left join skipjack.queue_items as item on item.task_id = task.id
     left join skipjack.attempts as attempt on attempt.task_id = task.id and attempt.claim_no = 9
     left join skipjack.dead_letters as letter on letter.task_id = task.id`,
  );
  const found = new Map(rows.map((row) => [row.id, row]));
  for (const { id, attempted } of cases) {
    const verdict = judge(attempted);
    const counted = countsAs(attempted);
    const row = found.get(id);
    const isTry = verdict !== 'completed' && verdict !== 'cancelled';
    expect({ attempted, ...row }).toMatchObject({
      attempted,
      state: {
        completed: 'completed',
        failed: 'failed',
        lost_too_often: 'failed',
        cancelled: 'cancelled',
        retry: 'active',
        again: 'active',
      }[verdict],
      pause: { retry: 'later', again: 'now' }[verdict as string] ?? null,
      failures: attempted.failures + (isTry && ['failed', 'timed_out'].includes(counted) ? 1 : 0),
      losses: attempted.losses + (isTry && counted === 'lost' ? 1 : 0),
      reason: { failed: 'failed', lost_too_often: 'lost_too_often' }[verdict as string] ?? null,
      outcome: expectedRecord(attempted, verdict, counted),
    });
  }
});

function isFirst({ failures, losses }: Attempted): boolean {
  return failures + losses === 0;
}

function expectedRecord(attempted: Attempted, verdict: string, counted: string): string | null {
  if (verdict === 'completed') return null;
  const hasRun = attempted.started || attempted.outcome === 'failed' || attempted.outcome === 'timed_out';
  if (verdict === 'cancelled') return hasRun ? 'cancelled' : null;
  return counted === 'released' ? null : counted;
}
