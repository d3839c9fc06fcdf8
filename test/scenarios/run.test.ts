/** `skipjack run`: one process to its end, as people and scripts start it. */
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { findRunningEmbeddedPostgres } from '../../src/database/embedded.ts';
import { skipjack, startSkipjack, unhurried, urlOf } from '../cli/support/cli.ts';
import { answers, makeDirectory } from '../database/fixtures/embedded-scene.ts';
import { test as databaseTest } from '../support/database.ts';
import { findTestRuntime, testImage } from '../support/docker.ts';
import { until } from '../support/program.ts';

const examples = path.resolve(import.meta.dirname, '../examples');
const loan = path.join(examples, 'loan.yaml');
const failing = path.join(examples, 'failing.yaml');
const people = path.join(examples, 'loan-people.yaml');

async function makeData(): Promise<string> {
  return path.join(await makeDirectory(), 'data');
}

async function writeDefinition(text: string): Promise<string> {
  const file = path.join(await makeDirectory(), 'definition.yaml');
  await writeFile(file, text);
  return file;
}

/** OS processes of a group that are more than a name in a table. */
function livingInGroup(group: number): string[] {
  const all = execFileSync('ps', ['-eo', 'pgid=,stat=,args='], { encoding: 'utf8' }).split('\n');
  return all.filter((line) => new RegExp(`^ *${group} +[^Z]`).test(line));
}

/** Waits for a file that the test makes. */
function waitsFor(file: string): string {
  return `while [ ! -e '${file}' ]; do sleep 0.05; done`;
}

const approved = { 'Send Email': { to: 'Ann', amount: 25_000, decision: 'approved', against: [] } };

test('the loan: shown line by line; its output is one JSON value on stdout', async () => {
  const data = await makeData();
  const { code, stdout, stderr } = await skipjack(['run', loan, '--data', data], { env: unhurried });
  expect(code, stderr).toBe(0);
  expect(stdout).toMatch(/^[^\n]+\n$/);
  expect(JSON.parse(stdout)).toEqual(approved);
  const lines = stderr.trimEnd().split('\n');
  // The time of day, and no colour: nobody reads this in a terminal.
  for (const line of lines) expect(line).toMatch(/^\d\d:\d\d:\d\d [\x20-\x7e]+$/);
  const said = lines.map((line) => line.slice(9));
  const at = (pattern: RegExp) => said.findIndex((line) => pattern.test(line));
  expect(said[0]).toMatch(/^loan-application started, process [0-9a-f-]{36}$/);
  for (const review of ['Review Credit', 'Review Assets', 'Review Application Details']) {
    expect(at(/^Open Loan Application completed in \d/)).toBeLessThan(at(new RegExp(`^${review} completed`)));
    expect(at(new RegExp(`^${review} completed in \\d`))).toBeLessThan(at(/^Send Email completed in \d/));
  }
  expect(said.at(-1)).toMatch(/^loan-application completed in /);
  expect(await findRunningEmbeddedPostgres(data)).toBeNull();
});

test('expressions: values in env, args and input; a secret beside them; one that fails says why', async () => {
  const file = await writeDefinition(`
input:
  who: { type: string, required: true }
  amounts: { type: array, default: [1, 2.5] }
tasks:
  - name: Sum
    command: node
    args: [-p, 'JSON.stringify({ sum: Number(process.argv[1]) })', '\${{ input.amounts.sum() }}']
  - name: Say it
    needs: [Sum]
    run: printf '%s|%s|%s|%s' "$WHO" "$TOKEN" "$SUM" "$(node -p 'JSON.stringify(require(process.env.SKIPJACK_INPUT).input)')"
    env:
      WHO: \${{ input.who }}
      TOKEN: Bearer \${{ secrets.API }} for \${{ input.who.upper() }}
      SUM: \${{ json(tasks.Sum.output).sum + 1 }}
    input: { doubled: "\${{ input.amounts.map(x, x * 2) }}" }
`);
  const who = '$(id) ${{ secrets.API }}';
  const data = await makeData();
  const env = { ...unhurried, SKIPJACK_SECRET_API: 's3cret' };
  const { code, stdout, stderr } = await skipjack(['run', file, '--data', data, '--input', `who=${who}`], {
    env,
  });
  expect(code, stderr).toBe(0);
  expect(JSON.parse(stdout)).toEqual({
    'Say it': `${who}|Bearer *** for ${who.toUpperCase()}|4.5|{"doubled":[2,5]}`,
  });
  const failed = await skipjack(['run', file, '--data', data, '--input', '{"who": "x", "amounts": ["1"]}'], {
    env: unhurried,
  });
  expect(failed.code).toBe(8);
  expect(failed.stderr).toContain('args[2]: ${{ input.amounts.sum() }}: sum takes numbers, not text');
});

databaseTest('a failed task: exit code 8, and stderr says which and why', async ({ database }) => {
  // Until it has been seen that it is tried again.
  const text = (await readFile(failing, 'utf8')).replace('delay: 1s', 'delay: 1h');
  const run = startSkipjack(['run', await writeDefinition(text)], { env: { DATABASE_URL: database.url } });
  await run.untilSaid(/ Review Credit failed in attempt 1 of 2: .*credit score 480 is too low; again/);
  await database.sql('update skipjack.queue_items set available_at = clock_timestamp()');
  const code = await run.ended;
  const { stdout, stderr } = run;
  expect({ code, stdout }).toEqual({ code: 8, stdout: '' });
  expect(stderr).toMatch(/ Pay Out cancelled$/m);
  expect(stderr.slice(stderr.indexOf('skipjack: '))).toBe(
    [
      'skipjack: the process failed.',
      '"Review Credit" failed: exit_code: the command exited with code 3: credit score 480 is too low',
      '  stderr:',
      '    credit score 480 is too low',
      '  stdout:',
      '    reading 12 statements',
    ].join('\n'),
  );
});

describe('what cannot be run', () => {
  test('a definition with problems: exit code 5 and their places, before any Postgres is started', async () => {
    const data = await makeData();
    const text = [
      'tasks:',
      '  - name: Open Loan Application',
      '  - name: Review Credit',
      '    needs: [Open Load Application]',
      '  - name: Send Email',
      '    needs: [Review Credit, Check House]',
    ].join('\n');
    const file = await writeDefinition(text);
    const { code, stdout, stderr } = await skipjack(['run', file, '--data', data]);
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    const validated = await skipjack(['validate', file]);
    expect(stderr).toBe(`${validated.stdout}skipjack: ${file} has 2 problems.\n`);
    expect(stderr).toContain(`${file}:4:13: `);
    expect(stderr).toContain('did you mean "Open Loan Application"?');
    expect(existsSync(data)).toBe(false);
    const asJson = await skipjack(['run', file, '-o', 'json']);
    expect(JSON.parse(asJson.stderr)).toMatchObject({
      code: 'invalid_definition',
      problems: [{ line: 4 }, { line: 6 }],
    });
  });

  databaseTest('an input that does not fit: exit code 5', async ({ database }) => {
    const env = { DATABASE_URL: database.url };
    const { code, stdout, stderr } = await skipjack(['run', loan, '--input', 'amount=lots'], { env });
    expect({ code, stdout }).toEqual({ code: 5, stdout: '' });
    expect(stderr).toContain('skipjack: /input/amount');
    expect(await database.sql('select from skipjack.processes')).toEqual([]);
  });

  test('a file that is not there: exit code 3', async () => {
    expect(await skipjack(['run', '/nowhere.yaml'])).toEqual({
      code: 3,
      stdout: '',
      stderr: 'skipjack: There is no file /nowhere.yaml.\n',
    });
  });
});

databaseTest(
  '-o json prints the whole process; a definition and an input may come from anywhere',
  async ({ database }) => {
    const env = { DATABASE_URL: database.url };
    const args = ['run', '-', '-o', 'json', '--input', 'amount=60000', '--input', '{"applicant":"Bob"}'];
    const { code, stdout, stderr } = await skipjack(args, { env, input: await readFile(loan, 'utf8') });
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      state: 'completed',
      definition: 'loan-application',
      input: { amount: 60_000, applicant: 'Bob' },
      output: {
        'Send Email': { to: 'Bob', decision: 'declined', against: ['Review Credit', 'Review Assets'] },
      },
    });
    // The fork: all three were under way before the first was through; the join came after the last.
    const [times] = await database.sql(
      `select max(started_at) filter (where name like 'Review%') < min(finished_at) filter (where name like 'Review%') as forked,
         max(finished_at) filter (where name like 'Review%') <= min(started_at) filter (where name = 'Send Email') as joined
       from skipjack.tasks`,
    );
    expect(times).toEqual({ forked: true, joined: true });
  },
);

databaseTest(
  'commands on queues of their own run too; a failure that is allowed is none',
  async ({ database }) => {
    const file = await writeDefinition(`
tasks:
  - { name: A, queue: slow, run: "exit 1", continue_on_error: true }
  - { name: B, queue: quick, needs: [A], run: "echo done" }
`);
    const { code, stdout, stderr } = await skipjack(['run', file], { env: { DATABASE_URL: database.url } });
    expect({ code, stdout }, stderr).toEqual({ code: 0, stdout: '{"B":"done"}\n' });
  },
);

describe('a task that waits for somebody', () => {
  test('is shown with the curl that completes it, which works as it stands', async () => {
    const run = startSkipjack(['run', people, '--data', await makeData()], { env: unhurried });
    const completed = new Set<string>();
    while (completed.size < 5) {
      const line = await run.untilSaid(
        new RegExp(`^ {2}curl (?!.*(${[...completed].join('|') || 'none'})/complete)`),
      );
      const task = /\/tasks\/([^/]+)\/complete/.exec(line)?.[1] ?? '';
      const answer = JSON.parse(execFileSync('sh', ['-c', line], { encoding: 'utf8' }));
      expect(answer).toMatchObject({ repeated: false });
      completed.add(task);
    }
    expect(await run.ended, run.stderr).toBe(0);
    expect(JSON.parse(run.stdout)).toEqual({ 'Send Email': {} });
    // Once for each.
    expect(run.stderr.match(/curl -s/g)).toHaveLength(5);
    expect(run.stderr).toMatch(/^\d\d:\d\d:\d\d Review Credit waits for somebody to complete it$/m);
  });

  databaseTest(
    'with keys the curl takes one from the environment, and none is printed',
    async ({ database }) => {
      const file = await writeDefinition("tasks: [{ name: Ann's check }]");
      const env = { DATABASE_URL: database.url, SKIPJACK_API_KEYS: 'a-key-for-tests' };
      const run = startSkipjack(['run', file], { env });
      const line = await run.untilSaid(/^ {2}curl /);
      const answer = execFileSync('sh', ['-c', line], {
        encoding: 'utf8',
        env: { PATH: process.env.PATH, SKIPJACK_API_KEY: 'a-key-for-tests' },
      });
      expect(JSON.parse(answer)).toMatchObject({ state: 'completed' });
      expect(await run.ended).toBe(0);
      expect(run.stderr).not.toContain('a-key-for-tests');
    },
  );
});

describe('a signal', () => {
  test.each(['SIGINT', 'SIGTERM'] as const)(
    '%s cancels the process: 130, and no Postgres is left',
    async (signal) => {
      const data = await makeData();
      const file = await writeDefinition(
        'tasks: [{ name: Wait, run: sleep 3600 }, { name: After, needs: [Wait] }]',
      );
      async function interrupt() {
        const run = startSkipjack(['run', file, '--data', data], { env: unhurried });
        await run.untilSaid(/ Wait started$/);
        const database = (await findRunningEmbeddedPostgres(data))?.url ?? '';
        const stoppedMs = performance.now();
        expect(await run.stop(signal), run.stderr).toBe(130);
        return { run, database, tookMs: performance.now() - stoppedMs };
      }
      let { run, database, tookMs } = await interrupt();
      // It leaves a process that takes five seconds to end: the machine may have stopped for as long, not three times.
      for (let time = 2; time <= 3 && tookMs >= 5_000 && run.stderr.includes('It goes on only'); time += 1)
        ({ run, database, tookMs } = await interrupt());
      expect(run.stderr).toMatch(/ Wait cancelled$/m);
      expect(run.stderr).toMatch(/ definition.yaml cancelled in /);
      expect(run.stdout).toBe('');
      expect(await answers(database)).toBe(false);
    },
  );

  databaseTest('kills what runs', async ({ database }) => {
    const pidFile = path.join(await makeDirectory(), 'pid');
    const file = await writeDefinition(
      `tasks: [{ name: Wait, run: "echo $$ > ${pidFile}; sleep 3600 & wait" }]`,
    );
    const run = startSkipjack(['run', file], { env: { ...unhurried, DATABASE_URL: database.url } });
    await until(
      'the command runs',
      async () => existsSync(pidFile) && (await readFile(pidFile, 'utf8')) !== '',
    );
    const pid = Number(await readFile(pidFile, 'utf8'));
    expect(await run.stop('SIGINT'), run.stderr).toBe(130);
    expect(livingInGroup(pid)).toEqual([]);
    expect(await database.sql('select state from skipjack.processes')).toEqual([{ state: 'cancelled' }]);
  });
});

databaseTest(
  '--wait-max leaves the process to others: 124, and what ran is given back uncounted',
  async ({ database }) => {
    const file = await writeDefinition('tasks: [{ name: Wait, run: sleep 3600 }]');
    const env = { DATABASE_URL: database.url, SKIPJACK_GRACE: '0s' };
    const { code, stdout, stderr } = await skipjack(['run', file, '--wait-max', '2s', '-o', 'json'], { env });
    expect(code, stderr).toBe(124);
    const { id, state } = JSON.parse(stdout);
    expect(state).toBe('running');
    expect(stderr).toContain(
      `skipjack: the process is still running after 2.0 s. It goes on only where another server or worker has the database. Its id is ${id}.`,
    );
    expect(await database.sql('select state, attempt, losses from skipjack.task_status')).toEqual([
      { state: 'ready', attempt: 1, losses: 0 },
    ]);
  },
);

describe('beside another', () => {
  test('run joins the Postgres of a dev on the same data, and leaves it running', async () => {
    const data = await makeData();
    const dev = startSkipjack(['dev', '--port', '0', '--data', data], { env: unhurried });
    const client = createClient({ url: await urlOf(dev) });
    const { code, stdout, stderr } = await skipjack(['run', loan, '--data', data, '-o', 'json']);
    expect(code, stderr).toBe(0);
    const { id, output } = JSON.parse(stdout);
    expect(output).toEqual(approved);
    expect(await client.getProcess(id)).toMatchObject({ state: 'completed', output });
    expect(await dev.stop()).toBe(0);
  });

  test('of two runs on the same data, the second goes on when the first ends and stops Postgres', async () => {
    const data = await makeData();
    const folder = await makeDirectory();
    const [one, other] = [path.join(folder, 'one'), path.join(folder, 'other')];
    const first = startSkipjack([
      'run',
      await writeDefinition(`tasks: [{ name: A, run: "${waitsFor(one)}" }]`),
      '--data',
      data,
    ]);
    await first.untilSaid(/ A started$/);
    const second = startSkipjack(
      [
        'run',
        await writeDefinition(`tasks: [{ name: B, run: "${waitsFor(other)}; echo done" }]`),
        '--data',
        data,
      ],
      { env: unhurried },
    );
    await second.untilSaid(/ B started/);
    await writeFile(one, '');
    expect(await first.ended, first.stderr).toBe(0);
    await writeFile(other, '');
    expect(await second.ended, second.stderr).toBe(0);
    expect(JSON.parse(second.stdout)).toEqual({ B: 'done' });
    expect(await findRunningEmbeddedPostgres(data)).toBeNull();
  });
});

const hasScript =
  spawnSync('script', ['--version'], { encoding: 'utf8' }).stdout?.includes('util-linux') ?? false;
if (!hasScript) console.log('skipped: no pseudo-terminal, for there is no script(1) of util-linux');

describe.skipIf(!hasScript)('on a terminal', () => {
  const main = path.resolve(import.meta.dirname, '../../dist/cli/main.js');

  /** Runs it in a pseudo-terminal; answers what reached the terminal, and what was written to `stdout`. */
  async function runInTerminal(url: string, settings = ''): Promise<{ screen: string; output: string }> {
    const folder = await makeDirectory();
    await mkdir(folder, { recursive: true });
    const stdout = path.join(folder, 'stdout');
    const command = `stty cols 100 rows 30; ${settings} '${process.execPath}' '${main}' run '${loan}' > '${stdout}'`;
    const { PATH = '', HOME = '' } = process.env;
    const env = { PATH, HOME, TERM: 'xterm-256color', DATABASE_URL: url };
    const shown = spawnSync('script', ['-qefc', command, '/dev/null'], { env, encoding: 'utf8' });
    expect(shown.status, shown.stdout).toBe(0);
    return { screen: shown.stdout, output: await readFile(stdout, 'utf8') };
  }

  databaseTest(
    'the tasks are drawn in place and in colour; stdout has the output alone',
    async ({ database }) => {
      const { screen, output } = await runInTerminal(database.url);
      expect(JSON.parse(output)).toEqual(approved);
      // Green and a check mark, by what it needs; the cursor went up again to get there.
      expect(screen).toContain('\u001b[32m    ✓ Send Email');
      expect(screen).toContain('← Review Credit, Review Assets, Review Application Details');
      expect(screen).toContain('● Review Assets');
      expect(screen).toContain('5 of 5 tasks completed, ');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: a move of the cursor begins with one.
      expect(screen).toMatch(/\u001b\[\d*A/);
      // The cursor is shown again.
      expect(screen.lastIndexOf('\u001b[?25h')).toBeGreaterThan(screen.lastIndexOf('\u001b[?25l'));
    },
  );

  databaseTest('NO_COLOR takes the colours', async ({ database }) => {
    const { screen } = await runInTerminal(database.url, 'NO_COLOR=1');
    expect(screen).toContain('✓ Send Email');
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a colour is one.
    expect(screen).not.toMatch(/\u001b\[[\d;]+m/);
  });
});

test('a definition with containers is refused at once where nothing runs them', async () => {
  const file = await writeDefinition('tasks: [{ name: Contained, image: busybox, cmd: [echo, hi] }]');
  const env = { PATH: '/nowhere' };
  const { code, stderr } = await skipjack(['run', file, '--data', await makeData()], { env });
  expect(stderr).toContain('The task "Contained" runs in a container, and neither docker nor podman answers');
  expect(code).toBe(2);
});

const runtime = await findTestRuntime();

databaseTest.skipIf(runtime === null)('containers and commands in one process', async ({ database }) => {
  const file = await writeDefinition(`
input: { word: { type: string, default: tuna } }
defaults: { limits: { memory: 64m } }
tasks:
  - { name: Here, run: 'printf "%s" here' }
  - name: Contained
    needs: [Here]
    image: ${testImage}
    volumes: [/shared]
    pre: [{ image: ${testImage}, run: 'echo -n before > /shared/word' }]
    run: |
      cat /shared/word
      sed 's/.*"word":"\\([a-z]*\\)".*"Here":"\\([a-z]*\\)".*/ \\1 \\2/' "$SKIPJACK_INPUT"
`);
  const env = { DATABASE_URL: database.url, SKIPJACK_CONTAINER_RUNTIME: runtime?.file ?? '' };
  const { code, stdout, stderr } = await skipjack(['run', file, '--input', 'word=salmon'], { env });
  expect([code, stdout], stderr).toEqual([0, '{"Contained":"before salmon here"}\n']);
});
