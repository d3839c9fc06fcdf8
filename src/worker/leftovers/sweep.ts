import type { Stats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { privateFolderPrefix } from '../executors/container/attempt.ts';
import { exchangeFolderPrefix, removeExchangeFolder } from '../executors/exchange-folder.ts';
import { type Carrier, findCarriers } from '../executors/processes/carriers.ts';
import { listProcesses } from '../executors/processes/list.ts';
import { endStarted } from '../executors/processes/started.ts';
import type { ProcessStat } from '../executors/processes/stat.ts';
import { isRunning, readPlace } from '../place.ts';
import { type Owner, readOwner } from './owner.ts';

/**
 * Ends and removes what workers left behind that were killed by SIGKILL: their attempts' processes and folders.
 *
 * Looked at are folders of attempts that belong to this user. Their owner says of itself in which place it runs, its
 * pid and its start time: what lives, or runs where this process cannot see it, is left alone. Nothing is believed that
 * a program of another user could have written, no link is followed, and two sweeps at once do the same twice.
 */
export async function sweepLeftovers(): Promise<{ folders: number; killed: number }> {
  const leftovers = await findLeftovers();
  const counts = { folders: 0, killed: 0 };
  if (leftovers.length === 0) return counts;
  const carriers = await findCarriers(new Set(leftovers.map(({ folder }) => folder)));
  const processes = await listProcesses();
  const ends = leftovers.map(async ({ folder, owner }) => {
    const carrying = carriers.filter((carrier) => carrier.folder === folder);
    const group = owner === null ? null : groupOf(owner, { carrying, processes });
    const members = processes.filter((process) => group !== null && process.group === group);
    counts.killed += new Set([...members, ...carrying].map(({ pid }) => pid)).size;
    if (members.length > 0 || carrying.length > 0) await endStarted({ group, folder }, termGraceMs);
    if (await removeExchangeFolder({ path: folder })) counts.folders += 1;
  });
  await Promise.all(ends);
  return counts;
}

/** From SIGTERM to SIGKILL: nobody waits for what they would still do. */
const termGraceMs = 1_000;

/** At most so many folders in one sweep; the next one takes the rest. */
const foldersMax = 1_000;

/** A worker says that a folder is its own when the program has started: seconds after it made it, if at all. */
const ownerlessAgeMs = 3_600_000;

interface Leftover {
  folder: string;
  /** Null: nobody has said. */
  owner: Owner | null;
}

async function findLeftovers(): Promise<Leftover[]> {
  const found: Leftover[] = [];
  const names = await readdir(tmpdir()).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(exchangeFolderPrefix) && !name.startsWith(privateFolderPrefix)) continue;
    const folder = join(tmpdir(), name);
    const status = await lstat(folder).catch(() => undefined);
    if (!status?.isDirectory() || status.uid !== process.geteuid?.()) continue;
    // This worker was itself started by the attempt whose folder it is.
    if (process.env.SKIPJACK_OUTPUT?.startsWith(`${folder}/`)) continue;
    const owner = await readOwner(folder);
    if (owner === null ? isOld(status) : owner.place === readPlace() && !isRunning(owner))
      found.push({ folder, owner });
    if (found.length >= foldersMax) break;
  }
  return found;
}

function isOld({ mtimeMs }: Stats): boolean {
  return Date.now() - mtimeMs > ownerlessAgeMs;
}

/**
 * The group of the attempt's program, if it is still that: a number that is free is given again. It is while the
 * leader is the one that was started, or while a member carries the folder.
 */
function groupOf(
  { group, groupStartTime }: Owner,
  { carrying, processes }: { carrying: Carrier[]; processes: ProcessStat[] },
): number | null {
  if (group === null) return null;
  const leader = processes.find(({ pid }) => pid === group);
  if (leader !== undefined && groupStartTime !== null)
    return leader.startTime === groupStartTime && leader.group === group ? group : null;
  const isCarried = processes.some(
    (process) => process.group === group && carrying.some(({ pid }) => pid === process.pid),
  );
  return isCarried ? group : null;
}
