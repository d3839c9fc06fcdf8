/** What a process goes through: fork and join, failure, cancel, pause, its end. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { cancelTask } from '../../../src/queue/cancel.ts';
import { deleteTask } from '../../../src/queue/delete.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { openQueue } from '../../../src/queue/queue.ts';
import { settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  claimNamed,
  lettersOf,
  processOf,
  run,
  settlementOf,
  start,
  stateOf,
  statesOf,
  taskIdOf,
} from '../../support/processes.ts';
import { claim, claimOf, complete, makeDue } from '../../support/tasks.ts';

const completes = (output: unknown) => ({ kind: 'completed', output: output as never }) as const;
/** More than a megabyte, that Postgres cannot make smaller. */
const large = () => randomBytes(1_200_000).toString('base64');

/** How many live rows there are of a process, in every table that has some. */
async function rowsOf({ sql }: TestDatabase): Promise<Record<string, number>> {
  const tables = [
    'processes',
    'process_inputs',
    'process_events',
    'tasks',
    'queue_items',
    'attempts',
    'dead_letters',
    'idempotency_keys',
  ];
  const counts = tables.map((table) => `'${table}', (select count(*) from skipjack.${table})`);
  const [row] = await sql<{ counts: Record<string, number> }>(
    `select jsonb_build_object(${counts.join(', ')}) as counts`,
  );
  return row?.counts ?? {};
}

describe('fork and join', () => {
  test('a task runs when all its needs have completed, whatever the order, and the process ends with the last', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: ['a'], c: ['a'], d: ['b', 'c'] });
    expect(await statesOf(database, id)).toEqual({ a: 'waiting', b: 'pending', c: 'pending', d: 'pending' });
    await run(database, id, 'a');
    expect(await statesOf(database, id)).toEqual({
      a: 'completed',
      b: 'waiting',
      c: 'waiting',
      d: 'pending',
    });
    await run(database, id, 'c');
    expect((await statesOf(database, id)).d).toBe('pending');
    await run(database, id, 'b');
    expect((await statesOf(database, id)).d).toBe('waiting');
    expect(await processOf(database, id)).toMatchObject({ state: 'running', unfinished: 1 });
    await run(database, id, 'd');
    expect(await processOf(database, id)).toMatchObject({ state: 'completed', unfinished: 0 });
  });

  test('a claim brings the outputs of its needs, or of all before it, the input of the process and what to run', async ({
    database,
  }) => {
    const spec = { type: 'handler', handler: 'join' } as const;
    const id = await start(
      database,
      {
        a: [],
        b: ['a'],
        c: { needs: ['b'] },
        d: { needs: ['b', 'c'], spec, input: { n: 1 }, labels: { team: 'blue' } },
      },
      { name: 'joins' },
      { who: 'Ann' },
    );
    await run(database, id, 'a', completes('from a'));
    await run(database, id, 'b', completes(null));
    await run(database, id, 'c', completes({ from: 'c' }));
    const [direct] = await claim(database, { filter: { definition: 'joins' } });
    expect(direct).toMatchObject({
      name: 'd',
      spec,
      input: { n: 1 },
      labels: { team: 'blue' },
      large_needs: {},
    });
    expect(direct?.needs).toEqual({ b: null, c: { from: 'c' } });
    expect(direct?.process).toEqual({ id, definition: 'joins', version: 1, input: { who: 'Ann' } });
    if (direct) await database.queue.settle({ ...claimOf(direct), kind: 'released' });
    const [all] = await claim(database, { outputs: 'all' });
    expect(all?.needs).toEqual({ a: 'from a', b: null, c: { from: 'c' } });
    expect(await claim(database, { filter: { definition: 'another' } })).toEqual([]);
  });

  test('outputs too large to come along are named with the task that has them, the small ones still come', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: [], c: ['a', 'b'] });
    await run(database, id, 'a', completes(large()));
    await run(database, id, 'b', completes('small'));
    const task = await claimNamed(database, id, 'c');
    expect(task.needs).toEqual({ b: 'small' });
    expect(task.large_needs).toEqual({ a: await taskIdOf(database, id, 'a') });
  });

  test('an output that many need comes along with some of them; the others are told where it is', async ({
    database,
  }) => {
    const names = Array.from({ length: 40 }, (_, index) => `needs it ${index}`);
    const graph = { a: [], ...Object.fromEntries(names.map((name) => [name, ['a']])) };
    const id = await start(database, graph);
    const output = 'x'.repeat(900_000);
    await run(database, id, 'a', completes(output));
    const tasks = await claim(database, { limit: 40 });
    expect(tasks.length).toBe(40);
    const whole = tasks.filter((task) => task.needs.a === output);
    const told = tasks.filter((task) => 'a' in task.large_needs);
    expect(whole.length + told.length).toBe(40);
    expect([whole.length > 0, told.length > 0]).toEqual([true, true]);
  });

  test('a claim that cannot be described gives its tasks back, uncounted', async ({ database }) => {
    const id = await start(database, { a: [] });
    await database.sql('alter table skipjack.process_inputs rename to hidden');
    await expect(claim(database)).rejects.toThrow('process_inputs');
    await database.sql('alter table skipjack.hidden rename to process_inputs');
    const [task] = await claim(database, { waitMs: 10_000 });
    expect(task).toMatchObject({ process: { id }, attempt: 1 });
  });

  test('a failure that is to be continued counts as an end, leaves no dead letter and no output', async ({
    database,
  }) => {
    const id = await start(database, { a: { continueOnError: true }, b: [], c: ['a', 'b'] });
    await run(database, id, 'a', {
      kind: 'failed',
      error: { code: 'x', message: 'x' },
      output: 'half',
      retry: false,
    });
    await run(database, id, 'b', completes(2));
    const task = await claimNamed(database, id, 'c');
    expect(task.needs).toEqual({ b: 2 });
    expect(await lettersOf(database, id)).toEqual([]);
    await complete(database, task);
    expect(await stateOf(database, id)).toBe('completed');
    expect(await statesOf(database, id)).toMatchObject({ a: 'failed' });
  });
});

describe('failure', () => {
  test('cancels what waits, asks what runs to stop, and the process has failed when that has ended', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: [], c: ['a'], d: [], e: ['b', 'd'] });
    const b = await claimNamed(database, id, 'b');
    await run(database, id, 'a', 'fails');
    expect(await statesOf(database, id)).toEqual({
      a: 'failed',
      b: 'stopping',
      c: 'cancelled',
      d: 'cancelled',
      e: 'cancelled',
    });
    expect(await stateOf(database, id)).toBe('failing');
    const beat = { ...claimOf(b), started: true, leaseMs: 1_000, timeoutGraceMs: 0 };
    expect(await database.queue.heartbeat(beat)).toEqual({ kind: 'stop', reason: 'cancelled' });
    await complete(database, b, 'in time');
    expect(await statesOf(database, id)).toMatchObject({ b: 'completed', e: 'cancelled' });
    expect(await stateOf(database, id)).toBe('failed');
    expect(await lettersOf(database, id)).toEqual(['a']);
  });

  test('without fail_fast ends only what is behind it; independent branches are finished first', async ({
    database,
  }) => {
    const id = await start(
      database,
      { a: [], b: ['a'], c: ['b', 'x'], x: [], y: ['x'] },
      { failFast: false },
    );
    await run(database, id, 'a', 'fails');
    expect(await statesOf(database, id)).toEqual({
      a: 'failed',
      b: 'cancelled',
      c: 'cancelled',
      x: 'waiting',
      y: 'pending',
    });
    await run(database, id, 'x');
    expect(await stateOf(database, id)).toBe('failing');
    await run(database, id, 'y');
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('comes only when the tries of a task are used up; the process waits for them', async ({
    database,
  }) => {
    const id = await start(database, { a: { attempts: 2 }, b: ['a'] });
    const again = { kind: 'failed', error: { code: 'x', message: 'x' } } as const;
    expect(await run(database, id, 'a', again)).toMatchObject({
      state: 'active',
      nextTryAt: expect.any(String),
    });
    expect(await stateOf(database, id)).toBe('running');
    await makeDue(database, await taskIdOf(database, id, 'a'));
    expect(await run(database, id, 'a', again)).toMatchObject({ state: 'failed' });
    expect(await stateOf(database, id)).toBe('failed');
  });
});

describe('cancel', () => {
  test('ends what waits at once, what runs when it has stopped, and may be asked for again', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: [], c: ['a', 'b'] });
    const a = await claimNamed(database, id, 'a');
    expect(await cancelProcess(database.db, id, { by: 'Ann' })).toEqual({ kind: 'cancelling' });
    expect(await cancelProcess(database.db, id)).toEqual({ kind: 'cancelling' });
    expect(await statesOf(database, id)).toEqual({ a: 'stopping', b: 'cancelled', c: 'cancelled' });
    await database.queue.settle(settlementOf(a, { kind: 'cancelled' }));
    expect(await stateOf(database, id)).toBe('cancelled');
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'not_failed', state: 'cancelled' });
    const events = await database.sql('select event, by from skipjack.process_events');
    expect(events).toEqual([{ event: 'cancel_requested', by: 'Ann' }]);
    expect(await cancelProcess(database.db, newId())).toEqual({ kind: 'not_found' });
  });

  test('or deletion of a single task of a process is refused; of an ended process everything is deleted', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: ['a'] }, {}, { n: 1 });
    const taskId = await taskIdOf(database, id, 'a');
    expect(await cancelTask(database.db, taskId)).toEqual({ kind: 'of_process', processId: id });
    expect(await deleteProcess(database.db, id)).toEqual({ kind: 'not_ended', state: 'running' });
    await run(database, id, 'a', 'fails');
    expect(await deleteTask(database.db, taskId)).toEqual({ kind: 'of_process', processId: id });
    await retryProcess(database.db, id);
    await run(database, id, 'a', 'fails');
    expect(await deleteProcess(database.db, id)).toEqual({ kind: 'deleted' });
    expect(Object.values(await rowsOf(database))).toEqual(Array(8).fill(0));
    expect(await deleteProcess(database.db, id)).toEqual({ kind: 'not_found' });
  });
});

test('a paused process hands out nothing, goes on with what runs, and resumes where it was', async ({
  database,
}) => {
  const id = await start(database, { a: [], b: ['a'], c: { attempts: 2 } });
  const [a, c] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'c')];
  expect(await setProcessPaused(database.db, id, true, { by: 'Ann' })).toEqual({ kind: 'done' });
  expect(await setProcessPaused(database.db, id, true)).toEqual({ kind: 'done' });
  await complete(database, a);
  await database.queue.settle(settlementOf(c, { kind: 'failed', error: { code: 'x', message: 'x' } }));
  await makeDue(database, c.id);
  expect(await claim(database, { limit: 5 })).toEqual([]);
  const part = { worker: 'w', leaseMs: 1_000, timeoutGraceMs: 0, claimId: newId() };
  expect(await database.queue.claimOne(c.id, part)).toEqual({ kind: 'process_paused', processId: id });
  expect(await setProcessPaused(database.db, id, false)).toEqual({ kind: 'done' });
  expect((await claim(database, { limit: 5 })).map((task) => task.name).sort()).toEqual(['b', 'c']);
  const events = await database.sql('select event from skipjack.process_events order by id');
  expect(events.map((row) => row.event)).toEqual(['paused', 'resumed']);
  await cancelProcess(database.db, id);
  expect(await setProcessPaused(database.db, id, true)).toMatchObject({ kind: 'ended' });
  expect(await setProcessPaused(database.db, newId(), true)).toEqual({ kind: 'not_found' });
});

test('a move that has seen another revision is refused, and nothing is changed', async ({ database }) => {
  const id = await start(database, { a: [], b: ['a'] });
  const { revision } = await processOf(database, id);
  await run(database, id, 'a', 'fails');
  const seen = { ifRevision: revision };
  for (const move of [retryProcess, cancelProcess, deleteProcess])
    await expect(move(database.db, id, seen)).rejects.toMatchObject({ code: 'precondition_failed' });
  await expect(setProcessPaused(database.db, id, true, seen)).rejects.toMatchObject({
    code: 'precondition_failed',
  });
  expect(await stateOf(database, id)).toBe('failed');
  const now = { ifRevision: (await processOf(database, id)).revision };
  expect(await retryProcess(database.db, id, now)).toMatchObject({ kind: 'retried' });
});

test('the first word counts of two on one claim in a batch, and the order is that of the first words', async ({
  database,
}) => {
  const id = await start(database, { a: [], b: [] });
  const [a, b] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'b')];
  const results = await settleTasks(database.db, [
    settlementOf(a, 'fails'),
    settlementOf(b, 'fails'),
    settlementOf(a, 'completes'),
  ]);
  expect(results).toMatchObject([
    { state: 'failed' },
    { state: 'cancelled' },
    { kind: 'already_settled', state: 'failed' },
  ]);
});

describe('the end of a process', () => {
  /** Waits, and with a queue that looks by itself, longer than a test may take: only a hint can be what woke it. */
  async function waitFor(
    database: TestDatabase,
    what: 'task' | 'process',
    id: string,
    move: () => Promise<unknown>,
  ) {
    const queue = openQueue(database.db, { pollIntervalMs: 600_000 });
    const waiting = queue.waitForEnd(what, id, { waitMs: 600_000 });
    await queue.waitForEnd(what, id, { waitMs: 0 });
    await move();
    expect(await waiting).toBe('ended');
    await queue.close();
  }

  test('is told to those who wait for it; of no process it is not_found', async ({ database }) => {
    const one = await start(database, { a: [], b: ['a'] });
    await waitFor(database, 'process', one, () => run(database, one, 'a', 'fails'));
    await retryProcess(database.db, one);
    await waitFor(database, 'process', one, () => cancelProcess(database.db, one));
    const other = await start(database, { a: [] });
    await waitFor(database, 'process', other, () => run(database, other, 'a'));
    expect(await database.queue.waitForEnd('process', newId(), { waitMs: 0 })).toBe('not_found');
  });

  test('is told to who asked for it by its id in capitals', async ({ database }) => {
    const id = await start(database, { a: [] });
    await waitFor(database, 'process', id.toUpperCase(), () => run(database, id, 'a'));
  });

  test('or of a task of it that was pending is told to those who wait', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    await waitFor(database, 'task', await taskIdOf(database, id, 'b'), async () => {
      for (const name of ['a', 'b']) await run(database, id, name);
    });
  });
});
