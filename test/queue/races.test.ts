/** Races, made with connections of their own and a row that a third one holds: never with luck. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { claimStatement } from '../../src/queue/claim-statement.ts';
import { deleteTask } from '../../src/queue/delete.ts';
import { enqueueKeyedTasks } from '../../src/queue/enqueue.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { replayDeadLetter, replayDeadLetters } from '../../src/queue/replay.ts';
import { settleTasks } from '../../src/queue/settle.ts';
import { settleStatement } from '../../src/queue/settle-statement.ts';
import { type TestDatabase, test } from '../support/database.ts';
import {
  claim,
  claimNoOf,
  claimOne,
  complete,
  enqueue,
  expireLease,
  fail,
  untilBlocked,
} from '../support/tasks.ts';
import { waitLongIn } from './support/patience.ts';

/** A claim of one task, stopped before its commit. */
async function claimUncommitted(client: pg.Client) {
  await client.query('begin isolation level read committed');
  const part = {
    part: 0,
    first: 1,
    last: 1,
    last_started: 1,
    worker: 'racer',
    lease_ms: 30_000,
    grace_ms: 0,
    claim_id: newId(),
  };
  const { text, values } = claimStatement({
    selection: { queues: ['default'], lines: null },
    limit: 1,
    ranges: JSON.stringify([part]),
  });
  const { rows } = await client.query(text, values);
  return rows[0].tasks[0];
}

describe('claim against cancel', () => {
  test('a cancel that comes while the task is being claimed asks the new holder to stop', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const claimer = await database.connect();
    expect((await claimUncommitted(claimer)).id).toBe(id);
    const cancelling = cancelTask(database.db, id);
    await untilBlocked(database);
    await claimer.query('commit');
    expect(await cancelling).toEqual({ kind: 'requested', worker: 'racer' });
    const [item] = await database.sql(
      'select cancel_requested from skipjack.queue_items where task_id = $1',
      [id],
    );
    expect(item).toEqual({ cancel_requested: true });
  });

  test('a claim that is rolled back leaves the task to the cancel that waited for it', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const claimer = await database.connect();
    await claimUncommitted(claimer);
    const cancelling = cancelTask(database.db, id);
    await untilBlocked(database);
    await claimer.query('rollback');
    expect(await cancelling).toEqual({ kind: 'cancelled' });
    expect((await readTask(database.db, id))?.state).toBe('cancelled');
  });

  test('a claim passes over a task that is being cancelled', async ({ database }) => {
    const id = await enqueue(database);
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select from skipjack.queue_items where task_id = $1 for update', [id]);
    const cancelling = cancelTask(database.db, id);
    await untilBlocked(database);
    expect(await claim(database)).toEqual([]);
    await holder.query('commit');
    expect(await cancelling).toEqual({ kind: 'cancelled' });
    expect(await claim(database)).toEqual([]);
  });
});

describe('settle against reap', () => {
  test('an outcome that is being recorded wins over the reaper that waits for it', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    await expireLease(database, id);
    const settler = await database.connect();
    await settler.query('begin isolation level read committed');
    const { text, values } = settleStatement(
      [{ taskId: id, claimNo: claimNoOf(task), kind: 'completed', output: 'done' }],
      { inProcesses: false },
    );
    await settler.query(text, values);
    const reaping = reapExpiredClaims(database.db);
    await untilBlocked(database);
    await settler.query('commit');
    expect(await reaping).toBe(0);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'completed', output: 'done', losses: 0 });
  });

  test('an outcome that waited for the reaper is refused and changes nothing', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    await expireLease(database, id);
    const reaper = await database.connect();
    await reaper.query('begin isolation level read committed');
    const { text, values } = settleStatement([{ taskId: id, claimNo: claimNoOf(task), kind: 'lost' }], {
      inProcesses: false,
    });
    await reaper.query(text, values);
    const completing = complete(database, task);
    await untilBlocked(database);
    await reaper.query('commit');
    expect(await completing).toEqual({ kind: 'lease_lost' });
    expect(await readTask(database.db, id)).toMatchObject({ state: 'ready', losses: 1, attempt: 2 });
  });

  test('a heartbeat between the reaper’s look and its act keeps the task', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    await expireLease(database, id);
    const beater = await database.connect();
    await beater.query('begin');
    await beater.query(
      `update skipjack.queue_items set lease_expires_at = clock_timestamp() + interval '30 seconds' where task_id = $1`,
      [id],
    );
    const reaping = reapExpiredClaims(database.db);
    await untilBlocked(database);
    await beater.query('commit');
    expect(await reaping).toBe(0);
    expect(await complete(database, task)).toMatchObject({ kind: 'settled', state: 'completed' });
  });
});

test('two settles of the same tasks in opposite order both end, and each task is settled once', async ({
  database,
}) => {
  await Promise.all(Array.from({ length: 10 }, () => enqueue(database)));
  const tasks = (await claim(database, { limit: 10 })).sort((one, other) => (one.id < other.id ? -1 : 1));
  // The holder stops the first settle in the middle of its way; had the second gone the other way, it would
  // by then hold what the first needs.
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.queue_items where task_id = $1 for update', [tasks[5]?.id]);
  const outcomes = tasks.map((task) => ({
    taskId: task.id,
    claimNo: claimNoOf(task),
    kind: 'completed' as const,
    output: 1,
  }));
  const forwards = settleTasks(database.db, outcomes);
  await untilBlocked(database, 1);
  const backwards = settleTasks(database.db, outcomes.toReversed());
  await untilBlocked(database, 2);
  await holder.query('commit');
  const results = [...(await forwards), ...(await backwards)];
  expect(results.filter((result) => result.kind === 'settled' && !result.repeated)).toHaveLength(10);
  expect(results.filter((result) => result.kind === 'settled' && result.repeated)).toHaveLength(10);
});

test('keyed batches in opposite order both end, and each key makes one task', async ({ database }) => {
  await waitLongIn(database, 'enqueue_tasks(jsonb)');
  const keys = Array.from({ length: 10 }, (_, index) => `key ${index}`);
  const batch = (order: string[]) =>
    order.map((key) => parseTaskInput({ command: 'true', idempotency_key: key }));
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query(
    `insert into skipjack.idempotency_keys values ('task', 'key 5', $1, 'another', clock_timestamp())`,
    [newId()],
  );
  const forwards = enqueueKeyedTasks(database.db, batch(keys));
  await untilBlocked(database, 1);
  const backwards = enqueueKeyedTasks(database.db, batch(keys.toReversed()));
  await untilBlocked(database, 2);
  await holder.query('rollback');
  const [first, second] = [await forwards, (await backwards).toReversed()];
  expect(first.map((result) => result.kind)).toEqual(keys.map(() => 'created'));
  expect(second.map((result) => result.kind)).toEqual(keys.map(() => 'existing'));
  expect(first.map((result) => 'id' in result && result.id)).toEqual(
    second.map((result) => 'id' in result && result.id),
  );
});

test('a stranger who holds one key holds up that task alone', async ({ database }) => {
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query(
    `insert into skipjack.idempotency_keys values ('task', 'held', $1, 'another', clock_timestamp())`,
    [newId()],
  );
  const keys = ['a', 'held', 'z'];
  const results = await Promise.all(
    keys.map((key) => database.queue.enqueue(parseTaskInput({ command: 'true', idempotency_key: key }))),
  );
  expect(results.map((result) => result.kind)).toEqual(['created', 'key_busy', 'created']);
  await holder.query('rollback');
});

test('a heartbeat does not wait for a locked row: that lease is busy, its neighbours are extended', async ({
  database,
}) => {
  await Promise.all([enqueue(database), enqueue(database)]);
  const tasks = await claim(database, { limit: 2 });
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.queue_items where task_id = $1 for update', [tasks[0]?.id]);
  const beat = () =>
    Promise.all(
      tasks.map((task) =>
        database.queue.heartbeat({
          taskId: task.id,
          claimNo: claimNoOf(task),
          started: true,
          leaseMs: 30_000,
          timeoutGraceMs: 0,
        }),
      ),
    );
  expect((await beat()).map((result) => result.kind)).toEqual(['busy', 'extended']);
  await holder.query('commit');
  expect((await beat()).map((result) => result.kind)).toEqual(['extended', 'extended']);
});

test('of two replays of one dead letter at once, one wins and the other is told', async ({ database }) => {
  const id = await enqueue(database);
  await fail(database, await claimOne(database));
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.dead_letters where task_id = $1 for update', [id]);
  const replays = [replayDeadLetter(database.db, id), replayDeadLetter(database.db, id)];
  await untilBlocked(database, 2);
  await holder.query('commit');
  const kinds = (await Promise.all(replays)).map((result) => result.kind);
  expect(kinds.sort()).toEqual(['already_replayed', 'replayed']);
});

test('a replay by filter passes over a letter that another holds, and takes its neighbours', async ({
  database,
}) => {
  const ids: string[] = [];
  for (let count = 0; count < 3; count += 1) {
    ids.push(await enqueue(database));
    await fail(database, await claimOne(database));
  }
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.dead_letters where task_id = $1 for update', [ids[1]]);
  const replay = () => replayDeadLetters(database.db, {}, { limit: 10, dryRun: false });
  expect(await replay()).toEqual([ids[0], ids[2]]);
  await holder.query('commit');
  expect(await replay()).toEqual([ids[1]]);
});

describe('delete against replay', () => {
  test('a delete that waited for a replay finds the task alive and leaves it', async ({ database }) => {
    const { id, release } = await holdDeadLetter(database);
    const replaying = replayDeadLetter(database.db, id);
    await untilBlocked(database, 1);
    const deleting = deleteTask(database.db, id);
    await untilBlocked(database, 2);
    await release();
    expect(await replaying).toEqual({ kind: 'replayed' });
    expect(await deleting).toEqual({ kind: 'not_ended', state: 'active' });
    expect((await claimOne(database)).id).toBe(id);
  });

  test('a replay that waited for a delete finds nothing and revives nothing', async ({ database }) => {
    const { id, release } = await holdDeadLetter(database);
    const deleting = deleteTask(database.db, id);
    await untilBlocked(database, 1);
    const replaying = replayDeadLetter(database.db, id);
    await untilBlocked(database, 2);
    await release();
    expect(await deleting).toEqual({ kind: 'deleted' });
    expect(await replaying).toEqual({ kind: 'not_found' });
    expect(await claim(database)).toEqual([]);
  });

  /** A failed task whose letter somebody holds; who waits for it comes to it in the order of asking. */
  async function holdDeadLetter(database: TestDatabase) {
    const id = await enqueue(database);
    await fail(database, await claimOne(database));
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select from skipjack.dead_letters where task_id = $1 for update', [id]);
    return { id, release: () => holder.query('commit') };
  }
});

test('of two deletes of one task at once, one deletes it and the other finds nothing', async ({
  database,
}) => {
  const id = await enqueue(database);
  await complete(database, await claimOne(database));
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.tasks where id = $1 for update', [id]);
  const deletes = [deleteTask(database.db, id), deleteTask(database.db, id)];
  await untilBlocked(database, 2);
  await holder.query('commit');
  const kinds = (await Promise.all(deletes)).map((result) => result.kind);
  expect(kinds.sort()).toEqual(['deleted', 'not_found']);
});

test('claims at the same time never hand out a task twice', async ({ database }) => {
  await Promise.all(Array.from({ length: 300 }, () => enqueue(database)));
  const claims = await Promise.all(
    Array.from({ length: 30 }, (_, index) =>
      claim(database, { limit: 10, queues: ['default', `other ${index}`] }),
    ),
  );
  const ids = claims.flat().map((task) => task.id);
  expect(ids).toHaveLength(300);
  expect(new Set(ids).size).toBe(300);
});

test('two requests with one claim id at once get the same tasks', async ({ database }) => {
  await Promise.all(Array.from({ length: 10 }, () => enqueue(database)));
  const claimId = newId();
  const [one, other] = await Promise.all([
    claim(database, { limit: 3, claimId }),
    claim(database, { limit: 3, claimId, queues: ['default', 'another line'] }),
  ]);
  expect(one).toHaveLength(3);
  expect(other.map((task) => task.token)).toEqual(one.map((task) => task.token));
});
