/** Those who wait: for work, and for the end of a task. */
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { openDatabase } from '../../src/database/connection.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { createClaimLine } from '../../src/queue/claim-line.ts';
import { setQueuePaused } from '../../src/queue/pause.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claim, claimOne, complete, enqueue, fail, makeDue } from '../support/tasks.ts';

const long = 60_000;

describe('waiting for work', () => {
  test('a task enqueued by another OS process wakes a waiting claim through NOTIFY', async ({ database }) => {
    // Polling alone would take longer than this test may.
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    const other = openDatabase({ url: database.url, listenUrl: null });
    const waiting = claim({ queue: patient }, { waitMs: 10 * long });
    const otherQueue = openQueue(other);
    await enqueue({ queue: otherQueue });
    expect(await waiting).toHaveLength(1);
    await otherQueue.close();
    await patient.close();
    await other.close();
  });

  test('without hints, polling finds the work', async ({ database }) => {
    const deaf = openDatabase({ url: database.url, listenUrl: null });
    const queue = openQueue(deaf, { pollIntervalMs: 50 });
    const waiting = claim({ queue }, { waitMs: long });
    await enqueue(database);
    expect(await waiting).toHaveLength(1);
    await queue.close();
    await deaf.close();
  });

  test('a waiting claim answers when the next task of its queues is due, without polling', async ({
    database,
  }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    await enqueue(database, { delay: '300ms' });
    expect(await claim({ queue: patient }, { waitMs: long })).toHaveLength(1);
    await patient.close();
  });

  test('a resumed queue and a retry wake a waiting claim', async ({ database }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    await setQueuePaused(database.db, 'default', true);
    await enqueue(database, { retry: { attempts: 2, delay: '10ms' } });
    const waiting = claim({ queue: patient }, { waitMs: long });
    await setQueuePaused(database.db, 'default', false);
    const [task] = await waiting;
    if (!task) throw new Error('nothing came');
    const again = claim({ queue: patient }, { waitMs: long });
    await fail(database, task);
    expect((await again)[0]).toMatchObject({ id: task.id, attempt: 2 });
    await patient.close();
  });

  test('a thousand who wait for the same queue cost one query at a time, and each task goes to one of them', async ({
    database,
  }) => {
    const waiting = Array.from({ length: 1_000 }, (_, index) =>
      claim(database, { waitMs: long, worker: `w${index}` }),
    );
    await database.sql('select pg_stat_reset()');
    let claims = 0;
    const original = database.db.pool.query.bind(database.db.pool);
    // biome-ignore lint/suspicious/noExplicitAny: counts what goes by and changes nothing.
    database.db.pool.query = ((...args: any[]) => {
      if (String(args[0]).includes('due.place')) claims += 1;
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      return (original as any)(...args);
    }) as typeof database.db.pool.query;
    await enqueue(database);
    await Promise.race(waiting);
    expect(claims).toBeLessThan(20);
    for (let count = 1; count < 1_000; count += 1) void enqueue(database);
    const tasks = (await Promise.all(waiting)).flat();
    expect(new Set(tasks.map((task) => task.id)).size).toBe(1_000);
  });

  test('a claim whose caller has gone leaves the line, and takes nothing', async ({ database }) => {
    const gone = new AbortController();
    const waiting = claim(database, { waitMs: long, signal: gone.signal });
    const staying = claim(database, { waitMs: long });
    gone.abort();
    expect(await waiting).toEqual([]);
    await enqueue(database);
    expect(await staying).toHaveLength(1);
  });

  test('work that went back to its old place is found behind what was taken since', async ({ database }) => {
    const early = await enqueue(database);
    // Long ago, so that no slack hides what the line remembers.
    await database.sql(`update skipjack.queue_items set available_at = available_at - interval '1 hour'`);
    for (let count = 0; count < 20; count += 1) await enqueue(database);
    const [first] = await claim(database);
    expect(first?.id).toBe(early);
    // The line now remembers how far it has come.
    await claim(database, { limit: 5 });
    if (first) await database.queue.settle({ taskId: first.id, claimNo: 1, kind: 'released' });
    expect((await claimOne(database)).id).toBe(early);
  });

  test('a task of higher priority is found at once while the line remembers a lower one', async ({
    database,
  }) => {
    for (let count = 0; count < 20; count += 1) await enqueue(database, { priority: 1 });
    await claim(database);
    const urgent = await enqueue(database, { priority: 9 });
    expect((await claimOne(database)).id).toBe(urgent);
  });

  test('a hint that comes while a claim is under way is not undone by it', async ({ database }) => {
    for (let count = 0; count < 20; count += 1) await enqueue(database, { priority: 1 });
    const line = createClaimLine(database.db, { queues: ['default'] }, { pollIntervalMs: 10 * long });
    const part = () => ({
      limit: 1,
      startLimit: 1,
      worker: 'w',
      leaseMs: 30_000,
      timeoutGraceMs: 0,
      claimId: newId(),
      mayRepeat: false,
    });
    const slow = slowClaims(database);
    const first = line.claim(part(), { waitMs: long });
    await slow.asked;
    const deaf = openDatabase({ url: database.url, listenUrl: null });
    const other = openQueue(deaf);
    await other.enqueue(parseTaskInput({ command: 'true', priority: 9 }));
    line.onHint({ lines: [['default', 9]] });
    slow.answer();
    await first;
    expect((await line.claim(part(), { waitMs: long }))[0]?.priority).toBe(9);
    await line.close();
    await other.close();
    await deaf.close();
  });

  test('a task that somebody had locked only to look is found soon after, without a hint', async ({
    database,
  }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    const id = await enqueue(database);
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select from skipjack.queue_items where task_id = $1 for update', [id]);
    const waiting = claim({ queue: patient }, { waitMs: long });
    await database.sql('select pg_sleep(0.2)');
    await holder.query('rollback');
    expect(await waiting).toHaveLength(1);
    await patient.close();
  });

  test('the next due task is known though the first of the line does not fit the filter', async ({
    database,
  }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    await enqueue(database, { name: 'other' });
    const mine = await enqueue(database, { name: 'mine', delay: '300ms' });
    const [task] = await claim({ queue: patient }, { waitMs: long, filter: { name: 'mine' } });
    expect(task?.id).toBe(mine);
    await patient.close();
  });

  test('a waiter whose time is up while its claim is under way still gets what the claim took', async ({
    database,
  }) => {
    await enqueue(database);
    const slow = slowClaims(database);
    const line = createClaimLine(database.db, { queues: ['default'] });
    const part = {
      limit: 1,
      startLimit: 1,
      worker: 'w',
      leaseMs: 30_000,
      timeoutGraceMs: 0,
      claimId: newId(),
      mayRepeat: false,
    };
    const waiting = line.claim(part, { waitMs: 10 });
    await slow.asked;
    const closing = line.close();
    await database.sql('select pg_sleep(0.1)');
    slow.answer();
    expect(await waiting).toHaveLength(1);
    await closing;
  });

  test('one that calls off after an empty answer leaves at once', async ({ database }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    const gone = new AbortController();
    const waiting = claim({ queue: patient }, { waitMs: 10 * long, signal: gone.signal });
    // A second one, answered empty, shows that the first had its turn.
    expect(await claim({ queue: patient })).toEqual([]);
    gone.abort();
    expect(await waiting).toEqual([]);
    await patient.close();
  });

  test('a time at the end of the calendar does no harm', async ({ database }) => {
    for (const run_at of ['9999-12-31T23:59:59-12:00', '0001-01-01T00:00:00+12:00']) {
      expect(() => parseTaskInput({ command: 'true', run_at })).toThrow('1970');
    }
    await enqueue(database, { run_at: '9998-12-31T23:59:59Z' });
    await enqueue(database, { run_at: '1970-01-01T00:00:00Z' });
    expect(await claim(database)).toHaveLength(1);
  });

  test('a claim that is asked for again has a whole lease again', async ({ database }) => {
    const id = await enqueue(database);
    const claimId = newId();
    await claim(database, { claimId });
    await database.sql(
      `update skipjack.queue_items set lease_expires_at = clock_timestamp() + interval '1 second'`,
    );
    const [again] = await claim(database, { claimId });
    expect(again?.id).toBe(id);
    expect(again?.lease_left_ms).toBeGreaterThan(20_000);
  });

  test('a name that Postgres cannot store fails its own claim, not its neighbours’', async ({ database }) => {
    await enqueue(database);
    const bad = claim(database, { worker: 'nul \u0000', waitMs: long });
    const good = claim(database, { waitMs: long });
    await expect(bad).rejects.toMatchObject({ code: 'invalid_request' });
    expect(await good).toHaveLength(1);
  });
});

/** Holds the next claim's answer back until told. */
function slowClaims({ db }: TestDatabase) {
  const original = db.pool.query.bind(db.pool) as (...args: unknown[]) => Promise<unknown>;
  let answer = () => {};
  const held = new Promise<void>((resolve) => {
    answer = resolve;
  });
  const asked = new Promise<void>((resolve) => {
    db.pool.query = (async (...args: unknown[]) => {
      const isClaim = String(args[0]).includes('due.place');
      const result = await original(...args);
      if (isClaim) {
        resolve();
        await held;
      }
      return result;
    }) as typeof db.pool.query;
  });
  return { asked, answer };
}

describe('waiting for the end', () => {
  test('whoever waits is told when another OS process ends the task', async ({ database }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    const id = await enqueue(database);
    const waiting = patient.waitForEnd('task', id, { waitMs: 10 * long });
    const other = openDatabase({ url: database.url, listenUrl: null });
    const otherQueue = openQueue(other);
    const task = await claimOne({ queue: otherQueue });
    // The mark is set before the task ends, as the waiter had asked first.
    for (;;) {
      const [item] = await database.sql<{ awaited: boolean }>('select awaited from skipjack.queue_items');
      if (item?.awaited) break;
    }
    await complete({ queue: otherQueue }, task);
    expect(await waiting).toBe('ended');
    await otherQueue.close();
    await patient.close();
    await other.close();
  });

  test('one that has ended answers at once, one that does not end answers when the time is up', async ({
    database,
  }) => {
    const id = await enqueue(database);
    expect(await database.queue.waitForEnd('task', id, { waitMs: 20 })).toBe('waiting');
    await cancelTask(database.db, id);
    expect(await database.queue.waitForEnd('task', id, { waitMs: long })).toBe('ended');
    expect(
      await database.queue.waitForEnd('task', '01890000-0000-7000-8000-000000000000', { waitMs: long }),
    ).toBe('not_found');
  });

  test('without hints, polling finds the end', async ({ database }) => {
    const deaf = openDatabase({ url: database.url, listenUrl: null });
    const queue = openQueue(deaf, { pollIntervalMs: 50 });
    const id = await enqueue(database);
    const waiting = queue.waitForEnd('task', id, { waitMs: long });
    await complete(database, await claimOne(database, { waitMs: long }));
    expect(await waiting).toBe('ended');
    await queue.close();
    await deaf.close();
  });

  test('one whose caller has gone waits no longer', async ({ database }) => {
    const id = await enqueue(database);
    expect(
      await database.queue.waitForEnd('task', id, { waitMs: 10 * long, signal: AbortSignal.abort() }),
    ).toBe('waiting');
  });

  test('a retry is not the end', async ({ database }) => {
    const id = await enqueue(database, { retry: { attempts: 2, delay: '1ms' } });
    const waiting = database.queue.waitForEnd('task', id, { waitMs: long });
    await fail(database, await claimOne(database));
    await makeDue(database, id);
    await complete(database, await claimOne(database));
    expect(await waiting).toBe('ended');
  });
});
