/**
 * What must be done again and again, by every OS process that has the database: reaping expired claims, deleting
 * logs and events that are old and forgetting workers that are long gone. Ten replicas do it as well as one; none is special.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { withJitter } from '../core/backoff.ts';
import type { Database } from '../database/connection.ts';
import { eventRetentionMsDefault, pruneEvents } from './events/prune.ts';
import { logRetentionMsDefault, pruneLogs } from './logs/prune.ts';
import { reapExpiredClaims } from './reap.ts';
import { forgetGoneWorkers } from './workers.ts';

/** Expired leases are back within two seconds: look every one. */
const reapIntervalMs = 1_000;
const pruneIntervalMs = 60_000;
const forgetIntervalMs = 3_600_000;

export interface Upkeep {
  /** Stops when the turn under way has ended. */
  stop(): Promise<void>;
}

export interface UpkeepOptions {
  onError?: (error: unknown) => void;
  /** How long what attempts said is kept; 14 days by default. */
  logRetentionMs?: number;
  /** How long events are kept, whether somebody took them or not; 7 days by default. */
  eventRetentionMs?: number;
}

export function startUpkeep(
  db: Database,
  {
    onError = () => {},
    logRetentionMs = logRetentionMsDefault,
    eventRetentionMs = eventRetentionMsDefault,
  }: UpkeepOptions = {},
): Upkeep {
  const stopping = new AbortController();
  let forgetAt = 0;
  let pruneAt = 0;
  let pruning: Promise<void> | null = null;

  /** Beside the loop: much that is old must not keep expired claims waiting. */
  async function prune() {
    const { signal } = stopping;
    await pruneLogs(db, { retentionMs: logRetentionMs, signal });
    await pruneEvents(db, { retentionMs: eventRetentionMs, signal });
    pruneAt = performance.now() + withJitter(pruneIntervalMs);
  }

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
      if (performance.now() >= pruneAt) {
        pruning ??= prune()
          .catch(onError)
          .finally(() => {
            pruning = null;
          });
      }
      await sleep(withJitter(reapIntervalMs), undefined, { signal: stopping.signal }).catch(() => {});
    }
  }

  const running = loop();
  return {
    async stop() {
      stopping.abort();
      await running;
      await pruning;
    },
  };
}
