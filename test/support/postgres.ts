/** A real Postgres for tests: see global-setup.ts for which. */
import { spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { execa } from 'execa';
import pg from 'pg';
import { startEmbeddedPostgres } from '../../src/database/embedded.ts';

export interface TestPostgres {
  url: string;
  kind: string;
  /** Its files lie in no disk. */
  isInMemory: boolean;
  stop(): Promise<void>;
}

export async function startPostgres(): Promise<TestPostgres> {
  const { SKIPJACK_TEST_DATABASE_URL: url, SKIPJACK_TEST_POSTGRES: version = '18' } = process.env;
  if (url) return { url, kind: 'from SKIPJACK_TEST_DATABASE_URL', isInMemory: false, stop: async () => {} };
  if (version === '18') return startEmbedded();
  const binaries = `/usr/lib/postgresql/${version}/bin`;
  return existsSync(`${binaries}/postgres`) ? startDebian(binaries) : startContainer(version);
}

const memory = '/dev/shm';
const memoryBytesMin = 4 * 1024 ** 3;

/** In memory where there is room: a database of its own for each test is then there in 20 ms, from a disk in up to 250. */
function dataFolder(): string {
  if (!existsSync(memory)) return tmpdir();
  const { bavail, bsize } = statfsSync(memory);
  return bavail * bsize >= memoryBytesMin ? memory : tmpdir();
}

async function startEmbedded(): Promise<TestPostgres> {
  const data = mkdtempSync(path.join(dataFolder(), 'skipjack-test-'));
  // For root, Postgres runs as another user, who has to get in.
  chmodSync(data, 0o755);
  const server = await startEmbeddedPostgres({ data, durable: false });
  return {
    url: server.url,
    kind: 'embedded',
    isInMemory: data.startsWith(memory),
    async stop() {
      await server.stop();
      rmSync(data, { recursive: true, force: true });
    },
  };
}

export interface DebianPostgres extends TestPostgres {
  /** As a crash of the machine: no shutdown checkpoint, connections cut. */
  restartImmediately(): Promise<void>;
}

/** A cluster of its own under a temporary folder, as the user `postgres` when we are root. */
export async function startDebian(binaries: string, settings: string[] = []): Promise<DebianPostgres> {
  const folder = mkdtempSync(path.join(dataFolder(), 'skipjack-debian-'));
  const asUser = await postgresUser();
  if (asUser.uid !== undefined) chownSync(folder, asUser.uid, asUser.gid ?? asUser.uid);
  const data = path.join(folder, 'data');
  const options = { ...asUser, cwd: folder };
  await execa(
    `${binaries}/initdb`,
    ['-D', data, '-U', 'postgres', '-A', 'trust', '-E', 'UTF8', '--no-sync'],
    options,
  );
  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  const flags = [
    'max_connections=200',
    'fsync=off',
    'unix_socket_directories=',
    'listen_addresses=127.0.0.1',
    ...settings,
  ];

  async function start() {
    const child = spawn(
      `${binaries}/postgres`,
      ['-D', data, '-p', String(port), ...flags.flatMap((flag) => ['-c', flag])],
      {
        ...options,
        stdio: 'ignore',
        detached: true,
      },
    );
    child.unref();
    for (let tries = 0; ; tries += 1) {
      const client = new pg.Client({ connectionString: url });
      try {
        await client.connect();
        await client.end();
        return child;
      } catch (error) {
        if (tries > 300) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    }
  }

  async function end(signal: 'SIGINT' | 'SIGQUIT') {
    const exited = new Promise((resolve) => child.once('exit', resolve));
    // Else node might end before, and its folder would stay.
    child.ref();
    child.kill(signal);
    await exited;
  }

  let child = await start();
  return {
    url,
    kind: `from ${binaries}`,
    isInMemory: folder.startsWith(memory),
    async restartImmediately() {
      await end('SIGQUIT');
      child = await start();
    },
    async stop() {
      await end('SIGINT');
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

async function startContainer(version: string): Promise<TestPostgres> {
  const { PostgreSqlContainer } = await import('@testcontainers/postgresql');
  const container = await new PostgreSqlContainer(`postgres:${version}`)
    .withCommand(['postgres', '-c', 'max_connections=200', '-c', 'fsync=off'])
    .start();
  return {
    url: container.getConnectionUri(),
    kind: `container postgres:${version}`,
    isInMemory: false,
    async stop() {
      await container.stop();
    },
  };
}

/** Postgres refuses to run as root. */
async function postgresUser(): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const { stdout } = await execa('id', ['-u', 'postgres']);
  const group = await execa('id', ['-g', 'postgres']);
  return { uid: Number(stdout), gid: Number(group.stdout) };
}

/** Below those that the system gives out, so that nobody else gets it before it is taken. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 10_000);
    const server = createServer();
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}
