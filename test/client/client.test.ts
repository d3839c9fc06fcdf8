import { createServer } from 'node:http';
import { expect, onTestFinished, test as plainTest } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import { newId } from '../../src/core/ids.ts';
import { test as databaseTest } from '../support/database.ts';
import { startLossyServer } from './support/server.ts';

const test = databaseTest.extend<{ client: Client }>({
  client: async ({ database }, use) => {
    const { url } = await startLossyServer(database.queue);
    await use(createClient({ url }));
  },
});

test('a task goes from enqueue over claim and heartbeat to its end', async ({ client }) => {
  const task = await client.enqueue({ name: 'review', queue: 'people', input: { invoice: 7 } });
  expect(task).toMatchObject({ state: 'ready', input: { invoice: 7 } });
  const [claimed] = await client.claim({
    queues: ['people'],
    worker: 'ada',
    leaseMs: 60_000,
    waitMs: 1_000,
    claimId: newId(),
  });
  if (!claimed) throw new Error('nothing to claim');
  expect(claimed).toMatchObject({ id: task.id, name: 'review', process: null, needs: {} });
  expect(await client.heartbeat(claimed, { leaseMs: 60_000 })).toMatchObject({ status: 'extended' });
  expect(await client.waitForTask(task.id, { waitMs: 0 })).toMatchObject({ state: 'running', worker: 'ada' });
  const waiting = client.waitForTask(task.id, { waitMs: 30_000 });
  expect(await client.complete(claimed, { output: { approved: true } })).toMatchObject({
    state: 'completed',
    repeated: false,
  });
  expect(await client.complete(claimed, { output: { approved: true } })).toMatchObject({ repeated: true });
  expect(await waiting).toMatchObject({ state: 'completed', output: { approved: true }, attempts: [] });
  await client.deleteTask(task.id);
  await expect(client.getTask(task.id)).rejects.toMatchObject({ code: 'not_found' });
});

test('one task is claimed by its id; a second claimer hears who holds it', async ({ client }) => {
  const { id } = await client.enqueue({ name: 'review' });
  const claimed = await client.claimTask(id, { worker: 'ada', leaseMs: 60_000 });
  await expect(client.claimTask(id, { worker: 'bob' })).rejects.toMatchObject({
    code: 'already_claimed',
    status: 409,
    extra: { worker: 'ada', lease_expires_at: expect.any(String) },
  });
  expect(await client.release(claimed, { delayMs: 3_600_000 })).toMatchObject({ state: 'active' });
  expect(await client.getTask(id)).toMatchObject({ state: 'scheduled', attempt: 1 });
});

test('a failed task is a dead letter with its attempts, and can be replayed once', async ({ client }) => {
  const { id } = await client.enqueue({ name: 'review', labels: { a: 'b' } });
  const [claimed] = await client.claim({ queues: ['people'] });
  if (!claimed) throw new Error('nothing to claim');
  expect(await client.fail(claimed, { error: 'no', retry: false })).toMatchObject({ state: 'failed' });
  const { dead_letters: letters, next_cursor } = await client.listDeadLetters(
    { replayed: false },
    { limit: 10 },
  );
  expect(letters.map((letter) => Object.keys(letter).sort())).toEqual([
    ['error', 'failed_at', 'id', 'name', 'queue', 'reason', 'replayed_at', 'replays'],
  ]);
  expect(next_cursor).toBeNull();
  expect(await client.getDeadLetter(id)).toMatchObject({
    reason: 'failed',
    type: null,
    labels: { a: 'b' },
    attempts: [
      { attempt: 1, outcome: 'failed', error: { code: 'failed', message: 'no' }, worker: 'unnamed' },
    ],
  });
  expect(await client.replayDeadLetters({ queue: 'people' }, { dryRun: true })).toEqual([id]);
  expect(await client.replayDeadLetter(id)).toMatchObject({ id, state: 'ready' });
  await expect(client.replayDeadLetter(id)).rejects.toMatchObject({ code: 'already_replayed' });
  await client.deleteDeadLetter(id);
  await expect(client.getDeadLetter(id)).rejects.toMatchObject({ code: 'not_found' });
});

test('each task of a batch is judged alone', async ({ client }) => {
  const results = await client.enqueueBatch([{ name: 'a' }, { name: 'b', priority: 12 }, { name: 'c' }]);
  expect(results).toMatchObject([
    { status: 201, id: expect.any(String) },
    { status: 400, code: 'invalid_request', problems: [{ pointer: '/tasks/1/priority' }] },
    { status: 201 },
  ]);
  const first = await client.listTasks({ state: 'active', queue: 'people' }, { limit: 1 });
  const second = await client.listTasks({ state: 'active' }, { limit: 1, cursor: first.next_cursor ?? '' });
  expect([...first.tasks, ...second.tasks].map(({ name }) => name)).toEqual(['c', 'a']);
  expect(second.next_cursor).toBeNull();
  expect(await client.cancelTask(String(results[0]?.id))).toMatchObject({ state: 'cancelled' });
  const settled = await client.settle([{ id: newId(), token: 'x', outcome: 'released' }]);
  expect(settled).toMatchObject([{ status: 400, code: 'invalid_request' }]);
});

test('queues, workers, stats and health have the shape that their types promise', async ({
  client,
  database,
}) => {
  await client.enqueue({ name: 'review' });
  await database.queue.announceWorker({
    id: 'w',
    host: 'h',
    pid: 1,
    queues: ['people'],
    slots: 2,
    version: '1',
  });
  const anyText = expect.any(String);
  expect(await client.listQueues()).toEqual([
    { name: 'people', paused: false, ready: 1, scheduled: 0, running: 0, held: 0, oldest_ready_at: anyText },
  ]);
  expect(await client.setQueuePaused('people', true)).toEqual({ name: 'people', paused: true });
  expect(await client.listWorkers()).toEqual([
    {
      id: 'w',
      host: 'h',
      pid: 1,
      queues: ['people'],
      slots: 2,
      version: '1',
      live: true,
      running: 0,
      started_at: anyText,
      heartbeat_at: anyText,
    },
  ]);
  expect(await client.readStats()).toEqual({
    tasks: {
      scheduled: 0,
      ready: 1,
      running: 0,
      waiting: 0,
      completed: 0,
      failed: 0,
      cancelled: 0,
      skipped: 0,
    },
    processes: { running: 0, failing: 0, cancelling: 0 },
    oldest_ready_at: anyText,
    dead_letters: { waiting: 0, last_hour: 0 },
    workers: { live: 1, slots: 2 },
  });
  expect(await client.checkHealth()).toEqual({
    status: 'ok',
    version: 'test',
    schema: { status: 'current', version: expect.any(Number) },
    database: { latency_ms: expect.any(Number), listening: expect.any(Boolean) },
  });
});

test('the problems of a refusal point into what was sent', async ({ client }) => {
  await expect(client.enqueue({ command: 'x', run: 'y', priority: 12 })).rejects.toMatchObject({
    code: 'invalid_request',
    problems: [{ pointer: '/priority' }, { pointer: '/run' }],
    extra: { request_id: expect.any(String) },
  });
});

test('a call is called off by its signal', async ({ client }) => {
  const { id } = await client.enqueue({ name: 'review' });
  const calledOff = new AbortController();
  const waiting = client.waitForTask(id, { waitMs: 60_000, signal: calledOff.signal });
  calledOff.abort(new Error('never mind'));
  await expect(waiting).rejects.toThrow('never mind');
});

test('the key is shown to the server, and a wrong one is refused', async ({ database }) => {
  const { url } = await startLossyServer(database.queue, { apiKeys: ['right'] });
  expect(await createClient({ url, apiKey: 'right' }).listQueues()).toEqual([]);
  await expect(createClient({ url, apiKey: 'wrong' }).listQueues()).rejects.toMatchObject({
    code: 'unauthorized',
  });
  await expect(createClient({ url }).listQueues()).rejects.toMatchObject({ code: 'unauthorized' });
});

async function answering(
  status: number,
  body: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const server = createServer((_request, response) => response.writeHead(status, headers).end(body));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}`;
}

plainTest.each([
  [502, '<html>Bad Gateway</html>', 'server_unreachable'],
  [503, '', 'server_unreachable'],
  [404, 'nothing here', 'not_found'],
  [403, '{"detail":"go away"}', 'unauthorized'],
  [500, '{"code":"of_the_future","detail":"what?"}', 'internal'],
  [200, '<html>Welcome</html>', 'internal'],
])('an answer %i %j of something else is "%s"', async (status, body, code) => {
  const client = createClient({ url: await answering(status, body) });
  await expect(client.listQueues()).rejects.toMatchObject({ name: 'SkipjackError', code });
});

plainTest('a redirect is not followed: it would carry the key elsewhere', async () => {
  const url = await answering(302, '', { location: 'http://127.0.0.1:9/' });
  await expect(createClient({ url, apiKey: 'k' }).listQueues()).rejects.toMatchObject({
    code: 'server_unreachable',
  });
});

plainTest('a URL that is none is refused at once', () => {
  expect(() => createClient({ url: 'localhost:3000' })).toThrow('For example: http://127.0.0.1:3000');
});
