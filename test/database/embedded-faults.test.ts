import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from 'pg';
import { describe, expect, test } from 'vitest';
import { takeStartLock } from '../../src/database/embedded/start-lock.ts';
import { findRunningEmbeddedPostgres } from '../../src/database/embedded.ts';
import {
  answers,
  ask,
  eventually,
  exists,
  giveTo,
  lives,
  makeDirectory,
  postmasterPid,
  spawnOwner,
  start,
  userOf,
} from './fixtures/embedded-scene.ts';

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch(() => []);
}

async function draftIn(data: string): Promise<string> {
  return (await namesIn(data)).find((name) => name.startsWith('cluster.new-')) ?? 'none';
}

describe('an owner that is killed', () => {
  test('leaves a Postgres that the next start adopts and stops', async () => {
    const data = await makeDirectory();
    const owner = await spawnOwner({ data });
    const theirs = (await owner.nextWord()) as { url: string; dataDirectory: string };
    const pid = await postmasterPid(theirs);
    owner.child.kill('SIGKILL');
    await owner.ended;
    expect(lives(pid)).toBe(true);
    expect(await findRunningEmbeddedPostgres(data)).toEqual({ url: theirs.url });

    const ours = await start({ data });
    expect(ours).toMatchObject({ url: theirs.url, owned: true });
    expect(await postmasterPid(ours)).toBe(pid);
    await ours.stop();
    expect(lives(pid)).toBe(false);
  });

  test('is not taken for alive because another OS process has its pid now', async () => {
    const data = await makeDirectory();
    const owner = await spawnOwner({ data });
    await owner.nextWord();
    owner.child.kill('SIGKILL');
    await owner.ended;
    await writeFile(join(data, 'owner.json'), JSON.stringify({ pid: process.pid, startedAt: 'long/ago' }));
    expect((await start({ data })).owned).toBe(true);
  });

  // Each is the first sight of a step of the start; the kill comes right after it, or at the last one: on a busy
  // machine nobody may look while a step lasts.
  const steps: [step: string, isReached: (data: string) => Promise<boolean>][] = [
    ['the lock is taken', (data) => exists(join(data, 'start.lock'))],
    [
      'initdb has begun',
      async (data) => (await namesIn(data)).some((name) => name.startsWith('cluster.new-')),
    ],
    ['initdb writes', async (data) => exists(join(data, await draftIn(data), 'data', 'base'))],
    ['the cluster is in place', (data) => exists(join(data, 'cluster'))],
    ['Postgres has begun', (data) => exists(join(data, 'cluster', 'data', 'postmaster.pid'))],
    ['Postgres is ready', (data) => exists(join(data, 'port'))],
    ['the owner is named', (data) => exists(join(data, 'owner.json'))],
  ];
  for (const signal of ['SIGKILL', 'SIGTERM'] as const) {
    test.for(steps)(
      `by ${signal} when %s leaves nothing that stops the next start`,
      async ([, isReached]) => {
        const data = join(await makeDirectory(), 'data');
        const owner = await spawnOwner({ data });
        await eventually(async () => (await isReached(data)) || (await exists(join(data, 'owner.json'))));
        owner.child.kill(signal);
        await owner.ended;

        const ours = await start({ data });
        expect(ours.owned).toBe(true);
        expect(await ask(ours.url, 'select current_database() as name')).toEqual([{ name: 'skipjack' }]);
        await ours.stop();
        expect(await answers((await start({ data })).url)).toBe(true);
        const leftOver = (await namesIn(data)).filter(
          (name) => name.includes('.new-') || name === 'start.lock',
        );
        expect(leftOver).toEqual([]);
      },
    );
  }
});

describe('a Postgres that is killed', () => {
  test('is started again, though one of its children is busy and has not noticed', async () => {
    const data = await makeDirectory();
    const first = await start({ data, durable: true });
    await ask(first.url, 'create table fish as select 42 as weight');
    const client = new Client(first.url);
    client.on('error', () => undefined);
    await client.connect();
    const backend = Number((await client.query('select pg_backend_pid() as pid')).rows[0].pid);
    const busy = client.query('do $$ begin loop end loop; end $$').catch(() => 'broken off');
    const isBusy = `select 1 from pg_stat_activity where pid = ${backend} and query like 'do %'`;
    await eventually(async () => (await ask(first.url, isBusy)).length > 0);
    const pid = await postmasterPid(first);
    process.kill(pid, 'SIGKILL');
    await eventually(() => !lives(pid));
    expect(lives(backend)).toBe(true);
    expect(await findRunningEmbeddedPostgres(data)).toBeNull();

    const second = await start({ data });
    expect(second.owned).toBe(true);
    expect(await ask(second.url, 'select weight from fish')).toEqual([{ weight: 42 }]);
    expect(lives(backend)).toBe(false);
    expect(await busy).toBe('broken off');
    await client.end();
  });
});

describe('a pid file from before a reboot', () => {
  test('that names another program does not stop a start, and that program lives on', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    const pidFile = join(first.dataDirectory, 'postmaster.pid');
    const text = await readFile(pidFile, 'utf8');
    await first.stop();
    // Of the same user as Postgres: then it refuses to start beside it.
    const stranger = spawn('sleep', ['600'], { stdio: 'ignore', ...(await userOf(first.dataDirectory)) });
    try {
      await once(stranger, 'spawn');
      await writeFile(pidFile, text.replace(/^\d+/, `${stranger.pid}`));
      expect(await findRunningEmbeddedPostgres(data)).toBeNull();
      expect(await answers((await start({ data })).url)).toBe(true);
      expect(lives(Number(stranger.pid))).toBe(true);
    } finally {
      stranger.kill('SIGKILL');
    }
  });

  test.for([
    ['names nobody', '4194300\n'],
    ['is empty', ''],
    ['is not a pid file', 'garbage\n'],
  ])('that %s does not stop a start', async ([, text]) => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    await writeFile(join(first.dataDirectory, 'postmaster.pid'), String(text));
    expect(await answers((await start({ data })).url)).toBe(true);
  });

  test('in a copy of the directory does not make it join the original', async () => {
    const data = await makeDirectory();
    const original = await start({ data });
    const copy = await makeDirectory();
    await cp(data, copy, { recursive: true });
    await giveTo(join(copy, 'cluster'), await userOf(original.dataDirectory));
    const server = await start({ data: copy });
    expect(server.owned).toBe(true);
    expect(server.port).not.toBe(original.port);
  });
});

describe('the start lock', () => {
  test('of a dead holder is taken over, by one of many', async () => {
    const data = await makeDirectory();
    const dead = { pid: process.pid, startedAt: 'long/ago', lock: 'x' };
    await writeFile(join(data, 'start.lock'), JSON.stringify(dead));
    let holders = 0;
    await Promise.all(
      Array.from({ length: 20 }, async () => {
        const release = await takeStartLock(data, { waitMs: 60_000 });
        holders += 1;
        expect(holders).toBe(1);
        await new Promise((resolve) => setImmediate(resolve));
        holders -= 1;
        await release();
      }),
    );
    expect(await namesIn(data)).toEqual([]);
  });

  test('that was left empty is taken over', async () => {
    const data = await makeDirectory();
    const lock = join(data, 'start.lock');
    await writeFile(lock, '');
    await utimes(lock, new Date(0), new Date(0));
    await (await takeStartLock(data, { waitMs: 60_000 }))();
  });

  test('of a live holder is waited for no longer than told', async () => {
    const data = await makeDirectory();
    const release = await takeStartLock(data, { waitMs: 0 });
    await expect(takeStartLock(data, { waitMs: 100 })).rejects.toThrow(`pid ${process.pid}`);
    await release();
  });
});

describe('what cannot be helped is said', () => {
  test('data of another major version', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    await writeFile(join(first.dataDirectory, 'PG_VERSION'), '17\n');
    await expect(start({ data })).rejects.toMatchObject({
      name: 'SkipjackError',
      code: 'database_unreachable',
      message: expect.stringMatching(/Postgres 17.*is 18.*Install.*DATABASE_URL/),
    });
  });

  test('a file where the directory should be', async () => {
    const data = join(await makeDirectory(), 'file');
    await writeFile(data, '');
    await expect(start({ data })).rejects.toMatchObject({
      name: 'SkipjackError',
      message: expect.stringMatching(/file.*choose another --data directory, or set DATABASE_URL/),
    });
  });

  test('a password that does not fit, and Postgres is not left running', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    await writeFile(join(data, 'cluster', 'password'), 'wrong\n');
    await expect(start({ data })).rejects.toThrow(/does not accept the password/);
    expect(await findRunningEmbeddedPostgres(data)).toBeNull();
  });

  test('a configuration that Postgres refuses, with its own words', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    await writeFile(join(first.dataDirectory, 'postgresql.auto.conf'), 'shared_buffers = lots\n');
    await expect(start({ data })).rejects.toThrow(
      /invalid value for parameter "shared_buffers".*postgres\.log/s,
    );
  });

  test('a cluster directory without data', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    await rm(first.dataDirectory, { recursive: true });
    await mkdir(first.dataDirectory);
    await expect(start({ data })).rejects.toThrow(/holds no data of Postgres. Move it away/);
  });
});
