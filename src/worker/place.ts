/**
 * Where an OS process is: pids mean something only within one boot of one machine, and there within one namespace.
 *
 * What a worker leaves behind (folders, containers) is marked with its place, its pid and its start time, so that a
 * later worker knows whether the owner lives: never by the pid alone, which may have been given to another.
 */
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { isAlive, readStat } from './executors/processes/stat.ts';

let place: string | undefined;

/** Names this boot of this machine and this pid namespace. Opaque; without spaces. */
export function readPlace(): string {
  place ??= findPlace();
  return place;
}

function findPlace(): string {
  try {
    const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    // `pid:[4026531836]`
    const namespace = readlinkSync('/proc/self/ns/pid').replaceAll(/\D/g, '');
    return `${boot}-${namespace}`;
  } catch {
    return hostname();
  }
}

/**
 * When the process that has this pid now was started, in clock ticks since boot. Null when there is none, when it is
 * dead and only not yet reaped, and where the system does not tell.
 */
export function readStartTime(pid: number): number | null {
  const stat = readStat(pid);
  return stat !== null && isAlive(stat) ? stat.startTime : null;
}

/** Whether the OS process that wrote these of itself, here, still runs. */
export function isRunning({ pid, startTime }: { pid: number; startTime: number | null }): boolean {
  if (startTime !== null) return readStartTime(pid) === startTime;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
