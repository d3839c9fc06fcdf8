import { withJitter } from '../core/backoff.ts';
import { hasEnded } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { findEnded, markAwaited } from './read-tasks.ts';

/** Those who wait for tasks to end. Waiters for the same task share one query; all share one poll. */
export function createEndWaiters(db: Database, pollIntervalMs: number) {
  const waiting = new Map<string, Set<() => void>>();
  let timer: NodeJS.Timeout | null = null;

  async function look(ids: string[]) {
    const ended = await findEnded(db, ids).catch(() => []);
    for (const id of ended) for (const wake of waiting.get(id) ?? []) wake();
  }

  function arm() {
    if (timer || waiting.size === 0) return;
    timer = setTimeout(async () => {
      await look([...waiting.keys()]);
      timer = null;
      arm();
    }, withJitter(pollIntervalMs));
  }

  return {
    onHint(ended: string[] | null) {
      // Null: hints may have been missed.
      if (ended === null) {
        if (waiting.size > 0) void look([...waiting.keys()]);
        return;
      }
      for (const id of ended) for (const wake of waiting.get(id) ?? []) wake();
    },
    async wait(taskId: string, { waitMs, signal }: { waitMs: number; signal?: AbortSignal }) {
      let wake = () => {};
      const ended = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const timeout = setTimeout(wake, signal?.aborted ? 0 : waitMs);
      signal?.addEventListener('abort', wake);
      // In line before the mark is set: an end between the two is announced to us.
      const others = waiting.get(taskId) ?? new Set();
      waiting.set(taskId, others.add(wake));
      arm();
      try {
        const state = await markAwaited(db, taskId);
        if (state === null) return 'not_found';
        if (hasEnded(state)) return 'ended';
        await ended;
        const [over] = await findEnded(db, [taskId]);
        return over === undefined ? 'waiting' : 'ended';
      } finally {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', wake);
        others.delete(wake);
        if (others.size === 0) waiting.delete(taskId);
      }
    },
    close() {
      if (timer) clearTimeout(timer);
      for (const wakes of waiting.values()) for (const wake of wakes) wake();
    },
  };
}
