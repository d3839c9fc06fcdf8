/** What attempts used: in the record, in what is read of it, and in the views. */
import { expect } from 'vitest';
import { readAttempts } from '../../src/queue/dead-letters.ts';
import { listTasks } from '../../src/queue/list-tasks.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { test } from '../support/database.ts';
import { claimNamed, start } from '../support/processes.ts';
import { claimOne, enqueue, expireLease, fail, makeDue, settle } from '../support/tasks.ts';

const used = { exitCode: 0, runMs: 1_200, cpuMs: 900, memoryPeakBytes: 5_000_000_000 };
const shown = { exit_code: 0, run_ms: 1_200, cpu_ms: 900, memory_peak_bytes: 5_000_000_000 };

test('a completed task says what its attempt used', async ({ database }) => {
  const id = await enqueue(database);
  await settle(database, await claimOne(database), { kind: 'completed', output: 1, ...used });
  expect(await readTask(database.db, id)).toMatchObject({ ...shown, progress: null });
  expect(await listTasks(database.db, {}, { limit: 10 })).toMatchObject([shown]);
  const history = await database.sql(
    'select outcome, cpu_ms::integer, memory_peak_bytes::float8 from skipjack.attempt_history where task_id = $1',
    [id],
  );
  expect(history).toEqual([{ outcome: 'completed', cpu_ms: 900, memory_peak_bytes: 5_000_000_000 }]);
  expect(await database.sql('select cpu_ms_sum::integer from skipjack.throughput')).toEqual([
    { cpu_ms_sum: 900 },
  ]);
});

test('each attempt keeps what it used; the task shows that of the one which ended it', async ({
  database,
}) => {
  const id = await enqueue(database, { retry: { attempts: 3 } });
  const error = { code: 'x', message: 'x' };
  await settle(database, await claimOne(database), { kind: 'failed', error, cpuMs: 10, memoryPeakBytes: 1 });
  await makeDue(database, id);
  // Between attempts there is nothing to show.
  expect(await readTask(database.db, id)).toMatchObject({ cpu_ms: null, memory_peak_bytes: null });
  await settle(database, await claimOne(database), { kind: 'timed_out', error, cpuMs: 20 });
  await makeDue(database, id);
  await settle(database, await claimOne(database), { kind: 'failed', error, retry: false, cpuMs: 30 });
  expect(await readTask(database.db, id)).toMatchObject({ state: 'failed', cpu_ms: 30 });
  expect(await readAttempts(database.db, id)).toMatchObject([
    { outcome: 'failed', cpu_ms: 10, memory_peak_bytes: 1 },
    { outcome: 'timed_out', cpu_ms: 20, memory_peak_bytes: null },
    { outcome: 'failed', cpu_ms: 30, memory_peak_bytes: null },
  ]);
});

test('tasks of processes, and cancelled ones, say it too', async ({ database }) => {
  const a = await claimNamed(database, await start(database, { a: [], b: ['a'] }), 'a');
  await settle(database, a, { kind: 'completed', output: null, ...used });
  expect(await readTask(database.db, a.id)).toMatchObject(shown);

  const id = await enqueue(database, { queue: 'other' });
  const task = await claimOne(database, { queues: ['other'] });
  await database.sql('update skipjack.queue_items set cancel_requested = true where task_id = $1', [id]);
  await settle(database, task, { kind: 'cancelled', ...used });
  expect(await readTask(database.db, id)).toMatchObject({ state: 'cancelled', ...shown });
  expect(await readAttempts(database.db, id)).toMatchObject([{ outcome: 'cancelled', ...shown }]);
});

test('what a worker cannot tell is null, and what it tells in fractions is rounded', async ({ database }) => {
  const lost = await enqueue(database);
  await claimOne(database);
  await expireLease(database, lost);
  await database.queue.settle({ taskId: lost, claimNo: 1, kind: 'lost' });
  expect(await readAttempts(database.db, lost)).toMatchObject([
    { outcome: 'lost', cpu_ms: null, memory_peak_bytes: null },
  ]);

  const id = await enqueue(database, { queue: 'other' });
  const task = await claimOne(database, { queues: ['other'] });
  const outcome = {
    kind: 'completed',
    output: 1,
    runMs: 1.5,
    cpuMs: 0.4,
    memoryPeakBytes: Number.NaN,
  } as const;
  expect(await settle(database, task, outcome)).toMatchObject({ kind: 'settled' });
  expect(await readTask(database.db, id)).toMatchObject({ run_ms: 2, cpu_ms: 0, memory_peak_bytes: null });
});

test('what is settled is announced once, with what the record says', async ({ database }) => {
  const heard: unknown[] = [];
  const stop = database.queue.onSettled((settled) => heard.push(...settled));
  database.queue.onSettled(() => {
    throw new Error('a listener that fails disturbs nobody');
  });
  const warned = new Promise((resolve) => process.once('warning', resolve));
  const id = await enqueue(database, { retry: { attempts: 2 } });
  await fail(database, await claimOne(database));
  await makeDue(database, id);
  const task = await claimOne(database);
  await settle(database, task, { kind: 'completed', output: 1, runMs: 7 });
  // Asked again, it is repeated, not settled.
  await settle(database, task, { kind: 'completed', output: 1, runMs: 7 });
  await warned;
  stop();
  await enqueue(database);
  await fail(database, await claimOne(database));
  expect(heard).toEqual([
    { queue: 'default', attempt: 'failed', ended: null, waitMs: null, runMs: null },
    { queue: 'default', attempt: 'completed', ended: 'completed', waitMs: expect.any(Number), runMs: 7 },
  ]);
  expect(await readTask(database.db, id)).toMatchObject({ wait_ms: (heard[1] as { waitMs: number }).waitMs });
});
