/** What a worker that was killed leaves behind, and who clears it away. */

import { type ChildProcess, spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { type Attempt, privateFolder } from '../../src/worker/executors/container/attempt.ts';
import { exchangeFolderPrefix } from '../../src/worker/executors/exchange-folder.ts';
import { sweepLeftovers } from '../../src/worker/leftovers/sweep.ts';
import { readPlace, readStartTime } from '../../src/worker/place.ts';
import { because } from '../support/skip.ts';
import { execute, isAlive, isPidAlive, makeFolder, until } from './support/execution.ts';

const fixture = join(import.meta.dirname, 'support/executor-process.mjs');

/** A folder for temporary files of our own: in that of all, each worker that starts in another test sweeps too. */
const outerTmp = process.env.TMPDIR;
let ownTmp: string | undefined;

beforeAll(() => {
  ownTmp = mkdtempSync(join(tmpdir(), 'skipjack-leftovers-'));
  process.env.TMPDIR = ownTmp;
});

afterAll(() => {
  if (ownTmp !== undefined) rmSync(ownTmp, { recursive: true, force: true });
  if (outerTmp === undefined) delete process.env.TMPDIR;
  else process.env.TMPDIR = outerTmp;
});

interface Scene {
  worker: ChildProcess;
  /** The attempt's folder. */
  attempt: string;
  /** Files with the pids of all that runs for it. */
  pids: string[];
}

/** A worker in an OS process of its own whose command has children in its group and outside. */
async function startWorker(): Promise<Scene> {
  const notes = await makeFolder();
  const pids = ['leader', 'child', 'grandchild', 'stray', 'stubborn'].map((name) => join(notes, name));
  const [leader, child, grandchild, stray, stubborn] = pids;
  const run = `
    sh -c 'echo $$ > ${child}; sh -c "echo \\$\\$ > ${grandchild}; exec sleep 1000" & wait' &
    setsid -f sh -c 'echo $$ > ${stray}; exec sleep 1000' >/dev/null 2>&1
    setsid -f sh -c 'trap "" TERM HUP; echo $$ > ${stubborn}; while :; do sleep 1000; done' >/dev/null 2>&1
    dirname "$SKIPJACK_OUTPUT" > ${notes}/folder
    echo $$ > ${leader}
    wait`;
  const worker = spawn(process.execPath, [fixture, JSON.stringify({ type: 'run', run })], {
    stdio: 'inherit',
  });
  onTestFinished(() => {
    worker.kill('SIGKILL');
    for (const pid of pids) if (isAlive(pid)) process.kill(Number(readFileSync(pid, 'utf8')), 'SIGKILL');
  });
  await until('all run', () => pids.every((pid) => existsSync(pid) && isAlive(pid)));
  const attempt = readFileSync(join(notes, 'folder'), 'utf8').trim();
  await until('the folder has its owner', () => existsSync(join(attempt, 'owner.json')));
  return { worker, attempt, pids };
}

async function kill(worker: ChildProcess): Promise<void> {
  const exited = new Promise((resolve) => worker.once('exit', resolve));
  worker.kill('SIGKILL');
  await exited;
}

/** A folder as a worker would have made it; removed after the test. */
async function makeAttemptFolder(owner?: object | string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), exchangeFolderPrefix));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'input.json'), '{}');
  if (owner !== undefined)
    writeFileSync(join(folder, 'owner.json'), typeof owner === 'string' ? owner : JSON.stringify(owner));
  return folder;
}

function makeOld(folder: string): void {
  const before = Date.now() / 1_000 - 7_200;
  utimesSync(folder, before, before);
}

/** An owner that lives no more. */
function deadOwner() {
  return {
    place: readPlace(),
    pid: process.pid,
    // Not its start: the pid was another's.
    startTime: (readStartTime(process.pid) ?? 0) - 1,
    task: 'task',
    group: 4_000_000,
    groupStartTime: 1,
  };
}

test('everything that a killed worker left running is ended, and its folder removed; a living one’s stays', async () => {
  const [dead, living] = await Promise.all([startWorker(), startWorker()]);
  await kill(dead.worker);
  expect(dead.pids.filter(isAlive)).toEqual(dead.pids);

  const swept = await sweepLeftovers();

  expect(dead.pids.filter(isAlive)).toEqual([]);
  expect(existsSync(dead.attempt)).toBe(false);
  expect(swept.killed).toBeGreaterThanOrEqual(dead.pids.length);
  expect(swept.folders).toBeGreaterThanOrEqual(1);
  expect(living.pids.filter(isAlive)).toEqual(living.pids);
  expect(existsSync(living.attempt)).toBe(true);
});

test('two sweeps at once do no harm', async () => {
  const { worker, attempt, pids } = await startWorker();
  await kill(worker);
  await Promise.all([sweepLeftovers(), sweepLeftovers()]);
  expect(pids.filter(isAlive)).toEqual([]);
  expect(existsSync(attempt)).toBe(false);
});

test('the folder says whose it is, for its user alone to read', async () => {
  const { worker, attempt } = await startWorker();
  const path = join(attempt, 'owner.json');
  const leader = JSON.parse(readFileSync(path, 'utf8')).group as number;
  expect(JSON.parse(readFileSync(path, 'utf8'))).toEqual({
    place: readPlace(),
    pid: worker.pid,
    startTime: readStartTime(worker.pid ?? 0),
    task: '0197f8a0-0000-7000-8000-000000000001',
    group: leader,
    groupStartTime: readStartTime(leader),
  });
});

test('a number that was given to another group is not taken for the old one', async () => {
  const stranger = spawn('sleep', ['1000'], { detached: true, stdio: 'ignore' });
  onTestFinished(() => void stranger.kill('SIGKILL'));
  const pid = stranger.pid ?? 0;
  const startTime = readStartTime(pid) ?? 0;
  const reused = await makeAttemptFolder({ ...deadOwner(), group: pid, groupStartTime: startTime - 1 });
  const unknown = await makeAttemptFolder({ ...deadOwner(), group: pid, groupStartTime: null });
  await sweepLeftovers();
  expect([existsSync(reused), existsSync(unknown)]).toEqual([false, false]);
  expect(isPidAlive(pid)).toBe(true);
});

test('folders of another place, of nobody yet, and of other kinds stay', async () => {
  const elsewhere = await makeAttemptFolder({ ...deadOwner(), place: 'another machine' });
  const fresh = await makeAttemptFolder();
  const broken = await makeAttemptFolder('{oops');
  const target = await makeFolder();
  writeFileSync(join(target, 'owner.json'), JSON.stringify(deadOwner()));
  const link = join(dirname(fresh), `${exchangeFolderPrefix}link${process.pid}`);
  symlinkSync(target, link);
  onTestFinished(() => rmSync(link, { force: true }));
  makeOld(target);
  await sweepLeftovers();
  for (const path of [elsewhere, fresh, broken, link, join(target, 'owner.json')])
    expect(existsSync(path), path).toBe(true);
});

test('a folder that has been nobody’s for two hours is removed, and no link in it is followed', async () => {
  const target = await makeFolder();
  writeFileSync(join(target, 'kept'), '');
  const old = await makeAttemptFolder();
  mkdirSync(join(old, 'below'));
  symlinkSync(target, join(old, 'below', 'link'));
  makeOld(old);
  await sweepLeftovers();
  expect(existsSync(old)).toBe(false);
  expect(existsSync(join(target, 'kept'))).toBe(true);
});

test('what an attempt of containers keeps for itself is its worker’s, for as long as that lives', async () => {
  const attempt = { folder: null, task: { id: 'task' } } as unknown as Attempt;
  const folder = await privateFolder(attempt);
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'main.env'), 'KEY=secret');
  makeOld(folder);
  await sweepLeftovers();
  expect(existsSync(join(folder, 'main.env'))).toBe(true);
  // As if its worker had been killed a moment ago.
  writeFileSync(join(folder, 'owner.json'), JSON.stringify({ ...deadOwner(), group: null }));
  await sweepLeftovers();
  expect(existsSync(folder)).toBe(false);
});

test.skipIf(because('only root can make a folder of another user', process.geteuid?.() !== 0))(
  'a folder of another user is left alone, also by root',
  async () => {
    const { chownSync } = await import('node:fs');
    const theirs = await makeAttemptFolder(deadOwner());
    chownSync(theirs, 65_534, 65_534);
    makeOld(theirs);
    await sweepLeftovers();
    expect(existsSync(theirs)).toBe(true);
  },
);

test('a start time is that of the process which has the pid now', () => {
  expect(readStartTime(process.pid)).toBeGreaterThan(0);
  expect(readStartTime(process.pid)).toBe(readStartTime(process.pid));
  expect(readStartTime(4_194_305)).toBeNull();
  expect(readPlace()).toMatch(/^[\w-]+$/);
});

test('folders so deep that their path is too long for the system are removed too', async () => {
  const run = `
    folder=$(dirname "$SKIPJACK_OUTPUT")
    echo "$folder"
    cd "$folder"
    name=$(printf %0200d 0)
    for i in $(seq 45); do mkdir $name && cd -P ./$name || exit 1; done`;
  const { ending } = await execute({ type: 'run', run });
  expect(ending).toMatchObject({ kind: 'completed', output: expect.stringContaining(exchangeFolderPrefix) });
  expect(existsSync((ending as { output: string }).output)).toBe(false);
});
