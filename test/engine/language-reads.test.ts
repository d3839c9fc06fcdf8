/** What people see of processes that the engine thinks about: their parents, their ends, their history, in SQL too. */
import { describe, expect } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import type { InputRule, Plan } from '../../src/core/plan.ts';
import { checkInput } from '../../src/engine/check-input.ts';
import { keepInlineDefinition } from '../../src/engine/publish.ts';
import { readActive } from '../../src/engine/read-active.ts';
import { listProcesses, readHistory, readProcess } from '../../src/engine/read-processes.ts';
import { test as base, type TestDatabase } from '../support/database.ts';
import { type Graph, makePlan, run, start, taskIdOf, tryStart } from '../support/processes.ts';

// Rows are put where the engine would put them, one by one: what it does is for other tests.
const test = base.extend<{ database: TestDatabase }>({
  database: async ({ database }, use) => {
    database.skipAudit();
    await use(database);
  },
});

async function startWith(database: TestDatabase, graph: Graph, more: Partial<Plan> = {}): Promise<string> {
  const plan = { ...makePlan(graph), ...more };
  const definitionId = await keepInlineDefinition(database.db, { source: JSON.stringify(plan), plan });
  const result = await tryStart(database, { definition_id: definitionId });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

async function park({ sql }: TestDatabase, taskId: string, waitsFor: string): Promise<void> {
  await sql('delete from skipjack.queue_items where task_id = $1', [taskId]);
  await sql('update skipjack.tasks set waits_for = $2 where id = $1', [taskId, waitsFor]);
}

async function adopt(
  { sql }: TestDatabase,
  childId: string,
  { processId, taskId = null, depth = 1 }: { processId: string; taskId?: string | null; depth?: number },
): Promise<void> {
  await sql(
    'update skipjack.processes set parent_process_id = $2, parent_task_id = $3, depth = $4, detached = $3::uuid is null where id = $1',
    [childId, processId, taskId, depth],
  );
}

describe('a process', () => {
  test('counts what waits, and names it among its active tasks', async ({ database }) => {
    const id = await startWith(database, { A: [], B: [], C: ['A'] });
    await park(database, await taskIdOf(database, id, 'A'), 'time');
    const view = await readProcess(database.db, id);
    expect(view).toMatchObject({
      counts: { pending: 1, ready: 1, waiting: 1, skipped: 0 },
      active: ['A', 'B'],
      parent: null,
      depth: 0,
      detached: false,
      error: null,
      failure_process_id: null,
      output: null,
    });
    expect((await readActive(database.db, id, { limit: 10 }))?.map(({ name }) => name)).toEqual(['B']);
  });

  test('shows the process and the task that started it, and is found by them', async ({ database }) => {
    const processId = await start(database, { A: [] });
    const taskId = await taskIdOf(database, processId, 'A');
    const child = await start(database, { B: [] });
    const cleaner = await start(database, { C: [] });
    await adopt(database, child, { processId, taskId });
    await adopt(database, cleaner, { processId });
    expect(await readProcess(database.db, child)).toMatchObject({
      parent: { process_id: processId, task_id: taskId },
      depth: 1,
      detached: false,
    });
    expect(await readProcess(database.db, cleaner)).toMatchObject({
      parent: { process_id: processId, task_id: null },
      detached: true,
    });
    const found = await listProcesses(database.db, { parentProcessId: processId }, { limit: 50 });
    expect(found.map(({ id }) => id)).toEqual([cleaner, child]);
  });

  test('has the output that its definition says, null included', async ({ database }) => {
    const end = async (more: Partial<Plan>, output: Json | undefined) => {
      const id = await startWith(database, { A: [], B: ['A'] }, more);
      await run(database, id, 'A');
      await database.sql('update skipjack.processes set finishes = true where id = $1', [id]);
      await run(database, id, 'B', { kind: 'completed', output: { from: 'B' } });
      await database.sql(
        `update skipjack.processes set state = 'completed', finished_at = coalesce(finished_at, clock_timestamp()) where id = $1`,
        [id],
      );
      if (output !== undefined) {
        await database.sql('insert into skipjack.process_results (process_id, output) values ($1, $2)', [
          id,
          JSON.stringify(output),
        ]);
      }
      return (await readProcess(database.db, id))?.output;
    };
    const byOutput = { output: '${{ tasks.B.output.from }}' };
    expect(await end(byOutput, 'B')).toBe('B');
    expect(await end(byOutput, null)).toBeNull();
    // It ends by the engine for another reason.
    expect(await end({}, undefined)).toEqual({ B: { from: 'B' } });
  });

  test('has no output of its items beside that of their task', async ({ database }) => {
    const id = await startWith(database, { A: [] });
    const taskId = await taskIdOf(database, id, 'A');
    await database.sql(
      `insert into skipjack.tasks (id, name, queue, priority, created_at, process_id, ordinal, item_of, item_index, item, state, finished_at, output)
       select skipjack.new_id(), 'A[0]', queue, priority, created_at, process_id, 2, 1, 0, '1', 'completed', clock_timestamp(), '"one"'
       from skipjack.tasks where id = $1`,
      [taskId],
    );
    await database.sql('update skipjack.processes set tasks = 2 where id = $1', [id]);
    await run(database, id, 'A', { kind: 'completed', output: ['one'] });
    expect(await readProcess(database.db, id)).toMatchObject({ state: 'completed', output: { A: ['one'] } });
  });

  test('says why it failed where no task does, and what an engine failed of its tasks', async ({
    database,
  }) => {
    const id = await startWith(database, { A: [], B: [] });
    const cleaner = await start(database, { C: [] });
    const error = { code: 'deadline_exceeded', message: 'It took longer than 1h.' };
    await database.sql(
      'insert into skipjack.process_results (process_id, error, failure_process_id) values ($1, $2, $3)',
      [id, JSON.stringify(error), cleaner],
    );
    const taskId = await taskIdOf(database, id, 'B');
    const failed = { code: 'items_failed', message: '2 of 3 items failed.', details: { failed: 2 } };
    await database.sql(
      `update skipjack.tasks set state = 'failed', finished_at = clock_timestamp(), error = $2 where id = $1`,
      [taskId, JSON.stringify(failed)],
    );
    expect(await readProcess(database.db, id)).toMatchObject({
      error,
      failure_process_id: cleaner,
      last_error: { ...failed, task: 'B' },
    });
  });
});

describe('the history of a process', () => {
  test('has the processes that its tasks started, and what the engine did at its end', async ({
    database,
  }) => {
    const processId = await start(database, { A: [] });
    const taskId = await taskIdOf(database, processId, 'A');
    const child = await start(database, { B: [] }, { name: 'child' });
    await adopt(database, child, { processId, taskId });
    const events = ['deadline_exceeded', 'failure_process_started', 'failure_process_refused'];
    for (const event of events) {
      await database.sql(
        'insert into skipjack.process_events (process_id, id, at, event) values ($1, skipjack.new_id(), clock_timestamp(), $2)',
        [processId, event],
      );
    }
    await database.sql('delete from skipjack.queue_items where task_id = $1', [taskId]);
    await database.sql(
      `update skipjack.tasks set state = 'skipped', finished_at = clock_timestamp() where id = $1`,
      [taskId],
    );
    const { entries } = await readHistory(database.db, processId, { limit: 50 });
    expect(entries.map(({ event }) => event)).toEqual([
      'process_started',
      'child_process_started',
      'process_deadline_exceeded',
      'failure_process_started',
      'failure_process_refused',
      'task_skipped',
    ]);
    expect(entries[1]).toMatchObject({
      task: 'A',
      task_id: taskId,
      details: { process_id: child, definition: 'child', detached: false },
    });
  });
});

describe('in SQL', () => {
  test('process_tree shows a process and those below it, each under its parent', async ({ database }) => {
    const graph = { A: [], B: [] };
    const [root, first, second, below] = [
      await start(database, graph, { name: 'root' }),
      await start(database, graph, { name: 'first' }),
      await start(database, graph, { name: 'second' }),
      await start(database, graph, { name: 'below' }),
    ];
    await adopt(database, first, { processId: root, taskId: await taskIdOf(database, root, 'A') });
    await adopt(database, second, { processId: root });
    await adopt(database, below, {
      processId: first,
      taskId: await taskIdOf(database, first, 'B'),
      depth: 2,
    });
    const rows = await database.sql(
      'select level, definition, parent_task, detached, state from skipjack.process_tree($1)',
      [root],
    );
    expect(rows).toEqual([
      { level: 0, definition: 'root', parent_task: null, detached: false, state: 'running' },
      { level: 1, definition: 'first', parent_task: 'A', detached: false, state: 'running' },
      { level: 2, definition: 'below', parent_task: 'B', detached: false, state: 'running' },
      { level: 1, definition: 'second', parent_task: null, detached: true, state: 'running' },
    ]);
  });

  test('process_progress counts what waits among the active tasks', async ({ database }) => {
    const id = await start(database, { A: [], B: [], C: ['A'] });
    await park(database, await taskIdOf(database, id, 'A'), 'event');
    const rows = await database.sql(
      'select pending::integer, active::integer, waiting::integer, depth from skipjack.process_progress where id = $1',
      [id],
    );
    expect(rows).toEqual([{ pending: 1, active: 2, waiting: 1, depth: 0 }]);
  });

  test('task_status and throughput know waiting and skipped tasks', async ({ database }) => {
    const id = await start(database, { A: [], B: [] });
    await park(database, await taskIdOf(database, id, 'A'), 'process');
    await database.sql('delete from skipjack.queue_items');
    await database.sql(
      `update skipjack.tasks set state = 'skipped', finished_at = clock_timestamp() where name = 'B'`,
    );
    expect(
      await database.sql('select name, state, waits_for from skipjack.task_status order by ordinal'),
    ).toEqual([
      { name: 'A', state: 'waiting', waits_for: 'process' },
      { name: 'B', state: 'skipped', waits_for: null },
    ]);
    expect(
      await database.sql('select skipped::integer, completed::integer from skipjack.throughput'),
    ).toEqual([{ skipped: 1, completed: 0 }]);
  });

  test('each view and column of ours has a comment or stands in one', async ({ database }) => {
    const rows = await database.sql<{ name: string; comment: string | null }>(
      `select proname as name, obj_description(oid, 'pg_proc') as comment from pg_proc where proname = 'process_tree'
       union all
       select relname, obj_description(oid, 'pg_class') from pg_class
       where relkind = 'v' and relnamespace = 'skipjack'::regnamespace`,
    );
    expect(rows.filter(({ comment }) => comment === null)).toEqual([]);
    const comments = new Map(rows.map(({ name, comment }) => [name, comment]));
    for (const word of ['waits_for', 'item_of', 'item_index', 'waiting'])
      expect(comments.get('task_status')).toContain(word);
  });
});

describe('the rules of an input, checked without a database', () => {
  const rule = (fields: Partial<InputRule>): InputRule => ({ type: 'any', required: false, ...fields });
  const rules: Record<string, InputRule> = {
    applicant: rule({ type: 'string', required: true }),
    amount: rule({ type: 'number', default: 1000 }),
    count: rule({ type: 'integer' }),
    size: rule({ type: 'string', enum: ['s', 'm', 'l'], default: 'm' }),
    'a/b~c': rule({ type: 'boolean', required: true }),
    list: rule({ type: 'array' }),
    map: rule({ type: 'object', enum: [{ a: [1, 2] }, null] }),
    nothing: rule({ default: null }),
  };
  const fine = { applicant: 'Ann', 'a/b~c': true };

  test.for<[Plan['input'], { [name: string]: Json }]>([
    [null, { anything: [1] }],
    [{}, {}],
    [{}, { x: 1 }],
    [rules, {}],
    [rules, fine],
    [rules, { ...fine, amount: '5', count: 1.5, size: 'xl', list: {}, map: { a: [2, 1] } }],
    [rules, { ...fine, amount: 1.5, count: 2, size: 's', list: [], map: { a: [1, 2] }, nothing: 3 }],
    [rules, { ...fine, applicant: null, zebra: 1, 'aa/b~c': 2 }],
    [rules, { ...fine, map: null, count: 1e15, list: [null] }],
    [rules, { toString: 1, constructor: 2 }],
  ])('says what Postgres says: %j of %j', async ([of, given], { database }) => {
    const [row] = await database.sql<{
      answer: { input: Json; problems: { pointer: string; code: string; message: string }[] };
    }>('select skipjack.check_input($1, $2) as answer', [JSON.stringify(of), JSON.stringify(given)]);
    const { input, problems } = checkInput(of, given);
    const told = row?.answer.problems ?? [];
    const byPlace = (list: typeof told) =>
      list
        // Postgres writes JSON with blanks.
        .map(({ message, ...rest }) => ({ ...rest, message: message.replaceAll(/(?<=[,:]) /g, '') }))
        .toSorted((one, other) => (one.pointer < other.pointer ? -1 : 1));
    expect(byPlace(problems)).toEqual(byPlace(told));
    if (told.length === 0) expect(input).toEqual(row?.answer.input);
  });
});
