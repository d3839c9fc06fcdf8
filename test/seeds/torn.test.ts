/** TORN's text, run as written: its payload over REST, its log line, and what it says is being built. */
import { expect } from 'vitest';
import { test } from '../support/database.ts';
import { type Program, startProgram } from '../support/program.ts';

const withServer = test.extend<{ torn: { url: string; untilLogged: Program['untilSays'] } }>({
  torn: async ({ database }, use) => {
    const env = { DATABASE_URL: database.url, SKIPJACK_PORT: '0' };
    const server = startProgram(['server'], env);
    const worker = startProgram(['worker', '--concurrency', '2'], env);
    const [ready] = await Promise.all([server.untilSays('ready'), worker.untilSays('worker started')]);
    const { url } = JSON.parse(ready) as { url: string };
    await use({ url, untilLogged: worker.untilSays });
    await worker.kill('SIGTERM');
    await server.kill('SIGTERM');
  },
});

async function post(url: string, body: object) {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  });
  return { status: response.status, text: await response.text() };
}

const payload = { type: 'command', command: 'echo', args: ['hello', 'world'] };

withServer('its payload, posted, answers success, output and error as TORN prints them', async ({ torn }) => {
  const { status, text } = await post(`${torn.url}/v1/tasks?wait=30s`, payload);
  expect(status).toBe(200);
  expect(text).toContain('"success":true,"output":"hello world","error":null');
});

withServer('on completion of the job, the logger prints success, output and error', async ({ torn }) => {
  await post(`${torn.url}/v1/tasks?wait=30s`, payload);
  // The answer may be here first: the worker says it when it has heard that the job is settled.
  expect(JSON.parse(await torn.untilLogged('hello world'))).toMatchObject({
    success: true,
    output: 'hello world',
    error: null,
    attempt: 1,
    wait_ms: expect.any(Number),
    run_ms: expect.any(Number),
  });
});

withServer('REST API for getting job health', async ({ torn }) => {
  const { id } = JSON.parse((await post(`${torn.url}/v1/tasks?wait=30s`, payload)).text);
  const job = await (await fetch(`${torn.url}/v1/tasks/${id}`)).json();
  expect(job).toMatchObject({ state: 'completed', success: true });
  expect((await fetch(`${torn.url}/health`)).status).toBe(200);
});

withServer('retries with backoff, then the dead letter queue', async ({ torn }) => {
  const failing = { type: 'command', command: 'false', args: [], retry: { attempts: 3, delay: '10ms' } };
  const task = JSON.parse((await post(`${torn.url}/v1/tasks?wait=30s`, failing)).text);
  expect(task).toMatchObject({ success: false, error: { code: 'exit_code' }, attempt: 3 });
  const letter = (await (await fetch(`${torn.url}/v1/dead-letters/${task.id}`)).json()) as {
    attempts: object[];
  };
  expect(letter.attempts).toMatchObject([
    { attempt: 1, exit_code: 1 },
    { attempt: 2, exit_code: 1 },
    { attempt: 3, exit_code: 1 },
  ]);
});
