/**
 * Every file under test/examples is run to its end as its own head says: the lines of it that begin with
 * "#   skipjack" or "#   cd", over a database of their own. What is not known here fails.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import { expect, onTestFinished } from 'vitest';
import { skipjack, startSkipjack } from './cli/support/cli.ts';
import { startServer } from './scenarios/support/scene.ts';
import { type TestDatabase, test } from './support/database.ts';

const root = path.resolve(import.meta.dirname, '..');
const examples = path.join(root, 'test/examples');
const text = (file: string) => readFileSync(path.join(examples, file), 'utf8');

/** Who runs it, if it is not its own head. */
const runBy: Record<string, string> = {
  'loan-application.yaml': '',
  score: 'loan-application.yaml',
  mail: 'loan-application.yaml',
  'loan-people.yaml': '',
  'people-worker.sh': 'loan-people.yaml',
  'order.yaml': '',
  'ship.yaml': 'order.yaml',
  'refund.yaml': 'order.yaml',
};

/** What the commands of a head print, in order. */
const printed: Record<string, { code: number; output: unknown }[]> = {
  'failing.yaml': [{ code: 8, output: null }],
  'loan.yaml': [
    { code: 0, output: { 'Send Email': { to: 'Ann', amount: 25_000, decision: 'approved', against: [] } } },
    {
      code: 0,
      output: {
        'Send Email': {
          to: 'Bob',
          amount: 60_000,
          decision: 'declined',
          against: ['Review Credit', 'Review Assets'],
        },
      },
    },
  ],
  'loan-cleanup.yaml': [
    {
      code: 0,
      output: {
        applicant: 'Ann',
        task: 'Review Credit',
        error: { message: 'the bureau is closed' },
        failed: [],
      },
    },
  ],
  'payout.yaml': [{ code: 0, output: { paid: 2500 } }],
};

/** Commands of a head, each on one line or continued behind a `\`. */
function commandsOf(file: string): string[] {
  const head = text(file)
    .split('\n')
    .filter((line) => line.startsWith('#'))
    .map((line) => line.replace(/^# {0,3}/, ''))
    .join('\n');
  return [...head.matchAll(/^(?:skipjack|cd) (?:.*\\\n)*.*$/gm)].map(([command]) => command);
}

/** As somebody would run it in a shell at the root of the checkout, with `skipjack` on the path. */
async function runInShell(command: string, { url }: TestDatabase) {
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-examples-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(path.join(folder, 'bin'));
  symlinkSync(path.join(root, 'dist/cli/main.js'), path.join(folder, 'bin/skipjack'));
  const { HOME = '', PATH = '' } = process.env;
  return execa('sh', ['-c', command], {
    cwd: root,
    env: { HOME, PATH: `${path.join(folder, 'bin')}:${PATH}`, DATABASE_URL: url },
    extendEnv: false,
    reject: false,
    timeout: 120_000,
  });
}

test('every example is run here, and every definition is valid', async () => {
  const files = readdirSync(examples).sort();
  expect(files).toEqual([...Object.keys(runBy), ...Object.keys(printed)].sort());
  const definitions = files.filter((file) => file.endsWith('.yaml')).map((file) => path.join(examples, file));
  const { code, stdout } = await skipjack(['validate', ...definitions]);
  expect(code, stdout).toBe(0);
});

for (const [file, expected] of Object.entries(printed)) {
  test(`${file} runs as its head says`, async ({ database }) => {
    const commands = commandsOf(file);
    expect(commands).toHaveLength(expected.length);
    for (const [index, command] of commands.entries()) {
      const { exitCode, stdout, stderr } = await runInShell(command, database);
      const output = stdout === '' ? null : JSON.parse(stdout);
      expect({ code: exitCode, output }, stderr).toEqual(expected[index]);
    }
  }, 120_000);
}

test('loan-application.yaml runs with the scripts beside it, what it pays out by and what it cleans up by', async ({
  database,
}) => {
  const server = await startServer(database.url);
  const files = ['payout.yaml', 'loan-cleanup.yaml'].map((file) => path.join(examples, file));
  const published = await skipjack(['publish', ...files, '--server', server.url]);
  expect(published.code, published.stderr).toBe(0);
  const start = (applicant: string) =>
    startSkipjack(['run', 'loan-application.yaml', '--input', `applicant=${applicant}`], {
      env: { DATABASE_URL: database.url },
      cwd: examples,
    });
  const papers = start('Bob');
  await execa('sh', ['-c', await papers.untilSaid(/^ {2}curl /)]);
  expect(await papers.ended, papers.stderr).toBe(0);
  expect(JSON.parse(papers.stdout)).toEqual({ paid: 1000 });
  const letters = await server.client.listTasks({ definition: 'loan-application', state: 'completed' });
  const first = letters.tasks.find(({ name }) => name === 'Ask for Papers[0]');
  expect((await server.client.getTask(first?.id ?? '')).output).toBe('a letter about: payslip');

  const refused = start('Ann');
  const curl = await refused.untilSaid(/^ {2}curl /);
  await execa('sh', ['-c', curl.replace('/complete', '/fail').replace(/ -d .*$/, ` -d '{"error": "no"}'`)]);
  expect(await refused.ended, refused.stderr).toBe(8);
  expect(refused.stderr).toMatch(
    /failure process [0-9a-f-]{36} was started; waiting for its end\.\n.*it is completed\./,
  );
}, 120_000);

test('order.yaml yields what the README says, when its event is sent', async ({ database }) => {
  const server = await startServer(database.url);
  const files = ['order.yaml', 'refund.yaml', 'ship.yaml'].map((file) => path.join(examples, file));
  const published = await skipjack(['publish', ...files, '--server', server.url]);
  expect(published.code, published.stderr).toBe(0);
  await server.client.sendEvent({ name: 'paid', key: '4711', payload: { amount: 99.5 } });
  const run = startSkipjack(['run', path.join(examples, 'order.yaml'), '--input', 'order=4711'], {
    env: { DATABASE_URL: database.url },
  });
  expect(await run.ended, run.stderr).toBe(0);
  expect(JSON.parse(run.stdout)).toEqual({ picked: ['2 pen', '5 pad'], shipped: 'order 4711 sent' });
}, 120_000);

test('loan-people.yaml is worked on by people-worker.sh to its end', async ({ database }) => {
  const run = startSkipjack(['run', path.join(examples, 'loan-people.yaml')], {
    env: { DATABASE_URL: database.url },
  });
  const curl = await run.untilSaid(/^ {2}curl /);
  const url = /http:\/\/127\.0\.0\.1:\d+/.exec(curl)?.[0] ?? '';
  await execa('sh', [path.join(examples, 'people-worker.sh')], {
    env: { SKIPJACK_URL: url, TASKS: '5' },
    timeout: 100_000,
  });
  expect(await run.ended, run.stderr).toBe(0);
  expect(JSON.parse(run.stdout)).toEqual({ 'Send Email': { reviewed: null, by: 'curl' } });
}, 120_000);
