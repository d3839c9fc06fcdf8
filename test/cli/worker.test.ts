import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { makeDirectory } from '../database/fixtures/embedded-scene.ts';
import { test } from '../support/database.ts';
import { enqueue } from '../support/tasks.ts';
import { skipjack, startSkipjack, urlOf } from './support/cli.ts';

const apiKey = 'a-key-for-tests';

async function handlersFile(source: string): Promise<string> {
  const file = join(await makeDirectory(), 'handlers.mjs');
  await writeFile(file, source);
  return file;
}

test('a worker over the database runs commands, logs one line each, and leaves on SIGTERM', async ({
  database,
}) => {
  const worker = startSkipjack(['worker', '--name', 'tester'], { env: { DATABASE_URL: database.url } });
  const id = await enqueue(database, {
    command: 'echo',
    args: ['hello'],
    env: { TOKEN: 'hush' },
    input: 'hush',
  });
  const line = await worker.untilLogged(({ task }) => task === id);
  expect(line).toMatchObject({
    attempt: 1,
    success: true,
    output: 'hello',
    error: null,
    pid: worker.child.pid,
  });
  expect(await database.queue.waitForEnd('task', id, { waitMs: 30_000 })).toBe('ended');
  // It says so beside its work, and does not wait for it.
  await expect
    .poll(() => database.sql('select id from skipjack.workers'))
    .toEqual([{ id: expect.stringContaining(`tester-${worker.child.pid}-`) }]);
  expect(await worker.stop()).toBe(0);
  // It does not wait long for its goodbye.
  await expect.poll(() => database.sql('select id from skipjack.workers')).toEqual([]);
  expect(worker.stderr).not.toContain('hush');
});

test('a worker over HTTP runs handlers of an ES module on the queues of their names', async ({
  database,
}) => {
  const server = startSkipjack(['server', '--port', '0'], {
    env: { DATABASE_URL: database.url, SKIPJACK_API_KEYS: apiKey },
  });
  const url = await urlOf(server);
  const file = await handlersFile(`
    export const greet = async ({ name }) => 'hello ' + name;
    export default { 'send-email': async (_input, { enqueue }) => (await enqueue({ handler: 'greet', input: { name: 'Ada' } })).id };
  `);
  const worker = startSkipjack(['worker', '--server', url, '--handlers', file], {
    env: { SKIPJACK_API_KEY: apiKey },
  });
  const client = createClient({ url, apiKey });
  const sent = await client.enqueue({ handler: 'send-email' }, { waitMs: 30_000 });
  expect(sent).toMatchObject({ state: 'completed' });
  const greeted = await client.waitForTask(String(sent.output), { waitMs: 30_000 });
  expect(greeted).toMatchObject({ state: 'completed', output: 'hello Ada' });
  const queues = expect.arrayContaining(['default', 'greet', 'send-email']);
  await expect.poll(() => client.listWorkers()).toMatchObject([{ pid: worker.child.pid, slots: 10, queues }]);
  expect(await worker.stop()).toBe(0);
  await expect.poll(() => client.listWorkers()).toEqual([]);
  expect(await server.stop()).toBe(0);
  expect(worker.stderr + server.stderr).not.toContain(apiKey);
});

test('a worker over HTTP gives back what runs when it is stopped, uncounted', async ({ database }) => {
  const server = startSkipjack(['server', '--port', '0'], { env: { DATABASE_URL: database.url } });
  const url = await urlOf(server);
  const worker = startSkipjack(['worker', '--grace', '0s'], { env: { SKIPJACK_URL: url } });
  const client = createClient({ url });
  const { id } = await client.enqueue({ command: 'sleep', args: ['3600'] });
  while ((await client.getTask(id)).state !== 'running')
    await new Promise((resolve) => setImmediate(resolve));
  expect(await worker.stop()).toBe(0);
  expect(await client.getTask(id)).toMatchObject({ state: 'ready', attempt: 1, attempts: [] });
  expect(await server.stop()).toBe(0);
});

test('a worker that may not ask the server says so and ends', async ({ database }) => {
  const server = startSkipjack(['server', '--port', '0'], {
    env: { DATABASE_URL: database.url, SKIPJACK_API_KEYS: apiKey },
  });
  const { code, stderr } = await skipjack(['worker'], {
    env: { SKIPJACK_URL: await urlOf(server), SKIPJACK_API_KEY: 'another-key' },
  });
  expect(code).toBe(1);
  expect(stderr).toMatch(/skipjack: .*API key.*SKIPJACK_API_KEY\./);
  const without = await skipjack(['list', '--server', await urlOf(server)]);
  expect(without).toMatchObject({ code: 1, stdout: '' });
  expect(without.stderr).toBe(
    'skipjack: The server wants an API key. Put one of those in its SKIPJACK_API_KEYS into SKIPJACK_API_KEY.\n',
  );
  expect(await server.stop()).toBe(0);
});

test('a worker waits for a server that is not there yet', async () => {
  const worker = startSkipjack(['worker'], { env: { SKIPJACK_URL: 'http://127.0.0.1:9' } });
  await worker.untilLogged(({ msg }) => msg.includes('No server answers') && msg.includes('Trying again'));
  expect(await worker.stop()).toBe(0);
});
