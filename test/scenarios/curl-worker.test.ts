/** A worker that is a shell script of curl calls, against a real server. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished } from 'vitest';
import { test } from '../support/database.ts';
import { startProgram } from '../support/program.ts';
import { expireLease } from '../support/tasks.ts';

const script = path.resolve(import.meta.dirname, '../examples/people-worker.sh');
const examples = test.extend<{ server: string }>({
  server: async ({ database }, use) => {
    const program = startProgram(['server'], { DATABASE_URL: database.url, SKIPJACK_PORT: '0' });
    const { url } = JSON.parse(await program.untilSays('ready')) as { url: string };
    await use(url);
    await program.kill('SIGTERM');
  },
});

/** curl itself, as people use it. */
async function curl(...args: string[]) {
  const { stdout } = await execa('curl', [
    '-s',
    '-H',
    'content-type: application/json',
    '-w',
    '\n%{http_code}',
    ...args,
  ]);
  const lines = stdout.split('\n');
  const status = Number(lines.pop());
  return { status, body: JSON.parse(lines.join('\n') || 'null') };
}

examples('the script of the README claims, beats, completes', async ({ server }) => {
  const posted = await curl(
    `${server}/v1/tasks`,
    '-d',
    '{"name": "review", "queue": "people", "input": {"amount": 7}}',
  );
  expect(posted.status).toBe(201);
  const { stdout } = await execa('sh', [script], { env: { SKIPJACK_URL: server, TASKS: '1' } });
  expect(JSON.parse(stdout)).toMatchObject({ state: 'completed', repeated: false });
  expect((await curl(`${server}/v1/tasks/${posted.body.id}`)).body).toMatchObject({
    state: 'completed',
    success: true,
    output: { reviewed: { amount: 7 }, by: 'curl' },
  });
});

examples(
  'a second claimer gets nothing, an old token is refused with 409 and changes nothing',
  async ({ server, database }) => {
    const { body: posted } = await curl(`${server}/v1/tasks`, '-d', '{"name": "review"}');
    const claim = (worker: string) =>
      curl(`${server}/v1/tasks/claim`, '-d', JSON.stringify({ queues: ['people'], worker }));
    const first = (await claim('ann')).body.tasks[0];
    expect(first.id).toBe(posted.id);
    expect((await claim('bob')).body.tasks).toEqual([]);
    const beat = await curl(
      `${server}/v1/tasks/${posted.id}/heartbeat`,
      '-d',
      JSON.stringify({ token: first.token }),
    );
    expect(beat).toMatchObject({ status: 200, body: { status: 'extended' } });

    await expireLease(database, posted.id);
    let second: { token: string } | undefined;
    while (!second)
      second = (
        await curl(`${server}/v1/tasks/claim`, '-d', '{"queues": ["people"], "worker": "bob", "wait": "10s"}')
      ).body.tasks[0];
    const late = await curl(
      `${server}/v1/tasks/${posted.id}/complete`,
      '-d',
      JSON.stringify({ token: first.token, output: 'late' }),
    );
    expect(late).toMatchObject({ status: 409, body: { code: 'lease_lost' } });
    expect((await curl(`${server}/v1/tasks/${posted.id}`)).body).toMatchObject({
      state: 'running',
      worker: 'bob',
      output: null,
    });

    const complete = () =>
      curl(
        `${server}/v1/tasks/${posted.id}/complete`,
        '-d',
        JSON.stringify({ token: second?.token, output: 'done' }),
      );
    expect(await complete()).toMatchObject({ status: 200, body: { state: 'completed', repeated: false } });
    // Its answer was lost: the same again.
    expect(await complete()).toMatchObject({ status: 200, body: { state: 'completed', repeated: true } });
    const other = await curl(
      `${server}/v1/tasks/${posted.id}/fail`,
      '-d',
      JSON.stringify({ token: second?.token, error: 'no' }),
    );
    expect(other).toMatchObject({ status: 409, body: { code: 'already_settled' } });
  },
);

examples(
  'a claim whose answer was lost on the way is repeated by its claim_id and gives the same task',
  async ({ server }) => {
    await curl(`${server}/v1/tasks`, '-d', '{"name": "review"}');
    const body = JSON.stringify({
      queues: ['people'],
      worker: 'ann',
      claim_id: '0190a0b0-0000-7000-8000-000000000001',
    });
    // A proxy that hands the request on and cuts the line instead of answering.
    const proxy = createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      await fetch(server + request.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: Buffer.concat(chunks),
      });
      response.destroy();
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void proxy.close());
    const { port } = proxy.address() as AddressInfo;
    const lost = await execa(
      'curl',
      ['-s', '-H', 'content-type: application/json', '-d', body, `http://127.0.0.1:${port}/v1/tasks/claim`],
      { reject: false },
    );
    expect(lost.exitCode).not.toBe(0);
    const again = (await curl(`${server}/v1/tasks/claim`, '-d', body)).body.tasks;
    expect(again).toHaveLength(1);
    expect(again[0].attempt).toBe(1);
    const done = await curl(
      `${server}/v1/tasks/${again[0].id}/complete`,
      '-d',
      JSON.stringify({ token: again[0].token }),
    );
    expect(done.status).toBe(200);
  },
);
