import { getEventListeners } from 'node:events';
import { expect, onTestFinished, vi } from 'vitest';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { createWorker } from '../../src/worker/worker.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { until as untilSo } from '../support/program.ts';
import { enqueue } from '../support/tasks.ts';
import { until } from './support/barrier.ts';

const request = { queues: ['default'], limit: 1, worker: 'tester', leaseMs: 30_000, waitMs: 0 };

/** Settles fail with this SQLSTATE until the fault has passed. */
function failSettles({ db }: TestDatabase, code: string): { failed: number; hasPassed: boolean } {
  const original = db.pool.query.bind(db.pool) as (...given: unknown[]) => unknown;
  const fault = { failed: 0, hasPassed: false };
  db.pool.query = ((...given: unknown[]) => {
    if (fault.hasPassed || !String(given[0]).includes('judged as materialized')) return original(...given);
    fault.failed += 1;
    return Promise.reject(Object.assign(new Error('a fault that passes'), { code }));
  }) as typeof db.pool.query;
  return fault;
}

const patience = vi.hoisted(() => ({
  isEndless: false,
  of: (ms = 0): number => (patience.isEndless && ms >= 1_000 ? 600_000 : ms),
}));
vi.mock('node:timers/promises', async (load) => {
  const real = await load<typeof import('node:timers/promises')>();
  const patient: typeof real.setTimeout = (ms, value, options) =>
    real.setTimeout(patience.of(ms), value, options);
  return { ...real, setTimeout: patient };
});

/** Until the test is over nobody's patience ends: a bound of a second and more never goes off. */
function makeEverybodyPatient(): void {
  const set = setTimeout;
  const patient = (call: () => void, ms?: number, ...given: []) => set(call, patience.of(ms), ...given);
  const spy = vi.spyOn(globalThis, 'setTimeout').mockImplementation(patient as typeof setTimeout);
  patience.isEndless = true;
  onTestFinished(() => {
    patience.isEndless = false;
    spy.mockRestore();
  });
}

test.for(['53100', '58030', '57014', 'XX000', '42501'])(
  'work that was done is not done again because of a fault that passes (%s)',
  async (code, { database }) => {
    const id = await enqueue(database, { handler: 'once', queue: 'work' });
    const ended = new AbortController();
    const fault = failSettles(database, code);
    let runs = 0;
    const once = () => {
      runs += 1;
    };
    const source = createDatabaseTaskSource(database.queue, { signal: ended.signal });
    let beat = () => {};
    const onStopHint = (_worker: string, listener: () => void) => {
      beat = listener;
      return () => {};
    };
    const worker = createWorker({
      source: { ...source, onStopHint },
      handlers: { once },
      queues: ['work'],
      leaseMs: 600_000,
    });
    onTestFinished(() => ended.abort());
    worker.start();
    const leaseEnd = async () => {
      const [row] = await database.sql<{ end: Date | null }>(
        'select lease_expires_at as end from skipjack.queue_items where task_id = $1',
        [id],
      );
      return row?.end?.getTime() ?? 0;
    };
    await untilSo('it has failed four times', async () => fault.failed >= 4);
    const before = await leaseEnd();
    beat();
    await untilSo('what waits to be settled keeps its lease', async () => (await leaseEnd()) > before);
    fault.hasPassed = true;
    const completed = async () => {
      const [row] = await database.sql('select state from skipjack.tasks where id = $1', [id]);
      return row?.state === 'completed';
    };
    await untilSo('it is settled', completed);
    await worker.stop();
    expect(runs).toBe(1);
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
  makeEverybodyPatient();
  await worker.stop();
});
