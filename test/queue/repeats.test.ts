/** A lost answer can be asked for again: the same call gets the same kind of answer, any other is refused. */
import { describe, expect } from 'vitest';
import { parseTaskInput } from '../../src/core/task-input.ts';
import type { Outcome } from '../../src/core/task-source.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { enqueueTasks } from '../../src/queue/enqueue.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { settleTasks } from '../../src/queue/settle.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claim, claimNoOf, claimOne, complete, enqueue, expireLease, settle } from '../support/tasks.ts';

const error = { code: 'exit_code', message: 'it failed' };
const outcomes: Outcome[] = [
  { kind: 'completed', output: 1 },
  { kind: 'failed', error },
  { kind: 'timed_out', error },
  { kind: 'cancelled' },
  { kind: 'released' },
];

async function claimedTask(
  database: TestDatabase,
  { started, cancelAsked, attempts }: { started: boolean; cancelAsked: boolean; attempts: number },
) {
  await enqueue(database, { retry: { attempts, delay: '1h' } });
  const task = await claimOne(database, started ? {} : { startLimit: 0 });
  if (cancelAsked) await cancelTask(database.db, task.id);
  return task;
}

describe('settle', () => {
  for (const cancelAsked of [false, true])
    for (const started of [false, true])
      for (const attempts of [1, 2])
        test(`every outcome is answered again, ${cancelAsked ? '' : 'not '}asked to stop, ${started ? '' : 'not '}started, ${attempts} attempts`, async ({
          database,
        }) => {
          for (const outcome of outcomes) {
            const task = await claimedTask(database, { started, cancelAsked, attempts });
            const first = await settle(database, task, outcome);
            expect(first, outcome.kind).toMatchObject({ kind: 'settled', repeated: false });
            const state = 'state' in first && first.state;
            const again = await settle(database, task, outcome);
            expect(again, outcome.kind).toMatchObject({ kind: 'settled', state, repeated: true });
            // Out of the way of the next.
            await cancelTask(database.db, task.id);
          }
        });

  test('another outcome of the same claim is refused: failed is not timed out, neither is given back', async ({
    database,
  }) => {
    for (const attempts of [1, 2]) {
      const task = await claimedTask(database, { started: true, cancelAsked: false, attempts });
      await settle(database, task, { kind: 'failed', error });
      const refusal = attempts === 1 ? 'already_settled' : 'lease_lost';
      for (const outcome of outcomes.filter(({ kind }) => kind !== 'failed'))
        expect((await settle(database, task, outcome)).kind, outcome.kind).toBe(refusal);
    }
  });

  test('what was completed was not given back', async ({ database }) => {
    const task = await claimedTask(database, { started: true, cancelAsked: false, attempts: 1 });
    await complete(database, task);
    for (const outcome of outcomes.filter(({ kind }) => kind !== 'completed'))
      expect((await settle(database, task, outcome)).kind, outcome.kind).toBe('already_settled');
  });

  test('a later claim that ended cancelled is not the end of an earlier one', async ({ database }) => {
    const stale = await claimedTask(database, { started: true, cancelAsked: false, attempts: 1 });
    await expireLease(database, stale.id);
    await reapExpiredClaims(database.db);
    const task = await claimOne(database);
    await cancelTask(database.db, task.id);
    await settle(database, task, { kind: 'cancelled' });
    for (const outcome of outcomes)
      expect((await settle(database, stale, outcome)).kind, outcome.kind).toBe('already_settled');
  });

  test('what the reaper took is not the worker’s to give back or to end', async ({ database }) => {
    const task = await claimedTask(database, { started: true, cancelAsked: false, attempts: 1 });
    await expireLease(database, task.id);
    await reapExpiredClaims(database.db);
    for (const outcome of outcomes)
      expect(await settle(database, task, outcome), outcome.kind).toEqual({ kind: 'lease_lost' });
  });

  test('a release stays answered when the task is cancelled while it waits, and a completion stays refused', async ({
    database,
  }) => {
    const task = await claimedTask(database, { started: true, cancelAsked: false, attempts: 1 });
    await settle(database, task, { kind: 'released' });
    expect(await cancelTask(database.db, task.id)).toEqual({ kind: 'cancelled' });
    expect(await settle(database, task, { kind: 'released' })).toMatchObject({
      state: 'cancelled',
      repeated: true,
    });
    expect(await complete(database, task)).toEqual({ kind: 'already_settled', state: 'cancelled' });
  });

  test('an id in capitals is the same id: settled, repeated, beaten for', async ({ database }) => {
    await enqueue(database);
    const task = await claimOne(database);
    const inCapitals = { taskId: task.id.toUpperCase(), claimNo: claimNoOf(task) };
    expect(
      await database.queue.heartbeat({ ...inCapitals, started: true, leaseMs: 30_000, timeoutGraceMs: 0 }),
    ).toMatchObject({ kind: 'extended' });
    const outcome = { ...inCapitals, kind: 'completed', output: 'done' } as const;
    expect(await database.queue.settle(outcome)).toMatchObject({ state: 'completed', repeated: false });
    expect(await database.queue.settle(outcome)).toMatchObject({ state: 'completed', repeated: true });
  });

  test('of two outcomes of one claim in one call the first counts, and the second is answered as a later one', async ({
    database,
  }) => {
    await Promise.all([enqueue(database), enqueue(database)]);
    const [same, other] = await claim(database, { limit: 2 });
    if (!same || !other) throw new Error('nothing to claim');
    const of = (task: typeof same) => ({ taskId: task.id, claimNo: claimNoOf(task) });
    const results = await settleTasks(database.db, [
      { ...of(same), kind: 'completed', output: 'first' },
      { ...of(other), kind: 'completed', output: 'first' },
      { ...of(same), kind: 'completed', output: 'second' },
      { ...of(other), kind: 'failed', error },
    ]);
    expect(results).toMatchObject([
      { kind: 'settled', repeated: false },
      { kind: 'settled', repeated: false },
      { kind: 'settled', repeated: true },
      { kind: 'already_settled', state: 'completed' },
    ]);
    expect(await readTask(database.db, same.id)).toMatchObject({ output: 'first' });
    expect(await readTask(database.db, other.id)).toMatchObject({ state: 'completed', output: 'first' });
  });
});

describe('enqueue', () => {
  test('a batch whose commit is unknown can be sent again whole, also after its tasks have run', async ({
    database,
  }) => {
    const batch = ['a', 'b', 'c'].map((name) => parseTaskInput({ command: 'true', name }));
    const created = batch.map(({ id }) => ({ kind: 'created', id }));
    expect(await enqueueTasks(database.db, batch)).toEqual(created);
    expect(await enqueueTasks(database.db, batch)).toEqual(created);
    const tasks = await claim(database, { limit: 10 });
    expect(tasks.map((task) => task.id).sort()).toEqual(batch.map(({ id }) => id).sort());
    expect(await enqueueTasks(database.db, batch)).toEqual(created);
    for (const task of tasks) await complete(database, task);
    expect(await enqueueTasks(database.db, batch)).toEqual(created);
    expect(await database.sql('select from skipjack.queue_items')).toEqual([]);
    expect(await claim(database, { limit: 10 })).toEqual([]);
  });
});
