/**
 * Who stops Postgres: a file beside the data that names one OS process of ours. Whoever dies without stopping
 * leaves the file behind, names nobody alive with it, and is followed by the next start.
 */
import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { replaceFile } from './drafts.ts';
import { unlessMissing } from './failures.ts';
import { isAlive, type OsProcess, parseOsProcess, thisOsProcess } from './os-process.ts';

const ownerFile = 'owner.json';

/** The live OS process that will stop Postgres, or null. */
export async function findOwner(directory: string): Promise<OsProcess | null> {
  const owner = parseOsProcess((await unlessMissing(readFile(join(directory, ownerFile), 'utf8'))) ?? '');
  return owner !== null && (await isAlive(owner)) ? owner : null;
}

export async function becomeOwner(directory: string): Promise<void> {
  await replaceFile(join(directory, ownerFile), JSON.stringify(await thisOsProcess()));
}

/** Does nothing when another has become the owner meanwhile. */
export async function resignAsOwner(directory: string): Promise<void> {
  const owner = await findOwner(directory);
  if (owner?.pid === process.pid) await rm(join(directory, ownerFile), { force: true });
}
