import { readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { isAlive, type ProcessStat, readStat } from './stat.ts';

/**
 * All OS processes that this one can see; none where there is no /proc.
 *
 * Reading a file of /proc is some 10 µs as a system call and five times that through Node's thread pool. So it is read
 * synchronously, a few at a time, with room between them for whatever else the worker does.
 */

const pidsPerTurn = 32;

export function listPids(): number[] {
  if (process.platform !== 'linux') return [];
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0);
}

/** Calls `visit` with each pid, and lets others have their turns in between. */
export async function visitPids(visit: (pid: number) => void): Promise<void> {
  for (const [index, pid] of listPids().entries()) {
    if (index % pidsPerTurn === pidsPerTurn - 1) await nextTurn();
    visit(pid);
  }
}

/** Those that are alive. */
export async function listProcesses(): Promise<ProcessStat[]> {
  const found: ProcessStat[] = [];
  await visitPids((pid) => {
    const stat = readStat(pid);
    if (stat !== null && isAlive(stat)) found.push(stat);
  });
  return found;
}

/** Listing takes at most one part in so many of the time, however many attempts ask and however many processes there are. */
const shareOfTime = 20;

let last: Promise<ProcessStat[]> = Promise.resolve([]);
let lastAtMs = Number.NEGATIVE_INFINITY;
let lastTookMs = 0;

/** The same for those who can do with a list that is a little old. One list serves all attempts of a worker. */
export function listProcessesAgain({ ageMsMax }: { ageMsMax: number }): Promise<ProcessStat[]> {
  const startedMs = performance.now();
  if (startedMs - lastAtMs < Math.max(ageMsMax, lastTookMs * shareOfTime)) return last;
  lastAtMs = startedMs;
  last = listProcesses().finally(() => {
    lastTookMs = performance.now() - startedMs;
  });
  return last;
}
