import { setTimeout as pause } from 'node:timers/promises';
import { hasMembers, signalGroup, watchGroup } from '../process-group.ts';
import { findCarriers, findCarriersNow, signalCarrier } from './carriers.ts';

/** All that an attempt's program has started, and the program itself. */
export interface Started {
  /** The process group that it leads; null: only what has left the group, or a group that nobody knows. */
  group: number | null;
  /** The attempt's folder, which they carry in their environment. */
  folder: string;
}

/**
 * After SIGKILL only a process stuck in the kernel lives on, or one that a busy machine does not let run to its end;
 * nobody waits longer for it. Within what the ends of a worker and of `dev` allow for killing.
 */
const afterKillMs = 2_000;

/** What forks faster than it is found gets so many rounds of SIGKILL, three a second. */
const killRounds = 6;

const pollMs = { first: 25, last: 250 };

/** SIGTERM to all, after `killGraceMs` SIGKILL to what is left; returns when all are gone. */
export async function endStarted(started: Started, killGraceMs: number): Promise<void> {
  await signalStarted(started, 'SIGTERM');
  if (await isGoneWithin(started, killGraceMs)) return;
  for (let round = 0; round < killRounds; round += 1) {
    await signalStarted(started, 'SIGKILL');
    if (await isGoneWithin(started, afterKillMs / killRounds)) return;
  }
}

async function signalStarted({ group, folder }: Started, signal: NodeJS.Signals): Promise<void> {
  if (group !== null) signalGroup(group, signal);
  for (const carrier of await findCarriers(new Set([folder])).catch(() => [])) signalCarrier(carrier, signal);
}

/** Whether all are gone within `ms`. Looks at once, then again and again until `signal` is aborted. */
export async function isGoneWithin(started: Started, ms: number, signal?: AbortSignal): Promise<boolean> {
  return poll(async () => !(await isThere(started)), ms, signal);
}

/** The same for the members of the group alone, which costs next to nothing when there are none. */
export async function isGroupGoneWithin(group: number, ms: number, signal?: AbortSignal): Promise<boolean> {
  return poll(async () => !(await hasMembers(group)), ms, signal);
}

async function isThere({ group, folder }: Started): Promise<boolean> {
  if (group !== null && (await hasMembers(group))) return true;
  return (await findCarriers(new Set([folder]))).length > 0;
}

async function poll(isSo: () => Promise<boolean>, ms: number, signal?: AbortSignal): Promise<boolean> {
  const end = performance.now() + ms;
  for (let waitMs = pollMs.first; ; waitMs = Math.min(waitMs * 1.5, pollMs.last)) {
    // Who cannot look (no file handle left) does not know, and goes on as if something were there.
    if (await isSo().catch(() => false)) return true;
    const left = end - performance.now();
    if (left <= 0 || signal?.aborted) return false;
    await pause(Math.min(waitMs, left));
  }
}

/** Folders of attempts whose processes this one has not seen the end of. */
const watched = new Map<string, () => void>();

/** Makes sure that nothing of it outlives this OS process, unless that one is killed by SIGKILL itself. */
export function watchStarted({ group, folder }: Started): void {
  if (watched.size === 0) process.on('exit', killWatched);
  watched.set(folder, group === null ? () => {} : watchGroup(group));
}

export function unwatchStarted({ folder }: Pick<Started, 'folder'>): void {
  watched.get(folder)?.();
  watched.delete(folder);
  if (watched.size === 0) process.off('exit', killWatched);
}

function killWatched(): void {
  for (const carrier of findCarriersNow(new Set(watched.keys()))) signalCarrier(carrier, 'SIGKILL');
}
