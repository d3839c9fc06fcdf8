/**
 * What a container uses, read from its control group while it runs: afterwards the group is gone. Only where the
 * container runs on the worker's own machine and its groups can be seen; elsewhere there are no figures.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Usage } from '../executor.ts';
import type { ContainerRuntime } from './runtime.ts';

export interface Figures extends Usage {
  /** How often a process could not be made because the limit of them was reached. */
  pidsRefused: number;
  /** The kernel killed a process of it for its memory. */
  isOutOfMemory: boolean;
}

export interface Sampler {
  /** Looks a last time. */
  stop(): Figures;
  now(): Figures;
}

const root = '/sys/fs/cgroup';
/** Many containers are over within a second; to look takes some files that are read from memory. */
const soonMs = 25;
const soonTimes = 40;
const laterMs = 500;
/** The group is mostly where the runtimes put it by themselves; if not by then, they are asked. */
const askAfterTimes = 16;
const askTimesMax = 3;

export function sampleUsage(runtime: ContainerRuntime, id: string): Sampler {
  const figures: Figures = { pidsRefused: 0, isOutOfMemory: false };
  let group: Group | null = null;
  let times = 0;
  let asked = 0;
  let isStopped = false;
  let timer: NodeJS.Timeout;
  const look = () => {
    group ??= guessGroup(id);
    if (group !== null) readInto(figures, group);
  };
  const turn = async () => {
    times += 1;
    look();
    if (group === null && times > askAfterTimes && asked < askTimesMax) {
      asked += 1;
      group = await askForGroup(runtime, id);
    }
    if (!isStopped) timer = setTimeout(turn, times < soonTimes ? soonMs : laterMs).unref();
  };
  timer = setTimeout(turn, soonMs).unref();
  return {
    now() {
      look();
      return { ...figures };
    },
    stop() {
      isStopped = true;
      clearTimeout(timer);
      look();
      return figures;
    },
  };
}

/** Folders of the group, one for each kind of figure: in version 2 of control groups they are the same. */
interface Group {
  memory: string;
  cpu: string;
  pids: string;
}

function guessGroup(id: string): Group | null {
  for (const path of [
    `docker/${id}`,
    `system.slice/docker-${id}.scope`,
    `machine.slice/libpod-${id}.scope`,
    `libpod_parent/libpod-${id}`,
  ]) {
    const group = groupAt(() => path);
    if (group !== null) return group;
  }
  return null;
}

function groupAt(pathOf: (controller: string) => string | undefined): Group | null {
  const folders = (base: (controller: string) => string) => {
    const [memory, cpu, pids] = ['memory', 'cpuacct', 'pids'].map((controller) => {
      const path = pathOf(controller);
      return path === undefined ? '' : join(base(controller), path);
    }) as [string, string, string];
    return { memory, cpu, pids };
  };
  const one = folders(() => root);
  if (existsSync(join(one.memory, 'cgroup.controllers'))) return one;
  const many = folders((controller) => join(root, controller));
  return many.memory !== '' && existsSync(many.memory) ? many : null;
}

async function askForGroup(runtime: ContainerRuntime, id: string): Promise<Group | null> {
  const end = await runtime.run(['container', 'inspect', '--format={{.State.Pid}}', id]);
  const pid = end.kind === 'exited' ? Number(end.stdout.trim()) : 0;
  if (!Number.isInteger(pid) || pid <= 0) return null;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/cgroup`, 'utf8');
  } catch {
    return null;
  }
  // With a daemon on another machine the pid is some stranger's here.
  if (!text.includes(id)) return null;
  const lines = text.split('\n').map((line) => line.split(':'));
  return groupAt((controller) => {
    const line =
      lines.find(([, names]) => names?.split(',').includes(controller)) ??
      lines.find(([number]) => number === '0');
    return line?.slice(2).join(':');
  });
}

function readInto(figures: Figures, { memory, cpu, pids }: Group): void {
  const nanoseconds = numberIn(join(cpu, 'cpuacct.usage'));
  const microseconds =
    nanoseconds === null ? numberIn(join(cpu, 'cpu.stat'), 'usage_usec') : nanoseconds / 1_000;
  if (microseconds !== null) figures.cpuMs = Math.max(figures.cpuMs ?? 0, Math.round(microseconds / 1_000));
  const bytes =
    numberIn(join(memory, 'memory.max_usage_in_bytes')) ??
    numberIn(join(memory, 'memory.peak')) ??
    numberIn(join(memory, 'memory.current'));
  if (bytes !== null) figures.memoryPeakBytes = Math.max(figures.memoryPeakBytes ?? 0, bytes);
  const kills =
    numberIn(join(memory, 'memory.oom_control'), 'oom_kill') ??
    numberIn(join(memory, 'memory.events'), 'oom_kill');
  figures.isOutOfMemory ||= (kills ?? 0) > 0;
  const refused = numberIn(join(pids, 'pids.events'), 'max');
  if (refused !== null) figures.pidsRefused = Math.max(figures.pidsRefused, refused);
}

/** The number in a file of the control group, or behind `key` in one of several lines. */
function numberIn(path: string, key?: string): number | null {
  try {
    const text = readFileSync(path, 'utf8');
    const found =
      key === undefined
        ? text
        : text
            .split('\n')
            .find((line) => line.startsWith(`${key} `))
            ?.slice(key.length);
    const number = Number(found?.trim() || Number.NaN);
    return Number.isFinite(number) ? number : null;
  } catch {
    return null;
  }
}
