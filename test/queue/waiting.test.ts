/** Those who wait: for work, and for the end of a task. */
import { describe, expect } from 'vitest';
import { openDatabase } from '../../src/database/connection.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { setQueuePaused } from '../../src/queue/pause.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { test } from '../support/database.ts';
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
    for (let count = 0; count < 20; count += 1) await enqueue(database);
    const [first] = await claim(database);
    expect(first?.id).toBe(early);
    // The line now remembers how far it has come.
    await claim(database, { limit: 5 });
    if (first) await database.queue.settle({ taskId: first.id, claimNo: 1, kind: 'released' });
    expect((await claimOne(database)).id).toBe(early);
  });
});

describe('waiting for the end', () => {
  test('whoever waits is told when another OS process ends the task', async ({ database }) => {
    const patient = openQueue(database.db, { pollIntervalMs: 10 * long });
    const id = await enqueue(database);
    const waiting = patient.waitForEnd(id, { waitMs: 10 * long });
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
    expect(await database.queue.waitForEnd(id, { waitMs: 20 })).toBe('waiting');
    await cancelTask(database.db, id);
    expect(await database.queue.waitForEnd(id, { waitMs: long })).toBe('ended');
    expect(await database.queue.waitForEnd('01890000-0000-7000-8000-000000000000', { waitMs: long })).toBe(
      'not_found',
    );
  });

  test('a retry is not the end', async ({ database }) => {
    const id = await enqueue(database, { retry: { attempts: 2, delay: '1ms' } });
    const waiting = database.queue.waitForEnd(id, { waitMs: long });
    await fail(database, await claimOne(database));
    await makeDue(database, id);
    await complete(database, await claimOne(database));
    expect(await waiting).toBe('ended');
  });
});
