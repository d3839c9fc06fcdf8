/**
 * Labels on all that an attempt makes, by which its leftovers are found whatever happened to the worker that made them.
 */
import { readFileSync } from 'node:fs';
import type { RunnableTask } from '../executor.ts';

export interface Labels {
  'skipjack.instance': string;
  'skipjack.task': string;
  'skipjack.token': string;
  'skipjack.worker': string;
  /** The machine, and the pid namespace in it, where `pid` means something. */
  'skipjack.place': string;
  'skipjack.pid': string;
  /** When that OS process was started, as its system counts: pids are given again. */
  'skipjack.pid_started': string;
  /** Milliseconds of Unix time, by the worker's clock. */
  'skipjack.created': string;
}

export function labelsFor(
  task: RunnableTask,
  { instance, worker, place }: { instance: string; worker: string; place: string },
): Labels {
  return {
    'skipjack.instance': instance,
    'skipjack.task': task.id,
    'skipjack.token': task.token,
    'skipjack.worker': worker,
    'skipjack.place': place,
    'skipjack.pid': String(process.pid),
    'skipjack.pid_started': startOf(process.pid) ?? '',
    'skipjack.created': String(Date.now()),
  };
}

/** When an OS process was started; null: there is none of this pid. Where the system does not tell: an empty text. */
export function startOf(pid: number): string | null {
  if (process.platform === 'linux') {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
      // pid (name) state parent …; the name may hold spaces and parentheses. A zombie makes nothing any more.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return fields[0] === 'Z' || fields[0] === 'X' ? null : (fields[19] ?? '');
    } catch {
      return null;
    }
  }
  try {
    process.kill(pid, 0);
    return '';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM' ? '' : null;
  }
}

/** Tokens of the attempts that run in this OS process: nobody here sweeps what is theirs. */
const running = new Map<string, number>();

export function noteRunning(token: string): () => void {
  running.set(token, (running.get(token) ?? 0) + 1);
  return () => {
    const left = (running.get(token) ?? 1) - 1;
    if (left === 0) running.delete(token);
    else running.set(token, left);
  };
}

export function runsHere(token: string): boolean {
  return running.has(token);
}
