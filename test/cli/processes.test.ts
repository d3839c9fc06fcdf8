/** The commands of processes: one `dev` over the test's database serves them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { makeDirectory } from '../database/fixtures/embedded-scene.ts';
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
      const { code, stdout } = await ask(...args, '-o', 'json');
      return { code, data: JSON.parse(stdout) as never };
    });
  },
});

const unknownId = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';
const review = `
input:
  amount: { type: number, default: 7 }
  who: { type: string, default: Ann }
tasks:
  - name: Open
  - name: Review
    needs: [Open]
  - name: Pay
    needs: [Review]
    run: node -p 'JSON.stringify(require(process.env.SKIPJACK_INPUT).process.input)'
`;

async function file(text: string, name = 'review.yaml'): Promise<string> {
  const path = join(await makeDirectory(), name);
  await writeFile(path, text);
  return path;
}

test('publish makes versions of names, all or none of the files', async ({ ask, askJson }) => {
  expect(await askJson('list', 'definitions')).toEqual({ code: 0, data: [] });
  const path = await file(review);
  expect(await ask('publish', path, '--name', 'review')).toEqual({
    code: 0,
    stdout: 'review, version 1\n',
    stderr: '',
  });
  expect((await ask('publish', path, '--name', 'review')).stdout).toBe('review, version 1 as before\n');
  const named = await file(`name: review\n${review}`);
  expect(await askJson('publish', named)).toMatchObject({
    data: [{ name: 'review', version: 2, created: true }],
  });
  const nameless = await ask('publish', named, path);
  expect(nameless).toMatchObject({ code: 2, stdout: '' });
  expect(nameless.stderr).toContain('has no name in it');
  const broken = await file('name: broken\ntasks:\n  - name: A\n    needs: [B]\n');
  const refused = await ask('publish', await file('name: sound\ntasks: [{name: A}]\n'), broken);
  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toContain(`${broken}:4:13: `);
  expect(await ask('publish', '/nowhere.yaml')).toMatchObject({ code: 3, stdout: '' });
  expect(await askJson('list', 'definitions')).toMatchObject({
    data: [{ name: 'review', version: 2, tasks: 3 }],
  });
  expect((await ask('list', 'definitions')).stdout).toMatch(/^review +2 +3 /m);
});

test('start prints the id, with which get finds the process', async ({ ask, askJson }) => {
  expect(await askJson('list', 'processes')).toEqual({ code: 0, data: [] });
  await ask('publish', await file(review), '--name', 'review');
  const started = await ask('start', 'review', '--input', 'amount=1000', '--input', 'who=7');
  expect(started).toMatchObject({ code: 0, stderr: '' });
  const id = started.stdout.trim();
  expect(await askJson('get', id)).toMatchObject({
    code: 0,
    data: { id, definition: 'review', version: 1, state: 'running', input: { amount: 1000, who: '7' } },
  });
  const asText = (await ask('get', id)).stdout;
  expect(asText).toMatch(/^progress +0 of 3 tasks have ended, 0 %$/m);
  expect(asText).toMatch(/^active +Open: waits for somebody to claim it from queue "people"$/m);
  expect(await askJson('list', '--process', id)).toMatchObject({
    data: [
      { name: 'Open', state: 'ready' },
      { name: 'Review', state: 'pending' },
      { name: 'Pay', state: 'pending' },
    ],
  });
  expect(await askJson('list', '--process', id, '--state', 'ready')).toMatchObject({
    data: [{ name: 'Open' }],
  });
  const [task] = (await askJson('list', '--process', id)).data as { id: string }[];
  expect((await ask('get', task?.id ?? '')).stdout).toMatch(new RegExp(`^process +${id}, task 1$`, 'm'));
  const waited = await ask('get', id, '--wait', '0s');
  expect(waited).toMatchObject({ code: 124 });
  expect(waited.stderr).toContain('the process is still running');
});

test('what cannot be started is refused with the reason', async ({ ask }) => {
  const path = await file(review);
  const unknown = await ask('start', 'review');
  expect(unknown).toMatchObject({ code: 3, stdout: '' });
  expect(unknown.stderr).toContain('Perhaps you want: skipjack publish FILE');
  expect((await ask('start', path)).stderr).toContain(`skipjack start -f ${path}`);
  await ask('publish', path, '--name', 'review');
  expect(await ask('start', 'review', '--version', '2')).toMatchObject({ code: 3 });
  const input = await ask('start', 'review', '--input', 'amount=lots');
  expect(input).toMatchObject({ code: 5, stdout: '' });
  expect(input.stderr).toContain('/input/amount');
  expect(await ask('start', '-f', path, '--input', '{"amount":"lots"}')).toMatchObject({ code: 5 });
  for (const args of [[], ['review', '-f', path], ['-f', path, '--version', '1']])
    expect(await ask('start', ...args)).toMatchObject({ code: 2, stdout: '' });
});

test('the same key starts one process', async ({ ask }) => {
  const path = await file(review);
  const first = await ask('start', '-f', path, '--key', 'application 7');
  expect(await ask('start', '-f', path, '--idempotency-key', 'application 7')).toEqual(first);
  const other = await ask('start', '-f', path, '--input', 'amount=8', '--key', 'application 7');
  expect(other).toMatchObject({ code: 4, stdout: '' });
});

test('tasks are completed by name; the end is the exit code of who waits', async ({ ask, askJson }) => {
  const id = (await ask('start', '-f', await file(review), '--input', '{"amount":9}')).stdout.trim();
  const early = await ask('complete', id, 'Review');
  expect(early).toMatchObject({ code: 4, stdout: '' });
  expect(early.stderr).toContain('it waits for "Open"');
  const opened = await ask('complete', id, 'Open', '--result', '{"amount":9}', '--by', 'ada');
  expect(opened.stdout).toBe('"Open" is completed. The process is running, 1 of 3 tasks have ended.\n');
  const again = await askJson('complete', id, 'Open', '--result', '{"amount":9}', '--by', 'ada');
  expect(again).toMatchObject({ code: 0, data: { repeated: true } });
  expect(await ask('complete', id, 'Open', '--result', '{"amount":8}', '--by', 'ada')).toMatchObject({
    code: 4,
  });
  expect(await ask('complete', id, 'Review', '--result', 'oops')).toMatchObject({ code: 5, stdout: '' });
  const waiting = ask('get', id, '--wait', '30s');
  expect(await ask('complete', id, '2')).toMatchObject({ code: 0 });
  const ended = await waiting;
  expect(ended).toMatchObject({ code: 0, stderr: '' });
  expect(ended.stdout).toMatch(/^output +\{"Pay":"\{.*\\"amount\\":9.*\}"\}$/m);
  const events = (await askJson('events', id)).data as { event: string; by: string | null }[];
  expect(events.map(({ event }) => event)).toEqual(
    expect.arrayContaining(['process_started', 'task_completed_by_name', 'process_completed']),
  );
  expect(events).toContainEqual(expect.objectContaining({ event: 'task_completed_by_name', by: 'ada' }));
  expect((await ask('events', id)).stdout).toMatch(/ task_completed_by_name +Open +ada/);
  expect(await ask('complete', id, 'Nobody')).toMatchObject({ code: 3 });
});

test('a failed process says why, and retry goes on from there', async ({ ask, askJson }) => {
  const id = (await ask('start', '-f', await file(review))).stdout.trim();
  const failed = await ask('fail', id, 'Open', '--error', 'no such applicant');
  expect(failed.stdout).toBe('"Open" is failed. The process is failed.\n');
  const waited = await ask('get', id, '--wait', '10s');
  expect(waited.code).toBe(8);
  expect(waited.stdout).toMatch(/^last error +Open: failed: no such applicant$/m);
  expect(waited.stderr).toBe('skipjack: the process failed: "Open": no such applicant.\n');
  expect(await askJson('list', 'processes', '--state', 'failed')).toMatchObject({ data: [{ id }] });
  expect((await ask('retry', id)).stdout).toBe('The process is running again, with "Open".\n');
  expect(await ask('retry', id)).toMatchObject({ code: 4, stdout: '' });
  expect(await askJson('list', 'processes', '--state', 'live')).toMatchObject({
    data: [{ id, state: 'running' }],
  });
});

test('a paused process hands out nothing until it is resumed', async ({ ask, askJson }) => {
  const id = (
    await ask('start', '-f', await file('tasks: [{name: A}, {name: B, needs: [A], run: "true"}]'))
  ).stdout.trim();
  expect(await ask('pause', id)).toMatchObject({ code: 0, stderr: '' });
  await ask('complete', id, 'A');
  expect((await ask('get', id)).stdout).toMatch(/^state +running, paused$/m);
  expect((await ask('get', id)).stdout).toMatch(/^active +B: waits for process .*, which is paused$/m);
  expect(await ask('resume', id)).toMatchObject({ code: 0, stderr: '' });
  expect(await askJson('get', id, '--wait', '30s')).toMatchObject({ code: 0, data: { state: 'completed' } });
  expect(await ask('pause', id)).toMatchObject({ code: 4, stdout: '' });
});

test('cancel and retry take the id of a task or of a process', async ({ ask, askJson }) => {
  const id = (await ask('start', '-f', await file(review))).stdout.trim();
  expect(await ask('cancel', id)).toEqual({ code: 0, stdout: 'The process is cancelled.\n', stderr: '' });
  expect(await askJson('get', id, '--wait', '10s')).toMatchObject({ code: 9, data: { state: 'cancelled' } });
  const failed = await askJson('enqueue', '--wait', '30s', '--run', 'exit 3');
  const task = failed.data as { id: string };
  await ask('queues', 'pause', 'default');
  expect(await ask('retry', task.id)).toMatchObject({ code: 0, stdout: 'The task is ready again.\n' });
  for (const command of ['get', 'cancel', 'retry', 'pause', 'resume', 'events'])
    expect(await ask(command, unknownId), command).toMatchObject({ code: 3, stdout: '' });
  expect(await ask('get', unknownId)).toMatchObject({
    stderr: `skipjack: There is no task and no process with the id "${unknownId}".\n`,
  });
});

test('start --wait prints the end of the process', async ({ ask }) => {
  const path = await file('tasks: [{name: A, run: "echo sorry >&2; exit 3"}]');
  const failed = await ask('start', '-f', path, '--wait', '30s');
  expect(failed.code).toBe(8);
  expect(failed.stdout).toMatch(/^state +failed$/m);
  expect(failed.stderr).toContain('the process failed: "A": the command exited with code 3: sorry');
  const stdin = await ask('start', '-f', '-', '--wait', '0s');
  expect(stdin.code).toBe(5);
});
