/** Moves that meet an engine between two of its statements, or lie in one inbox together. Races as in support/race.ts. */
import { describe, expect } from 'vitest';
import { giveUpOn } from '../../../src/engine/thinking/give-up.ts';
import { thinkOnce, thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { pruneEvents } from '../../../src/queue/events/prune.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { place } from '../../queue/processes/support/by-hand.ts';
import { type Stopped, stopAfter } from '../../queue/processes/support/race.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { claimNamed, run, type Saying, settlementOf, stateOf, taskIdOf } from '../../support/processes.ts';
import { untilBlocked } from '../../support/tasks.ts';
import { childrenOf, endOf, inboxOf, passTime, publishPlan, standOf, startPlan } from './support/plans.ts';

async function startFamily(database: TestDatabase, whole = {}): Promise<{ id: string; childId: string }> {
  await publishPlan(database, { x: {} }, { name: 'clean' });
  await publishPlan(database, { x: {} }, { name: 'child', ...whole });
  const id = await startPlan(database, { a: { process: { definition: 'child' } }, b: {} });
  await thinkUntilQuiet(database.queue);
  const [child] = await childrenOf(database, id);
  return { id, childId: child?.id ?? '' };
}

describe('a process that is to be cancelled with the task that started it', () => {
  test('when it has nothing left to do but to end, ends as cancelled', async ({ database }) => {
    const { id, childId } = await startFamily(database, { output: 1 });
    await run(database, childId, 'x');
    await cancelProcess(database.db, id);
    expect(await inboxOf(database, childId)).toEqual(['finish', 'cancel']);
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, childId)).toBe('cancelled');
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'cancelled' });
    expect(await database.sql('select from skipjack.process_results')).toEqual([]);
  });

  test('when it has failed and has yet to end, starts nothing by its failure', async ({ database }) => {
    const { id, childId } = await startFamily(database, { on_failure: { definition: 'clean' } });
    await run(database, childId, 'x', 'fails');
    await cancelProcess(database.db, id);
    expect(await inboxOf(database, childId)).toEqual(['finish', 'cancel']);
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, childId)).toBe('cancelled');
    expect(await childrenOf(database, childId)).toEqual([]);
  });

  test('and had failed by then, goes on when it is retried', async ({ database }) => {
    const { id, childId } = await startFamily(database);
    await run(database, childId, 'x', 'fails');
    expect(await thinkOnce(database.queue)).toMatchObject({ thought: 1 });
    expect(await stateOf(database, childId)).toBe('failed');
    await run(database, id, 'b', 'fails');
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select from skipjack.processes where id = $1 for no key update', [childId]);
    await thinkOnce(database.queue, { passOver: [childId] });
    expect(await stateOf(database, id)).toBe('failed');
    expect((await retryProcess(database.db, id)).kind).toBe('retried');
    expect(await inboxOf(database, childId)).toEqual(['cancel', 'retry']);
    await holder.query('rollback');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, childId)).toBe('running');
    expect(await standOf(database, id)).toEqual({ a: 'waits for process', b: 'ready' });
  });
});

/** `a` has its event, though `b` failed; and a retry does not wait for another. */
async function expectHandedOver(database: TestDatabase, id: string) {
  expect(await endOf(database, id, 'a')).toEqual({ state: 'completed', output: 7, error: null });
  expect(await stateOf(database, id)).toBe('failed');
  expect((await retryProcess(database.db, id)).kind).toBe('retried');
  await run(database, id, 'b');
  expect(await stateOf(database, id)).toBe('completed');
}

describe('a task whose event has come, in a process that stops before an engine has looked', () => {
  const graph = { a: { wait_for: { event: 'paid' } }, b: {} };

  async function sendWhilePaused(database: TestDatabase) {
    const id = await startPlan(database, graph);
    await thinkUntilQuiet(database.queue);
    const b = await claimNamed(database, id, 'b');
    await setProcessPaused(database.db, id, true);
    await database.sql(`select skipjack.send_event('paid', payload => '7')`);
    return { id, settleB: (saying: Saying) => database.queue.settle(settlementOf(b, saying)) };
  }

  test('completes with it, so that a retry does not wait for another', async ({ database }) => {
    const { id, settleB } = await sendWhilePaused(database);
    await settleB('fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for event', b: 'failed' });
    await setProcessPaused(database.db, id, false);
    await thinkUntilQuiet(database.queue);
    await expectHandedOver(database, id);
  });

  test('completes with it before its process is cancelled', async ({ database }) => {
    const { id, settleB } = await sendWhilePaused(database);
    await cancelProcess(database.db, id);
    await settleB({ kind: 'cancelled' });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toEqual({ state: 'completed', output: 7, error: null });
    expect(await stateOf(database, id)).toBe('cancelled');
  });

  test('completes with it as an item of a list that is given up', async ({ database }) => {
    const id = await startPlan(database, {
      a: { each: '${{ ["x", "y"] }}', wait_for: { event: '${{ item }}', timeout_ms: 60_000 } },
    });
    await thinkUntilQuiet(database.queue);
    await passTime(database);
    const [y] = await database.sql<{ task_id: string }>(
      `select task_id from skipjack.event_waits where name = 'y'`,
    );
    await database.sql(`update skipjack.engine_items set available_at = 'infinity' where task_id = $1`, [
      y?.task_id,
    ]);
    await database.sql(`select skipjack.send_event('y', payload => '7')`);
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a[1]')).toMatchObject({ state: 'completed', output: 7 });
    expect(await stateOf(database, id)).toBe('failed');
  });
});

describe('a task that is being sent its event, by a transaction that has not ended, in a process that fails', () => {
  async function failWhileSending(database: TestDatabase) {
    const id = await startPlan(database, { a: { wait_for: { event: 'paid' } }, b: {} });
    await thinkUntilQuiet(database.queue);
    const sender = await database.connect();
    await sender.query('begin');
    await sender.query(`select skipjack.send_event('paid', payload => '7')`);
    await run(database, id, 'b', 'fails');
    const other = await startPlan(database, { a: { if: 'true' } });
    const blocked = untilBlocked(database).then(() => 'the engine waits for a stranger');
    expect(await Promise.race([thinkOnce(database.queue), blocked])).toMatchObject({ thought: 2 });
    expect(await standOf(database, id)).toEqual({ a: 'waits for event', b: 'failed' });
    expect(await standOf(database, other)).toEqual({ a: 'ready' });
    expect(await stateOf(database, id)).toBe('failing');
    return { id, sender };
  }

  test('completes with it, when that commits; and nobody has waited for the sender', async ({ database }) => {
    const { id, sender } = await failWhileSending(database);
    await sender.query('commit');
    await thinkUntilQuiet(database.queue);
    await expectHandedOver(database, id);
  });

  test('is cancelled, when that rolls back', async ({ database }) => {
    const { id, sender } = await failWhileSending(database);
    await sender.query('rollback');
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'cancelled', b: 'failed' });
    expect(await stateOf(database, id)).toBe('failed');
    expect(await database.sql('select from skipjack.event_waits')).toEqual([]);
  });
});

describe('of the processes that a task had started, the last by the clock of the database', () => {
  /** One whose id is larger, and which was started an hour ago: by an engine whose clock is ahead. */
  const placeEarlier = (database: TestDatabase, parent: { processId: string; taskId: string }) =>
    place(database, { state: 'cancelled', tasks: { y: { state: 'cancelled' } }, parent });

  test('is the one that goes on, at once or when its turn has come', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: {
          state: 'failed',
          thinks: true,
          plan: { each: [1, 2], process: { definition: 'none' } },
          items: { states: ['failed', 'failed'], concurrency: 1, thinks: true },
        },
      },
    });
    const childIds: string[] = [];
    for (const item of ['a[0]', 'a[1]']) {
      const parent = { processId: id, taskId: await taskIdOf(database, id, item) };
      childIds.push(await place(database, { state: 'failed', tasks: { x: { state: 'failed' } }, parent }));
      await placeEarlier(database, parent);
    }
    await database.sql('update skipjack.processes set created_at = now() where id = any ($1::uuid[])', [
      childIds,
    ]);
    await retryProcess(database.db, id);
    for (const childId of childIds) {
      await thinkUntilQuiet(database.queue);
      expect(await stateOf(database, childId)).toBe('running');
      await run(database, childId, 'x');
    }
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('completed');
    expect(await childrenOf(database, id)).toHaveLength(4);
  });

  test('is not deleted before its outcome was taken', async ({ database }) => {
    const { id, childId } = await startFamily(database);
    await placeEarlier(database, { processId: id, taskId: await taskIdOf(database, id, 'a') });
    await run(database, childId, 'x');
    await thinkOnce(database.queue);
    expect(await stateOf(database, childId)).toBe('completed');
    expect(await deleteProcess(database.db, childId)).toEqual({ kind: 'not_taken', parentId: id });
  });
});

test('an event that came counts, though another task fails in the same moment and all is retried', async ({
  database,
}) => {
  const id = await startPlan(database, {
    a: { wait_for: { event: 'paid' } },
    b: {},
    c: { needs: ['b'], if: 'input.nothing' },
  });
  await thinkUntilQuiet(database.queue);
  await run(database, id, 'b');
  await database.sql(`select skipjack.send_event('paid')`);
  expect(await inboxOf(database, id)).toEqual(['think', 'event']);
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('failed');
  await retryProcess(database.db, id);
  expect(await standOf(database, id)).toEqual({ a: 'completed', b: 'completed', c: 'waits for engine' });
  await thinkUntilQuiet(database.queue);
});

test('an event that is pruned as somebody comes to take it is not taken for one without a payload', async ({
  database,
}) => {
  await database.sql(`select skipjack.send_event('paid', payload => '"old"')`);
  const id = await startPlan(database, { a: { wait_for: { event: 'paid' } } });
  const stopped = stopAfter(database, /from skipjack\.events\s+where name = asked\.name/);
  const thinking = thinkOnce({ ...database.queue, db: stopped.db });
  await comesTo(stopped, thinking);
  expect(await pruneEvents(database.db, { retentionMs: -1_000 })).toBe(1);
  stopped.go();
  await thinking;
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({ a: 'waits for event' });
});

test('what was given up is not ended, if another engine could think about it meanwhile', async ({
  database,
}) => {
  const id = await startPlan(database, { a: { sleep: { for: '1h' } } });
  const [{ id: rowId } = { id: '' }] = await database.sql<{ id: string }>(
    'update skipjack.engine_items set failures = 2 returning id::text',
  );
  const stopped = stopAfter(database, /set failures = least/);
  const givingUp = giveUpOn(stopped.db, { rowId, plans: new Map(), error: new Error('x'), onError() {} });
  await comesTo(stopped, givingUp);
  // It was put off for eight seconds, and this engine sleeps for longer.
  await passTime(database);
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({ a: 'waits for time' });
  stopped.go();
  await givingUp;
  expect(await standOf(database, id)).toEqual({ a: 'waits for time' });
});

test.for(['failing', 'cancelling'] as const)(
  'clean-ups of a %s process fail, if nobody can think about when they are due',
  async (state, { database }) => {
    await database.sql(`create function skipjack.break_thinking() returns trigger language plpgsql as $$
      begin
        if old.kind = 'cleanup' and old.failures < 3 then raise exception 'broken' using errcode = 'XX000'; end if;
        return old;
      end $$`);
    await database.sql(`create trigger break_thinking before delete on skipjack.engine_items
      for each row execute function skipjack.break_thinking()`);
    const id = await startPlan(database, { a: {}, b: { needs: ['a'], if: 'always()' }, c: { needs: ['b'] } });
    if (state === 'failing') await run(database, id, 'a', 'fails');
    else await cancelProcess(database.db, id);
    expect(await stateOf(database, id)).toBe(state);
    for (let time = 1; time <= 3; time += 1) {
      await passTime(database);
      await thinkUntilQuiet(database.queue);
    }
    expect(await endOf(database, id, 'b')).toMatchObject({ error: { code: 'engine_failed' } });
    expect(await stateOf(database, id)).toBe(state === 'failing' ? 'failed' : 'cancelled');
  },
);

/** The number of its connection. */
async function comesTo(stopped: Stopped, moving: Promise<unknown>): Promise<number> {
  const pid = await Promise.race([stopped.reached, moving.then(() => 0)]);
  if (pid === 0 && (await Promise.race([stopped.reached, null])) === null)
    throw new Error('it never sent a statement like that');
  return pid;
}
