import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as pause } from 'node:timers/promises';

/**
 * Each program leads a process group of its own, so that its children, and theirs, can be stopped with it.
 * A child that makes a session of its own (`setsid`) leaves the group and is out of our reach.
 */

/** The groups of this worker that may have members. */
const living = new Set<number>();

/** After SIGKILL only a process stuck in the kernel lives on; nobody waits longer for it. */
const afterKillMs = 1_000;

const pollMs = 25;

/** Makes sure that `group` does not outlive this OS process, unless that one is killed by SIGKILL itself. */
export function watchGroup(group: number): () => void {
  if (living.size === 0) process.on('exit', killLiving);
  living.add(group);
  return () => {
    living.delete(group);
    if (living.size === 0) process.off('exit', killLiving);
  };
}

function killLiving(): void {
  for (const group of living) signalGroup(group, 'SIGKILL');
}

/** SIGTERM to every member, after `killGraceMs` SIGKILL to what is left; returns when all are gone. */
export async function endGroup(group: number, killGraceMs: number): Promise<void> {
  if (!signalGroup(group, 'SIGTERM')) return;
  if (await isGoneWithin(group, killGraceMs)) return;
  signalGroup(group, 'SIGKILL');
  await isGoneWithin(group, afterKillMs);
}

/** Whether all members are gone within `ms`. Looks at once, then again and again until `signal` is aborted. */
export async function isGoneWithin(group: number, ms: number, signal?: AbortSignal): Promise<boolean> {
  const end = performance.now() + ms;
  for (;;) {
    if (!(await hasMembers(group))) return true;
    const left = end - performance.now();
    if (left <= 0 || signal?.aborted) return false;
    await pause(Math.min(pollMs, left));
  }
}

/** False: there is no such group (any more). */
function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch (error) {
    // EPERM: there is one, and it has taken rights that we do not have.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function hasMembers(group: number): Promise<boolean> {
  if (!signalGroup(group, 0)) return false;
  if (process.platform !== 'linux') return true;
  // In a container without an init nobody reaps orphans: dead members stay in their group as zombies for ever.
  if (await isAliveIn(group, String(group))) return true;
  for (const pid of await readdir('/proc')) {
    if (/^\d+$/.test(pid) && (await isAliveIn(group, pid))) return true;
  }
  return false;
}

async function isAliveIn(group: number, pid: string): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '');
  // pid (name) state parent group …; the name may hold spaces and parentheses.
  const [state, , itsGroup] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return Number(itsGroup) === group && state !== 'Z' && state !== 'X';
}
