import { listProcesses } from './processes/list.ts';
import { isAlive, readStat } from './processes/stat.ts';

/** Each program leads a process group of its own, so that its children, and theirs, can be stopped with it. */

/** The groups of this worker that may have members. */
const living = new Set<number>();

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

/** False: there is no such group (any more). */
export function signalGroup(group: number, signal: NodeJS.Signals | 0): boolean {
  try {
    return process.kill(-group, signal);
  } catch (error) {
    // EPERM: there is one, and it has taken rights that we do not have.
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export async function hasMembers(group: number): Promise<boolean> {
  if (!signalGroup(group, 0)) return false;
  if (process.platform !== 'linux') return true;
  // In a container without an init nobody reaps orphans: dead members stay in their group as zombies for ever.
  const leader = readStat(group);
  if (leader !== null && isAlive(leader) && leader.group === group) return true;
  return (await listProcesses()).some((process) => process.group === group);
}
