/**
 * A container with a volume, a sidecar and a network, and a command with children in and out of its process group:
 * however they come to their end, nothing of them is left, and nobody sees the end before that.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect } from 'vitest';
import { readAttempts } from '../../src/queue/dead-letters.ts';
import { test as base, type TestDatabase } from '../support/database.ts';
import { cli, findTestRuntime, leftovers, testImage } from '../support/docker.ts';
import { type Program, until } from '../support/program.ts';
import { enqueue } from '../support/tasks.ts';
import { instanceOf, makeFolder, makeSubfolder, startServer, startWorker } from './support/scene.ts';

const runtime = await findTestRuntime();
const test = base.skipIf(runtime === null);

/** Of the command: below its own shell, below that, out of its group, and out of it and deaf to SIGTERM. */
const commandVoices = ['child', 'grandchild', 'stray', 'stubborn'];
const containerVoices = ['main', 'sidecar'];

interface Scene {
  database: TestDatabase;
  instance: string;
  /** Where all write what they do: `ATTEMPT VOICE`, ten times a second. */
  shared: string;
  /** The workers' folder for temporary files: no worker of another test looks into it. */
  tmp: string;
  startWorker: (name: string, flags?: string[]) => Promise<Program>;
}

async function setScene(database: TestDatabase): Promise<Scene> {
  const folder = makeFolder();
  const [shared, tmp] = [makeSubfolder(folder, 'shared'), makeSubfolder(folder, 'tmp')];
  const policy = path.join(folder, 'policy.yaml');
  writeFileSync(policy, `containers: { mounts: [${shared}] }\n`);
  writeFileSync(path.join(shared, 'voice.sh'), voice);
  const flags = ['--policy', policy, '--container-runtime', runtime?.file ?? 'docker'];
  const env = { DATABASE_URL: database.url, TMPDIR: tmp, SKIPJACK_SECRET_TOKEN: 'quite-a-secret-value' };
  return {
    database,
    instance: await instanceOf(database),
    shared,
    tmp,
    startWorker: (name, more = []) => startWorker(['--name', name, ...flags, ...more], env),
  };
}

const voice = 'while :; do echo "$SKIPJACK_ATTEMPT $1" >> "$SHARED/effects"; sleep 0.1; done';
/** What ends by itself, once it may. */
const finish = `if [ -e "$SHARED/finish" ]; then
  echo "$SKIPJACK_ATTEMPT last" >> "$SHARED/effects"; echo "attempt $SKIPJACK_ATTEMPT"; exit 0
fi`;

async function enqueueBoth({ database, shared }: Scene, more: { timeout?: string } = {}) {
  const command = await enqueue(database, {
    ...more,
    name: 'command',
    env: { SHARED: shared },
    run: `${finish}
sh -c 'sh "$SHARED/voice.sh" grandchild & wait' &
setsid -f sh "$SHARED/voice.sh" stray
setsid -f sh -c 'trap "" TERM HUP; exec sh "$SHARED/voice.sh" stubborn'
sh "$SHARED/voice.sh" child`,
  });
  const container = await enqueue(database, {
    ...more,
    name: 'container',
    image: testImage,
    env: { SHARED: '/shared', TOKEN: `\${{ secrets.TOKEN }}` },
    volumes: ['/data'],
    mounts: [{ type: 'bind', source: shared, target: '/shared' }],
    pre: [{ image: testImage, run: 'echo from pre > /data/pre' }],
    sidecars: [
      { name: 'beside', image: testImage, env: { SHARED: '/shared' }, run: `set sidecar\n${voice}` },
    ],
    run: `test "$(cat /data/pre)" = "from pre"\n${finish}\nset main\n${voice}`,
  });
  return { command, container };
}

/** How often each attempt was heard of. */
function effects({ shared }: Scene, attempt: number): string[] {
  const file = path.join(shared, 'effects');
  const lines = existsSync(file) ? readFileSync(file, 'utf8').split('\n') : [];
  return lines.filter((line) => line.startsWith(`${attempt} `)).map((line) => line.split(' ')[1] ?? '');
}

interface Traces {
  /** OS processes of the containers. */
  pids: number[];
  /** Containers, volumes, networks. */
  things: string[];
}

/** Resolves when all parts of both tasks run; what then is there of the container. */
async function untilAllRun(scene: Scene): Promise<Traces> {
  await until('all parts of both run', async () => {
    const heard = new Set(effects(scene, 1));
    return [...commandVoices, ...containerVoices].every((each) => heard.has(each));
  });
  const things = leftovers(scene.instance);
  // Main and sidecar; the volume; the network.
  expect(things.length).toBeGreaterThanOrEqual(4);
  expect(commandPids(scene).length).toBeGreaterThanOrEqual(commandVoices.length);
  const states = cli('ps', `--filter=label=skipjack.instance=${scene.instance}`, '--format={{.ID}}').split(
    '\n',
  );
  const pids = cli('inspect', '--format={{.State.Pid}}', ...states)
    .split('\n')
    .map(Number);
  expect(pids).toHaveLength(containerVoices.length);
  return { pids, things };
}

/** All that carries the folder in its environment, `sleep` included. */
function commandPids({ shared }: Scene): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && environmentOf(pid).includes(`\0SHARED=${shared}\0`));
}

/** Empty for what has ended, zombies too. */
function environmentOf(pid: number): string {
  try {
    return `\0${readFileSync(`/proc/${pid}/environ`, 'utf8')}\0`;
  } catch {
    return '';
  }
}

/** What is there now of the command, of all that it started and of its folder. */
function leftOfCommand(scene: Scene): string[] {
  return [...commandPids(scene).map((pid) => `process ${pid}`), ...foldersIn(scene, 'skipjack-attempt-')];
}

/** The same of the container. What is seen at once is looked at first; the runtime takes its time to answer. */
function leftOfContainer(scene: Scene, { pids }: Traces): string[] {
  const atOnce = [
    ...pids.filter((pid) => existsSync(`/proc/${pid}`)).map((pid) => `process ${pid}`),
    ...foldersIn(scene, 'skipjack-container-'),
  ];
  return [...atOnce, ...leftovers(scene.instance)];
}

function foldersIn({ tmp }: Scene, prefix: string): string[] {
  return readdirSync(tmp).filter((name) => name.startsWith(prefix));
}

/** Nothing of `attempt` is heard of for ten times as long as its parts pause. */
async function expectSilence(scene: Scene, attempt: number, heard: number): Promise<void> {
  await pause(1_000);
  expect(effects(scene, attempt)).toHaveLength(heard);
}

test('what a worker killed by SIGKILL left running is gone once a worker starts there; both tasks run again and complete once', async ({
  database,
}) => {
  const scene = await setScene(database);
  const doomed = await scene.startWorker('doomed', ['--lease', '1m']);
  const both = await enqueueBoth(scene);
  const { pids, things } = await untilAllRun(scene);

  await doomed.kill('SIGKILL');
  const before = effects(scene, 1).length;
  await until('its tasks go on without it', async () => effects(scene, 1).length > before + 20);
  expect(leftovers(scene.instance).sort()).toEqual(things.sort());

  writeFileSync(path.join(scene.shared, 'finish'), '');
  // As if its time had passed: what the heir holds stays its own, however slow the machine is.
  await database.sql('update skipjack.queue_items set lease_expires_at = clock_timestamp()');
  const startedMs = performance.now();
  const heir = await scene.startWorker('heir', ['--lease', '1m']);
  await until('the dead attempts are gone', async () => {
    const containerLeft = leftovers(scene.instance).filter((name) => things.includes(name));
    return commandPids(scene).length === 0 && containerLeft.length === 0;
  });
  const goneMs = performance.now() - startedMs;
  expect(pids.filter((pid) => existsSync(`/proc/${pid}`))).toEqual([]);
  const heard = effects(scene, 1).length;
  const ended = () => database.sql<{ id: string }>(`select id from skipjack.tasks where state = 'completed'`);
  await until('both have completed', async () => (await ended()).length === 2);
  const endedMs = performance.now() - startedMs;

  for (const id of Object.values(both)) {
    const attempts = await readAttempts(database.db, id);
    expect(attempts.map(({ attempt, outcome, worker }) => [attempt, outcome, worker])).toEqual([
      [1, 'lost', expect.stringMatching(/^doomed/)],
    ]);
    const [task] = await database.sql('select state, output, losses from skipjack.tasks where id = $1', [id]);
    expect(task).toEqual({ state: 'completed', output: 'attempt 2', losses: 1 });
  }
  expect(effects(scene, 2)).toEqual(expect.arrayContaining(['last', 'last']));
  expect(effects(scene, 2).filter((said) => said === 'last')).toHaveLength(2);
  await expectSilence(scene, 1, heard);
  expect(leftovers(scene.instance)).toEqual([]);
  // The command's folder, and the container's, whose environment is written there.
  expect(readdirSync(scene.tmp)).toEqual([]);
  await heir.kill('SIGTERM');
  console.log(
    `gone ${(goneMs / 1_000).toFixed(1)} s after a worker was started, both completed after ${(endedMs / 1_000).toFixed(1)} s`,
  );
}, 120_000);

for (const { how, state, code, timeout } of [
  { how: 'cancelled', state: 'cancelled', code: null, timeout: undefined },
  { how: 'out of time', state: 'failed', code: 'timed_out', timeout: '40s' },
]) {
  test(`a task that is ${how} shows its end when nothing of it is left`, async ({ database }) => {
    const scene = await setScene(database);
    const server = await startServer(database.url);
    const worker = await scene.startWorker('worker');
    const both = await enqueueBoth(scene, timeout === undefined ? {} : { timeout });
    const traces = await untilAllRun(scene);

    if (timeout === undefined)
      await Promise.all(Object.values(both).map((id) => server.client.cancelTask(id)));
    const end = (id: string) => server.client.waitForTask(id, { waitMs: 60_000 });
    await Promise.all([
      end(both.command).then((task) => {
        expect(leftOfCommand(scene)).toEqual([]);
        expect([task.state, task.error?.code ?? null]).toEqual([state, code]);
      }),
      end(both.container).then((task) => {
        expect(leftOfContainer(scene, traces)).toEqual([]);
        expect([task.state, task.error?.code ?? null]).toEqual([state, code]);
      }),
    ]);
    await expectSilence(scene, 1, effects(scene, 1).length);
    await worker.kill('SIGTERM');
    await server.program.kill('SIGTERM');
  }, 120_000);
}

test('a worker that drains gives its tasks back unspent when nothing of them is left', async ({
  database,
}) => {
  const scene = await setScene(database);
  const leaver = await scene.startWorker('leaver', ['--grace', '0s']);
  const both = await enqueueBoth(scene);
  const traces = await untilAllRun(scene);

  const isBack = (id: string) => async () => {
    const [item] = await database.sql('select worker from skipjack.queue_items where task_id = $1', [id]);
    return item !== undefined && item.worker === null;
  };
  leaver.child.kill('SIGTERM');
  await Promise.all([
    until('the command is back', isBack(both.command)).then(() => {
      expect(leftOfCommand(scene)).toEqual([]);
    }),
    until('the container is back', isBack(both.container)).then(() => {
      expect(leftOfContainer(scene, traces)).toEqual([]);
    }),
  ]);
  expect((await leaver.exited).code).toBe(0);
  await expectSilence(scene, 1, effects(scene, 1).length);

  writeFileSync(path.join(scene.shared, 'finish'), '');
  const heir = await scene.startWorker('heir');
  const live = () => database.sql('select from skipjack.queue_items');
  await until('both have ended', async () => (await live()).length === 0);
  for (const id of Object.values(both)) {
    expect(await readAttempts(database.db, id)).toEqual([]);
    const [task] = await database.sql(
      'select state, output, losses, failures from skipjack.tasks where id = $1',
      [id],
    );
    expect(task).toEqual({ state: 'completed', output: 'attempt 1', losses: 0, failures: 0 });
  }
  await heir.kill('SIGTERM');
}, 120_000);
