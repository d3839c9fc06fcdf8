/**
 * The loan application of the README, as real OS processes: a server, a worker over the database and one over HTTP,
 * scripts in their working directory, definitions published and processes started by the command line.
 */
import { chmodSync, copyFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { execa } from 'execa';
import { expect } from 'vitest';
import type { Client } from '../../src/client/client.ts';
import type { Process, TaskSummary } from '../../src/client/views.ts';
import { skipjack, startSkipjack } from '../cli/support/cli.ts';
import { lives } from '../database/fixtures/embedded-scene.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { startProgram, until } from '../support/program.ts';
import { makeFolder, startServer } from './support/scene.ts';

const examples = path.resolve(import.meta.dirname, '../examples');
const example = (name: string) => path.join(examples, name);

interface Scene {
  client: Client;
  database: TestDatabase;
  /** Where the workers are, with the scripts. */
  folder: string;
  url: string;
}

/** `score` and `mail` are those of the examples, unless they are given. */
async function setScene(
  database: TestDatabase,
  scripts: { score?: string; mail?: string } = {},
): Promise<Scene> {
  const folder = makeScripts(scripts);
  const server = await startServer(database.url);
  const workers = [
    startProgram(['worker', '--name', 'near'], { DATABASE_URL: database.url }, { cwd: folder }),
    startProgram(['worker', '--name', 'far'], { SKIPJACK_URL: server.url }, { cwd: folder }),
  ];
  await Promise.all(workers.map((worker) => worker.untilSays('worker started')));
  const files = ['payout.yaml', 'loan-cleanup.yaml', 'loan-application.yaml'].map(example);
  const { code, stdout, stderr } = await skipjack(['publish', ...files, '--server', server.url]);
  expect([code, stdout], stderr).toEqual([
    0,
    'payout, version 1\nloan-cleanup, version 1\nloan-application, version 1\n',
  ]);
  return { client: server.client, database, folder, url: server.url };
}

function makeScripts({ score, mail }: { score?: string; mail?: string } = {}): string {
  const folder = makeFolder();
  for (const [name, text] of Object.entries({ score, mail })) {
    const file = path.join(folder, name);
    if (text === undefined) copyFileSync(example(name), file);
    else writeFileSync(file, `#!/bin/sh\n${text}\n`);
    chmodSync(file, 0o755);
  }
  return folder;
}

async function start({ url }: Scene, ...input: string[]): Promise<string> {
  const args = ['start', 'loan-application', '--server', url];
  const { code, stdout, stderr } = await skipjack([...args, ...input.flatMap((each) => ['--input', each])]);
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

/** Started, and opened by somebody. */
async function open(scene: Scene, ...input: string[]): Promise<string> {
  const id = await start(scene, ...input);
  const args = ['complete', id, 'Open Loan Application', '--server', scene.url];
  const { code, stderr } = await skipjack(args);
  expect(code, stderr).toBe(0);
  return id;
}

/** As it has ended. */
async function endOf({ client }: Scene, id: string): Promise<Process> {
  const process = await client.waitForProcess(id, { waitMs: 120_000 });
  expect(process.finished_at, `${process.state}, with ${process.active.join(', ')}`).not.toBeNull();
  return process;
}

async function tasksOf({ client }: Scene, id: string): Promise<TaskSummary[]> {
  return (await client.listProcessTasks(id, { limit: 500 })).tasks;
}

/** State by name, items left out. */
async function statesOf(scene: Scene, id: string): Promise<Record<string, string>> {
  const tasks = await tasksOf(scene, id);
  return Object.fromEntries(
    tasks.filter(({ item_of }) => item_of === null).map(({ name, state }) => [name, state]),
  );
}

async function itemsOf(scene: Scene, id: string): Promise<TaskSummary[]> {
  return (await tasksOf(scene, id)).filter(({ item_of }) => item_of !== null);
}

async function findTask(scene: Scene, id: string, name: string) {
  const found = (await tasksOf(scene, id)).find((task) => task.name === name);
  expect(found, name).toBeDefined();
  return scene.client.getTask(found?.id ?? '');
}

/** What `on_failure` has started, as it has ended. */
async function cleanupOf(scene: Scene, { failure_process_id: id }: Process): Promise<Process> {
  expect(id).not.toBeNull();
  return endOf(scene, id ?? '');
}

/** No process but these, by definition and state. */
async function expectProcesses({ client }: Scene, expected: [string, string][]): Promise<void> {
  const { processes } = await client.listProcesses({}, { limit: 500 });
  expect(processes.map(({ definition, state }) => [definition, state]).sort()).toEqual(expected.sort());
}

const linesOf = (file: string) =>
  existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(0, -1) : [];

/** A `score` that misses these, or as many papers. */
const missing = (...papers: string[]) =>
  `echo '${JSON.stringify({ score: 500, missing: papers })}' > "$SKIPJACK_OUTPUT"`;

test('a good score: no paper is asked for, and Pay Out runs though its need was skipped; a low one without missing papers', async ({
  database,
}) => {
  const scene = await setScene(database);
  const id = await open(scene, 'applicant=Ann', 'amount=2500');
  expect(await endOf(scene, id)).toMatchObject({
    state: 'completed',
    input: { applicant: 'Ann', amount: 2500 },
    output: { paid: 2500 },
    failure_process_id: null,
  });
  expect(await statesOf(scene, id)).toEqual({
    'Open Loan Application': 'completed',
    'Review Credit': 'completed',
    'Ask for Papers': 'skipped',
    'Pay Out': 'completed',
  });
  const payOut = await findTask(scene, id, 'Pay Out');
  const payout = await scene.client.getProcess(payOut.process?.id ?? '');
  expect(payout).toMatchObject({
    definition: 'payout',
    version: 1,
    state: 'completed',
    input: { amount: 2500 },
    output: { paid: 2500 },
    depth: 1,
    detached: false,
    parent: { process_id: id, task_id: payOut.id },
  });
  expect(payOut.output).toEqual({ paid: 2500 });
  // Nobody has to approve so little.
  expect(await statesOf(scene, payout.id)).toEqual({ Approve: 'skipped', Transfer: 'completed' });
  await expectProcesses(scene, [
    ['loan-application', 'completed'],
    ['payout', 'completed'],
  ]);

  // A low score, and nothing is missing: the list is empty, and so is what came of it.
  const other = await open(scene, 'applicant=Cem');
  expect(await endOf(scene, other)).toMatchObject({ state: 'completed', output: { paid: 1000 } });
  expect(await findTask(scene, other, 'Ask for Papers')).toMatchObject({ state: 'completed', output: [] });
  expect(await itemsOf(scene, other)).toEqual([]);
});

test('a low score: each missing paper is asked for, five at a time; somebody approves what is paid out', async ({
  database,
}) => {
  const papers = Array.from({ length: 23 }, (_, index) => `paper ${index} "\${{ item }}" $(id)`);
  // Nobody is through before five are there.
  const mail = `echo "$PAPER" >> begun
while [ ! -e go ]; do sleep 0.02; done
printf '%s' "asked for $1"`;
  const scene = await setScene(database, { score: missing(...papers), mail });
  const id = await open(scene, 'applicant=Bob', 'amount=50000');
  const begun = path.join(scene.folder, 'begun');
  await until('five are asked for', async () => linesOf(begun).length === 5);
  const [live] = await database.sql<{ live: number; pending: number }>(
    `select count(*) filter (where state = 'active')::integer as live, count(*) filter (where state = 'pending')::integer as pending
     from skipjack.tasks where item_of is not null`,
  );
  expect(live).toEqual({ live: 5, pending: 18 });
  writeFileSync(path.join(scene.folder, 'go'), '');

  await until('it waits for somebody', async () => {
    const { tasks } = await scene.client.listTasks({ name: 'Approve', state: 'ready' });
    return tasks.length === 1;
  });
  const asked = await findTask(scene, id, 'Ask for Papers');
  expect(asked.output).toEqual(papers.map((paper) => `asked for ${paper}`));
  expect((await itemsOf(scene, id)).map(({ name, state }) => [name, state])).toEqual(
    papers.map((_, index) => [`Ask for Papers[${index}]`, 'completed']),
  );
  expect(linesOf(begun).sort()).toEqual(papers.toSorted());
  const [together] = await database.sql<{ most: number }>(
    `select max(together)::integer as most from (
       select count(*) as together
       from skipjack.tasks as one join skipjack.tasks as other
         on one.started_at between other.started_at and other.finished_at
       where one.item_of is not null and other.item_of is not null
       group by one.id) as counted`,
  );
  expect(together?.most).toBe(5);

  const { process } = await findTask(scene, id, 'Pay Out');
  const said = await skipjack(['complete', process?.id ?? '', 'Approve', '--server', scene.url]);
  expect(said.code, said.stderr).toBe(0);
  expect(await endOf(scene, id)).toMatchObject({ state: 'completed', output: { paid: 50_000 } });
});

test('a score that cannot be had: five attempts, nothing is paid out, and loan-cleanup is told', async ({
  database,
}) => {
  const scene = await setScene(database);
  const id = await open(scene, 'applicant=Zoe');
  const process = await endOf(scene, id);
  const error = { code: 'exit_code', message: 'the command exited with code 3: the bureau knows no Zoe' };
  expect(process).toMatchObject({
    state: 'failed',
    output: null,
    last_error: { task: 'Review Credit', ...error },
  });
  const credit = await findTask(scene, id, 'Review Credit');
  expect(credit).toMatchObject({ attempt: 5, attempts_max: 5 });
  const { attempts } = await scene.client.getTask(credit.id);
  expect(attempts.map(({ outcome, exit_code }) => [outcome, exit_code])).toEqual(
    Array(5).fill(['failed', 3]),
  );
  expect(await statesOf(scene, id)).toEqual({
    'Open Loan Application': 'completed',
    'Review Credit': 'failed',
    'Ask for Papers': 'cancelled',
    // It asked whether something had failed.
    'Pay Out': 'skipped',
  });
  expect(await cleanupOf(scene, process)).toMatchObject({
    state: 'completed',
    definition: 'loan-cleanup',
    detached: true,
    parent: { process_id: id, task_id: null },
    input: { process: { id, definition: 'loan-application', version: 1, input: { applicant: 'Zoe' } } },
    output: { applicant: 'Zoe', task: 'Review Credit', error, failed: ['Review Credit'] },
  });
  const letters = await scene.client.listTasks({ name: 'Tell the Applicant' });
  expect(await scene.client.getTask(letters.tasks[0]?.id ?? '')).toMatchObject({
    output: `a letter about: Dear Zoe, your loan was not granted: ${error.message}`,
  });
}, 180_000);

test('a letter that cannot be sent: three attempts, the other papers are left, and loan-cleanup is told', async ({
  database,
}) => {
  const papers = Array.from({ length: 12 }, (_, index) => `paper ${index}`);
  // The others of the first five are under way until the end, the rest has not begun.
  const mail = `case "$1" in
  "paper 2") echo "no stamps" >&2; exit 7 ;;
  paper*) exec sleep 600 ;;
esac
echo "$1"`;
  const scene = await setScene(database, { score: missing(...papers), mail });
  const id = await open(scene, 'applicant=Bob');
  const process = await endOf(scene, id);
  expect(process).toMatchObject({ state: 'failed', output: null });
  const asked = await findTask(scene, id, 'Ask for Papers');
  const error = { code: 'exit_code', message: 'the command exited with code 7: no stamps' };
  expect(asked.error).toMatchObject({
    code: 'items_failed',
    details: { failed: 1, items: [{ index: 2, error }] },
  });
  const items = await itemsOf(scene, id);
  expect(items.map(({ state }) => state)).toEqual(
    papers.map((_, index) => (index === 2 ? 'failed' : 'cancelled')),
  );
  expect(items[2]).toMatchObject({ attempt: 3, attempts_max: 3 });
  expect((await statesOf(scene, id))['Pay Out']).toBe('skipped');
  expect(await cleanupOf(scene, process)).toMatchObject({
    state: 'completed',
    output: { task: 'Ask for Papers', error: { code: 'items_failed' }, failed: ['Ask for Papers'] },
  });
});

test('a payout that fails hands its error up, and loan-cleanup is told', async ({ database }) => {
  const scene = await setScene(database);
  const id = await open(scene, 'applicant=Ann', 'amount=1000000');
  await until('it waits for somebody', async () => {
    const { tasks } = await scene.client.listTasks({ name: 'Approve', state: 'ready' });
    return tasks.length === 1;
  });
  const payOut = await findTask(scene, id, 'Pay Out');
  expect(payOut).toMatchObject({ state: 'waiting', waits_for: 'process' });
  const inner = payOut.process?.id ?? '';
  await scene.client.completeTaskByName(inner, 'Approve');
  const process = await endOf(scene, id);
  const message = 'the command exited with code 4: 1000000 is more than can be paid out at once';
  expect(process).toMatchObject({ state: 'failed', output: null, last_error: { task: 'Pay Out' } });
  const { error } = await scene.client.getTask(payOut.id);
  expect(error).toEqual({
    code: 'process_failed',
    message: `The process ${inner} ("payout") failed in task "Transfer": ${message}`,
    details: { process_id: inner, error: { code: 'exit_code', message, task: 'Transfer' } },
  });
  expect(await scene.client.getProcess(inner)).toMatchObject({ state: 'failed', failure_process_id: null });
  expect(await cleanupOf(scene, process)).toMatchObject({
    state: 'completed',
    output: { applicant: 'Ann', task: 'Pay Out', error, failed: ['Pay Out'] },
  });
});

test('what somebody fails is final: nothing else runs, and loan-cleanup is told', async ({ database }) => {
  const scene = await setScene(database);
  const id = await start(scene, 'applicant=Ann');
  const args = ['fail', id, 'Open Loan Application', '--error', 'not signed', '--by', 'ada'];
  const said = await skipjack([...args, '--server', scene.url]);
  expect(said.code, said.stderr).toBe(0);
  const process = await endOf(scene, id);
  expect(await statesOf(scene, id)).toEqual({
    'Open Loan Application': 'failed',
    'Review Credit': 'cancelled',
    'Ask for Papers': 'cancelled',
    'Pay Out': 'skipped',
  });
  expect(await cleanupOf(scene, process)).toMatchObject({
    state: 'completed',
    output: { task: 'Open Loan Application', error: { message: 'not signed' } },
  });
});

test('cancelled while papers are asked for: what runs is killed, nothing is cleaned up after', async ({
  database,
}) => {
  const papers = Array.from({ length: 12 }, (_, index) => `paper ${index}`);
  const mail = 'echo $$ >> pids; exec sleep 600';
  const scene = await setScene(database, { score: missing(...papers), mail });
  const id = await open(scene, 'applicant=Bob');
  const pids = path.join(scene.folder, 'pids');
  await until('five are asked for', async () => linesOf(pids).length === 5);
  const said = await skipjack(['cancel', id, '--server', scene.url]);
  expect(said.code, said.stderr).toBe(0);
  expect(await endOf(scene, id)).toMatchObject({ state: 'cancelled', failure_process_id: null });
  expect(await statesOf(scene, id)).toEqual({
    'Open Loan Application': 'completed',
    'Review Credit': 'completed',
    'Ask for Papers': 'cancelled',
    'Pay Out': 'cancelled',
  });
  expect((await itemsOf(scene, id)).map(({ state }) => state)).toEqual(papers.map(() => 'cancelled'));
  expect(linesOf(pids)).toHaveLength(5);
  for (const pid of linesOf(pids)) expect(lives(Number(pid)), pid).toBe(false);
  await expectProcesses(scene, [['loan-application', 'cancelled']]);
});

test('a cancel is handed to the sub-process', async ({ database }) => {
  const scene = await setScene(database);
  const id = await open(scene, 'applicant=Ann', 'amount=60000');
  await until('it waits for somebody', async () => {
    const { tasks } = await scene.client.listTasks({ name: 'Approve', state: 'ready' });
    return tasks.length === 1;
  });
  const { process } = await findTask(scene, id, 'Pay Out');
  const said = await skipjack(['cancel', id, '--server', scene.url]);
  expect(said.code, said.stderr).toBe(0);
  expect(await endOf(scene, id)).toMatchObject({ state: 'cancelled', output: null });
  expect((await statesOf(scene, id))['Pay Out']).toBe('cancelled');
  expect(await statesOf(scene, process?.id ?? '')).toEqual({ Approve: 'cancelled', Transfer: 'cancelled' });
  await expectProcesses(scene, [
    ['loan-application', 'cancelled'],
    ['payout', 'cancelled'],
  ]);
});

test('skipjack run: the curl that it prints opens the application, and the output is printed', async ({
  database,
}) => {
  const server = await startServer(database.url);
  const files = ['payout.yaml', 'loan-cleanup.yaml'].map(example);
  const published = await skipjack(['publish', ...files, '--server', server.url]);
  expect(published.code, published.stderr).toBe(0);
  const folder = makeScripts();
  const args = [
    'run',
    example('loan-application.yaml'),
    '--input',
    'applicant=Bob',
    '--input',
    'amount=7000',
  ];
  const run = startSkipjack(args, { env: { DATABASE_URL: database.url }, cwd: folder });
  const curl = await run.untilSaid(/^ {2}curl /);
  expect(curl).toContain('Open%20Loan%20Application/complete');
  const { stdout } = await execa('sh', ['-c', curl]);
  expect(JSON.parse(stdout)).toMatchObject({ state: 'running', repeated: false });
  expect(await run.ended, run.stderr).toBe(0);
  expect(JSON.parse(run.stdout)).toEqual({ paid: 7000 });
  expect(run.stderr).toMatch(/^\d\d:\d\d:\d\d loan-application completed in /m);
});
