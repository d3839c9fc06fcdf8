import { readFileSync } from 'node:fs';
import type { Usage } from '../executor.ts';
import { listProcessesAgain } from './list.ts';
import { isAlive, type ProcessStat, readStat, ticksPerSecond } from './stat.ts';

/**
 * What a process group uses, from samples of /proc: Linux tells it of the living, and Node does not ask for it when it
 * reaps the dead.
 *
 * - CPU time: of the members, with that of their children which they have waited for, as of the last sample. What was
 *   used after it is not counted, nor what orphans used that had ended before.
 * - Memory: the most that the members alive at one sample had used, each at its own peak (VmHWM). What they share is
 *   counted for each; what lived between two samples is not seen.
 *
 * Programs that are quicker than the first sample cost nothing and have no figures.
 */
const firstSampleMs = 100;
const pauseMsMax = 1_000;

/** Samples until it is told to stop; says then what was seen. */
export function watchUsage(group: number): { stop: () => Usage } {
  if (process.platform !== 'linux') return { stop: () => ({}) };
  let usage: Usage = {};
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;
  const sampleAfter = (ms: number) => {
    timer = setTimeout(async () => {
      const seen = await sample(group, ms / 2).catch(() => ({}));
      if (stopped) return;
      usage = largest(usage, seen);
      sampleAfter(Math.min(ms * 2, pauseMsMax));
    }, ms);
  };
  sampleAfter(firstSampleMs);
  return {
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      return usage;
    },
  };
}

async function sample(group: number, ageMsMax: number): Promise<Usage> {
  const members = (await listProcessesAgain({ ageMsMax }))
    .filter((process) => process.group === group)
    .map(({ pid }) => pid);
  // Read again: the list may be older than a member's latest second of work, and than the leader itself.
  const stats = [...new Set([group, ...members])]
    .map(readStat)
    .filter((stat): stat is ProcessStat => stat?.group === group && isAlive(stat));
  if (stats.length === 0) return {};
  const memoryPeakBytes = sum(stats.map(({ pid }) => readPeakBytes(pid)));
  return {
    cpuMs: (sum(stats.map(({ cpuTicks }) => cpuTicks)) * 1_000) / ticksPerSecond,
    // None has none only where the system does not tell.
    ...(memoryPeakBytes > 0 && { memoryPeakBytes }),
  };
}

function readPeakBytes(pid: number): number {
  try {
    const [, kibibytes] = /^VmHWM:\s*(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1')) ?? [];
    return Number(kibibytes ?? 0) * 1_024;
  } catch {
    return 0;
  }
}

function largest(one: Usage, other: Usage): Usage {
  const most = { ...one, ...other };
  for (const key of ['cpuMs', 'memoryPeakBytes'] as const)
    if (most[key] !== undefined) most[key] = Math.max(one[key] ?? 0, other[key] ?? 0);
  return most;
}

function sum(numbers: number[]): number {
  return numbers.reduce((total, each) => total + each, 0);
}
