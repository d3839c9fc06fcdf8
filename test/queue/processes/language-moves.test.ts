/** Parked tasks, items and clean-ups: what becomes of them as their process moves. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Plan } from '../../../src/core/plan.ts';
import { inTransaction, type Transaction } from '../../../src/database/connection.ts';
import { keepInlineDefinition } from '../../../src/engine/publish.ts';
import { refusedEnd } from '../../../src/engine/refusals.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { endTaskByName } from '../../../src/queue/processes/end-by-name.ts';
import { endTasks } from '../../../src/queue/processes/end-tasks.ts';
import { expandItems, stopItems } from '../../../src/queue/processes/expand.ts';
import { engineLine, postThoughts } from '../../../src/queue/processes/inbox.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { parkTasks, queueTasks } from '../../../src/queue/processes/park.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { makePlan, processOf, run, statesOf, taskIdOf, tryStart } from '../../support/processes.ts';
import { type Layout, layOut, type Shape, standings } from './language-cases.ts';

/** A running process of that shape; answers its id. */
async function lay(database: TestDatabase, shape: Shape): Promise<string> {
  const layout: Layout = {
    id: newId(),
    name: 'laid out',
    shape,
    standing: standings[0],
    acts: [],
    taskIds: [],
  };
  await layOut(database, [layout]);
  return layout.id;
}

function locking<Result>({ db }: TestDatabase, id: string, work: (tx: Transaction) => Promise<Result>) {
  return inTransaction(db, async (tx) => {
    await lockProcesses(tx, [id]);
    return work(tx);
  });
}

/** Its thoughts, each kind with the names of the tasks. */
async function inboxOf({ sql }: TestDatabase, id: string): Promise<Record<string, (string | null)[]>> {
  const rows = await sql<{ kind: string; tasks: (string | null)[] }>(
    `select thought.kind, array_agg(distinct task.name) as tasks
     from skipjack.engine_items as thought left join skipjack.tasks as task on task.id = thought.task_id
     where thought.process_id = $1 group by thought.kind`,
    [id],
  );
  return Object.fromEntries(rows.map(({ kind, tasks }) => [kind, tasks]));
}

async function parkedOf({ sql }: TestDatabase, id: string): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; waits_for: string }>(
    'select name, waits_for from skipjack.tasks where process_id = $1 and waits_for is not null order by ordinal',
    [id],
  );
  return Object.fromEntries(rows.map(({ name, waits_for }) => [name, waits_for]));
}

/** A process whose task `each` has items to come; `plan` may say more of it. */
async function startEach(database: TestDatabase, change: (plan: Plan) => void = () => {}) {
  const plan: Plan = { ...makePlan({ each: { attempts: 2, priority: 7 }, next: ['each'] }), thinks: true };
  Object.assign(plan.tasks[0] ?? {}, { each: [], thinks: true, labels: { a: 'b' } });
  change(plan);
  const definitionId = await keepInlineDefinition(database.db, { source: JSON.stringify(plan), plan });
  const result = await tryStart(database, { definition_id: definitionId });
  if (result.kind !== 'created') throw new Error(result.kind);
  const taskId = await taskIdOf(database, result.id, 'each');
  await database.sql('delete from skipjack.engine_items where process_id = $1', [result.id]);
  const expand = (items: number, rest: { concurrency?: number; failuresMax?: number } = {}) =>
    locking(database, result.id, (tx) =>
      expandItems(tx, {
        processId: result.id,
        taskId,
        ordinal: 1,
        items: Array.from({ length: items }, (_, index) => ({ n: index })),
        concurrency: rest.concurrency ?? null,
        failuresMax: rest.failuresMax ?? 0,
      }),
    );
  return { id: result.id, taskId, expand };
}

test('items are tasks like their each, of which so many run at once as may; the last one wakes an engine', async ({
  database,
}) => {
  const { id, expand } = await startEach(database);
  expect(await expand(3, { concurrency: 2 })).toEqual([{ lines: [['default', 7]] }]);
  expect(await statesOf(database, id)).toEqual({
    each: 'waiting',
    next: 'pending',
    'each[0]': 'waiting',
    'each[1]': 'waiting',
    'each[2]': 'pending',
  });
  expect(
    await database.sql(
      `select ordinal, item_of, item_index, item, priority, labels, retry ->> 'attempts' as attempts, unmet, continue_on_error
       from skipjack.tasks where name = 'each[2]'`,
    ),
  ).toEqual([
    {
      ordinal: 5,
      item_of: 1,
      item_index: 2,
      item: { n: 2 },
      priority: 7,
      labels: { a: 'b' },
      attempts: '2',
      unmet: 1,
      continue_on_error: false,
    },
  ]);
  expect(await processOf(database, id)).toMatchObject({ unfinished: 5 });
  await run(database, id, 'each[1]');
  expect(await statesOf(database, id)).toMatchObject({ 'each[2]': 'waiting' });
  await run(database, id, 'each[2]');
  expect(await inboxOf(database, id)).toEqual({});
  await run(database, id, 'each[0]');
  expect(await inboxOf(database, id)).toEqual({ items: ['each'] });
  expect(await processOf(database, id)).toMatchObject({ state: 'running', unfinished: 2 });
});

test('items that an engine must think about are parked for it, one after the other', async ({ database }) => {
  const { id, expand } = await startEach(database, (plan) =>
    Object.assign(plan.tasks[0] ?? {}, { sleep: { for: '1m' } }),
  );
  expect(await expand(2, { concurrency: 1 })).toEqual([{ lines: [engineLine] }]);
  expect(await parkedOf(database, id)).toEqual({ each: 'items', 'each[0]': 'engine' });
  expect(await inboxOf(database, id)).toEqual({ think: ['each[0]'] });
  const first = await taskIdOf(database, id, 'each[0]');
  const hints = await locking(database, id, (tx) =>
    endTasks(tx, [{ taskId: first, processId: id, state: 'completed', output: null }]),
  );
  expect(hints).toEqual([{ lines: [engineLine] }]);
  expect(await inboxOf(database, id)).toEqual({ think: ['each[1]'] });
});

test('a failed item fails neither its process nor the others; one too many stops them, when an engine says so', async ({
  database,
}) => {
  const { id, expand } = await startEach(database, (plan) =>
    Object.assign(plan.tasks[0] ?? {}, { retry: null }),
  );
  await expand(6, { concurrency: 3, failuresMax: 1 });
  await run(database, id, 'each[0]', 'fails');
  expect(await inboxOf(database, id)).toEqual({});
  expect(await statesOf(database, id)).toMatchObject({ 'each[0]': 'failed', 'each[3]': 'waiting' });
  await run(database, id, 'each[1]', 'fails');
  expect(await inboxOf(database, id)).toEqual({ items: ['each'] });
  // No turn is given any more.
  expect(await statesOf(database, id)).toMatchObject({ 'each[4]': 'pending' });
  expect(await processOf(database, id)).toMatchObject({ state: 'running' });
  expect(await database.sql('select from skipjack.dead_letters')).toEqual([]);

  const claimed = await database.queue.claimOne(await taskIdOf(database, id, 'each[2]'), {
    worker: 'w',
    leaseMs: 30_000,
    timeoutGraceMs: 0,
    claimId: newId(),
  });
  await database.sql('delete from skipjack.engine_items');
  const hints = await locking(database, id, (tx) => stopItems(tx, { processId: id, ordinal: 1 }));
  expect(hints).toEqual([{ workers: ['w'] }]);
  expect(await statesOf(database, id)).toMatchObject({
    'each[2]': 'stopping',
    'each[3]': 'cancelled',
    'each[4]': 'cancelled',
    'each[5]': 'cancelled',
    next: 'pending',
  });
  expect(await inboxOf(database, id)).toEqual({});
  if (claimed.kind !== 'claimed') throw new Error(claimed.kind);
  await database.queue.settle({
    taskId: claimed.task.id,
    claimNo: 1,
    processId: id,
    kind: 'cancelled',
  });
  expect(await inboxOf(database, id)).toEqual({ items: ['each'] });
  expect(await database.sql('select unended, failed from skipjack.item_lists')).toEqual([
    { unended: 0, failed: 2 },
  ]);
});

test('ten thousand items are made by one call, in the order of the list', async ({ database }) => {
  const { id, expand } = await startEach(database);
  await expand(10_000, { concurrency: 10 });
  const [counted] = await database.sql(
    `select count(*)::integer as items, count(*) filter (where state = 'active')::integer as active,
       bool_and(item -> 'n' = to_jsonb(item_index)) as in_place,
       (select bool_and(id > before) from (select id, lag(id) over (order by ordinal) as before from skipjack.tasks where item_of = 1) as pair) as in_order
     from skipjack.tasks where process_id = $1 and item_of = 1`,
    [id],
  );
  expect(counted).toEqual({ items: 10_000, active: 10, in_place: true, in_order: true });
  await cancelProcess(database.db, id);
  expect(await processOf(database, id)).toMatchObject({ state: 'cancelled', unfinished: 0 });
});

const parked: Shape = {
  tasks: {
    engine: { is: 'engine' },
    time: { is: 'time' },
    event: { is: 'event' },
    process: { is: 'process' },
    behind: { needs: ['engine', 'process'] },
    failure: { needs: ['engine'], thinks: true, onFailure: true },
    cancel: { needs: ['engine'], thinks: true, onCancel: true },
    runs: { is: 'claimed' },
  },
};

test('a cancel ends what is parked, with all that would have woken it, tells a started process, and spares clean-ups', async ({
  database,
}) => {
  const id = await lay(database, parked);
  expect(await cancelProcess(database.db, id)).toEqual({ kind: 'cancelling' });
  expect(await statesOf(database, id)).toEqual({
    engine: 'cancelled',
    time: 'cancelled',
    event: 'cancelled',
    process: 'waiting',
    behind: 'cancelled',
    failure: 'cancelled',
    cancel: 'pending',
    runs: 'stopping',
  });
  expect(await inboxOf(database, id)).toEqual({ cleanup: [null] });
  expect(await database.sql('select from skipjack.event_waits')).toEqual([]);
  const [child] = await database.sql<{ id: string }>(
    'select id from skipjack.processes where parent_process_id = $1',
    [id],
  );
  expect(await inboxOf(database, child?.id ?? '')).toEqual({ cancel: [null] });
  expect(await processOf(database, id)).toMatchObject({ state: 'cancelling', unfinished: 3 });
});

test('a failure spares what runs on failures, and an engine hears that a clean-up may be due', async ({
  database,
}) => {
  const id = await lay(database, parked);
  await database.queue.settle({
    taskId: await taskIdOf(database, id, 'runs'),
    claimNo: 9,
    processId: id,
    kind: 'failed',
    error: { code: 'x', message: 'x' },
  });
  expect(await statesOf(database, id)).toMatchObject({
    failure: 'pending',
    cancel: 'cancelled',
    process: 'waiting',
  });
  expect(await inboxOf(database, id)).toEqual({ cleanup: [null] });
  expect(await processOf(database, id)).toMatchObject({ state: 'failing', unfinished: 2 });
});

test('a process whose end is for an engine stays as it is with nothing unfinished, and says so', async ({
  database,
}) => {
  const shape: Shape = { tasks: { a: { is: 'engine' }, b: { needs: ['a'] } }, finishes: true };
  const [completes, fails, cancelled] = [
    await lay(database, shape),
    await lay(database, shape),
    await lay(database, shape),
  ];
  const end = async (id: string, state: 'completed' | 'failed') => {
    const taskId = await taskIdOf(database, id, 'a');
    const error = { code: 'x', message: 'x' };
    return locking(database, id, (tx) => endTasks(tx, [{ taskId, processId: id, state, error, output: 1 }]));
  };
  await end(completes, 'completed');
  await run(database, completes, 'b');
  await end(fails, 'failed');
  await cancelProcess(database.db, cancelled);
  for (const [id, state] of [
    [completes, 'running'],
    [fails, 'failing'],
    [cancelled, 'cancelling'],
  ] as const) {
    expect(await processOf(database, id)).toMatchObject({ state, unfinished: 0 });
    expect(await inboxOf(database, id)).toEqual({ finish: [null] });
  }
});

test('what needs a skipped task is thought about, whether it thinks or not', async ({ database }) => {
  const id = await lay(database, {
    tasks: { a: { is: 'engine' }, b: { needs: ['a'] }, c: { needs: ['a', 'b'] } },
  });
  const taskId = await taskIdOf(database, id, 'a');
  await locking(database, id, (tx) => endTasks(tx, [{ taskId, processId: id, state: 'skipped' }]));
  expect(await statesOf(database, id)).toEqual({ a: 'skipped', b: 'waiting', c: 'pending' });
  expect(await parkedOf(database, id)).toEqual({ b: 'engine' });
  expect(await inboxOf(database, id)).toEqual({ think: ['b'] });
  expect(await database.sql('select name from skipjack.tasks where thinks order by name')).toEqual([
    { name: 'a' },
    { name: 'b' },
    { name: 'c' },
  ]);
});

test('a parked task goes on the queue when an engine says so, not before now, and held by a pause', async ({
  database,
}) => {
  const id = await lay(database, {
    tasks: { a: { is: 'engine' }, b: { is: 'engine' }, c: { is: 'engine' } },
  });
  await setProcessPaused(database.db, id, true);
  const [a, b, c] = [
    await taskIdOf(database, id, 'a'),
    await taskIdOf(database, id, 'b'),
    await taskIdOf(database, id, 'c'),
  ];
  await database.sql('delete from skipjack.engine_items');
  const hints = await locking(database, id, async (tx) => {
    await parkTasks(tx, [{ taskId: c, waitsFor: 'time' }]);
    await postThoughts(tx, [{ processId: id, taskId: c, kind: 'timer', delayMs: 60_000 }]);
    return queueTasks(tx, [
      { taskId: a, runAt: '1999-01-01T00:00:00Z' },
      { taskId: b, delayMs: 60_000 },
    ]);
  });
  expect(hints).toEqual([{ lines: [['default', 5]] }]);
  expect(
    await database.sql(
      `select task.name, held, available_at > now() as later, available_at > now() - interval '1 minute' as lately
       from skipjack.queue_items join skipjack.tasks as task on task.id = task_id order by 1`,
    ),
  ).toEqual([
    { name: 'a', held: true, later: false, lately: true },
    { name: 'b', held: true, later: true, lately: true },
  ]);
  expect(await parkedOf(database, id)).toEqual({ c: 'time' });
  expect(await locking(database, id, (tx) => queueTasks(tx, [{ taskId: a }]))).toEqual([]);
});

test('a cancel wakes what an engine had postponed for a pause, and lets clean-ups go', async ({
  database,
}) => {
  const id = await lay(database, {
    tasks: { a: { thinks: true, onCancel: true }, b: { is: 'engine', onCancel: true } },
  });
  await setProcessPaused(database.db, id, true);
  await database.sql(`update skipjack.engine_items set available_at = 'infinity'`);
  await cancelProcess(database.db, id);
  expect(await database.sql(`select from skipjack.engine_items where available_at = 'infinity'`)).toEqual([]);
  await run(database, id, 'a');
  expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'waiting' });
});

test('a parked task is not ended by its name: what it waits for is said', async ({ database }) => {
  const id = await lay(database, parked);
  for (const waitsFor of ['engine', 'time', 'event', 'process'] as const) {
    const refused = await endTaskByName(database.db, id, waitsFor, { kind: 'completed', output: 1 });
    expect(refused).toMatchObject({ kind: 'waiting', waitsFor });
    if (refused.kind !== 'waiting') throw new Error(refused.kind);
    expect(refusedEnd(id, waitsFor, refused)).toMatchObject({ code: 'not_active' });
  }
  const { id: other, expand } = await startEach(database);
  await expand(2, { concurrency: 1 });
  const pending = await endTaskByName(database.db, other, 'each[1]', { kind: 'completed', output: 1 });
  if (pending.kind !== 'pending') throw new Error(pending.kind);
  expect(refusedEnd(other, 'each[1]', pending).message).toContain('it waits for its turn');
});
