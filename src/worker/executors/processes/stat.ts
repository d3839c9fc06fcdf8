import { closeSync, openSync, readSync } from 'node:fs';

/** What Linux tells of an OS process in one line. */
export interface ProcessStat {
  pid: number;
  /** One letter; Z and X are dead. */
  state: string;
  group: number;
  /** Its own time, and that of its children that it has waited for. */
  cpuTicks: number;
  /** Clock ticks since boot: with the pid it names one OS process. */
  startTime: number;
}

/** USER_HZ, which is 100 wherever Node runs. */
export const ticksPerSecond = 100;

/** One for all: the calls that use it are synchronous. The line is some 300 bytes long. */
const line = Buffer.alloc(1_024);

/** Null: there is no such process (any more), or no /proc. */
export function readStat(pid: number): ProcessStat | null {
  let text: string;
  try {
    const file = openSync(`/proc/${pid}/stat`, 'r');
    try {
      text = line.toString('latin1', 0, readSync(file, line, 0, line.length, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return null;
  }
  // pid (name) state parent group …; the name may hold spaces and parentheses.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const number = (index: number) => Number(fields[index]);
  return {
    pid,
    state: fields[0] ?? '',
    group: number(2),
    cpuTicks: number(11) + number(12) + number(13) + number(14),
    startTime: number(19),
  };
}

export function isAlive({ state }: ProcessStat): boolean {
  return state !== 'Z' && state !== 'X' && state !== '';
}
