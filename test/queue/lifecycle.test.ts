import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { claimTask } from '../../src/queue/claim-one.ts';
import { readAttempts, readDeadLetter } from '../../src/queue/dead-letters.ts';
import { deleteTask } from '../../src/queue/delete.ts';
import { listTasks } from '../../src/queue/list-tasks.ts';
import { setQueuePaused } from '../../src/queue/pause.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { replayDeadLetter, replayDeadLetters } from '../../src/queue/replay.ts';
import { type TestDatabase, test } from '../support/database.ts';
import {
  claim,
  claimNoOf,
  claimOne,
  complete,
  enqueue,
  expireLease,
  fail,
  makeDue,
  settle,
} from '../support/tasks.ts';

describe('the order of the queue', () => {
  test('higher priority goes first, and within one the order of arrival', async ({ database }) => {
    const ids: string[] = [];
    for (const priority of [0, 9, 5, 9, 5, 0]) ids.push(await enqueue(database, { priority }));
    const tasks = await claim(database, { limit: 10 });
    expect(tasks.map((task) => task.id)).toEqual([1, 3, 2, 4, 0, 5].map((index) => ids[index]));
  });

  test('tasks of one batch keep the order in which they were made', async ({ database }) => {
    const ids = await Promise.all(Array.from({ length: 50 }, () => enqueue(database)));
    const tasks = await claim(database, { limit: 50 });
    expect(tasks.map((task) => task.id)).toEqual(ids);
  });

  test('a delayed task is scheduled, is not handed out, and comes when it is due', async ({ database }) => {
    const id = await enqueue(database, { delay: '1h' });
    expect((await readTask(database.db, id))?.state).toBe('scheduled');
    expect(await claim(database)).toEqual([]);
    await makeDue(database, id);
    expect((await claimOne(database)).id).toBe(id);
  });

  test('no queue starves while another is full', async ({ database }) => {
    for (let count = 0; count < 20; count += 1) await enqueue(database, { queue: 'busy' });
    await enqueue(database, { queue: 'quiet' });
    const first = await claim(database, { queues: ['busy', 'quiet'], limit: 1 });
    const second = await claim(database, { queues: ['busy', 'quiet'], limit: 1 });
    expect([...first, ...second].map((task) => task.queue).sort()).toEqual(['busy', 'quiet']);
  });

  test('a claim by name or label takes only what fits', async ({ database }) => {
    await enqueue(database, { name: 'other' });
    const named = await enqueue(database, { name: 'wanted' });
    const labelled = await enqueue(database, { name: 'other', labels: { team: 'blue' } });
    expect((await claim(database, { limit: 5, filter: { name: 'wanted' } })).map((task) => task.id)).toEqual([
      named,
    ]);
    expect(
      (await claim(database, { limit: 5, filter: { label: 'team=red' } })).map((task) => task.id),
    ).toEqual([]);
    expect((await claim(database, { limit: 5, filter: { label: 'team' } })).map((task) => task.id)).toEqual([
      labelled,
    ]);
  });
});

describe('failures', () => {
  test('a failing task is tried again after a growing pause, then becomes a dead letter with every attempt', async ({
    database,
  }) => {
    const id = await enqueue(database, {
      retry: { attempts: 3, backoff: 'exponential', delay: '10s', jitter: false },
    });
    const pauses: number[] = [];
    for (let attempt = 1; attempt <= 3; attempt += 1) {
      const task = await claimOne(database);
      expect(task.attempt).toBe(attempt);
      const result = await settle(database, task, {
        kind: 'failed',
        error: { code: 'exit_code', message: `try ${attempt}` },
        exitCode: attempt,
      });
      if (attempt === 3) expect(result).toMatchObject({ kind: 'settled', state: 'failed' });
      else {
        const [row] = await database.sql<{ pause: number }>(
          `select extract(epoch from item.available_at - attempt.ended_at)::float8 as pause
           from skipjack.queue_items as item join skipjack.attempts as attempt using (task_id, claim_no) where task_id = $1`,
          [id],
        );
        pauses.push(row?.pause ?? 0);
        await makeDue(database, id);
      }
    }
    expect(pauses).toEqual([10, 20]);
    const letter = await readDeadLetter(database.db, id);
    expect(letter?.reason).toBe('failed');
    expect(
      letter?.attempts.map((each) => [each.attempt, each.outcome, each.exit_code, each.error?.message]),
    ).toEqual([
      [1, 'failed', 1, 'try 1'],
      [2, 'failed', 2, 'try 2'],
      [3, 'failed', 3, 'try 3'],
    ]);
  });

  test('fail with retry: false is final', async ({ database }) => {
    await enqueue(database, { retry: { attempts: 5 } });
    expect(await fail(database, await claimOne(database), false)).toMatchObject({ state: 'failed' });
  });

  test('a replayed dead letter runs with a new budget, keeps its attempts, and refuses the tokens of its earlier life', async ({
    database,
  }) => {
    const id = await enqueue(database, { retry: { attempts: 2, delay: '1ms' } });
    const first = await claimOne(database);
    await fail(database, first);
    await makeDue(database, id);
    await fail(database, await claimOne(database));
    expect(await replayDeadLetter(database.db, id)).toEqual({ kind: 'replayed' });
    expect((await replayDeadLetter(database.db, id)).kind).toBe('already_replayed');
    const again = await claimOne(database);
    expect(again).toMatchObject({ id, attempt: 1 });
    expect(await complete(database, first)).toEqual({ kind: 'lease_lost' });
    await fail(database, again);
    await makeDue(database, id);
    expect(await complete(database, await claimOne(database), 'at last')).toMatchObject({
      state: 'completed',
    });
    expect(await readAttempts(database.db, id)).toHaveLength(3);
    expect((await readDeadLetter(database.db, id))?.replayed_at).not.toBeNull();
  });

  test('a replayed task that fails again is a waiting dead letter again, and can be replayed again', async ({
    database,
  }) => {
    const id = await enqueue(database);
    for (let replays = 0; replays < 3; replays += 1) {
      await fail(database, await claimOne(database));
      expect(await readDeadLetter(database.db, id)).toMatchObject({ replayed_at: null, replays });
      expect(await replayDeadLetter(database.db, id)).toEqual({ kind: 'replayed' });
      expect((await readDeadLetter(database.db, id))?.replayed_at).not.toBeNull();
    }
  });

  test('a task lost too often has its full budget of losses again after a replay', async ({ database }) => {
    const id = await enqueue(database);
    const lose = async () => {
      await claimOne(database);
      await expireLease(database, id);
      await reapExpiredClaims(database.db);
    };
    for (let losses = 1; losses <= 5; losses += 1) await lose();
    await replayDeadLetter(database.db, id);
    const [record] = await database.sql('select failures, losses from skipjack.tasks where id = $1', [id]);
    expect(record).toEqual({ failures: 0, losses: 0 });
    for (let losses = 1; losses <= 4; losses += 1) {
      await lose();
      expect(await readTask(database.db, id)).toMatchObject({ state: 'ready', losses });
    }
    await lose();
    expect(await readTask(database.db, id)).toMatchObject({ state: 'failed', losses: 5 });
  });

  test('replaying by filter says first what it would do, then does it', async ({ database }) => {
    for (const name of ['a', 'a', 'b']) {
      await enqueue(database, { name });
      await fail(database, await claimOne(database));
    }
    const dry = await replayDeadLetters(database.db, { name: 'a' }, { limit: 10, dryRun: true });
    expect(dry).toHaveLength(2);
    expect(await claim(database, { limit: 5 })).toEqual([]);
    expect(await replayDeadLetters(database.db, { name: 'a' }, { limit: 10, dryRun: false })).toEqual(dry);
    expect(await claim(database, { limit: 5 })).toHaveLength(2);
  });
});

describe('losses', () => {
  test('a started task whose lease ran out is lost and comes back at once', async ({ database }) => {
    const id = await enqueue(database);
    const stale = await claimOne(database);
    await expireLease(database, id);
    expect(await reapExpiredClaims(database.db)).toBe(1);
    expect(await complete(database, stale)).toEqual({ kind: 'lease_lost' });
    const task = await claimOne(database);
    expect(task).toMatchObject({ id, attempt: 2 });
    await complete(database, task);
    expect(await readTask(database.db, id)).toMatchObject({
      state: 'completed',
      failures: 0,
      losses: 1,
      attempt: 2,
    });
  });

  test('a task that was held ahead and never started goes back uncounted', async ({ database }) => {
    const id = await enqueue(database);
    const [task] = await claim(database, { startLimit: 0 });
    expect(task?.started).toBe(false);
    await expireLease(database, id);
    await reapExpiredClaims(database.db);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'ready', losses: 0, attempt: 1 });
    expect(await readAttempts(database.db, id)).toEqual([]);
  });

  test('the fifth loss ends the task as a dead letter, whatever its retry policy', async ({ database }) => {
    const id = await enqueue(database, { retry: { attempts: 100 } });
    for (let losses = 1; losses <= 5; losses += 1) {
      await claimOne(database);
      await expireLease(database, id);
      await reapExpiredClaims(database.db);
    }
    expect(await readTask(database.db, id)).toMatchObject({
      state: 'failed',
      losses: 5,
      error: { code: 'lost_too_often' },
    });
    const letter = await readDeadLetter(database.db, id);
    expect(letter?.reason).toBe('lost_too_often');
    expect(letter?.attempts.map((attempt) => attempt.outcome)).toEqual(Array(5).fill('lost'));
  });

  test('completing after the lease expired but before it was reaped is accepted', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    await expireLease(database, id);
    expect(await complete(database, task)).toMatchObject({ kind: 'settled', state: 'completed' });
  });

  test('a worker killed before its short timeout ran out is a loss, not a failure, and the task runs again', async ({
    database,
  }) => {
    const id = await enqueue(database, { timeout: '1s' });
    await claimOne(database, { leaseMs: 30_000, timeoutGraceMs: 500 });
    await moveToTheFuture(database, id);
    expect(await reapExpiredClaims(database.db)).toBe(1);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'ready', failures: 0, losses: 1 });
    expect((await readAttempts(database.db, id)).map((attempt) => attempt.outcome)).toEqual(['lost']);
    expect(await complete(database, await claimOne(database))).toMatchObject({ state: 'completed' });
  });

  test('an attempt whose holder leaves timeouts to the server is timed out at its deadline', async ({
    database,
  }) => {
    const part = { worker: 'ann', leaseMs: 30_000, timeoutGraceMs: 0, claimId: newId() };
    const [byQueue, byId] = [
      await enqueue(database, { timeout: '1s' }),
      await enqueue(database, { name: 'review', queue: 'people', timeout: '1s' }),
    ];
    await claimOne(database);
    expect((await claimTask(database.db, byId, part)).kind).toBe('claimed');
    for (const id of [byQueue, byId]) {
      await moveToTheFuture(database, id);
      await reapExpiredClaims(database.db);
      expect(await readTask(database.db, id)).toMatchObject({
        state: 'failed',
        failures: 1,
        losses: 0,
        error: { code: 'timed_out' },
      });
    }
  });

  test('an overdue attempt does not make the next one overdue', async ({ database }) => {
    const id = await enqueue(database, { timeout: '1s', retry: { attempts: 3, delay: '1ms' } });
    const task = await claimOne(database);
    await moveToTheFuture(database, id);
    const beat = { taskId: id, claimNo: claimNoOf(task), started: true, leaseMs: 30_000, timeoutGraceMs: 0 };
    expect(await database.queue.heartbeat(beat)).toEqual({ kind: 'stop', reason: 'timed_out' });
    await reapExpiredClaims(database.db);
    await makeDue(database, id);
    await claimOne(database, { timeoutGraceMs: 500 });
    await moveToTheFuture(database, id);
    await reapExpiredClaims(database.db);
    expect((await readAttempts(database.db, id)).map((attempt) => attempt.outcome)).toEqual([
      'timed_out',
      'lost',
    ]);
  });

  test('a beat of a stale worker is answered as gone and does not extend the lease of the new holder', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const stale = await claimOne(database);
    await expireLease(database, id);
    await reapExpiredClaims(database.db);
    await claimOne(database, { worker: 'the new holder' });
    const readLease = () => database.sql('select * from skipjack.queue_items where task_id = $1', [id]);
    const before = await readLease();
    const beat = {
      taskId: id,
      claimNo: claimNoOf(stale),
      started: true,
      leaseMs: 3_600_000,
      timeoutGraceMs: 0,
    };
    expect(await database.queue.heartbeat(beat)).toEqual({ kind: 'gone' });
    expect(await readLease()).toEqual(before);
  });

  test('a worker that beats but hangs past the timeout loses the task as timed out', async ({ database }) => {
    const id = await enqueue(database, { timeout: '10s' });
    const task = await claimOne(database, { leaseMs: 60_000 });
    const [before] = await database.sql(
      'select lease_expires_at <= deadline_at as within from skipjack.queue_items where task_id = $1',
      [id],
    );
    expect(before).toEqual({ within: true });
    await moveToTheFuture(database, id);
    const beat = { taskId: id, claimNo: claimNoOf(task), started: true, leaseMs: 60_000, timeoutGraceMs: 0 };
    expect(await database.queue.heartbeat(beat)).toEqual({ kind: 'stop', reason: 'timed_out' });
    await reapExpiredClaims(database.db);
    expect(await readTask(database.db, id)).toMatchObject({
      state: 'failed',
      failures: 1,
      losses: 0,
      error: { code: 'timed_out' },
    });
  });
});

describe('the fence', () => {
  test('the same claim with the same outcome is answered again; another outcome is refused and changes nothing', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    expect(await complete(database, task, 'first')).toMatchObject({ repeated: false });
    expect(await complete(database, task, 'first')).toMatchObject({ state: 'completed', repeated: true });
    expect(await fail(database, task)).toEqual({ kind: 'already_settled', state: 'completed' });
    expect(await readTask(database.db, id)).toMatchObject({ state: 'completed', output: 'first' });
  });

  test('a stale outcome and the right one in one batch: the right one counts', async ({ database }) => {
    const id = await enqueue(database);
    const stale = await claimOne(database);
    await expireLease(database, id);
    await reapExpiredClaims(database.db);
    const task = await claimOne(database);
    const [late, right] = await Promise.all([
      complete(database, stale, 'late'),
      complete(database, task, 'right'),
    ]);
    expect(late.kind).not.toBe('settled');
    expect(right).toMatchObject({ kind: 'settled', repeated: false });
    expect(await readTask(database.db, id)).toMatchObject({ output: 'right' });
  });

  test('a release is answered again, and counts nothing', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    expect(await settle(database, task, { kind: 'released' })).toMatchObject({
      state: 'active',
      repeated: false,
    });
    expect(await settle(database, task, { kind: 'released' })).toMatchObject({
      state: 'active',
      repeated: true,
    });
    const next = await claimOne(database);
    expect(next).toMatchObject({ id, attempt: 1 });
    expect(await settle(database, task, { kind: 'released' })).toEqual({ kind: 'lease_lost' });
  });

  test('a task released with a delay waits for that long, and its place in the line is then by that time', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    const [before] = await database.sql<{ at: string }>('select clock_timestamp()::text as at');
    const result = await settle(database, task, { kind: 'released', delayMs: 60_000 });
    expect(result).toMatchObject({ state: 'active' });
    expect(await readTask(database.db, id)).toMatchObject({ state: 'scheduled', attempt: 1 });
    const [item] = await database.sql(
      `select available_at - interval '1 minute' between $1 and clock_timestamp() as is_a_minute_later
       from skipjack.queue_items`,
      [before?.at],
    );
    expect(item).toEqual({ is_a_minute_later: true });
    expect(await claim(database)).toEqual([]);
  });

  test('a value that Postgres cannot store fails alone, not the batch it came in', async ({ database }) => {
    await Promise.all(Array.from({ length: 8 }, () => enqueue(database)));
    const tasks = await claim(database, { limit: 8 });
    const results = await Promise.all(
      tasks.map((task, index) => complete(database, task, index === 3 ? 'nul: \u0000' : 'fine')),
    );
    expect(results.map((result) => result.kind)).toEqual(
      tasks.map((_task, index) => (index === 3 ? 'invalid' : 'settled')),
    );
  });

  test('a claim whose answer was lost is repeated by its id and gives the same tasks, as long as they are held', async ({
    database,
  }) => {
    await Promise.all([enqueue(database), enqueue(database), enqueue(database)]);
    const claimId = newId();
    const first = await claim(database, { limit: 2, claimId });
    const again = await claim(database, { limit: 2, claimId: claimId.toUpperCase() });
    expect(await claim(database, { limit: 2, claimId })).toHaveLength(2);
    expect(again.map((task) => task.token)).toEqual(first.map((task) => task.token));
    for (const task of first) await complete(database, task);
    expect(await claim(database, { limit: 2, claimId })).toHaveLength(1);
  });
});

describe('cancel', () => {
  test('a waiting task ends cancelled', async ({ database }) => {
    const id = await enqueue(database);
    expect(await cancelTask(database.db, id)).toEqual({ kind: 'cancelled' });
    expect(await cancelTask(database.db, id)).toEqual({ kind: 'ended', state: 'cancelled' });
  });

  test('a running one is told by its next heartbeat, and ends cancelled when its worker says so', async ({
    database,
  }) => {
    const id = await enqueue(database, { retry: { attempts: 3 } });
    const task = await claimOne(database);
    expect(await cancelTask(database.db, id)).toEqual({ kind: 'requested', worker: 'tester' });
    const beat = { taskId: id, claimNo: claimNoOf(task), started: true, leaseMs: 30_000, timeoutGraceMs: 0 };
    expect(await database.queue.heartbeat(beat)).toEqual({ kind: 'stop', reason: 'cancelled' });
    expect(await settle(database, task, { kind: 'cancelled' })).toMatchObject({ state: 'cancelled' });
    expect((await readAttempts(database.db, id)).map((attempt) => attempt.outcome)).toEqual(['cancelled']);
  });

  test('under a cancel request a completed task stays completed', async ({ database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    await cancelTask(database.db, id);
    expect(await complete(database, task)).toMatchObject({ state: 'completed' });
  });

  test('a cancelled task whose worker dies ends cancelled', async ({ database }) => {
    const id = await enqueue(database);
    await claimOne(database);
    await cancelTask(database.db, id);
    await expireLease(database, id);
    await reapExpiredClaims(database.db);
    expect((await readTask(database.db, id))?.state).toBe('cancelled');
  });
});

describe('pause', () => {
  test('a paused queue hands out nothing, by any way, and says so; resumed, it goes on', async ({
    database,
  }) => {
    const id = await enqueue(database);
    await setQueuePaused(database.db, 'default', true);
    expect(await claim(database)).toEqual([]);
    const part = { worker: 'w', leaseMs: 30_000, timeoutGraceMs: 0, claimId: newId() };
    expect(await claimTask(database.db, id, part)).toEqual({ kind: 'queue_paused', queue: 'default' });
    expect((await readTask(database.db, id))?.waiting_for).toBe('queue "default" is paused');
    await setQueuePaused(database.db, 'default', false);
    expect(await claim(database)).toHaveLength(1);
  });

  test('work on a paused queue does not hold up its neighbours', async ({ database }) => {
    await enqueue(database, { queue: 'a', priority: 9 });
    await enqueue(database, { queue: 'b' });
    await setQueuePaused(database.db, 'a', true);
    expect((await claim(database, { queues: ['a', 'b'], limit: 5 })).map((task) => task.queue)).toEqual([
      'b',
    ]);
  });
});

describe('claiming one task by its id', () => {
  test('the second to ask is told who holds it and until when', async ({ database }) => {
    const id = await enqueue(database, { name: 'review' });
    const part = (worker: string) => ({ worker, leaseMs: 30_000, timeoutGraceMs: 0, claimId: newId() });
    const first = await claimTask(database.db, id, part('ann'));
    expect(first).toMatchObject({ kind: 'claimed', task: { id, attempt: 1, started: true } });
    expect(await claimTask(database.db, id, part('bob'))).toMatchObject({
      kind: 'already_claimed',
      worker: 'ann',
    });
  });

  test('what is not due, has ended or never was is refused as such', async ({ database }) => {
    const part = { worker: 'w', leaseMs: 30_000, timeoutGraceMs: 0, claimId: newId() };
    const later = await enqueue(database, { delay: '1h' });
    expect((await claimTask(database.db, later, part)).kind).toBe('not_due');
    await cancelTask(database.db, later);
    expect(await claimTask(database.db, later, part)).toEqual({ kind: 'ended', state: 'cancelled' });
    expect(await claimTask(database.db, newId(), part)).toEqual({ kind: 'not_found' });
  });
});

/** As if a minute had passed since the claim, without a word from its worker. */
async function moveToTheFuture({ sql }: TestDatabase, taskId: string): Promise<void> {
  await sql(
    `update skipjack.queue_items set claimed_at = claimed_at - interval '1 minute',
       started_at = started_at - interval '1 minute', deadline_at = deadline_at - interval '1 minute',
       lease_expires_at = lease_expires_at - interval '1 minute'
     where task_id = $1`,
    [taskId],
  );
}

test('only an ended task can be deleted, and it goes with all its traces', async ({ database }) => {
  const id = await enqueue(database, { idempotency_key: 'once' });
  expect(await deleteTask(database.db, id)).toEqual({ kind: 'not_ended', state: 'active' });
  await fail(database, await claimOne(database));
  expect(await deleteTask(database.db, id)).toEqual({ kind: 'deleted' });
  expect(await deleteTask(database.db, id)).toEqual({ kind: 'not_found' });
  const [left] = await database.sql(
    `select (select count(*) from skipjack.attempts)::integer + (select count(*) from skipjack.dead_letters)::integer
       + (select count(*) from skipjack.idempotency_keys)::integer as traces`,
  );
  expect(left).toEqual({ traces: 0 });
});

test('lists go from the newest to the oldest, page by page, and know every filter', async ({ database }) => {
  const ids: string[] = [];
  for (let index = 0; index < 5; index += 1)
    ids.unshift(await enqueue(database, { name: index === 2 ? 'odd' : 'even', labels: { n: `${index}` } }));
  const page = await listTasks(database.db, {}, { limit: 2 });
  const next = await listTasks(database.db, {}, { limit: 10, after: page[1]?.id ?? '' });
  expect([...page, ...next].map((task) => task.id)).toEqual(ids);
  expect(await listTasks(database.db, { name: 'odd' }, { limit: 10 })).toHaveLength(1);
  expect(await listTasks(database.db, { label: 'n=4' }, { limit: 10 })).toHaveLength(1);
  await claimOne(database);
  expect(await listTasks(database.db, { state: 'running' }, { limit: 10 })).toHaveLength(1);
  expect(await listTasks(database.db, { state: 'ready' }, { limit: 10 })).toHaveLength(4);
  expect(await listTasks(database.db, { state: 'active', queue: 'default' }, { limit: 10 })).toHaveLength(5);
  expect(await listTasks(database.db, { state: 'completed' }, { limit: 10 })).toEqual([]);
  expect(await listTasks(database.db, { createdBefore: new Date(0) }, { limit: 10 })).toEqual([]);
});
