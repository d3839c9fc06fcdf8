import net from 'node:net';
import { expect } from 'vitest';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { openQueue } from '../../src/queue/queue.ts';
import type { TestDatabase } from '../support/database.ts';
import { claimOne, complete, enqueue, fail } from '../support/tasks.ts';
import { startTestApi, test } from './support/api.ts';

test('queues show what waits and runs, and whether they are paused', async ({ api, database }) => {
  await enqueue(database);
  await enqueue(database);
  await enqueue(database, { queue: 'later', delay: '1h' });
  await claimOne(database);
  expect((await api.send('PATCH', '/v1/queues/a%2Fb%20c', { paused: true })).body).toEqual({
    name: 'a/b c',
    paused: true,
  });
  const none = { paused: false, ready: 0, scheduled: 0, running: 0, held: 0, oldest_ready_at: null };
  expect((await api.get('/v1/queues')).body.queues).toEqual([
    { ...none, name: 'a/b c', paused: true },
    { ...none, name: 'default', ready: 1, running: 1, oldest_ready_at: expect.any(String) },
    { ...none, name: 'later', scheduled: 1 },
  ]);
});

test('a paused queue hands out nothing until it is resumed', async ({ api, database }) => {
  const id = await enqueue(database);
  await api.send('PATCH', '/v1/queues/default', { paused: true });
  expect((await api.post('/v1/tasks/claim', { queues: ['default'] })).body.tasks).toEqual([]);
  expect((await api.get(`/v1/tasks/${id}`)).body.waiting_for).toBe('queue "default" is paused');
  const waiting = api.post('/v1/tasks/claim', { queues: ['default'], wait: '60s' });
  await api.send('PATCH', '/v1/queues/default', { paused: false });
  expect((await waiting).body.tasks).toMatchObject([{ id }]);
});

test('figures are counted once for those who ask within five seconds', async ({ api, database }) => {
  await enqueue(database);
  await complete(database, await claimOne(database));
  await enqueue(database);
  await fail(database, await claimOne(database));
  await enqueue(database);
  const first = await api.get('/v1/stats');
  expect(first.body).toEqual({
    tasks: {
      scheduled: 0,
      ready: 1,
      running: 0,
      waiting: 0,
      completed: 1,
      failed: 1,
      cancelled: 0,
      skipped: 0,
    },
    processes: { running: 0, failing: 0, cancelling: 0 },
    oldest_ready_at: expect.any(String),
    dead_letters: { waiting: 1, last_hour: 1 },
    workers: { live: 0, slots: 0 },
  });
  const [before, after] = await askTwiceInTime(database);
  expect(after).toEqual(before);
});

/** Of a server that has counted nothing yet; of another one if the two took longer. */
async function askTwiceInTime(database: TestDatabase): Promise<[unknown, unknown]> {
  const api = await startTestApi(database);
  const began = performance.now();
  const { body: before } = await api.get('/v1/stats');
  await enqueue(database);
  const { body: after } = await api.get('/v1/stats');
  const tookMs = performance.now() - began;
  await api.server.close();
  return tookMs < 5_000 ? [before, after] : askTwiceInTime(database);
}

test('health says ok when the database answers and its schema fits', async ({ api, database }) => {
  const { status, body } = await api.get('/health');
  expect(status).toBe(200);
  expect(body).toMatchObject({ status: 'ok', version: '0.0.0-test', schema: { status: 'current' } });
  database.skipAudit();
  await database.sql('delete from skipjack.migrations where id = (select max(id) from skipjack.migrations)');
  const outdated = await api.get('/health');
  expect([outdated.status, outdated.body.code]).toEqual([503, 'schema_outdated']);
  await database.sql('drop schema skipjack cascade');
  const missing = await api.get('/health');
  expect([missing.status, missing.body.code]).toEqual([503, 'schema_outdated']);
});

async function withApiOver(
  url: string,
  work: (api: Awaited<ReturnType<typeof startTestApi>>) => Promise<void>,
) {
  const db: Database = openDatabase({ url, listenUrl: null });
  const queue = openQueue(db, { patienceMs: 0 });
  const api = await startTestApi({ queue });
  await work(api);
  await api.server.close();
  await queue.close();
  await db.close();
}

test('a database that is not there answers 503 with Retry-After, everywhere but at /health/live', async () => {
  await withApiOver('postgres://nobody@127.0.0.1:1/nothing', async (api) => {
    const answers = [
      await api.get('/health'),
      await api.post('/v1/tasks', { command: 'true' }),
      await api.post('/v1/tasks/batch', { tasks: [{ command: 'true' }] }),
      await api.get('/v1/tasks'),
      await api.post('/v1/tasks/claim', { queues: ['default'] }),
      await api.get('/v1/stats'),
    ];
    for (const { status, body, headers } of answers) {
      expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'database_unreachable', '1']);
    }
    expect((await api.get('/health/live')).body).toEqual({ status: 'ok', version: '0.0.0-test' });
  });
});

test('a database that hangs is one that does not answer', async () => {
  const sockets = new Set<net.Socket>();
  const silent = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  const { port } = silent.address() as net.AddressInfo;
  await withApiOver(`postgres://nobody@127.0.0.1:${port}/nothing`, async (api) => {
    const began = performance.now();
    const answers = await Promise.all(Array.from({ length: 20 }, () => api.get('/health')));
    const tookMs = performance.now() - began;
    for (const { status, body } of answers)
      expect([status, body.code]).toEqual([503, 'database_unreachable']);
    // One probe at a time, for all who ask: the rest of the pool is left to work. It gives up after five seconds.
    expect(sockets.size).toBeLessThanOrEqual(1 + Math.floor(tookMs / 5_000));
    for (const socket of sockets) socket.destroy();
  });
  await new Promise((resolve) => silent.close(resolve));
});
