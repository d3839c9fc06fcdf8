/** What the moves announce, so that nobody has to wait for the next poll. */
import { expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import type { Hint } from '../../src/database/hints.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { setQueuePaused } from '../../src/queue/pause.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { replayDeadLetter, replayDeadLetters } from '../../src/queue/replay.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimOne, complete, enqueue, expireLease, fail, settle } from '../support/tasks.ts';

/** What is announced while `move` goes on, by this OS process. */
async function heardDuring({ db }: TestDatabase, move: () => Promise<unknown>): Promise<Hint[]> {
  const heard: Hint[] = [];
  const unsubscribe = db.hints.subscribe((hint) => {
    if (hint !== null) heard.push(hint);
  });
  await move();
  unsubscribe();
  return heard;
}

async function enqueueAwaited({ queue }: TestDatabase): Promise<string> {
  const task = { ...parseTaskInput({ command: 'true' }), awaited: true };
  await queue.enqueue(task);
  return task.id;
}

test('a task that was given back is announced as put back: its place is before what was looked at', async ({
  database,
}) => {
  await enqueue(database, { priority: 7 });
  const task = await claimOne(database);
  expect(await heardDuring(database, () => settle(database, task, { kind: 'released' }))).toEqual([
    { lines: [['default', 7]], putBack: true },
  ]);
});

test('a lost task is announced as put back', async ({ database }) => {
  const id = await enqueue(database);
  await claimOne(database);
  await expireLease(database, id);
  expect(await heardDuring(database, () => reapExpiredClaims(database.db))).toEqual([
    { lines: [['default', 5]], putBack: true },
  ]);
});

test('a task that will be tried again is announced, with no need to look back', async ({ database }) => {
  await enqueue(database, { retry: { attempts: 2, delay: '1ms' } });
  const task = await claimOne(database);
  expect(await heardDuring(database, () => fail(database, task))).toEqual([
    { lines: [['default', 5]], putBack: false },
  ]);
});

test('the end of a task is announced exactly if somebody waits for it', async ({ database }) => {
  const awaited = await enqueueAwaited(database);
  const first = await claimOne(database);
  expect(await heardDuring(database, () => complete(database, first))).toEqual([{ ended: [awaited] }]);
  await enqueue(database);
  const second = await claimOne(database);
  expect(await heardDuring(database, () => complete(database, second))).toEqual([]);
});

test('cancelling a running task calls its worker', async ({ database }) => {
  const id = await enqueue(database);
  await claimOne(database, { worker: 'the holder' });
  expect(await heardDuring(database, () => cancelTask(database.db, id))).toEqual([
    { workers: ['the holder'] },
  ]);
});

test('cancelling a waiting task tells who waits for its end, under the id that Postgres writes', async ({
  database,
}) => {
  const id = await enqueueAwaited(database);
  expect(await heardDuring(database, () => cancelTask(database.db, id.toUpperCase()))).toEqual([
    { ended: [id] },
  ]);
  const unawaited = await enqueue(database);
  expect(await heardDuring(database, () => cancelTask(database.db, unawaited))).toEqual([]);
  expect(await heardDuring(database, () => cancelTask(database.db, newId()))).toEqual([]);
});

test('resuming a queue announces it at every priority; pausing is no news to those who wait', async ({
  database,
}) => {
  expect(await heardDuring(database, () => setQueuePaused(database.db, 'q', true))).toEqual([]);
  const lines = Array.from({ length: 10 }, (_, priority) => ['q', priority]);
  expect(await heardDuring(database, () => setQueuePaused(database.db, 'q', false))).toEqual([
    { lines, putBack: true },
  ]);
});

test('replayed dead letters are announced', async ({ database }) => {
  const id = await enqueue(database, { priority: 3 });
  await fail(database, await claimOne(database));
  const revived = [{ lines: [['default', 3]], putBack: true }];
  expect(await heardDuring(database, () => replayDeadLetter(database.db, id))).toEqual(revived);
  await fail(database, await claimOne(database));
  const byFilter = () => replayDeadLetters(database.db, {}, { limit: 10, dryRun: false });
  expect(await heardDuring(database, byFilter)).toEqual(revived);
});
