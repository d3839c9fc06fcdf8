/**
 * Processes whose turns ran into a time limit: they hold nobody else up.
 *
 * Whose fault it was of those that shared a turn nobody knows: each gets a turn by itself. One that takes too long then
 * is passed over for a while, longer each time, and is tried by itself again.
 */
import { reconnectDelayMs } from '../../core/backoff.ts';
import { dueProcessesMax } from '../../queue/processes/due-thoughts.ts';

interface Slow {
  times: number;
  /** By `performance.now()`. */
  until: number;
  isPassedOver: boolean;
}

const pauseMsMax = 60_000;
/** Without a turn of its own for so long, one is as good as any other. */
const forgottenAfterMs = 600_000;
const slowMax = 1_000;

export function createSlowProcesses() {
  const slow = new Map<string, Slow>();
  /** So many turns are of one process. */
  let singles = 0;

  /** The pauses that are over end; what had them is tried by itself. */
  function letGo() {
    const now = performance.now();
    for (const [id, each] of slow) {
      if (each.until + forgottenAfterMs <= now) slow.delete(id);
      if (!each.isPassedOver || each.until > now) continue;
      each.isPassedOver = false;
      singles = Math.max(singles, 1);
    }
  }

  return {
    /** What the next turn may take. */
    next(): { passOver: string[]; processesMax: number } {
      letGo();
      return {
        passOver: [...slow].flatMap(([id, { isPassedOver }]) => (isPassedOver ? id : [])),
        processesMax: singles > 0 ? 1 : dueProcessesMax,
      };
    },
    /** Until one of them is tried again; null: none is passed over. */
    nextTryMs(): number | null {
      const untils = [...slow.values()].flatMap(({ isPassedOver, until }) => (isPassedOver ? until : []));
      return untils.length > 0 ? Math.max(0, Math.min(...untils) - performance.now()) : null;
    },
    turnEnded() {
      singles = Math.max(0, singles - 1);
    },
    turnTimedOut(processIds: string[]) {
      const [id] = processIds;
      if (id === undefined || processIds.length > 1) {
        singles = processIds.length;
        return;
      }
      singles = Math.max(0, singles - 1);
      const times = (slow.get(id)?.times ?? 0) + 1;
      const pauseMs = reconnectDelayMs(times, { firstMs: 1_000, maxMs: pauseMsMax });
      slow.delete(id);
      slow.set(id, { times, until: performance.now() + pauseMs, isPassedOver: true });
      for (const oldest of slow.keys()) {
        if (slow.size <= slowMax) break;
        slow.delete(oldest);
      }
    },
  };
}
