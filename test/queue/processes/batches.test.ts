/**
 * Outcomes of one process in one batch mean what the same outcomes mean one after the other, in the same order:
 * every pair and every triple of them, over several shapes of processes in every state.
 */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { SettleResult } from '../../../src/core/task-source.ts';
import { type ClaimOutcome, settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { failure, publish, retryOf } from '../../support/processes.ts';

/** What becomes of a task: what is handed in, and how the task stood before. */
const kinds = {
  completed: { says: { kind: 'completed', output: 'done', exitCode: 0 } },
  'failed for good': { says: { kind: 'failed', error: failure, retry: false, output: 'half' } },
  'failed, to be retried': { says: { kind: 'failed', error: failure }, attempts: 3 },
  released: { says: { kind: 'released' } },
  lost: { says: { kind: 'lost' }, expired: true },
  'lost too often': { says: { kind: 'lost' }, expired: true, losses: 4 },
  cancelled: { says: { kind: 'cancelled' } },
  'failed, to be continued': { says: { kind: 'failed', error: failure, retry: false }, coe: true },
  'timed out': { says: { kind: 'timed_out', error: failure } },
} as const;
type Kind = keyof typeof kinds;

/** Names → needs. a, b and c are claimed and will be settled; of the rest `o` runs and what needs nothing waits. */
const shapes: Record<string, Record<string, string[]>> = {
  'own dependents': { a: [], b: [], c: [], x: ['a'], y: ['b'], z: ['c'] },
  'one join': { a: [], b: [], c: [], j: ['a', 'b', 'c'] },
  'the last tasks': { a: [], b: [], c: [] },
  'all of it': {
    a: [],
    b: [],
    c: [],
    x: ['a'],
    j: ['a', 'b'],
    k: ['b', 'c', 'x'],
    l: ['j', 'k'],
    o: [],
    w: [],
    m: ['o', 'c'],
  },
};

const standings = [
  { state: 'running', failFast: true, paused: false },
  { state: 'running', failFast: false, paused: false },
  { state: 'failing', failFast: false, paused: true },
  { state: 'failing', failFast: true, paused: false },
  { state: 'cancelling', failFast: true, paused: false },
];

interface Case {
  name: string;
  acts: Kind[];
  shape: string;
  standing: (typeof standings)[number];
  /** In one batch, and one by one. */
  twins: { id: string; taskIds: string[] }[];
}

function everyCase(length: 2 | 3, shapeNames: string[]): Case[] {
  const names = Object.keys(kinds) as Kind[];
  const pairs = names.flatMap((one) => names.map((other) => [one, other]));
  const acts = length === 2 ? pairs : pairs.flatMap((pair) => names.map((third) => [...pair, third]));
  return acts.flatMap((each, number) =>
    shapeNames.flatMap((shape) =>
      standings.map((standing, index): Case => {
        const twin = () => {
          const ids = each.map(() => newId());
          // The order of the ids, in which rows are locked, is not always that of the outcomes.
          const turned = (number + index) % 2 === 0 ? ids : ids.toReversed();
          return { id: newId(), taskIds: turned };
        };
        const where = `${standing.state}${standing.failFast ? ', fail_fast' : ''}`;
        return {
          name: `${each.join(' + ')} (${shape}, ${where})`,
          acts: each,
          shape,
          standing,
          twins: [twin(), twin()],
        };
      }),
    ),
  );
}

/** Lays out the twins of every case by SQL: through the product's own moves it would take minutes. */
async function layOut(database: TestDatabase, cases: Case[]) {
  const rows = cases.flatMap(({ name, acts, shape, standing, twins }) => {
    const graph = Object.keys(shapes[shape] ?? {});
    const isStopping = standing.state === 'cancelling' || (standing.state === 'failing' && standing.failFast);
    return twins.map(({ id, taskIds }, twin) => ({
      id,
      name: `${name} #${twin}`.slice(0, 200),
      state: standing.state,
      fail_fast: standing.failFast,
      paused: standing.paused,
      stopping: isStopping,
      shape,
      // In a pair, c is one more that runs.
      acts: graph.slice(0, 3).map((_task, index) => acts[index] ?? null),
      ids: graph.map((_task, index) => taskIds[index] ?? newId()),
    }));
  });
  const tasks = Object.entries(shapes).flatMap(([shape, graph]) =>
    Object.entries(graph).map(([name, needs], index) => ({
      shape,
      name,
      ordinal: index + 1,
      unmet: needs.length,
      dependents: Object.values(graph).flatMap((others, place) => (others.includes(name) ? [place + 1] : [])),
    })),
  );
  const acts = Object.entries(kinds).map(([kind, how]) => ({
    kind,
    // So long that no machine is slow enough to see it pass.
    retry: { ...retryOf('attempts' in how ? how.attempts : 1), delay_ms: 3_600_000, max_delay_ms: 3_600_000 },
    losses: 'losses' in how ? how.losses : 0,
    expired: 'expired' in how,
    coe: 'coe' in how,
  }));
  const definitionId = await publish(database, { a: [] });
  await database.sql(
    `with wanted as materialized (
       select * from jsonb_to_recordset($1::jsonb) as c (id uuid, name text, state text, fail_fast boolean, paused boolean,
         stopping boolean, shape text, acts text[], ids uuid[])
     ), laid as materialized (
       select wanted.id as process_id, wanted.paused, wanted.stopping, wanted.ids[task.ordinal] as id, task.name, task.ordinal,
         task.unmet, task.dependents, act.retry, coalesce(act.losses, 0) as losses, coalesce(act.expired, false) as expired,
         coalesce(act.coe, false) as coe, task.name in ('a', 'b', 'c', 'o') as claimed,
         case when task.name in ('a', 'b', 'c', 'o') then 'active' when stopping then 'cancelled'
           when unmet > 0 then 'pending' else 'active' end as state
       from wanted
       join jsonb_to_recordset($2::jsonb) as task (shape text, name text, ordinal integer, unmet integer, dependents integer[])
         on task.shape = wanted.shape
       left join jsonb_to_recordset($3::jsonb) as act (kind text, retry jsonb, losses integer, expired boolean, coe boolean)
         on act.kind = wanted.acts[task.ordinal]
       union all
       select id, paused, stopping, skipjack.new_id(), 'history', 99, 0, null, null, 0, false, false, false,
         case state when 'failing' then 'failed' else 'cancelled' end
       from wanted where state <> 'running'
     ), processes as (
       insert into skipjack.processes (id, definition_id, name, state, paused, fail_fast, tasks, unfinished, created_at)
       select id, $4, name, state, paused, fail_fast, counted.tasks, counted.unfinished, clock_timestamp() - interval '1 hour'
       from wanted join (
         select process_id, count(*) as tasks, count(*) filter (where state in ('pending', 'active')) as unfinished
         from laid group by process_id
       ) as counted on counted.process_id = wanted.id
     ), items as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, losses, held,
         worker, claimed_at, started_at, lease_expires_at, cancel_requested)
       select id, process_id, 'default', 5, clock_timestamp() - interval '1 minute', case when claimed then 9 else 0 end, losses,
         paused, case when claimed then 'w' end, case when claimed then clock_timestamp() end,
         case when claimed then clock_timestamp() end,
         case when claimed then clock_timestamp() + case when expired then interval '-1 second' else interval '1 hour' end end,
         stopping and claimed
       from laid where state = 'active'
     ), tries as (
       insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
       select id, number, number, 'lost', '{}', 'w', clock_timestamp(), clock_timestamp()
       from laid cross join lateral generate_series(1, losses) as number
     )
     insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, retry, created_at, finished_at,
       error, unmet, dependents, continue_on_error)
     select id, process_id, ordinal, name, 'default', 5, state, retry, clock_timestamp() - interval '1 hour',
       case when state in ('failed', 'cancelled') then clock_timestamp() end,
       case when state = 'failed' then '{}'::jsonb end, unmet, nullif(dependents, '{}'), coe
     from laid`,
    [JSON.stringify(rows), JSON.stringify(tasks), JSON.stringify(acts), definitionId],
  );
}

/** All that can be seen of the twins that differ; they are called alike but for their last letter. */
const records = `
  with recorded as (
    select process.name, jsonb_build_object(
      'process', array[process.state, process.unfinished::text, process.paused::text, (process.finished_at is not null)::text],
      'tasks', jsonb_object_agg(task.name, jsonb_build_array(task.state, task.failures, task.losses, task.claim_no, task.worker,
        task.started_at is not null, task.finished_at is not null, task.exit_code, task.output, task.error,
        case when task.state in ('pending', 'active') then task.unmet end)),
      'items', jsonb_object_agg(task.name, jsonb_build_array(item.claim_no, item.failures, item.losses, item.worker,
        item.cancel_requested, item.held, item.overdue, item.priority, item.started_at is not null,
        item.available_at > clock_timestamp() + interval '30 minutes')) filter (where item.task_id is not null),
      'attempts', jsonb_object_agg(task.name, tries.list) filter (where tries.list is not null),
      'letters', jsonb_object_agg(task.name, jsonb_build_array(letter.reason, letter.replayed_at, letter.replays))
        filter (where letter.task_id is not null)) as record
    from skipjack.processes as process
    join skipjack.tasks as task on task.process_id = process.id
    left join skipjack.queue_items as item on item.task_id = task.id
    left join skipjack.dead_letters as letter on letter.task_id = task.id
    cross join lateral (
      select jsonb_agg(jsonb_build_array(claim_no, attempt, outcome, error, output, exit_code, worker) order by claim_no) as list
      from skipjack.attempts as attempt where attempt.task_id = task.id
    ) as tries
    group by process.id
  )
  select left(name, -3) as name, jsonb_agg(record order by name) as batched_and_one_by_one
  from recorded
  group by left(name, -3)
  having count(*) <> 2 or count(distinct record) > 1`;

function outcomesOf({ acts, twins }: Case, twin: number): ClaimOutcome[] {
  const { id, taskIds } = twins[twin] as Case['twins'][number];
  return acts.map((kind, index) => ({
    taskId: taskIds[index] as string,
    claimNo: 9,
    processId: id,
    ...kinds[kind].says,
  }));
}

/** What is answered, but for times. */
function answered(result: SettleResult | undefined) {
  if (result?.kind !== 'settled') return result;
  return { ...result, nextTryAt: result.nextTryAt !== null };
}

/** `at` cases go together into a call; each of them is settled as a batch, and one by one. */
async function compare(database: TestDatabase, cases: Case[], at: number) {
  await layOut(database, cases);
  // The auditor's joins over what came at once need to know how much it is.
  await database.sql('analyze');
  const groups = Array.from({ length: Math.ceil(cases.length / at) }, (_, index) =>
    cases.slice(index * at, (index + 1) * at),
  );
  const wrong: unknown[] = [];
  const settleGroup = async (group: Case[]) => {
    const batched = await settleTasks(
      database.db,
      group.flatMap((each) => outcomesOf(each, 0)),
    );
    const steps: SettleResult[][] = [];
    const length = group[0]?.acts.length ?? 0;
    for (let step = 0; step < length; step += 1)
      steps.push(
        await settleTasks(
          database.db,
          group.map((each) => outcomesOf(each, 1)[step] as ClaimOutcome),
        ),
      );
    for (const [index, { name }] of group.entries()) {
      const together = batched.slice(index * length, (index + 1) * length).map(answered);
      const apart = steps.map((step) => answered(step[index]));
      if (JSON.stringify(together) !== JSON.stringify(apart)) wrong.push({ name, together, apart });
    }
  };
  const line = groups.values();
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      for (const group of line) await settleGroup(group);
    }),
  );
  const found = await database.sql<{ name: string; batched_and_one_by_one: unknown }>(records);
  wrong.push(...found);
  expect(wrong.slice(0, 3)).toEqual([]);
  console.log(
    `batches: ${cases.length} cases of ${cases[0]?.acts.length} outcomes compared, ${at} to a call`,
  );
}

const manyToACall = 60;

test('two outcomes of one process in a call of their own equal the same two one after the other', async ({
  database,
}) => {
  await compare(database, everyCase(2, ['all of it']), 1);
});

test('every pair of outcomes in one batch equals the same two one after the other, in both orders', async ({
  database,
}) => {
  const cases = everyCase(2, Object.keys(shapes));
  expect(cases).toHaveLength(9 ** 2 * 4 * 5);
  await compare(database, cases, manyToACall);
});

test('every triple of outcomes in one batch equals the same three one after the other, in every order', async ({
  database,
}) => {
  const cases = everyCase(3, ['all of it', 'the last tasks']);
  expect(cases).toHaveLength(9 ** 3 * 2 * 5);
  await compare(database, cases, manyToACall);
}, 180_000);
