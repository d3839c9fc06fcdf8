/** How a batch meets the database's faults: see natural batching in core/batching.ts. */
import { reconnectDelayMs } from '../core/backoff.ts';
import type { BatcherOptions } from '../core/batching.ts';
import { isConnectionFault, isDataFault, isRepeatable } from './faults.ts';

/** Counted and shown: a deadlock that is repeated in silence is a bug nobody sees. */
export interface RetryCounters {
  deadlocks: number;
  connectionsLost: number;
}

const deadlocksMax = 10;

/**
 * Options for a batcher whose flush is safe to repeat: bad data is found by bisection, deadlocks are repeated,
 * and so are lost connections, for `patienceMs` in all.
 */
export function repeatingDatabaseFaults({
  patienceMs,
  counters,
  signal,
}: {
  patienceMs: number;
  counters?: RetryCounters;
  signal?: AbortSignal;
}): Pick<BatcherOptions<never, never>, 'classify' | 'beforeRepeat'> {
  return {
    classify(error, tries) {
      if (isDataFault(error)) return 'bisect';
      if (isRepeatable(error)) return tries <= deadlocksMax ? 'repeat' : 'fail';
      if (!isConnectionFault(error) || signal?.aborted) return 'fail';
      return spentMs(tries) < patienceMs ? 'repeat' : 'fail';
    },
    async beforeRepeat(error, tries) {
      if (isRepeatable(error)) {
        if (counters) counters.deadlocks += 1;
      } else if (counters) counters.connectionsLost += 1;
      await new Promise((resolve) => setTimeout(resolve, reconnectDelayMs(tries, { maxMs: 2_000 })));
    },
  };
}

/** What the pauses before try `tries` + 1 add up to, without jitter. */
function spentMs(tries: number): number {
  let sum = 0;
  for (let pause = 1; pause < tries; pause += 1) sum += Math.min(2_000, 100 * 2 ** (pause - 1));
  return sum;
}
