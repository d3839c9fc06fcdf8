import { withJitter } from '../core/backoff.ts';
import { createBatcher } from '../core/batching.ts';
import type { Database } from '../database/connection.ts';
import { findEnded, markProcessesAwaited, markTasksAwaited } from './awaited.ts';

export type Awaited = 'task' | 'process';

/** After which one is marked that somebody held. */
const heldMs = 40;

/**
 * Those who wait for tasks and processes to end. All who come, go or are woken in the same moment share one query, and
 * all share one poll: however many wait, they take a few connections at most.
 */
export function createEndWaiters(db: Database, pollIntervalMs: number) {
  const waiting = new Map<string, Set<() => void>>();
  let timer: NodeJS.Timeout | null = null;

  const marks = {
    task: shared((ids) => markTasksAwaited(db, ids)),
    process: shared((ids) => markProcessesAwaited(db, ids)),
  };
  const looks = shared(async (ids) => {
    const ended = new Set(await findEnded(db, ids));
    return ids.map((id) => ended.has(id));
  });

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

  async function mark(what: Awaited, id: string): Promise<'marked' | 'held' | 'ended' | 'not_found'> {
    const found = await marks[what].add(id);
    if (found === null) return 'not_found';
    if (found.isOver) return 'ended';
    return found.isMarked ? 'marked' : 'held';
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
      let isAwake = false;
      let wake = () => {};
      const ended = new Promise<void>((resolve) => {
        wake = () => {
          isAwake = true;
          resolve();
        };
      });
      const timeout = setTimeout(wake, signal?.aborted ? 0 : waitMs);
      signal?.addEventListener('abort', wake);
      // In line before the mark is set: an end between the two is announced to us.
      const others = waiting.get(id) ?? new Set();
      waiting.set(id, others.add(wake));
      arm();
      try {
        let standing = await mark(what, id);
        // Bounded by the time that is waited.
        while (standing === 'held' && !isAwake) {
          await Promise.race([ended, pause(withJitter(heldMs))]);
          standing = await mark(what, id);
        }
        if (standing === 'not_found' || standing === 'ended') return standing;
        await ended;
        return (await looks.add(id)) ? 'ended' : 'waiting';
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

/** Answers all who ask in the same moment by one query, in which each id stands once. */
function shared<Answer>(ask: (ids: string[]) => Promise<Answer[]>) {
  return createBatcher({
    flush: async (ids: string[]) => {
      const once = [...new Set(ids)];
      const answers = await ask(once);
      const byId = new Map(once.map((id, index) => [id, answers[index] as Answer]));
      return ids.map((id) => byId.get(id) as Answer);
    },
  });
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
