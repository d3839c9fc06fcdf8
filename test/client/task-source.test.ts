import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { expect, onTestFinished, test as plainTest } from 'vitest';
import { createHttpTaskSource } from '../../src/client/task-source.ts';
import { newId } from '../../src/core/ids.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import type { ClaimRequest, TaskSource } from '../../src/core/task-source.ts';
import { cancelTask } from '../../src/queue/cancel.ts';
import { deleteTask } from '../../src/queue/delete.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { test as databaseTest } from '../support/database.ts';
import { enqueue, expireLease } from '../support/tasks.ts';
import { type LossyServer, startLossyServer } from './support/server.ts';

const request: ClaimRequest = {
  queues: ['default'],
  limit: 1,
  worker: 'tester',
  leaseMs: 30_000,
  waitMs: 30_000,
};

const test = databaseTest.extend<{
  server: LossyServer;
  source: TaskSource;
  repeats: string[];
  ended: AbortController;
}>({
  server: async ({ database }, use) => use(await startLossyServer(database.queue)),
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures it needs from here.
  repeats: async ({}, use) => use([]),
  // biome-ignore lint/correctness/noEmptyPattern: as above.
  ended: async ({}, use) => {
    const ended = new AbortController();
    await use(ended);
    ended.abort();
  },
  source: async ({ server, repeats, ended }, use) =>
    use(
      createHttpTaskSource({
        url: server.url,
        signal: ended.signal,
        onRepeat: ({ code }) => repeats.push(code),
      }),
    ),
});

async function claimOne(source: TaskSource, more: Partial<ClaimRequest> = {}) {
  const [task] = await source.claim({ ...request, ...more });
  if (!task) throw new Error('nothing to claim');
  return task;
}

test('a claimed task is the same over HTTP as over the database', async ({ database, source }) => {
  const more = {
    timeout: '90s',
    labels: { a: 'b' },
    priority: 7,
    retry: { attempts: 3, on: { codes: ['x'] }, within: '1h' },
    env: { A: '1' },
  };
  await enqueue(database, { command: 'echo', args: ['x'], input: { n: 1 }, ...more });
  const overHttp = await claimOne(source);
  expect(await source.settle([{ id: overHttp.id, token: overHttp.token, kind: 'released' }])).toMatchObject([
    { kind: 'settled', state: 'active' },
  ]);
  const [direct] = await database.queue.claim(request);
  const known = {
    token: expect.any(String),
    wait_ms: expect.any(Number),
    lease_expires_at: expect.any(String),
    lease_left_ms: expect.any(Number),
  };
  expect(overHttp).toEqual({ ...direct, ...known });
});

test('a claim whose answer was lost is asked for again and gives the same task', async ({
  database,
  server,
  source,
  repeats,
}) => {
  const id = await enqueue(database);
  await enqueue(database);
  server.lose('answer', 'request');
  const task = await claimOne(source);
  expect(task).toMatchObject({ id, attempt: 1 });
  expect(repeats).toEqual(['server_unreachable', 'server_unreachable']);
  const [{ claimed }] = (await database.sql(
    'select count(*)::integer as claimed from skipjack.queue_items where worker is not null',
  )) as [{ claimed: number }];
  expect(claimed).toBe(1);
});

test('an outcome whose answer was lost is settled once', async ({ database, server, source }) => {
  const id = await enqueue(database);
  const { token } = await claimOne(source);
  server.lose('answer');
  const [result] = await source.settle([
    { id, token, kind: 'completed', output: { n: 1 }, exitCode: 0, runMs: 12.4 },
  ]);
  expect(result).toMatchObject({ kind: 'settled', state: 'completed', repeated: true });
  expect(
    await database.sql('select output, exit_code, run_ms::integer from skipjack.tasks where id = $1', [id]),
  ).toEqual([{ output: { n: 1 }, exit_code: 0, run_ms: 12 }]);
});

test('a task whose enqueue was not answered is made once', async ({ database, server, source }) => {
  server.lose('answer');
  const [result] = await source.enqueue([
    parseTaskInput({ command: 'true', retry: { attempts: 2 }, delay: '1h' }),
  ]);
  expect(result).toMatchObject({ kind: 'existing' });
  expect(
    await database.sql('select name, retry ->> $1 as attempts from skipjack.tasks', ['attempts']),
  ).toEqual([{ name: 'true', attempts: '2' }]);
});

test('a key used for another task is a conflict that names the task', async ({ source }) => {
  const [first] = await source.enqueue([parseTaskInput({ name: 'a', idempotency_key: 'k' })]);
  const [second] = await source.enqueue([parseTaskInput({ name: 'b', idempotency_key: 'k' })]);
  expect(first).toMatchObject({ kind: 'created' });
  expect(second).toEqual({ kind: 'key_conflict', id: (first as { id: string }).id });
});

test('every outcome over HTTP means what it means over the database', async ({ database, source }) => {
  const states: unknown[] = [];
  const error = { code: 'smtp', message: 'mailbox full', details: { at: 1 } };
  for (const outcome of [
    { kind: 'failed', error, retry: false, output: 'x', exitCode: 3, runMs: 1 },
    { kind: 'timed_out', error, exitCode: null, runMs: 1 },
    { kind: 'released', delayMs: 3_600_000 },
    { kind: 'completed', output: null },
  ] as const) {
    await enqueue(database, { retry: { attempts: 2, delay: '1h' } });
    const { id, token } = await claimOne(source);
    const [result] = await source.settle([{ id, token, ...outcome }]);
    states.push((result as { state: string }).state);
  }
  expect(states).toEqual(['failed', 'active', 'active', 'completed']);
  expect(await database.sql(`select error from skipjack.tasks where state = 'failed'`)).toEqual([{ error }]);
});

test('a lost lease, an ended task and an unknown one are answers, not throws', async ({
  database,
  source,
}) => {
  const id = await enqueue(database);
  const stale = await claimOne(source);
  await expireLease(database, id);
  await reapExpiredClaims(database.db);
  const held = await claimOne(source);
  const settle = (token: string, of = id) => source.settle([{ id: of, token, kind: 'completed', output: 1 }]);
  expect(await settle(stale.token)).toEqual([{ kind: 'lease_lost' }]);
  expect(await source.heartbeat([{ id, token: stale.token, started: true }], { leaseMs: 30_000 })).toEqual([
    { kind: 'gone' },
  ]);
  expect(await settle(held.token, newId())).toEqual([{ kind: 'token_mismatch' }]);
  await settle(held.token);
  expect(await settle(stale.token)).toEqual([{ kind: 'already_settled', state: 'completed' }]);
  await deleteTask(database.db, id);
  expect(await settle(held.token)).toEqual([{ kind: 'not_found' }]);
});

test('a heartbeat extends, says when to stop, and gives up a task that is gone', async ({
  database,
  source,
  server,
}) => {
  const ids = [await enqueue(database), await enqueue(database)];
  const tasks = await source.claim({ ...request, limit: 2, startLimit: 1 });
  expect(tasks.map(({ started }) => started)).toEqual([true, false]);
  await cancelTask(database.db, String(ids[1]));
  const leases = tasks.map(({ id, token }) => ({ id, token, started: true }));
  server.lose('request');
  expect(await source.heartbeat(leases, { leaseMs: 30_000, timeoutGraceMs: 5_000 })).toEqual([
    { kind: 'extended', leaseExpiresAt: expect.any(String) },
    { kind: 'stop', reason: 'cancelled' },
  ]);
  await source.settle(leases.map(({ id, token }) => ({ id, token, kind: 'cancelled' })));
  expect(await source.heartbeat(leases.slice(1), { leaseMs: 30_000 })).toEqual([{ kind: 'gone' }]);
});

test('a claim that is called off while its answer is on the way hands over what it holds', async ({
  database,
  server,
  source,
}) => {
  const id = await enqueue(database);
  // The answer is lost, and then the worker stops instead of asking again.
  server.lose('answer', 'request');
  const stopping = new AbortController();
  const claiming = source.claim({ ...request, signal: stopping.signal });
  await server.untilAsked('/v1/tasks/claim');
  await server.untilAsked('/v1/tasks/claim');
  stopping.abort();
  expect((await claiming).map((task) => task.id)).toEqual([id]);
});

test('a claim that waits is called off at once', async ({ server, source }) => {
  const stopping = new AbortController();
  const claiming = source.claim({ ...request, signal: stopping.signal });
  await server.untilAsked('/v1/tasks/claim');
  stopping.abort();
  expect(await claiming).toEqual([]);
});

test('the patience ends when the signal is aborted', async ({ source, server, ended }) => {
  server.lose(...Array.from({ length: 100 }, () => 'request' as const));
  const asked = source.removeWorker('tester');
  await server.untilAsked('/v1/workers/tester');
  ended.abort();
  await expect(asked).rejects.toMatchObject({ code: 'server_unreachable' });
});

test('what will not get better is thrown at once', async ({ database, repeats }) => {
  const locked = await startLossyServer(database.queue, { apiKeys: ['a-key'] });
  const ended = new AbortController();
  onTestFinished(() => ended.abort());
  const source = createHttpTaskSource({ url: locked.url, apiKey: 'another', signal: ended.signal });
  await expect(source.claim(request)).rejects.toMatchObject({ code: 'unauthorized' });
  expect(repeats).toEqual([]);
});

test('a worker is announced with what it is, and removed', async ({ database, source }) => {
  const worker = { id: 'host/1 ü', host: 'host', pid: 1, queues: ['default'], slots: 3, version: '1' };
  await source.announceWorker(worker);
  expect(await database.sql('select id, host, pid, queues, slots, version from skipjack.workers')).toEqual([
    worker,
  ]);
  // A claim says that its worker lives, and knows less of it.
  await source.claim({ ...request, worker: worker.id, limit: 1, waitMs: 0 });
  await source.announceWorker(worker);
  await source.claim({ ...request, worker: worker.id, limit: 1, waitMs: 0 });
  await database.queue.announceWorker({ ...worker, pid: 0, host: 'elsewhere', slots: 1 });
  expect(await database.sql('select host, pid, slots from skipjack.workers')).toEqual([
    { host: 'host', pid: 1, slots: 3 },
  ]);
  await source.removeWorker(worker.id);
  expect(await database.sql('select id from skipjack.workers')).toEqual([]);
});

test('more than one call takes is cut into several, and answered in order', async ({
  database,
  source,
  server,
}) => {
  const tasks = Array.from({ length: 1_201 }, (_, index) => parseTaskInput({ name: `task ${index}` }));
  const results = await source.enqueue(tasks);
  expect(server.asked).toHaveLength(3);
  const rows = await database.sql<{ id: string; name: string }>('select id, name from skipjack.tasks');
  const names = new Map(rows.map(({ id, name }) => [id, name]));
  expect(results.map((result) => names.get((result as { id: string }).id))).toEqual(
    tasks.map(({ name }) => name),
  );
});

/** A server whose database is away for some items of its batches; calls and items are counted from 0. */
async function halfAwayServer(isAway: (call: number, item: number) => boolean) {
  const asked: number[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const body = (await json(incoming)) as Record<string, unknown[]>;
    const items = Object.values(body).find(Array.isArray) ?? [];
    asked.push(items.length);
    const call = asked.length - 1;
    const results = items.map((item, index) =>
      isAway(call, index)
        ? { status: 503, code: 'database_unreachable', detail: 'The database does not answer.' }
        : { id: (item as { id?: string }).id ?? newId(), status: 201 },
    );
    outgoing.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ results }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked };
}

plainTest('what of a batch met a database that was away is asked again, and alone', async () => {
  const { url, asked } = await halfAwayServer((call, item) => call < 2 && item > 0);
  const source = createHttpTaskSource({ url, signal: new AbortController().signal });
  const tasks = ['a', 'b', 'c'].map((name) => parseTaskInput({ name }));
  const results = await source.enqueue(tasks);
  expect(results.map(({ kind }) => kind)).toEqual(['created', 'created', 'created']);
  expect(asked).toEqual([3, 2, 1]);
});

plainTest('what was never answered is thrown when the patience ends, and no answer is made up', async () => {
  const { url, asked } = await halfAwayServer(() => true);
  const ended = new AbortController();
  const source = createHttpTaskSource({ url, signal: ended.signal });
  const settled = source.settle(
    ['a', 'b'].map((output) => ({ id: newId(), token: 't', kind: 'completed', output })),
  );
  while (asked.length < 1) await new Promise((resolve) => setTimeout(resolve, 5));
  ended.abort();
  await expect(settled).rejects.toMatchObject({ code: 'server_unreachable' });
});
