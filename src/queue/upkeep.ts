/**
 * What must be done again and again, by every OS process that has the database: reaping expired claims and
 * forgetting workers that are long gone. Ten replicas do it as well as one; none is special.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { withJitter } from '../core/backoff.ts';
import type { Database } from '../database/connection.ts';
import { reapExpiredClaims } from './reap.ts';
import { forgetGoneWorkers } from './workers.ts';

/** Expired leases are back within two seconds: look every one. */
const reapIntervalMs = 1_000;
const forgetIntervalMs = 3_600_000;

export interface Upkeep {
  /** Stops when the turn under way has ended. */
  stop(): Promise<void>;
}

export function startUpkeep(
  db: Database,
  { onError = () => {} }: { onError?: (error: unknown) => void } = {},
): Upkeep {
  const stopping = new AbortController();
  let forgetAt = 0;

  async function turn() {
    // A full batch means that there may be more.
    for (let reaped = 1_000; reaped === 1_000 && !stopping.signal.aborted; )
      reaped = await reapExpiredClaims(db);
    if (performance.now() >= forgetAt) {
      await forgetGoneWorkers(db);
      forgetAt = performance.now() + withJitter(forgetIntervalMs);
    }
  }

  async function loop() {
    while (!stopping.signal.aborted) {
      await turn().catch(onError);
      await sleep(withJitter(reapIntervalMs), undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = loop();
  return {
    async stop() {
      stopping.abort();
      await running;
    },
  };
}
