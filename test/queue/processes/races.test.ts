/** Races of the queue's own moves on processes; see support/race.ts. */
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Database } from '../../../src/database/connection.ts';
import { startProcesses } from '../../../src/engine/start.ts';
import { deleteTask } from '../../../src/queue/delete.ts';
import { heartbeatTasks } from '../../../src/queue/heartbeat.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { reapExpiredClaims } from '../../../src/queue/reap.ts';
import { settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  claimNamed,
  newProcess,
  outcomeOf,
  publish,
  run,
  settlementOf,
  start,
  stateOf,
  statesOf,
  taskIdOf,
} from '../../support/processes.ts';
import { claim, claimOf, expireLease, untilBlocked } from '../../support/tasks.ts';
import {
  claimUncommitted,
  lock,
  meet,
  race,
  settleSql,
  settles,
  stopAfter,
  untilWaitsFor,
} from './support/race.ts';

describe('a join', () => {
  test('whose two needs end in two sessions at once is queued once, in each of 120 rounds', async ({
    database,
  }) => {
    const rounds = 120;
    const definitionId = await publish(database, { a: [], b: [], j: ['a', 'b'] });
    const started = Array.from({ length: rounds }, () => newProcess({ definition_id: definitionId }));
    await startProcesses(database.db, started);
    const tasks = await claim(database, { limit: 2 * rounds });
    for (const [round, { id }] of started.entries()) {
      const [first, second] = tasks
        .filter((task) => task.process?.id === id)
        .sort(() => (round % 2 ? 1 : -1));
      if (!first || !second) throw new Error('not claimed');
      // Held right behind the lock, or with all that it does done but its commit.
      const pattern = round % 4 < 2 ? lock : settleSql;
      const results = await race(database, pattern, settles(database, first), settles(database, second));
      expect(results.flat().map((result) => result.kind)).toEqual(['settled', 'settled']);
    }
    const found = await database.sql(
      `select task.state, task.unmet, process.unfinished, count(*)::integer as times
       from skipjack.tasks as task join skipjack.processes as process on process.id = task.process_id
       join skipjack.queue_items as item on item.task_id = task.id and item.worker is null and item.claim_no = 0
       where task.name = 'j' group by 1, 2, 3`,
    );
    expect(found).toEqual([{ state: 'active', unmet: 0, unfinished: 1, times: rounds }]);
    const joins = await claim(database, { limit: 2 * rounds });
    await settleTasks(
      database.db,
      joins.map((task) => settlementOf(task, 'completes')),
    );
    expect(await database.sql('select distinct state from skipjack.processes')).toEqual([
      { state: 'completed' },
    ]);
  });

  test('is neither lost nor queued twice when two sessions bring batches over 60 processes in opposite orders', async ({
    database,
  }) => {
    const definitionId = await publish(database, { a: [], b: [], c: [], j: ['a', 'b'], k: ['c'] });
    for (let round = 0; round < 5; round += 1) {
      const ids = Array.from({ length: 60 }, () => newId());
      await startProcesses(
        database.db,
        ids.map((id) => newProcess({ id, definition_id: definitionId })),
      );
      const tasks = await claim(database, { limit: 180, worker: `round ${round}` });
      const those = (name: string) =>
        ids.map((id) => {
          const task = tasks.find((one) => one.process?.id === id && one.name === name);
          if (!task) throw new Error('not claimed');
          return settlementOf(task, 'completes');
        });
      // Some of the processes fail in one of the two, which locks more of their items.
      const forwards = [
        ...those('a'),
        ...those('c').map((one, index) => (index % 3 ? one : { ...one, ...outcomeOf('fails') })),
      ];
      const backwards = those('b').toReversed();
      // In the middle of both: had they not the same order, each would by then hold what the other needs.
      const holder = await database.connect();
      await holder.query('begin');
      await holder.query('select from skipjack.processes where id = $1 for no key update', [ids[30]]);
      const one = settleTasks(database.db, forwards);
      await untilBlocked(database, 1);
      const other = settleTasks(database.db, backwards);
      await untilBlocked(database, 2);
      await holder.query('commit');
      const results = [...(await one), ...(await other)];
      expect(results.every((result) => result.kind === 'settled' && !result.repeated)).toBe(true);
      const states = await database.sql(
        `select process.state, task.name, task.state as task, count(item.task_id)::integer as items, count(*)::integer as times
         from skipjack.processes as process join skipjack.tasks as task on task.process_id = process.id
         left join skipjack.queue_items as item on item.task_id = task.id
         where process.id = any ($1::uuid[]) and task.name in ('j', 'k') group by 1, 2, 3 order by 2, 3`,
        [ids],
      );
      expect(states).toEqual([
        { state: 'running', name: 'j', task: 'active', items: 40, times: 40 },
        { state: 'failed', name: 'j', task: 'cancelled', items: 0, times: 20 },
        { state: 'running', name: 'k', task: 'active', items: 40, times: 40 },
        { state: 'failed', name: 'k', task: 'cancelled', items: 0, times: 20 },
      ]);
      for (const id of ids) await cancelProcess(database.db, id);
    }
  });
});

describe('cancel', () => {
  test('that comes while a task is being claimed asks its new holder to stop', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    const { client, pid } = await claimUncommitted(database);
    const cancelling = cancelProcess(database.db, id);
    await untilWaitsFor(database, pid);
    await client.query('commit');
    expect(await cancelling).toEqual({ kind: 'cancelling' });
    expect(await statesOf(database, id)).toEqual({ a: 'stopping', b: 'cancelled' });
    expect(await stateOf(database, id)).toBe('cancelling');
  });

  test('under way, is not overtaken by a claim', async ({ database }) => {
    const id = await start(database, { a: [] });
    const stopped = stopAfter(database, /for update/);
    const cancelling = cancelProcess(stopped.db, id);
    await stopped.reached;
    expect(await claim(database)).toEqual([]);
    stopped.go();
    expect(await cancelling).toEqual({ kind: 'cancelling' });
    expect(await stateOf(database, id)).toBe('cancelled');
  });

  test('after an outcome cancels what the outcome has queued', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    const task = await claimNamed(database, id, 'a');
    await race(database, settleSql, settles(database, task), (db) => cancelProcess(db, id));
    expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'cancelled' });
    expect(await stateOf(database, id)).toBe('cancelled');
  });

  test('before an outcome leaves it completed, and nothing is queued behind it', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    const task = await claimNamed(database, id, 'a');
    const [, [result]] = await race(database, lock, (db) => cancelProcess(db, id), settles(database, task));
    expect(result).toMatchObject({ kind: 'settled', state: 'completed' });
    expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'cancelled' });
    expect(await stateOf(database, id)).toBe('cancelled');
  });
});

describe('pause', () => {
  for (const [order, pauseFirst] of Object.entries({ before: true, after: false })) {
    test(`${order} the end of a need holds what that end queues`, async ({ database }) => {
      const id = await start(database, { a: [], b: ['a'] });
      const task = await claimNamed(database, id, 'a');
      const pauses = (db: Database) => setProcessPaused(db, id, true);
      if (pauseFirst) await race(database, lock, pauses, settles(database, task));
      else await race(database, settleSql, settles(database, task), pauses);
      expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'waiting' });
      expect(await claim(database)).toEqual([]);
      await setProcessPaused(database.db, id, false);
      expect(await claim(database)).toMatchObject([{ name: 'b' }]);
    });
  }

  test('while a task is being claimed leaves it to its new holder, held for when it comes back', async ({
    database,
  }) => {
    const id = await start(database, { a: [] });
    const { client, pid } = await claimUncommitted(database);
    const pausing = setProcessPaused(database.db, id, true);
    await untilWaitsFor(database, pid);
    await client.query('commit');
    await pausing;
    const claimed = { taskId: await taskIdOf(database, id, 'a'), claimNo: 1, processId: id };
    expect(await settleTasks(database.db, [{ ...claimed, kind: 'released' }])).toMatchObject([
      { state: 'active' },
    ]);
    expect(await claim(database)).toEqual([]);
  });
});

describe('the reaper', () => {
  const expired = async (database: TestDatabase) => {
    const id = await start(database, { a: [], b: ['a'] });
    const task = await claimNamed(database, id, 'a');
    await expireLease(database, task.id);
    return { id, task };
  };

  test('that waits for an outcome takes nothing', async ({ database }) => {
    const { id, task } = await expired(database);
    const [, reaped] = await race(database, settleSql, settles(database, task), reapExpiredClaims);
    expect(reaped).toBe(0);
    expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'waiting' });
  });

  test('that comes first makes the outcome a lost lease', async ({ database }) => {
    const { id, task } = await expired(database);
    const [reaped, results] = await race(database, settleSql, reapExpiredClaims, settles(database, task));
    expect([reaped, results]).toEqual([1, [{ kind: 'lease_lost' }]]);
    expect(await statesOf(database, id)).toEqual({ a: 'waiting', b: 'pending' });
  });

  test('takes nothing from who beats its heart between the look and the lock', async ({ database }) => {
    const { id, task } = await expired(database);
    const stopped = stopAfter(database, /pg_try_advisory_xact_lock/);
    const reaping = reapExpiredClaims(stopped.db);
    await stopped.reached;
    const beat = { ...claimOf(task), started: true, leaseMs: 30_000, timeoutGraceMs: 0 };
    expect(await heartbeatTasks(database.db, [beat])).toMatchObject([{ kind: 'extended' }]);
    stopped.go();
    expect(await reaping).toBe(0);
    expect(await statesOf(database, id)).toEqual({ a: 'running', b: 'pending' });
  });
});

const failed = async (database: TestDatabase) => {
  const id = await start(database, { a: [], b: ['a'] });
  await run(database, id, 'a', 'fails');
  expect(await stateOf(database, id)).toBe('failed');
  return id;
};

describe('nobody waits for another in a ring', () => {
  const letterLock = /from skipjack.dead_letters .* for update/;

  test('when a task is deleted by its id while its process is deleted', async ({ database }) => {
    const id = await failed(database);
    const taskId = await taskIdOf(database, id, 'a');
    await meet(
      database,
      letterLock,
      (db) => deleteTask(db, taskId),
      (db) => deleteProcess(db, id),
    );
  });

  test('when a task is deleted by its id while its process is retried', async ({ database }) => {
    const id = await failed(database);
    const taskId = await taskIdOf(database, id, 'a');
    await meet(
      database,
      letterLock,
      (db) => deleteTask(db, taskId),
      (db) => retryProcess(db, id),
    );
  });

  test('when a claim is asked for again while one of its tasks fails their process', async ({ database }) => {
    const id = await start(database, { a: [], b: [] });
    const claimId = newId();
    const [first, second] = await claim(database, { limit: 2, claimId });
    if (!first || !second) throw new Error('not claimed');
    await meet(database, settleSql, settles(database, second, 'fails'), () =>
      claim(database, { limit: 2, claimId }),
    );
    expect(await statesOf(database, id)).toEqual({ a: 'stopping', b: 'failed' });
  });
});
