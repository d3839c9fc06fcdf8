/**
 * Processes whose turns ran into a time limit: they hold nobody else up.
 *
 * Whose fault it was of those that shared a turn nobody knows: each is a suspect until it has had a turn by itself. One
 * that takes too long then is passed over for a while, longer each time, and is a suspect again.
 */
import { reconnectDelayMs } from '../../core/backoff.ts';
import { dueProcessesMax } from '../../queue/processes/due-thoughts.ts';

interface Slow {
  /** How often it took too long by itself. */
  times: number;
  isSuspect: boolean;
  /** By `performance.now()`: a suspect is forgotten then, another engine may have had it; another is a suspect. */
  until: number;
}

const firstPauseMs = 1_000;
const pauseMsMax = 60_000;
const suspectedForMs = 120_000;
const slowMax = 1_000;

export function createSlowProcesses() {
  const slow = new Map<string, Slow>();

  function suspect(id: string, times: number) {
    slow.set(id, { times, isSuspect: true, until: performance.now() + suspectedForMs });
  }

  return {
    /** What the next turn may take. */
    next(): { passOver: string[]; processesMax: number } {
      const now = performance.now();
      for (const [id, { times, isSuspect, until }] of slow) {
        if (until > now) continue;
        if (isSuspect) slow.delete(id);
        else suspect(id, times);
      }
      const all = [...slow];
      return {
        passOver: all.flatMap(([id, { isSuspect }]) => (isSuspect ? [] : id)),
        processesMax: all.some(([, { isSuspect }]) => isSuspect) ? 1 : dueProcessesMax,
      };
    },
    /** Until one that is passed over may be tried again; null: there is none. */
    nextTryMs(): number | null {
      const untils = [...slow.values()].flatMap(({ isSuspect, until }) => (isSuspect ? [] : until));
      return untils.length > 0 ? Math.max(0, Math.min(...untils) - performance.now()) : null;
    },
    turnEnded(processIds: string[]) {
      for (const id of processIds) slow.delete(id);
    },
    turnTimedOut(processIds: string[]) {
      for (const id of processIds) {
        const times = (slow.get(id)?.times ?? 0) + (processIds.length === 1 ? 1 : 0);
        slow.delete(id);
        if (processIds.length > 1) suspect(id, times);
        else {
          const pauseMs = reconnectDelayMs(times, { firstMs: firstPauseMs, maxMs: pauseMsMax });
          slow.set(id, { times, isSuspect: false, until: performance.now() + pauseMs });
        }
      }
      for (const oldest of slow.keys()) {
        if (slow.size <= slowMax) break;
        slow.delete(oldest);
      }
    },
  };
}
