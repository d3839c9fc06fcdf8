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
 * and so are lost connections, until `patienceMs` have passed since the batch's first try. A try that is under
 * way then is still waited for: it may have done its work.
 */
export function repeatingDatabaseFaults({
  patienceMs,
  counters,
}: {
  patienceMs: number;
  counters?: RetryCounters;
}): Pick<BatcherOptions<never, never>, 'classify' | 'beforeRepeat'> {
  return {
    classify(error, tries, elapsedMs) {
      if (isDataFault(error)) return 'bisect';
      if (isRepeatable(error)) return tries <= deadlocksMax ? 'repeat' : 'fail';
      return isConnectionFault(error) && elapsedMs < patienceMs ? 'repeat' : 'fail';
    },
    async beforeRepeat(error, tries) {
      if (isRepeatable(error)) {
        if (counters) counters.deadlocks += 1;
      } else if (counters) counters.connectionsLost += 1;
      await new Promise((resolve) => setTimeout(resolve, reconnectDelayMs(tries, { maxMs: 2_000 })));
    },
  };
}
