import { withJitter } from '../core/backoff.ts';
import { hasProcessEnded } from '../core/process.ts';
import { hasEnded } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { findEnded, markAwaited, markProcessAwaited } from './awaited.ts';

export type Awaited = 'task' | 'process';

/** Those who wait for tasks and processes to end. Waiters for the same one share one query; all share one poll. */
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

  async function isTaskOver(id: string): Promise<boolean | null> {
    const state = await markAwaited(db, id);
    return state === null ? null : hasEnded(state);
  }

  async function isProcessOver(id: string): Promise<boolean | null> {
    const state = await markProcessAwaited(db, id);
    return state === null ? null : hasProcessEnded(state);
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
    async wait(
      what: Awaited,
      givenId: string,
      { waitMs, signal }: { waitMs: number; signal?: AbortSignal },
    ): Promise<'ended' | 'waiting' | 'not_found'> {
      // As Postgres writes it: ends are announced so.
      const id = givenId.toLowerCase();
      let wake = () => {};
      const ended = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const timeout = setTimeout(wake, signal?.aborted ? 0 : waitMs);
      signal?.addEventListener('abort', wake);
      // In line before the mark is set: an end between the two is announced to us.
      const others = waiting.get(id) ?? new Set();
      waiting.set(id, others.add(wake));
      arm();
      try {
        const isOver = await (what === 'task' ? isTaskOver(id) : isProcessOver(id));
        if (isOver === null) return 'not_found';
        if (isOver) return 'ended';
        await ended;
        const [over] = await findEnded(db, [id]);
        return over === undefined ? 'waiting' : 'ended';
      } finally {
        clearTimeout(timeout);
        signal?.removeEventListener('abort', wake);
        others.delete(wake);
        if (others.size === 0) waiting.delete(id);
      }
    },
    close() {
      if (timer) clearTimeout(timer);
      for (const wakes of waiting.values()) for (const wake of wakes) wake();
    },
  };
}
