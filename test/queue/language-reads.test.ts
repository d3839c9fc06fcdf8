/** What people see of tasks that wait, of items, and of those who wait for the end of either. */
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import type { Json } from '../../src/core/json.ts';
import type { PlannedTask } from '../../src/core/plan.ts';
import { keepInlineDefinition } from '../../src/engine/publish.ts';
import { listProcessTasks, listTasks } from '../../src/queue/list-tasks.ts';
import { readStats } from '../../src/queue/overview.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { test as base, type TestDatabase } from '../support/database.ts';
import { type Graph, makePlan, start, taskIdOf, tryStart } from '../support/processes.ts';

// Rows are put where the engine would put them, one by one: what it does is for other tests.
const test = base.extend<{ database: TestDatabase }>({
  database: async ({ database }, use) => {
    database.skipAudit();
    await use(database);
  },
});

/** A process whose plan has these members too, by task. */
async function startWith(
  database: TestDatabase,
  graph: Graph,
  more: Record<string, Partial<PlannedTask>> = {},
): Promise<string> {
  const plan = makePlan(graph);
  const tasks = plan.tasks.map((task) => ({ ...task, ...more[task.name] }));
  const definitionId = await keepInlineDefinition(database.db, {
    source: JSON.stringify(tasks),
    plan: { ...plan, tasks },
  });
  const result = await tryStart(database, { definition_id: definitionId });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

/** Takes the task from its queue. */
async function park({ sql }: TestDatabase, taskId: string, waitsFor: string): Promise<void> {
  await sql('delete from skipjack.queue_items where task_id = $1', [taskId]);
  await sql('update skipjack.tasks set waits_for = $2 where id = $1', [taskId, waitsFor]);
}

async function post(
  { sql }: TestDatabase,
  { processId, taskId, kind, at }: { processId: string; taskId: string; kind: string; at?: string },
): Promise<void> {
  await sql(
    `insert into skipjack.engine_items (process_id, task_id, kind, available_at)
     values ($1, $2, $3, coalesce($4::timestamptz, clock_timestamp()))`,
    [processId, taskId, kind, at ?? null],
  );
}

/** Items of the task, all of them active and on the queue. */
async function expand(
  { sql }: TestDatabase,
  { processId, taskId, items }: { processId: string; taskId: string; items: Json[] },
): Promise<void> {
  await sql(
    `with each as materialized (
       select each.*, process.tasks from skipjack.tasks as each join skipjack.processes as process on process.id = each.process_id
       where each.id = $1
     ), made as (
       insert into skipjack.tasks (id, name, queue, priority, created_at, process_id, ordinal, item_of, item_index, item)
       select skipjack.new_id(), each.name || '[' || (value.place - 1) || ']', each.queue, each.priority, clock_timestamp(),
         each.process_id, each.tasks + value.place, each.ordinal, value.place - 1, value.item
       from each cross join jsonb_array_elements($2::jsonb) with ordinality as value (item, place)
       returning *
     ), queued as (
       insert into skipjack.queue_items (task_id, queue, priority, available_at, process_id)
       select id, queue, priority, created_at, process_id from made
     )
     insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended, failures_max, concurrency)
     select process_id, ordinal, id, tasks + 1, tasks + $3, tasks + $3 + 1, $3, 0, $3 from each`,
    [taskId, JSON.stringify(items), items.length],
  );
  await sql('update skipjack.processes set tasks = tasks + $2, unfinished = unfinished + $2 where id = $1', [
    processId,
    items.length,
  ]);
}

describe('a parked task', () => {
  test('waits, and says for what', async ({ database }) => {
    const processId = await startWith(database, { A: [], B: ['A'] });
    const taskId = await taskIdOf(database, processId, 'A');
    await park(database, taskId, 'engine');
    await post(database, { processId, taskId, kind: 'think' });
    expect(await readTask(database.db, taskId)).toMatchObject({
      state: 'waiting',
      waits_for: 'engine',
      waiting_for: 'an engine',
      available_at: null,
      success: null,
    });
  });

  test.for([
    ['time', '2100-01-01T00:00:00Z', 'until 2100-01-01T00:00:00.000Z'],
    ['time', 'infinity', 'its time'],
    ['event', '2100-01-01T00:00:00Z', 'the event "paid" with key "42", until 2100-01-01T00:00:00.000Z'],
    ['event', null, 'the event "paid" with key "42"'],
  ] as const)('for %s with a timer at %s: %s', async ([waitsFor, at, words], { database }) => {
    const processId = await startWith(database, { A: [] });
    const taskId = await taskIdOf(database, processId, 'A');
    await park(database, taskId, waitsFor);
    if (at !== null) await post(database, { processId, taskId, kind: 'timer', at });
    if (waitsFor === 'event') {
      await database.sql('insert into skipjack.event_waits values ($1, $2, $3, $4)', [
        taskId,
        processId,
        'paid',
        '42',
      ]);
    }
    expect((await readTask(database.db, taskId))?.waiting_for).toBe(words);
  });

  test('of a paused process says so where an engine must move it', async ({ database }) => {
    const processId = await startWith(database, { A: [] });
    const taskId = await taskIdOf(database, processId, 'A');
    await park(database, taskId, 'engine');
    await database.sql('update skipjack.processes set paused = true where id = $1', [processId]);
    expect((await readTask(database.db, taskId))?.waiting_for).toBe(`process ${processId}, which is paused`);
  });

  test('names the process that it has started, also when that has ended', async ({ database }) => {
    const processId = await startWith(database, { A: [] }, { A: { process: { definition: 'child' } } });
    const taskId = await taskIdOf(database, processId, 'A');
    expect((await readTask(database.db, taskId))?.process).toBeNull();
    const childId = await start(database, { B: [] });
    await database.sql(
      'update skipjack.processes set parent_process_id = $2, parent_task_id = $3, depth = 1 where id = $1',
      [childId, processId, taskId],
    );
    await park(database, taskId, 'process');
    expect(await readTask(database.db, taskId)).toMatchObject({
      waiting_for: `process ${childId}`,
      process: { id: childId },
    });
    await database.sql(
      `update skipjack.tasks set state = 'completed', waits_for = null, finished_at = clock_timestamp() where id = $1`,
      [taskId],
    );
    expect(await readTask(database.db, taskId)).toMatchObject({
      state: 'completed',
      waiting_for: null,
      process: { id: childId },
    });
  });

  test('counts among the live ones wherever states are filtered', async ({ database }) => {
    const processId = await startWith(database, { A: [], B: ['A'], C: [], D: [], E: [], F: [] });
    const ids: Record<string, string> = {};
    for (const name of 'ABCDEF') ids[name] = await taskIdOf(database, processId, name);
    const { A = '', C = '', D = '', E = '', F = '' } = ids;
    await park(database, A, 'engine');
    await post(database, { processId, taskId: A, kind: 'think' });
    await park(database, C, 'event');
    await database.sql('insert into skipjack.event_waits values ($1, $2, $3)', [C, processId, 'paid']);
    await park(database, D, 'items');
    await expand(database, { processId, taskId: D, items: [1] });
    await park(database, E, 'process');
    const childId = await start(database, { G: [] });
    await database.sql(
      'update skipjack.processes set parent_process_id = $2, parent_task_id = $3 where id = $1',
      [childId, processId, E],
    );
    const names = async (filter: Parameters<typeof listTasks>[1]) =>
      (await listTasks(database.db, filter, { limit: 50 })).map(({ name }) => name);
    // Newest first.
    expect(await names({ state: 'waiting' })).toEqual(['E', 'D', 'C', 'A']);
    expect(await names({ state: 'waiting', processId })).toEqual(['E', 'D', 'C', 'A']);
    expect(await names({ state: 'ready', processId })).toEqual(['D[0]', 'F']);
    expect(await names({ state: 'active' })).toEqual(['G', 'D[0]', 'F', 'E', 'D', 'C', 'A']);
    expect(await names({ state: 'active', queue: 'people' })).toEqual([]);
    const first = await listTasks(database.db, { state: 'active' }, { limit: 3 });
    const rest = await listTasks(
      database.db,
      { state: 'active' },
      { limit: 50, after: first.at(-1)?.id ?? newId() },
    );
    expect([...first, ...rest].map(({ name }) => name)).toEqual(['G', 'D[0]', 'F', 'E', 'D', 'C', 'A']);
    expect((await readStats(database.db)).tasks).toMatchObject({ ready: 3, waiting: 4, skipped: 0 });
    expect(await readTask(database.db, F)).toMatchObject({ state: 'ready', waits_for: null });
  });

  test('is waited for until it has ended', async ({ database }) => {
    const processId = await startWith(database, { A: [] });
    const taskId = await taskIdOf(database, processId, 'A');
    await park(database, taskId, 'event');
    expect(await database.queue.waitForEnd('task', taskId, { waitMs: 1 })).toBe('waiting');
    const waiting = database.queue.waitForEnd('task', taskId, { waitMs: 60_000 });
    // What is announced is for whoever ends it: the mark is on its process.
    await expect
      .poll(() => database.sql('select tasks_awaited from skipjack.processes where id = $1', [processId]), {
        timeout: 30_000,
      })
      .toEqual([{ tasks_awaited: true }]);
    await database.sql(
      `update skipjack.tasks set state = 'skipped', waits_for = null, finished_at = clock_timestamp() where id = $1`,
      [taskId],
    );
    await database.sql(`select pg_notify('skipjack', $1)`, [JSON.stringify({ ended: [taskId] })]);
    expect(await waiting).toBe('ended');
    expect(await readTask(database.db, taskId)).toMatchObject({ state: 'skipped', success: false });
  });
});

describe('an item', () => {
  const spec = { type: 'command', command: 'mail', args: [] } as const;

  test('shows its place and value, and what its each runs and needs', async ({ database }) => {
    const processId = await startWith(database, {
      A: [],
      B: { needs: ['A'], spec: { ...spec, args: ['${{ item }}'] }, input: { to: '${{ item }}' } },
    });
    const each = await taskIdOf(database, processId, 'B');
    await database.sql(`update skipjack.tasks set unmet = 0, state = 'active' where id = $1`, [each]);
    await park(database, each, 'items');
    await expand(database, { processId, taskId: each, items: ['payslip', { deep: [1] }, null] });
    const items = (await listProcessTasks(database.db, processId, { limit: 50 })).slice(2);
    expect(
      items.map(({ name, ordinal, item_of, item_index }) => [name, ordinal, item_of, item_index]),
    ).toEqual([
      ['B[0]', 3, 2, 0],
      ['B[1]', 4, 2, 1],
      ['B[2]', 5, 2, 2],
    ]);
    const views = await Promise.all(items.map(({ id }) => readTask(database.db, id)));
    expect(views.map((view) => view?.item)).toEqual([
      { index: 0, value: 'payslip' },
      { index: 1, value: { deep: [1] } },
      { index: 2, value: null },
    ]);
    expect(views[0]).toMatchObject({
      type: 'command',
      command: 'mail',
      args: ['${{ item }}'],
      input: { to: '${{ item }}' },
      needs: ['A'],
      state: 'ready',
    });
    expect(await readTask(database.db, each)).toMatchObject({ item: null, waiting_for: '3 of 3 items' });
  });

  test('shows the input that it was tried again with', async ({ database }) => {
    const processId = await startWith(database, { A: { input: { to: 'Ann' } } });
    const taskId = await taskIdOf(database, processId, 'A');
    expect((await readTask(database.db, taskId))?.input).toEqual({ to: 'Ann' });
    await database.sql(`update skipjack.tasks set input = '{"to": "Bob"}' where id = $1`, [taskId]);
    expect((await readTask(database.db, taskId))?.input).toEqual({ to: 'Bob' });
  });
});
