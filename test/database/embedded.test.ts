import { mkdir, open, readFile, rename, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { findRunningEmbeddedPostgres } from '../../src/database/embedded.ts';
import { freePort } from '../support/postgres.ts';
import {
  answers,
  ask,
  eventually,
  exists,
  lives,
  makeDirectory,
  postmasterPid,
  spawnOwner,
  start,
} from './fixtures/embedded-scene.ts';

describe('starting', () => {
  test('makes the directory where there is none, and the next start finds the data', async () => {
    const data = join(await makeDirectory(), 'not', 'there', '.skipjack');
    const first = await start({ data });
    expect(first.owned).toBe(true);
    expect(await ask(first.url, 'select current_database() as name')).toEqual([{ name: 'skipjack' }]);
    await ask(first.url, 'create table fish as select 42 as weight');
    await first.stop();

    const second = await start({ data });
    expect(second.owned).toBe(true);
    expect(await ask(second.url, 'select weight from fish')).toEqual([{ weight: 42 }]);
  });

  test('takes a directory that is there, also one that holds other things', async () => {
    const data = await makeDirectory();
    await writeFile(join(data, 'notes.txt'), 'mine');
    const server = await start({ data });
    expect(await answers(server.url)).toBe(true);
    expect(await readFile(join(data, 'notes.txt'), 'utf8')).toBe('mine');
  });

  test('with durable off costs no fsync, and on by default', async () => {
    const quick = await start({ data: await makeDirectory() });
    expect(await ask(quick.url, 'show fsync')).toEqual([{ fsync: 'off' }]);
    const durable = await start({ data: await makeDirectory(), durable: true });
    expect(await ask(durable.url, 'show fsync')).toEqual([{ fsync: 'on' }]);
    expect(await ask(durable.url, 'show max_connections')).toEqual([{ max_connections: '200' }]);
  });

  test('takes the port of last time, so that whoever holds the old URL finds Postgres again', async () => {
    const data = await makeDirectory();
    const port = await freePort();
    await writeFile(join(data, 'port'), `${port}\n`);
    expect((await start({ data })).port).toBe(port);
  });

  test('takes another port when the last one is in use', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    await first.stop();
    const blocker = createServer().listen(first.port, '127.0.0.1');
    try {
      const second = await start({ data });
      expect(second.port).not.toBe(first.port);
      expect(await answers(second.url)).toBe(true);
    } finally {
      blocker.close();
    }
  });

  test('lets in only who knows the password, over the loopback address alone', async () => {
    const { url, port, dataDirectory } = await start({ data: await makeDirectory() });
    await expect(
      ask(`postgres://skipjack:wrong@127.0.0.1:${port}/skipjack`, 'select 1'),
    ).rejects.toMatchObject({
      code: '28P01',
    });
    expect(await ask(url, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
    expect(await ask(url, 'show unix_socket_directories')).toEqual([{ unix_socket_directories: '' }]);
    expect((await stat(join(dataDirectory, '..', 'password'))).mode & 0o777).toBe(0o600);
  });

  test('puts a log away that has grown large', async () => {
    const data = await makeDirectory();
    const log = join(data, 'postgres.log');
    await (await open(log, 'w')).close();
    await truncate(log, 11 * 1024 * 1024);
    await start({ data });
    expect((await stat(`${log}.1`)).size).toBe(11 * 1024 * 1024);
    expect(await readFile(log, 'utf8')).toContain('ready to accept connections');
  });

  test('tells the logger what it does', async () => {
    const said: string[] = [];
    const logger = { info: (_: object, message: string) => said.push(message), warn() {} };
    const data = await makeDirectory();
    await start({ data, logger });
    await start({ data, logger });
    expect(said).toEqual(['started Postgres', 'joined a running Postgres']);
  });
});

describe('stopping', () => {
  test('leaves no Postgres behind, and can be asked for twice', async () => {
    const server = await start({ data: await makeDirectory() });
    const pid = await postmasterPid(server);
    await Promise.all([server.stop(), server.stop()]);
    await server.stop();
    expect(lives(pid)).toBe(false);
    expect(await exists(join(server.dataDirectory, 'postmaster.pid'))).toBe(false);
  });

  test('Ctrl-C in a terminal leaves Postgres to its owner, who then ends by itself', async () => {
    const owner = await spawnOwner({ data: await makeDirectory() });
    const server = (await owner.nextWord()) as { url: string; dataDirectory: string };
    const pid = await postmasterPid(server);
    // What a terminal does: the signal goes to the whole process group.
    process.kill(-Number(owner.child.pid), 'SIGINT');
    expect(await owner.nextWord()).toEqual({ answersAfterSignal: true });
    expect(await owner.ended).toBe(0);
    expect(lives(pid)).toBe(false);
  });

  test('a Postgres that does not listen to signals is killed', async () => {
    const data = await makeDirectory();
    const server = await start({ data });
    const pid = await postmasterPid(server);
    process.kill(pid, 'SIGSTOP');
    await server.stop();
    expect(lives(pid)).toBe(false);
    expect(await answers((await start({ data })).url)).toBe(true);
  });

  test('goes on when the directory was removed meanwhile', async () => {
    const parent = await makeDirectory();
    const data = join(parent, 'data');
    await mkdir(data, { mode: 0o755 });
    const server = await start({ data });
    const pid = await postmasterPid(server);
    await rename(data, join(parent, 'elsewhere'));
    await server.stop();
    expect(lives(pid)).toBe(false);
  });
});

describe('joining', () => {
  test('a start beside a live owner joins it, and does not stop it', async () => {
    const data = await makeDirectory();
    const owner = await spawnOwner({ data });
    const theirs = (await owner.nextWord()) as { url: string; owned: boolean };
    expect(theirs.owned).toBe(true);

    const ours = await start({ data });
    expect(ours).toMatchObject({ url: theirs.url, owned: false });
    await ours.stop();
    expect(await answers(theirs.url)).toBe(true);
  });

  test('of several starts at once one owns and the others join', async () => {
    const data = join(await makeDirectory(), 'data');
    const owners = await Promise.all([1, 2, 3].map(() => spawnOwner({ data })));
    const words = await Promise.all(owners.map((owner) => owner.nextWord()));
    expect(words.map(({ owned }) => owned).sort()).toEqual([false, false, true]);
    expect(new Set(words.map(({ url }) => url)).size).toBe(1);
  });

  test('of several starts at once in one OS process one owns and the others join', async () => {
    const data = join(await makeDirectory(), 'data');
    const servers = await Promise.all([1, 2, 3].map(() => start({ data })));
    expect(servers.map(({ owned }) => owned).sort()).toEqual([false, false, true]);
  });

  test('a start during a stop waits for it and starts anew', async () => {
    const data = await makeDirectory();
    const first = await start({ data });
    const pid = await postmasterPid(first);
    const stopping = first.stop();
    // Who starts in the moment before the stop has its lock joins a Postgres that is about to go.
    await eventually(async () => !lives(pid) || (await exists(join(data, 'start.lock'))));
    const second = await start({ data });
    await stopping;
    expect(second.owned).toBe(true);
    expect(await answers(second.url)).toBe(true);
  });

  test('a running one is found without starting any', async () => {
    const data = join(await makeDirectory(), 'data');
    expect(await findRunningEmbeddedPostgres(data)).toBeNull();
    expect(await exists(data)).toBe(false);
    const server = await start({ data });
    expect(await findRunningEmbeddedPostgres(data)).toEqual({ url: server.url });
    await server.stop();
    expect(await findRunningEmbeddedPostgres(data)).toBeNull();
  });
});
