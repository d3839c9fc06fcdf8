/**
 * One at a time: whoever starts or stops Postgres in a directory holds its lock file.
 *
 * The lock is advice that saves people from errors, not the last line of defence. Where two believe that they
 * hold it, what they do is still safe: a cluster is put in place by one rename, and Postgres itself lets only
 * one postmaster run on its data.
 */
import { randomUUID } from 'node:crypto';
import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { withJitter } from '../../core/backoff.ts';
import { embeddedFailure, unlessMissing } from './failures.ts';
import { isAlive, parseOsProcess, thisOsProcess } from './os-process.ts';

const lockFile = 'start.lock';
const pollMs = 40;

/** Between creating the lock and writing into it lie microseconds; a lock empty for longer was abandoned. */
const emptyForMsMax = 2_000;
/** A lock for breaking one that is older was abandoned as well. */
const breakingForMsMax = 10_000;

/** Waits for the lock of `directory`, at most `waitMs`; answers how to release it. */
export async function takeStartLock(
  directory: string,
  { waitMs }: { waitMs: number },
): Promise<() => Promise<void>> {
  const path = join(directory, lockFile);
  const text = JSON.stringify({ ...(await thisOsProcess()), lock: randomUUID() });
  const giveUpAt = Date.now() + waitMs;
  while (!(await tryToTake(path, text))) {
    if (Date.now() > giveUpAt) throw await describeHolder(directory, path);
    await delay(withJitter(pollMs));
  }
  return async () => {
    if ((await readFile(path, 'utf8').catch(() => '')) === text) await rm(path, { force: true });
  };
}

async function tryToTake(path: string, text: string): Promise<boolean> {
  try {
    await writeFile(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  const seen = await unlessMissing(readFile(path, 'utf8'));
  if (seen !== undefined && (await isAbandoned(path, seen))) await breakLock(path);
  return false;
}

async function isAbandoned(path: string, text: string): Promise<boolean> {
  const holder = parseOsProcess(text);
  if (holder !== null) return !(await isAlive(holder));
  const status = await unlessMissing(stat(path));
  return status !== undefined && Date.now() - status.mtimeMs > emptyForMsMax;
}

/**
 * Two may find the same abandoned lock, and the slower must not remove the one that the faster has made since. So
 * whoever breaks it holds a lock for that, and looks again: while the abandoned one is there, nobody makes another.
 */
async function breakLock(path: string): Promise<void> {
  const breaking = `${path}.breaking`;
  try {
    await writeFile(breaking, '', { flag: 'wx' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const status = await unlessMissing(stat(breaking));
    // Held for as long as it takes to read a file: who died just then left it behind.
    if (status && Date.now() - status.mtimeMs > breakingForMsMax) await rm(breaking, { force: true });
    return;
  }
  try {
    const seen = await unlessMissing(readFile(path, 'utf8'));
    if (seen !== undefined && (await isAbandoned(path, seen))) await rm(path, { force: true });
  } finally {
    await rm(breaking, { force: true });
  }
}

async function describeHolder(directory: string, path: string) {
  const holder = parseOsProcess(await readFile(path, 'utf8').catch(() => ''));
  return embeddedFailure(
    `Another skipjack (pid ${holder?.pid ?? 'unknown'}) has been starting or stopping Postgres in ${directory} for long.`,
    `Wait for it, or end it and remove ${path}; choose another --data directory`,
  );
}
