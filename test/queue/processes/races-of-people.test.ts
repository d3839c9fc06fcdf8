/** Two who start, retry, delete, publish or end the same at once; see support/race.ts. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Database } from '../../../src/database/connection.ts';
import { keepInlineDefinition, publishDefinition } from '../../../src/engine/publish.ts';
import { startProcesses } from '../../../src/engine/start.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { endTaskByName } from '../../../src/queue/processes/end-by-name.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  makePlan,
  newProcess,
  processOf,
  publish,
  run,
  start,
  stateOf,
  statesOf,
  taskIdOf,
} from '../../support/processes.ts';
import { claim, untilBlocked } from '../../support/tasks.ts';
import { claimUncommitted, lock, race, stopAfter, untilWaitsFor } from './support/race.ts';

const failed = async (database: TestDatabase) => {
  const id = await start(database, { a: [], b: ['a'] });
  await run(database, id, 'a', 'fails');
  expect(await stateOf(database, id)).toBe('failed');
  return id;
};

describe('retry', () => {
  test('by two at once: one wins, the other finds the process running', async ({ database }) => {
    const id = await failed(database);
    const retries = (db: Database) => retryProcess(db, id);
    expect(await race(database, lock, retries, retries)).toEqual([
      { kind: 'retried', tasks: ['a'] },
      { kind: 'not_failed', state: 'running' },
    ]);
    const [letter] = await database.sql('select replays from skipjack.dead_letters');
    expect(letter).toEqual({ replays: 1 });
  });

  test('against delete: who comes first decides', async ({ database }) => {
    const one = await failed(database);
    const retries = (id: string) => (db: Database) => retryProcess(db, id);
    const deletes = (id: string) => (db: Database) => deleteProcess(db, id);
    expect(await race(database, lock, retries(one), deletes(one))).toEqual([
      { kind: 'retried', tasks: ['a'] },
      { kind: 'not_ended', state: 'running' },
    ]);
    const other = await failed(database);
    expect(await race(database, lock, deletes(other), retries(other))).toEqual([
      { kind: 'deleted' },
      { kind: 'not_found' },
    ]);
  });
});

describe('a task that is ended by its name', () => {
  const completes = (id: string, output: string, by: string | null) => (db: Database) =>
    endTaskByName(db, id, 'a', { kind: 'completed', output }, { by });

  test('by two people at once is ended by the first; the second is told', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    const [one, other] = await race(database, lock, completes(id, 'yes', 'Ann'), completes(id, 'yes', 'Bob'));
    expect(one).toMatchObject({ kind: 'ended', repeated: false });
    expect(other).toMatchObject({ kind: 'already_settled', state: 'completed' });
    expect(await statesOf(database, id)).toEqual({ a: 'completed', b: 'waiting' });
  });

  test('by the same call twice at once is ended once, and both are told so', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    const results = await race(database, lock, completes(id, 'yes', null), completes(id, 'yes', null));
    expect(results).toMatchObject([
      { kind: 'ended', repeated: false },
      { kind: 'ended', repeated: true },
    ]);
  });

  test('while a worker claims it is refused with the name of the worker', async ({ database }) => {
    const id = await start(database, { a: [] });
    const { client, pid } = await claimUncommitted(database);
    const ending = completes(id, 'yes', 'Ann')(database.db);
    await untilWaitsFor(database, pid);
    await client.query('commit');
    expect(await ending).toMatchObject({ kind: 'already_claimed', worker: 'racer' });
    expect(await statesOf(database, id)).toEqual({ a: 'running' });
  });

  test('is not handed out meanwhile, and a claim by its id finds it ended', async ({ database }) => {
    const id = await start(database, { a: [] });
    const taskId = await taskIdOf(database, id, 'a');
    const [ended, claimed] = await race(database, /for update/, completes(id, 'yes', 'Ann'), async () => {
      expect(await claim(database)).toEqual([]);
      return database.queue.claimOne(taskId, {
        worker: 'w',
        leaseMs: 1_000,
        timeoutGraceMs: 0,
        claimId: newId(),
      });
    });
    expect(ended).toMatchObject({ kind: 'ended' });
    expect(claimed).toEqual({ kind: 'ended', state: 'completed' });
  });
});

describe('start', () => {
  const keyed = (definition: string, input = {}) =>
    newProcess({ definition, input, idempotency_key: 'the key' });
  // Who holds the key lets go of it at last, on a busy machine after seconds.
  const patient = { lockTimeoutMs: 60_000 };
  const starts = (request: ReturnType<typeof keyed>) => (db: Database) =>
    startProcesses(db, [request], patient);
  const takesKeys = /start_processes/;

  test('by two sessions with one key makes one process', async ({ database }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const [one, other, another] = [keyed('d'), keyed('d'), keyed('d', { n: 1 })];
    const results = await race(database, takesKeys, starts(one), starts(other));
    expect(results.flat()).toEqual([
      { kind: 'created', id: one.id },
      { kind: 'existing', id: one.id },
    ]);
    expect(await startProcesses(database.db, [another])).toEqual([{ kind: 'key_conflict', id: one.id }]);
  });

  test('waits for a stranger who holds its key, takes it when he gives up, and lets neighbours pass', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const stranger = await database.connect();
    const begin = async () => {
      await stranger.query('begin');
      await stranger.query(`select skipjack.start_process('d', '{}', 'the key')`);
    };
    await begin();
    const mine = keyed('d');
    const starting = startProcesses(database.db, [mine], patient);
    await untilBlocked(database);
    await stranger.query('rollback');
    expect(await starting).toEqual([{ kind: 'created', id: mine.id }]);
    await database.sql('delete from skipjack.idempotency_keys');
    await begin();
    const neighbour = newProcess({ definition: 'd', idempotency_key: 'another' });
    const results = await startProcesses(database.db, [keyed('d'), neighbour], { lockTimeoutMs: 50 });
    expect(results.map((result) => result.kind)).toEqual(['key_busy', 'created']);
    await stranger.query('rollback');
  });

  test('with a key whose process is being deleted answers that process, or starts a new one', async ({
    database,
  }) => {
    await publish(database, { a: [] }, { name: 'd' });
    const first = keyed('d');
    await startProcesses(database.db, [first]);
    await run(database, first.id, 'a');
    const stopped = stopAfter(database, /with gone as/);
    const deleting = deleteProcess(stopped.db, first.id);
    await stopped.reached;
    const during = startProcesses(database.db, [keyed('d')]);
    expect(await during).toEqual([{ kind: 'existing', id: first.id }]);
    stopped.go();
    await deleting;
    const again = keyed('d');
    expect(await startProcesses(database.db, [again])).toEqual([{ kind: 'created', id: again.id }]);
    expect(await processOf(database, again.id)).toMatchObject({ state: 'running' });
  });
});

describe('definitions', () => {
  const checked = (source: string) => ({ source, plan: makePlan({ a: [] }) });

  test('published under one name by two sessions become two versions, or one if they are the same', async ({
    database,
  }) => {
    const publishes = (source: string) => (db: Database) => publishDefinition(db, 'd', checked(source));
    const versions = await race(
      database,
      /insert into skipjack.definitions/,
      publishes('one'),
      publishes('two'),
    );
    expect(versions).toMatchObject([
      { version: 1, created: true },
      { version: 2, created: true },
    ]);
    const same = await race(
      database,
      /insert into skipjack.definitions/,
      publishes('three'),
      publishes('three'),
    );
    expect(same).toMatchObject([
      { version: 3, created: true },
      { version: 3, created: false },
    ]);
    expect(same[0].id).toBe(same[1].id);
  });

  test('inline in two sessions are one', async ({ database }) => {
    const sessions = [await database.connect(), await database.connect()];
    const ids: string[] = [];
    for (const [index, end] of ['commit', 'rollback'].entries()) {
      const [session] = sessions.splice(0, 1) as [pg.Client];
      await session.query('begin');
      const pool = { query: session.query.bind(session) } as unknown as Database['pool'];
      const made = await keepInlineDefinition({ ...database.db, pool }, checked(`text ${index}`));
      const other = keepInlineDefinition(database.db, checked(`text ${index}`));
      await untilWaitsFor(database, (session as unknown as { processID: number }).processID);
      await session.query(end);
      ids.push(made, await other);
    }
    expect(ids[1]).toBe(ids[0]);
    expect(ids[3]).not.toBe(ids[2]);
  });
});
