/**
 * Labels on all that an attempt makes, by which its leftovers are found whatever happened to the worker that made them.
 */
import { readStartTime } from '../../place.ts';
import type { RunnableTask } from '../executor.ts';

export interface Labels {
  'skipjack.instance': string;
  'skipjack.task': string;
  'skipjack.token': string;
  'skipjack.worker': string;
  /** The machine, and the pid namespace in it, where `pid` means something. */
  'skipjack.place': string;
  'skipjack.pid': string;
  /** When that OS process was started, as its system counts: pids are given again. Empty where it does not tell. */
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
    'skipjack.pid_started': String(readStartTime(process.pid) ?? ''),
    'skipjack.created': String(Date.now()),
  };
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
