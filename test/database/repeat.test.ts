import { afterEach, expect, vi } from 'vitest';
import { createBatcher } from '../../src/core/batching.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { repeatingDatabaseFaults } from '../../src/database/repeat.ts';
import { test } from '../support/database.ts';
import { areBlocked, claimOne, complete, enqueue, untilBlocked } from '../support/tasks.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

const killBlocked = `select pg_terminate_backend(pid) from pg_stat_activity where ${areBlocked}`;

test('an enqueue whose connection is killed is answered all the same, and made once', async ({
  database,
}) => {
  const holder = await database.connect();
  await holder.query('begin; lock table skipjack.tasks in access exclusive mode');
  const task = parseTaskInput({ command: 'true' });
  const enqueued = database.queue.enqueue(task);
  await untilBlocked(database);
  await database.sql(killBlocked);
  await holder.query('rollback');
  expect(await enqueued).toEqual({ kind: 'created', id: task.id });
  expect(await database.sql('select id from skipjack.tasks')).toEqual([{ id: task.id }]);
  expect(database.queue.repeated.connectionsLost).toBe(1);
});

test('a settle whose connection is killed is answered all the same', async ({ database }) => {
  const id = await enqueue(database);
  const task = await claimOne(database);
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.queue_items where task_id = $1 for update', [id]);
  const settled = complete(database, task, 'done');
  await untilBlocked(database);
  await database.sql(killBlocked);
  await holder.query('rollback');
  expect(await settled).toMatchObject({ kind: 'settled', state: 'completed', repeated: false });
  expect(database.queue.repeated.connectionsLost).toBe(1);
});

test('patience counts the time that tries take, not the pauses alone', async () => {
  let clockMs = 0;
  vi.spyOn(performance, 'now').mockImplementation(() => clockMs);
  const tries = { first: 0, second: 0 };
  const batcher = createBatcher({
    // A port that accepts and says nothing: each try takes as long as a connection may.
    flush: async ([item]: ('first' | 'second')[]) => {
      tries[item as 'first'] += 1;
      clockMs += 5_000;
      throw Object.assign(new Error('connect timed out'), { code: 'ETIMEDOUT' });
    },
    itemsMax: 1,
    ...repeatingDatabaseFaults({ patienceMs: 8_000 }),
  });
  await expect(batcher.add('first')).rejects.toThrow('timed out');
  // Each batch has its own patience.
  await expect(batcher.add('second')).rejects.toThrow('timed out');
  expect(tries).toEqual({ first: 2, second: 2 });
});
