/** Starts Postgres so that it outlives us if need be, and waits until it says that it is ready. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import { readFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Binaries } from './binaries.ts';
import { postgresEnvironment } from './cluster.ts';
import { replaceFile } from './drafts.ts';
import { embeddedFailure } from './failures.ts';
import { logFileIn, openLog, readLog } from './log.ts';
import { runAs } from './os-user.ts';
import type { Place } from './place.ts';
import { clusterNameOf, findPostmaster, type Postmaster } from './postmaster.ts';

const pollMs = 10;
const portTriesMax = 5;

/** After a crash Postgres first replays its log: seconds as a rule, minutes after long heavy writing. */
export const readyMsMax = 300_000;

export interface Launch {
  place: Place;
  binaries: Binaries;
  durable: boolean;
}

/** Tries several ports: between our finding one free and Postgres' binding it, another may take it. */
export async function launchPostgres(launch: Launch): Promise<Postmaster> {
  const { directory } = launch.place;
  const portFile = join(directory, 'port');
  // The port of last time, if it is free, so that those who still hold the old URL find Postgres again.
  let port = await findFreePort(Number(await readFile(portFile, 'utf8').catch(() => '0')));
  const log = await openLog(directory);
  try {
    for (let tries = 1; ; tries += 1) {
      const { size: from } = await log.stat();
      const postmaster = await tryToLaunch(launch, port, log);
      if (postmaster !== null) {
        await replaceFile(portFile, `${postmaster.port}\n`);
        return postmaster;
      }
      const complaint = await readLog(log, from);
      const isPortTaken = complaint.includes('could not bind');
      if (!isPortTaken || tries >= portTriesMax) throw describeRefusal(launch.place, complaint);
      port = await findFreePort();
    }
  } finally {
    await log.close();
  }
}

/** Null: it ended before it was ready. */
async function tryToLaunch(launch: Launch, port: number, log: FileHandle): Promise<Postmaster | null> {
  const { place, binaries } = launch;
  const child = spawn(binaries.postgres, postgresArguments(launch, port), {
    ...runAs(place.user),
    cwd: '/',
    env: postgresEnvironment,
    // A session of its own: Ctrl-C in a terminal reaches the whole process group, and would stop Postgres
    // before our own drain. And no pipe to us: it must be able to write when we are gone.
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
  });
  await once(child, 'spawn');
  child.unref();
  const giveUpAt = Date.now() + readyMsMax;
  while (Date.now() < giveUpAt) {
    const postmaster = await findPostmaster(place.dataDirectory);
    if (postmaster?.ready) return postmaster;
    if (child.exitCode !== null || child.signalCode !== null) return findPostmaster(place.dataDirectory);
    await delay(pollMs);
  }
  child.kill('SIGINT');
  throw embeddedFailure(
    `Postgres was not ready within ${readyMsMax / 1_000} seconds.`,
    `See ${logFileIn(place.directory)}`,
  );
}

function postgresArguments({ place, durable }: Launch, port: number): string[] {
  const settings = {
    // postmaster.ts reads the directory before the first -c, and this name, in command lines.
    cluster_name: clusterNameOf(place.dataDirectory),
    port,
    listen_addresses: '127.0.0.1',
    unix_socket_directories: '',
    max_connections: 200,
    ...(durable ? {} : { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }),
  };
  const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  return ['-D', place.dataDirectory, ...options];
}

async function findFreePort(wanted = 0): Promise<number> {
  const server = createServer();
  try {
    server.listen(wanted, '127.0.0.1');
    await once(server, 'listening');
    return (server.address() as AddressInfo).port;
  } catch (error) {
    if (wanted === 0) throw error;
    return findFreePort();
  } finally {
    server.close();
  }
}

/** Its last words, with the line before them: of a bad setting, only that one says which. */
function describeRefusal({ directory }: Place, complaint: string) {
  const lines = complaint.trim().split('\n');
  const fatal = lines.findIndex((line) => /(?:FATAL|PANIC): /.test(line));
  const words = fatal < 0 ? lines.slice(-3) : lines.slice(Math.max(fatal - 1, 0), fatal + 3);
  const said = words.map((line) => line.replace(/^.*?(?=[A-Z]+: {2})/, '').replace(/: {2}/, ': ')).join('; ');
  return embeddedFailure(
    `Postgres ended before it was ready: ${said || 'it said nothing'}.`,
    `See ${logFileIn(directory)}`,
  );
}
