/**
 * What was settled, for those who count: each settle announces, once it is committed, what became of its attempts.
 *
 * Whoever settles over a database is heard by all who listen on it in this OS process: the queue's batches, the
 * upkeep that reaps, people who end a task by its name. An outcome whose commit was never answered is settled,
 * but not announced: at most once, for counting.
 */
import type { Database } from '../database/connection.ts';

export interface Settled {
  queue: string;
  /** As what the attempt is on record; null: it went back uncounted. */
  attempt: 'completed' | 'failed' | 'timed_out' | 'lost' | 'cancelled' | null;
  /** How it ended its task; null: the task goes on. */
  ended: 'completed' | 'failed' | 'cancelled' | 'lost_too_often' | null;
  /** Of an ended task, as in its record: from being due to being claimed, and from its start. */
  waitMs: number | null;
  runMs: number | null;
}

export type SettledListener = (settled: Settled[]) => void;

const listenersOf = new WeakMap<Database, Set<SettledListener>>();

/** Listeners run at once, in order; one that throws disturbs nobody. Returns what ends the subscription. */
export function onSettled(db: Database, listener: SettledListener): () => void {
  const listeners = listenersOf.get(db) ?? new Set();
  listenersOf.set(db, listeners);
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function announceSettled(db: Database, settled: Settled[]): void {
  if (settled.length === 0) return;
  for (const listener of listenersOf.get(db) ?? []) {
    try {
      listener(settled);
    } catch (error) {
      process.emitWarning(error instanceof Error ? error : String(error));
    }
  }
}
