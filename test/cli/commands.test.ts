/** The commands that ask a server: one `dev` over the test's database serves them. */
import { expect } from 'vitest';
import { test as databaseTest } from '../support/database.ts';
import { type Ended, skipjack, startSkipjack, urlOf } from './support/cli.ts';

interface Asking {
  /** Runs a command against the server. */
  ask: (...args: string[]) => Promise<Ended>;
  /** The same with `-o json`, its output parsed. */
  askJson: (...args: string[]) => Promise<{ code: number | null; data: never }>;
}

const test = databaseTest.extend<Asking>({
  ask: async ({ database }, use) => {
    const dev = startSkipjack(['dev', '--port', '0'], { env: { DATABASE_URL: database.url } });
    const env = { SKIPJACK_URL: await urlOf(dev) };
    await use((...args) => skipjack(args, { env }));
  },
  askJson: async ({ ask }, use) => {
    await use(async (...args) => {
      const [command = '', ...rest] = args;
      const { code, stdout } = await ask(command, ...rest.slice(0, 1), '-o', 'json', ...rest.slice(1));
      return { code, data: JSON.parse(stdout) as never };
    });
  },
});

test('enqueue prints the id, with which get finds the task', async ({ ask, askJson }) => {
  const enqueued = await ask(
    'enqueue',
    '--name',
    'review',
    '--label',
    'customer=42',
    '--input',
    '{"invoice":7}',
  );
  expect(enqueued).toMatchObject({ code: 0, stderr: '' });
  const id = enqueued.stdout.trim();
  const { code, data } = await askJson('get', id);
  expect(code).toBe(0);
  expect(data).toMatchObject({
    id,
    name: 'review',
    queue: 'people',
    state: 'ready',
    labels: { customer: '42' },
    input: { invoice: 7 },
    waiting_for: 'somebody to claim it from queue "people"',
  });
  const asText = await ask('get', id);
  expect(asText.stdout).toMatch(/^state +ready$/m);
  expect(asText.stdout).toMatch(/^input +\{"invoice":7\}$/m);
});

test('every option of enqueue reaches the task', async ({ ask, askJson }) => {
  const args = [
    '--queue',
    'nightly',
    '--priority',
    '9',
    '--delay',
    '1h',
    '--timeout',
    '5m',
    '--name',
    'backup',
  ];
  const retry = [
    '--retry',
    '5',
    '--retry-backoff',
    'linear',
    '--retry-delay',
    '2s',
    '--retry-max-delay',
    '1m',
    '--retry-on',
    '75, timed_out,111',
    '--retry-within',
    '10m',
  ];
  const key = ['--idempotency-key', 'backup of today'];
  const run = [...args, ...retry, ...key, '--env', 'WHERE=/backup', '--run', 'pg_dump app'];
  const first = await ask('enqueue', ...run);
  const { data } = await askJson('get', first.stdout.trim());
  expect(data).toMatchObject({
    queue: 'nightly',
    priority: 9,
    state: 'scheduled',
    timeout: '5m',
    name: 'backup',
    type: 'run',
    run: 'pg_dump app',
    env: { WHERE: '/backup' },
    retry: {
      attempts: 5,
      backoff: 'linear',
      delay: '2s',
      max_delay: '1m',
      on: { exit_codes: [75, 111], codes: ['timed_out'] },
      within: '10m',
    },
  });
  expect((await ask('enqueue', ...run)).stdout).toBe(first.stdout);
  const other = await ask('enqueue', ...key, '--', 'true');
  expect(other).toMatchObject({ code: 4, stdout: '' });
});

test('enqueue --wait prints the end, and its exit code says how it ended', async ({ ask, askJson }) => {
  const completed = await ask('enqueue', '--wait', '30s', '--', 'echo', '-n', 'hello', 'world');
  expect(completed.code).toBe(0);
  expect(completed.stdout).toMatch(/^output +hello world$/m);
  const failed = await ask('enqueue', '--wait', '30s', '--run', 'echo no >&2; exit 3');
  expect(failed.code).toBe(8);
  expect(failed.stdout).toMatch(/^exit code +3$/m);
  expect(failed.stderr).toContain('skipjack: the task failed: ');
  const waiting = await askJson('enqueue', '--wait=0s', '--name', 'review');
  expect(waiting).toMatchObject({ code: 124, data: { state: 'ready' } });
  const { id } = waiting.data as { id: string };
  expect((await ask('cancel', id)).code).toBe(0);
  expect((await ask('get', id, '--wait', '30s')).code).toBe(9);
});

test('list filters, and prints [] for nothing', async ({ ask, askJson }) => {
  expect(await askJson('list', '--queue=nobody')).toEqual({ code: 0, data: [] });
  for (const label of ['a', 'b', 'b']) await ask('enqueue', '--name', 'review', '--label', `kind=${label}`);
  const { data } = await askJson('list', '--label=kind=b', '--state', 'active');
  expect(data).toMatchObject([{ name: 'review', labels: { kind: 'b' } }, { labels: { kind: 'b' } }]);
  const limited = await ask('list', '--limit', '2');
  expect(limited.stdout.trim().split('\n')).toHaveLength(3);
  expect(limited.stderr).toContain('There are more');
});

test('cancel ends what waits; what has ended or is unknown is refused', async ({ ask, askJson }) => {
  const id = (await ask('enqueue', '--name', 'review')).stdout.trim();
  expect(await ask('cancel', id)).toEqual({ code: 0, stdout: 'The task is cancelled.\n', stderr: '' });
  const { data } = await askJson('enqueue', '--wait=30s', '--', 'true');
  const ended = await ask('cancel', (data as { id: string }).id);
  expect(ended).toMatchObject({ code: 4, stdout: '' });
  for (const args of [['cancel'], ['get'], ['dead-letters', 'show'], ['dead-letters', 'replay']]) {
    const unknown = await ask(...args, '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60');
    expect(unknown).toMatchObject({ code: 3, stdout: '' });
  }
});

test('a dead letter is listed, shown with its attempts, and replayed once', async ({ ask, askJson }) => {
  expect(await askJson('dead-letters', 'list')).toEqual({ code: 0, data: [] });
  const args = ['--retry', '2', '--retry-delay', '1ms', '--wait', '30s', '--run', 'exit 3'];
  const failed = await ask('enqueue', '-o', 'json', ...args);
  expect(failed.code).toBe(8);
  const { id } = JSON.parse(failed.stdout) as { id: string };
  expect(await askJson('dead-letters', 'list')).toMatchObject({ data: [{ id, reason: 'failed' }] });
  expect(await askJson('dead-letters', 'show', id)).toMatchObject({
    data: {
      id,
      run: 'exit 3',
      attempts: [
        { attempt: 1, exit_code: 3 },
        { attempt: 2, exit_code: 3 },
      ],
    },
  });
  expect((await ask('dead-letters', 'show', id)).stdout).toMatch(/^2 +failed +3 /m);
  await ask('queues', 'pause', 'default');
  expect(await ask('dead-letters', 'replay', '--all', '--dry-run')).toMatchObject({
    code: 0,
    stdout: `${id}\n`,
  });
  expect(await ask('dead-letters', 'replay', id)).toMatchObject({ code: 0 });
  expect(await ask('dead-letters', 'replay', id)).toMatchObject({ code: 4 });
  expect(await askJson('dead-letters', 'list')).toEqual({ code: 0, data: [] });
  expect(await askJson('dead-letters', 'list', '--replayed')).toMatchObject({ data: [{ id }] });
});

test('a paused queue is shown so and hands out nothing until it is resumed', async ({ ask, askJson }) => {
  expect(await ask('queues', 'pause', 'default')).toMatchObject({
    code: 0,
    stdout: 'Queue "default" is paused.\n',
  });
  const id = (await ask('enqueue', '--', 'true')).stdout.trim();
  expect(await askJson('queues', 'list')).toMatchObject({
    data: expect.arrayContaining([expect.objectContaining({ name: 'default', paused: true, ready: 1 })]),
  });
  expect(await askJson('get', id)).toMatchObject({ data: { waiting_for: 'queue "default" is paused' } });
  expect(await ask('queues', 'resume', 'default')).toMatchObject({ code: 0 });
  expect((await ask('get', id, '--wait', '30s')).code).toBe(0);
});

test('of a queue that nobody uses it is said that nobody does', async ({ ask }) => {
  const resumed = await ask('queues', 'resume', 'mial');
  expect(resumed).toMatchObject({ code: 0, stdout: 'Queue "mial" is resumed.\n' });
  expect(resumed.stderr).toContain('Nobody uses a queue "mial" yet');
});

test('workers and stats show what there is', async ({ ask, askJson }) => {
  await ask('enqueue', '--wait', '30s', '--', 'true');
  // The worker says that it is there beside its work, and does not wait for it.
  await expect
    .poll(() => askJson('workers'))
    .toMatchObject({
      code: 0,
      data: [{ live: true, queues: expect.arrayContaining(['default']), slots: 10 }],
    });
  expect(await askJson('stats')).toMatchObject({ code: 0, data: { tasks: { completed: 1 } } });
  expect((await ask('workers')).stdout).toMatch(/ yes .* 0\/10 /);
});

test('what the server finds wrong is said with its place, exit code 5', async ({ ask }) => {
  const delay = await ask('enqueue', '--delay', 'soon', '--', 'true');
  expect(delay).toMatchObject({ code: 5, stdout: '' });
  expect(delay.stderr).toContain('/delay: is not a duration');
  const input = await ask('enqueue', '--input', '{oops', '--', 'true');
  expect(input).toMatchObject({ code: 5, stdout: '' });
  expect(input.stderr).toContain('--input is not JSON');
});
