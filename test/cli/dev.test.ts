import { existsSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { findRunningEmbeddedPostgres } from '../../src/database/embedded.ts';
import { answers, makeDirectory } from '../database/fixtures/embedded-scene.ts';
import { test as databaseTest } from '../support/database.ts';
import { until } from '../support/program.ts';
import { skipjack, startSkipjack, unhurried, urlOf } from './support/cli.ts';

const onAnyPort = ['dev', '--port', '0'];

async function postgresUrl(data: string): Promise<string> {
  const running = await findRunningEmbeddedPostgres(data);
  if (running === null) throw new Error(`no Postgres runs on ${data}`);
  return running.url;
}

test('dev runs a posted command, SIGTERM ends it with its Postgres, and a second start finds the data', async () => {
  const data = join(await makeDirectory(), 'data');
  const first = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  const url = await urlOf(first);
  const response = await fetch(`${url}/v1/tasks?wait=30s`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ type: 'command', command: 'echo', args: ['hello', 'world'] }),
  });
  const task = (await response.json()) as { id: string };
  expect(task).toMatchObject({ success: true, output: 'hello world', error: null });
  const database = await postgresUrl(data);
  expect(await first.stop()).toBe(0);
  expect(await answers(database)).toBe(false);
  expect(await findRunningEmbeddedPostgres(data)).toBeNull();

  const second = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  expect(await createClient({ url: await urlOf(second) }).getTask(task.id)).toMatchObject({
    state: 'completed',
  });
  expect(await second.stop('SIGINT')).toBe(0);
});

test('after SIGKILL the next start finds the data, and ends the Postgres that was left behind', async () => {
  const data = join(await makeDirectory(), 'data');
  const first = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  const { id } = await createClient({ url: await urlOf(first) }).enqueue({ name: 'review' });
  await first.stop('SIGKILL');
  const database = await postgresUrl(data);

  const second = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  expect(await createClient({ url: await urlOf(second) }).getTask(id)).toMatchObject({ state: 'ready' });
  expect(await second.stop()).toBe(0);
  expect(await answers(database)).toBe(false);
});

test('a second dev on the same data joins its Postgres and leaves it running', async () => {
  const data = join(await makeDirectory(), 'data');
  const first = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  const { id } = await createClient({ url: await urlOf(first) }).enqueue({ name: 'review' });
  const second = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  const client = createClient({ url: await urlOf(second) });
  expect(await client.getTask(id)).toMatchObject({ name: 'review' });
  expect(await second.stop()).toBe(0);
  expect(await answers(await postgresUrl(data))).toBe(true);
  expect(await first.stop()).toBe(0);
});

test('when the owner of the Postgres that it joined ends, the second dev starts it again', async () => {
  const data = join(await makeDirectory(), 'data');
  const first = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  await urlOf(first);
  const second = startSkipjack([...onAnyPort, '--data', data], { env: unhurried });
  const client = createClient({ url: await urlOf(second) });
  const { id } = await client.enqueue({ name: 'review' });
  expect(await first.stop()).toBe(0);
  await second.untilLogged(({ msg }) => msg === 'started Postgres');
  await until('the second works again', async () => (await client.getTask(id).catch(() => null))?.id === id);
  const database = await postgresUrl(data);
  expect(await second.stop()).toBe(0);
  expect(await answers(database)).toBe(false);
});

test('a second signal ends it at once with 130, and still ends its Postgres', async () => {
  const data = join(await makeDirectory(), 'data');
  const dev = startSkipjack([...onAnyPort, '--data', data, '--grace', '1h']);
  const client = createClient({ url: await urlOf(dev) });
  const { id } = await client.enqueue({ command: 'sleep', args: ['3600'] });
  await untilRunning(client, id);
  const database = await postgresUrl(data);
  dev.child.kill('SIGINT');
  await dev.untilLogged(({ msg }) => msg === 'draining');
  // Repeated: one that comes within a moment of the first counts as the same wish.
  const repeat = setInterval(() => dev.child.kill('SIGINT'), 100);
  expect(await dev.ended).toBe(130);
  clearInterval(repeat);
  expect(await answers(database)).toBe(false);
});

databaseTest('a stop gives back what runs past the grace, uncounted', async ({ database }) => {
  const dev = startSkipjack([...onAnyPort, '--grace', '0s'], { env: { DATABASE_URL: database.url } });
  const client = createClient({ url: await urlOf(dev) });
  const { id } = await client.enqueue({ command: 'sleep', args: ['3600'] });
  await untilRunning(client, id);
  expect(await dev.stop()).toBe(0);
  const [row] = await database.sql('select state, attempt, losses from skipjack.task_status where id = $1', [
    id,
  ]);
  expect(row).toMatchObject({ state: 'ready', attempt: 1, losses: 0 });
});

databaseTest(
  'with DATABASE_URL dev uses that database, and never writes its password',
  async ({ database }) => {
    const url = new URL(database.url);
    url.searchParams.set('application_name', 'x');
    const dev = startSkipjack(onAnyPort, { env: { ...unhurried, DATABASE_URL: url.href } });
    const { id } = await createClient({ url: await urlOf(dev) }).enqueue({ name: 'review' });
    expect(await database.sql('select name from skipjack.tasks where id = $1', [id])).toEqual([
      { name: 'review' },
    ]);
    expect(await dev.stop()).toBe(0);
    if (url.password !== '') expect(dev.stderr).not.toContain(url.password);
  },
);

databaseTest('a port that is taken is named, with exit code 1', async ({ database }) => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => blocker.once('listening', resolve));
  const { port } = blocker.address() as { port: number };
  const ended = await skipjack(['dev', '--port', String(port)], { env: { DATABASE_URL: database.url } });
  blocker.close();
  expect(ended.code).toBe(1);
  expect(ended.stderr).toContain(`Port ${port} on 127.0.0.1 is taken by another program.`);
});

test('an address that others reach is refused without API keys, before any Postgres is started', async () => {
  const data = join(await makeDirectory(), 'data');
  const ended = await skipjack([...onAnyPort, '--data', data, '--host', '0.0.0.0']);
  expect(ended.code).toBe(2);
  expect(ended.stderr).toContain('SKIPJACK_API_KEYS');
  expect(existsSync(data)).toBe(false);
});

async function untilRunning(client: ReturnType<typeof createClient>, id: string): Promise<void> {
  while ((await client.getTask(id)).state !== 'running')
    await new Promise((resolve) => setImmediate(resolve));
}
