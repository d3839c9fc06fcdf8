import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../database/connection.ts';
import { isConnectionFault } from '../../database/faults.ts';
import { type Look, lookAtProcess } from './look.ts';

/** How often it is looked without a hint: the end of a task that nothing waits for gives none. */
const lookEveryMs = 250;
/** With hints, not more often than so … */
const lookEveryMsMin = 40;
/** … and looking may take one part of so many of the database's time. */
const pauseFactor = 10;

export interface WatchOptions {
  signal: AbortSignal;
  onLook: (look: Look) => void;
  /** The database is away. It is asked again. */
  onAway: (error: unknown) => void;
}

/** Looks at the process until it has ended, `signal` is aborted, or it is no longer there. */
export async function watchProcess(
  db: Database,
  id: string,
  { signal, onLook, onAway }: WatchOptions,
): Promise<void> {
  const bell = createBell(db);
  /** By the clock of the database. */
  let since = 0;
  try {
    while (!signal.aborted) {
      const startedAt = performance.now();
      const look = await lookAtProcess(db, id, since).catch((error: unknown) => {
        if (!isConnectionFault(error)) throw error;
        onAway(error);
        return undefined;
      });
      if (look === null) return;
      if (look) {
        since = look.at;
        const isLast = look.finished_at !== null;
        // The last time every task: what slipped through the looks before is in this one.
        onLook(isLast ? ((await lookAtProcess(db, id, null)) ?? look) : look);
        if (isLast) return;
      }
      const tookMs = performance.now() - startedAt;
      await sleep(Math.max(lookEveryMsMin, tookMs * pauseFactor), undefined, { signal }).catch(() => {});
      await bell.wait(lookEveryMs, signal);
    }
  } finally {
    bell.close();
  }
}

/** Rings when something has happened in the queue. Level-triggered: what rang while nobody waited still counts. */
function createBell(db: Database) {
  let rang = false;
  let wake = () => {};
  const unsubscribe = db.hints.subscribe(() => {
    rang = true;
    wake();
  });
  return {
    async wait(ms: number, signal: AbortSignal) {
      if (!rang && !signal.aborted) {
        const woken = new AbortController();
        wake = () => woken.abort();
        await sleep(ms, undefined, { signal: AbortSignal.any([woken.signal, signal]) }).catch(() => {});
      }
      rang = false;
    },
    close: unsubscribe,
  };
}
