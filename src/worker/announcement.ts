import { setTimeout as pause } from 'node:timers/promises';
import { withJitter } from '../core/backoff.ts';
import type { TaskSource, WorkerInfo } from '../core/task-source.ts';
import type { Announce } from './events.ts';

const everyMs = 10_000;

/** Says every ten seconds or so that this worker lives, until `signal` is aborted. */
export async function announceRegularly(
  source: TaskSource,
  worker: WorkerInfo,
  { announce, signal }: { announce: Announce; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      await source.announceWorker(worker);
    } catch (error) {
      announce('source.failed', { call: 'announce', error });
    }
    await pause(withJitter(everyMs), undefined, { signal }).catch(() => {});
  }
}
