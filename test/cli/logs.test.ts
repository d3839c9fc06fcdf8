/** `skipjack logs`: what was said where it was said, and nothing else. */
import { expect } from 'vitest';
import { startServer } from '../../src/api/server.ts';
import type { ClaimedTask, LogLine } from '../../src/core/task-source.ts';
import { Engine } from '../../src/engine/engine.ts';
import { appendLogs } from '../../src/queue/logs/append.ts';
import { test as databaseTest, type TestDatabase } from '../support/database.ts';
import { claimNamed, start } from '../support/processes.ts';
import { claimOf, claimOne, complete, enqueue, fail } from '../support/tasks.ts';
import { type Ended, type Running, skipjack, startSkipjack } from './support/cli.ts';

const test = databaseTest.extend<{
  env: Record<string, string>;
  logs: (...args: string[]) => Promise<Ended>;
  follow: (...args: string[]) => Running;
}>({
  env: async ({ database }, use) => {
    const server = await startServer(new Engine({ queue: database.queue }), { port: 0 });
    await use({ SKIPJACK_URL: server.url });
    await server.close();
  },
  logs: async ({ env }, use) => use((...args) => skipjack(['logs', ...args], { env })),
  follow: async ({ env }, use) => use((...args) => startSkipjack(['logs', '-f', ...args], { env })),
});

const unknownId = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';

function say({ db }: TestDatabase, task: ClaimedTask, ...lines: (string | Partial<LogLine>)[]) {
  return appendLogs(db, [
    {
      ...claimOf(task),
      firstLine: null,
      lines: lines.map((line) => ({
        agoMs: 0,
        stream: 'stdout' as const,
        part: null,
        text: '',
        ...(typeof line === 'string' ? { text: line } : line),
      })),
    },
  ]);
}

async function claimed(database: TestDatabase): Promise<ClaimedTask> {
  await enqueue(database);
  return claimOne(database);
}

test('stdout is what a task said on stdout; the rest comes on stderr', async ({ database, logs }) => {
  const task = await claimed(database);
  await say(
    database,
    task,
    'one',
    { text: 'oh no', stream: 'stderr' },
    { text: 'pulled', stream: 'skipjack' },
    { text: 'two', part: 'post 1' },
    '\u001b[31mred\u001b[0m',
  );
  expect(await logs(task.id)).toEqual({
    code: 0,
    stdout: 'one\npost 1 | two\n\u001b[31mred\u001b[0m\n',
    stderr: 'oh no\nskipjack: pulled\n',
  });
  expect((await logs(task.id, '--tail', '2')).stdout).toBe('post 1 | two\n\u001b[31mred\u001b[0m\n');
  expect((await logs(task.id, '--attempt', '2')).stdout).toBe('');
  expect((await logs(task.id, '--timestamps')).stdout).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z one\n/);
  await fail(database, task);
  expect((await logs(task.id)).code).toBe(0);
});

test('the lines of a process say who spoke; as JSON they are one array', async ({ database, logs }) => {
  const id = await start(database, { a: [], 'b b': [] });
  const [a, b] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'b b')];
  expect(await logs(id, '-o', 'json')).toEqual({ code: 0, stdout: '[]\n', stderr: '' });
  await say(database, a, 'one');
  await say(database, b, { text: 'two', stream: 'stderr' });
  await say(database, a, 'three');
  expect(await logs(id)).toEqual({ code: 0, stdout: 'a | one\na | three\n', stderr: 'b b | two\n' });
  const { stdout } = await logs(id, '-o', 'json');
  expect(JSON.parse(stdout)).toMatchObject([
    { task: 'a', text: 'one', stream: 'stdout', attempt: 1, line: 1 },
    { task: 'b b', text: 'two', stream: 'stderr' },
    { task: 'a', text: 'three' },
  ]);
});

test('more than a page is read to the end', async ({ database, logs }) => {
  const task = await claimed(database);
  const texts = Array.from({ length: 1_700 }, (_, index) => `line ${index}`);
  await say(database, task, ...texts);
  expect((await logs(task.id)).stdout).toBe(`${texts.join('\n')}\n`);
  expect(JSON.parse((await logs(task.id, '-o', 'json')).stdout)).toHaveLength(texts.length);
});

test('-f shows lines as they are said, and ends with the task', async ({ database, follow }) => {
  const task = await claimed(database);
  await say(database, task, { text: 'first', stream: 'stderr' });
  const followers = [follow(task.id), follow(task.id, '-o', 'json')] as const;
  await followers[0].untilSaid(/^first$/);
  await say(database, task, 'second', 'third');
  await complete(database, task);
  expect(await Promise.all(followers.map(({ ended }) => ended))).toEqual([0, 0]);
  expect(followers[0].stdout).toBe('second\nthird\n');
  const objects = followers[1].stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(objects.map(({ text }) => text)).toEqual(['first', 'second', 'third']);
  expect(objects[0]).not.toHaveProperty('cursor');
});

test('Ctrl-C ends following with 130', async ({ database, follow }) => {
  const task = await claimed(database);
  await say(database, task, { text: 'first', stream: 'stderr' });
  const follower = follow(task.id);
  await follower.untilSaid(/^first$/);
  expect(await follower.stop('SIGINT')).toBe(130);
});

test('what is not there has its own exit code', async ({ logs, follow }) => {
  const missing = await logs(unknownId);
  expect(missing).toMatchObject({ code: 3, stdout: '' });
  expect(missing.stderr).toContain('no task and no process');
  expect(await follow(unknownId).ended).toBe(3);
  const away = await skipjack(['logs', '-f', unknownId, '--server', 'http://127.0.0.1:9']);
  expect(away.code).toBe(7);
});
