/** A retry that meets another move of its process, or of one that hangs on it; see support/race.ts. */
import { expect } from 'vitest';
import type { Database } from '../../../src/database/connection.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { claimNamed, processOf, stateOf, taskIdOf } from '../../support/processes.ts';
import { type HandTask, place, placesOf } from './support/by-hand.ts';
import { lock, race, settles } from './support/race.ts';

const failed: HandTask = { state: 'failed', claims: 1 };
const retries =
  (id: string, inputs = {}) =>
  (db: Database) =>
    retryProcess(db, id, { inputs });

const placeItems = (database: TestDatabase) =>
  place(database, {
    state: 'failed',
    tasks: {
      a: { state: 'failed', thinks: true, items: { states: ['failed', 'cancelled'], concurrency: 1 } },
    },
  });

test('two retries at once: the inputs of the one that came first count', async ({ database }) => {
  const id = await place(database, { state: 'failed', tasks: { a: failed } });
  const results = await race(database, lock, retries(id, { a: 1 }), retries(id, { a: 2 }));
  expect(results).toEqual([
    { kind: 'retried', tasks: ['a'] },
    { kind: 'not_failed', state: 'running' },
  ]);
  expect(await database.sql('select input from skipjack.tasks')).toEqual([{ input: 1 }]);
});

test('a worker that was late when the process failed changes nothing of the items that are tried again', async ({
  database,
}) => {
  const id = await placeItems(database);
  await retryProcess(database.db, id);
  const task = await claimNamed(database, id, 'a[0]');
  await database.sql(
    `update skipjack.queue_items set claim_no = claim_no + 1, worker = null, claim_id = null, claimed_at = null,
       started_at = null, lease_expires_at = null, deadline_at = null where task_id = $1`,
    [task.id],
  );
  expect(await settles(database, task)()).toEqual([{ kind: 'lease_lost' }]);
  expect(await placesOf(database, id)).toEqual({ a: 'for items', 'a[0]': 'queued', 'a[1]': 'pending' });
});

test('a retry waits for the settle that fails the process, and then goes on', async ({ database }) => {
  const id = await place(database, { state: 'running', tasks: { a: { state: 'active' } } });
  const task = await claimNamed(database, id, 'a');
  const [, retried] = await race(database, lock, settles(database, task, 'fails'), retries(id));
  expect(retried).toEqual({ kind: 'retried', tasks: ['a'] });
  expect(await placesOf(database, id)).toEqual({ a: 'queued' });
});

test('a cancel that comes during a retry stops what was revived', async ({ database }) => {
  const id = await placeItems(database);
  const [retried, cancelled] = await race(database, lock, retries(id), (db) => cancelProcess(db, id));
  expect([retried.kind, cancelled.kind]).toEqual(['retried', 'cancelling']);
  expect(await stateOf(database, id)).toBe('cancelled');
  expect(await placesOf(database, id)).toEqual({ a: 'cancelled', 'a[0]': 'cancelled', 'a[1]': 'cancelled' });
  expect(await processOf(database, id)).toMatchObject({ unfinished: 0 });
});

test('a process is not deleted while that of the task which had started it is being retried', async ({
  database,
}) => {
  const family = async () => {
    const parentId = await place(database, {
      state: 'failed',
      tasks: { a: { state: 'failed', thinks: true } },
    });
    const taskId = await taskIdOf(database, parentId, 'a');
    const parent = { processId: parentId, taskId };
    return { parentId, childId: await place(database, { state: 'failed', tasks: { x: failed }, parent }) };
  };
  const deletes = (id: string) => (db: Database) => deleteProcess(db, id);
  const one = await family();
  expect(await race(database, lock, retries(one.parentId), deletes(one.childId))).toEqual([
    { kind: 'retried', tasks: ['a'] },
    { kind: 'not_taken', parentId: one.parentId },
  ]);
  const other = await family();
  expect(await race(database, lock, deletes(other.childId), retries(other.parentId))).toEqual([
    { kind: 'deleted' },
    { kind: 'retried', tasks: ['a'] },
  ]);
  expect(await placesOf(database, other.parentId)).toEqual({ a: 'for engine' });
});
