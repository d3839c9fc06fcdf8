/** Pausing a queue: its tasks are not handed out until it is resumed; what runs goes on. */
import type { Database } from '../database/connection.ts';

export async function setQueuePaused(db: Database, queue: string, paused: boolean): Promise<void> {
  await db.pool.query(
    `insert into skipjack.queues as line (name, paused, changed_at) values ($1, $2, clock_timestamp())
     on conflict (name) do update set paused = excluded.paused, changed_at = excluded.changed_at
     where line.paused <> excluded.paused`,
    [queue, paused],
  );
  if (!paused) {
    // At any priority: every one of them may hold work that was not looked at.
    const lines = Array.from({ length: 10 }, (_, priority): [string, number] => [queue, priority]);
    db.hints.announce({ lines, putBack: true });
  }
}
