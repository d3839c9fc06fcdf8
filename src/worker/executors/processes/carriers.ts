import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { listPids, visitPids } from './list.ts';

/**
 * Processes are known by what they were given: an attempt's program, and all that it starts, carry the path of the
 * attempt's folder in their environment, also when they have left its process group (`setsid`, a double fork).
 *
 * Not found are those that were started with a clean environment (`env -i`) or write over it (`setproctitle`), and
 * those of other users where the worker is not root.
 */
const mark = Buffer.from('SKIPJACK_OUTPUT=');

export interface Carrier {
  pid: number;
  /** Which of the folders asked for it carries. */
  folder: string;
}

/** All that carry one of `folders`, but this OS process itself. */
export async function findCarriers(folders: ReadonlySet<string>): Promise<Carrier[]> {
  const found: Carrier[] = [];
  await visitPids((pid) => noteCarrier(pid, folders, found));
  return found;
}

/** The same at once, for an OS process that is about to exit. */
export function findCarriersNow(folders: ReadonlySet<string>): Carrier[] {
  const found: Carrier[] = [];
  for (const pid of listPids()) noteCarrier(pid, folders, found);
  return found;
}

function noteCarrier(pid: number, folders: ReadonlySet<string>, found: Carrier[]): void {
  if (pid === process.pid) return;
  const carried = folderCarried(pid);
  const folder = carried.find((each) => folders.has(each));
  if (folder !== undefined) found.push({ pid, folder });
}

/** The folder in which the process was told to put its output, and the one above it; none where it was told nothing. */
function folderCarried(pid: number): string[] {
  let environment: Buffer;
  try {
    environment = readFileSync(`/proc/${pid}/environ`);
  } catch {
    // It has ended, or belongs to somebody else. A zombie's is empty.
    return [];
  }
  let at = environment.indexOf(mark);
  while (at > 0 && environment[at - 1] !== 0) at = environment.indexOf(mark, at + 1);
  if (at < 0) return [];
  const end = environment.indexOf(0, at);
  const folder = dirname(environment.toString('utf8', at + mark.length, end < 0 ? undefined : end));
  return [folder, dirname(folder)];
}

/** False: it has ended meanwhile. */
export function signalCarrier({ pid }: Carrier, signal: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, signal);
  } catch {
    return false;
  }
}
