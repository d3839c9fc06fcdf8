/** Tork's text, run with real curl and jq: its hello world, and its second example in shape. */
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { promisify } from 'node:util';
import { expect, onTestFinished } from 'vitest';
import { instanceOf } from '../scenarios/support/scene.ts';
import { test as base } from '../support/database.ts';
import { cli, findTestRuntime, leftovers, testImage } from '../support/docker.ts';
import { startProgram, until } from '../support/program.ts';

const runtime = await findTestRuntime();
const test = base.skipIf(runtime === null);

async function bash(script: string): Promise<string> {
  return (await promisify(execFile)('bash', ['-ceu', '-o', 'pipefail', script])).stdout;
}

/** A coordinator and a worker, as Tork calls them. */
async function startAll(databaseUrl: string): Promise<string> {
  const env = { DATABASE_URL: databaseUrl, SKIPJACK_PORT: '0' };
  const server = startProgram(['server'], env);
  const worker = startProgram(['worker', '--container-runtime', runtime?.file ?? 'docker'], env);
  const [ready] = await Promise.all([server.untilSays('ready'), worker.untilSays('worker started')]);
  onTestFinished(async () => {
    await worker.kill('SIGTERM');
    await server.kill('SIGTERM');
  });
  const { port } = new URL((JSON.parse(ready) as { url: string }).url);
  return `http://localhost:${port}`;
}

test('its hello world, posted to /task and read back as it reads it, shows the result', async ({
  database,
}) => {
  const url = await startAll(database.url);
  const id = await bash(`
TASK_ID=$(curl \\
  -s \\
  -X POST \\
  -H "content-type:application/json" \\
  -d '{"image":"${testImage}","cmd":["echo","-n","hello world"]}' \\
  ${url}/task | jq -r .id)
echo -n $TASK_ID`);
  const read = () => bash(`TASK_ID=${id}; curl -s ${url}/task/$TASK_ID | jq .`);
  await until('the task is over', async () => /"state": "(COMPLETED|FAILED)"/.test(await read()));
  const shown = await read();
  expect(shown).toContain('"state": "COMPLETED"');
  expect(shown).toContain('"result": "hello world"');
});

test('its second example in shape: pre fetches a file, main converts it, post uploads it', async ({
  database,
}) => {
  const original = `${'line after line, '.repeat(20_000)}end\n`;
  const uploaded: Buffer[] = [];
  const files = createServer((request, response) => {
    if (request.method === 'GET') {
      response.end(original);
      return;
    }
    request.on('data', (chunk: Buffer) => uploaded.push(chunk)).on('end', () => response.end('thanks'));
  });
  await new Promise<void>((resolve) => files.listen(0, '0.0.0.0', resolve));
  onTestFinished(() => void files.close());
  const gateway = cli('network', 'inspect', 'bridge', '--format={{(index .IPAM.Config 0).Gateway}}');
  const host = `http://${gateway}:${(files.address() as AddressInfo).port}`;

  const url = await startAll(database.url);
  const id = await bash(`
TASK_ID=$(curl -s -X POST -H "content-type:application/json" -d '{ "name": "convert a file", "image": "${testImage}", "volumes": [ "/tmp" ], "pre": [{ "name": "download the remote file", "image": "${testImage}", "cmd": [ "wget", "${host}/input.txt", "-O", "/tmp/input.txt" ] }, { "image": "${testImage}", "cmd": [ "ls", "/tmp" ] } ], "post": [{ "name": "upload the remote file", "image": "${testImage}", "cmd": [ "wget", "-O", "-", "--post-file=/tmp/output.txt", "${host}/dev/null" ] }], "cmd": [ "sh", "-c", "tr a-z A-Z < /tmp/input.txt > /tmp/output.txt" ] }' ${url}/task | jq -r .id)
echo -n $TASK_ID`);
  const read = () => bash(`curl -s ${url}/task/${id}`);
  await until('the task is over', async () => /"state":"(COMPLETED|FAILED)"/.test(await read()));
  const instance = await instanceOf(database);
  // Gone before the task shows its end: looked at at once.
  expect(leftovers(instance)).toEqual([]);
  const task = JSON.parse(await read());
  expect([task.state, task.error]).toEqual(['COMPLETED', null]);
  expect(Buffer.concat(uploaded).toString()).toBe(original.toUpperCase());

  const { lines } = JSON.parse(await bash(`curl -s '${url}/v1/tasks/${id}/logs'`));
  const said = (lines as { part: string | null; text: string }[]).filter(({ text }) => text === 'input.txt');
  expect(said.map(({ part }) => part)).toEqual(['pre 2']);
});
