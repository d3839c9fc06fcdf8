/**
 * Removes what OS processes of workers left behind that live no more: when a worker starts, and now and then. What
 * SIGKILL leaves running cannot be stopped by who was killed.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { withJitter } from '../core/backoff.ts';
import type { Announce } from './events.ts';
import { sweepContainers } from './executors/container/sweep.ts';
import { sweepLeftovers } from './leftovers/sweep.ts';
import type { CheckedOptions } from './options.ts';
import { readPlace } from './place.ts';

const intervalMs = 30_000;

/** Sweeps until `signal` is aborted. Never rejects. */
export async function sweepRegularly(
  { source, containerRuntime }: Pick<CheckedOptions, 'source' | 'containerRuntime'>,
  { announce, signal }: { announce: Announce; signal: AbortSignal },
): Promise<void> {
  while (!signal.aborted) {
    try {
      const { folders, killed } = await sweepLeftovers();
      const containers =
        containerRuntime === null
          ? 0
          : await sweepContainers({ runtime: containerRuntime, place: readPlace(), source });
      if (folders + killed + containers > 0) announce('leftovers.removed', { folders, killed, containers });
    } catch (error) {
      // Of a worker that has left nobody wants to know.
      if (!signal.aborted) announce('source.failed', { call: 'sweep', error });
    }
    await sleep(withJitter(intervalMs), undefined, { signal }).catch(() => {});
  }
}
