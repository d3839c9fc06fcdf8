import { getEventListeners } from 'node:events';
import { expect, onTestFinished } from 'vitest';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { createWorker } from '../../src/worker/worker.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { enqueue } from '../support/tasks.ts';
import { until } from './support/barrier.ts';

const request = { queues: ['default'], limit: 1, worker: 'tester', leaseMs: 30_000, waitMs: 0 };

/** The first settles fail with this SQLSTATE. Returns how many failed so far. */
function failSettles({ db }: TestDatabase, code: string, count: number): () => number {
  const original = db.pool.query.bind(db.pool) as (...given: unknown[]) => unknown;
  let failed = 0;
  db.pool.query = ((...given: unknown[]) => {
    if (failed === count || !String(given[0]).includes('judged as materialized')) return original(...given);
    failed += 1;
    return Promise.reject(Object.assign(new Error('a fault that passes'), { code }));
  }) as typeof db.pool.query;
  return () => failed;
}

test.for(['53100', '58030', '57014', 'XX000', '42501'])(
  'work that was done is not done again because of a fault that passes (%s)',
  async (code, { database }) => {
    const id = await enqueue(database, { handler: 'once', queue: 'work' });
    const ended = new AbortController();
    const failed = failSettles(database, code, 4);
    let runs = 0;
    const once = () => {
      runs += 1;
    };
    const worker = createWorker({
      source: createDatabaseTaskSource(database.queue, { signal: ended.signal }),
      handlers: { once },
      queues: ['work'],
      leaseMs: 1_000,
    });
    onTestFinished(() => ended.abort());
    worker.start();
    const completed = async () => {
      await reapExpiredClaims(database.db);
      const [row] = await database.sql('select state from skipjack.tasks where id = $1', [id]);
      return row?.state === 'completed';
    };
    while (!(await completed())) await new Promise((resolve) => setTimeout(resolve, 20));
    await worker.stop();
    expect([runs, failed()]).toEqual([1, 4]);
  },
);

test('claims leave nothing behind on the signal of their worker', async ({ database }) => {
  const life = new AbortController();
  const claim = new AbortController();
  const source = createDatabaseTaskSource(database.queue, { signal: life.signal });
  for (let count = 0; count < 20; count += 1) await source.claim({ ...request, signal: claim.signal });
  for (const { signal } of [life, claim]) {
    expect(getEventListeners(signal, 'abort')).toEqual([]);
    // Where `AbortSignal.any` keeps what it has made: on Node 20 until the signal itself is gone.
    const kept = Object.getOwnPropertySymbols(signal).filter((key) => String(key).includes('Dependant'));
    expect(kept).toEqual([]);
  }
});

test('a waiting claim ends when either signal is aborted', async ({ database }) => {
  for (const which of ['life', 'claim'] as const) {
    const signals = { life: new AbortController(), claim: new AbortController() };
    const source = createDatabaseTaskSource(database.queue, { signal: signals.life.signal });
    const waiting = source.claim({ ...request, waitMs: 60_000, signal: signals.claim.signal });
    signals[which].abort();
    expect(await waiting).toEqual([]);
  }
});

test('a worker with nothing to do stops at once', async ({ database }) => {
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const source = createDatabaseTaskSource(database.queue, { signal: ended.signal });
  const worker = createWorker({ source, queues: ['default'] });
  worker.start();
  await until(() => worker.stats.running === 0);
  const askedMs = performance.now();
  await worker.stop();
  expect(performance.now() - askedMs).toBeLessThan(1_000);
});
