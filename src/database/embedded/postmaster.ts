/**
 * The postmaster: the one OS process of Postgres that starts all others and that is signalled to stop it.
 *
 * It writes `postmaster.pid`, and removes it when it ends in order. After a crash or a reboot the file names a
 * pid that is free, or that another program has by now. Postgres refuses to start when a program of the same
 * user has it, so we look who it is.
 */
import { createHash } from 'node:crypto';
import { readFile, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { embeddedFailure, unlessMissing } from './failures.ts';
import {
  findOsProcess,
  findPidsByCommandLine,
  isPidInUse,
  type OsProcess,
  readCommandLine,
  signal,
} from './os-process.ts';

export interface Postmaster {
  osProcess: OsProcess;
  port: number;
  /** By its own word: it accepts connections. */
  ready: boolean;
}

const pidFile = 'postmaster.pid';
const orphansMsMax = 1_000;

/** Stands in the command lines of all OS processes of one cluster, and in what `ps` shows of them. */
export function clusterNameOf(dataDirectory: string): string {
  return `skipjack-${createHash('sha256').update(dataDirectory).digest('hex').slice(0, 16)}`;
}

/** The live postmaster on this data, or null. */
export async function findPostmaster(dataDirectory: string): Promise<Postmaster | null> {
  const text = await unlessMissing(readFile(join(dataDirectory, pidFile), 'utf8'));
  // Lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
  const lines = text?.split('\n') ?? [];
  const pid = Number(lines[0]);
  if (!(pid > 0)) return null;
  const osProcess = await findOsProcess(pid);
  if (osProcess === null || !(await runsOn(pid, dataDirectory))) return null;
  return { osProcess, port: Number(lines[3]), ready: lines[7]?.trim() === 'ready' };
}

/**
 * For data without a live postmaster: makes Postgres able to start on it.
 *
 * When a postmaster is killed its children end by themselves, but one in the middle of a long query does not
 * notice, and Postgres rightly refuses to start beside it.
 */
export async function clearAfterCrash(dataDirectory: string): Promise<void> {
  const text = await unlessMissing(readFile(join(dataDirectory, pidFile), 'utf8'));
  if (text === undefined) return;
  await killOrphans(dataDirectory);
  // A file whose pid is free is left to Postgres: from it, it finds the shared memory that was left behind.
  const pid = Number(text.split('\n')[0]);
  if (!(pid > 0) || isPidInUse(pid)) await rm(join(dataDirectory, pidFile), { force: true });
}

export async function killOrphans(dataDirectory: string): Promise<void> {
  const clusterName = clusterNameOf(dataDirectory);
  const giveUpAt = Date.now() + orphansMsMax;
  while (Date.now() < giveUpAt) {
    const orphans: OsProcess[] = [];
    for (const pid of await findPidsByCommandLine(clusterName)) {
      const orphan = await findOsProcess(pid);
      if (orphan !== null && isPostgres(await readCommandLine(pid), clusterName)) orphans.push(orphan);
    }
    if (orphans.length === 0) return;
    for (const orphan of orphans) await signal(orphan, 'SIGKILL');
    await delay(20);
  }
}

function isPostgres(commandLine: string, clusterName: string): boolean {
  const isChild = commandLine.startsWith(`postgres: ${clusterName}: `);
  return isChild || (readsAsPostmaster(commandLine) !== null && commandLine.includes(clusterName));
}

async function runsOn(pid: number, dataDirectory: string): Promise<boolean> {
  const itsDirectory = readsAsPostmaster(await readCommandLine(pid));
  if (itsDirectory === dataDirectory) return true;
  if (itsDirectory === null || (await unlessMissing(stat(itsDirectory))) !== undefined) return false;
  throw embeddedFailure(
    `A Postgres (pid ${pid}) runs on ${dataDirectory} from the time when it lay in ${itsDirectory}.`,
    `Stop it (kill -INT ${pid}) and try again`,
  );
}

/** The data directory in a command line like those we start (see launch.ts), or null. */
function readsAsPostmaster(commandLine: string): string | null {
  const [, program = '', itsDirectory = null] = /^(.*?) -D (.+?) -c /.exec(commandLine) ?? [];
  return basename(program) === 'postgres' ? itsDirectory : null;
}
