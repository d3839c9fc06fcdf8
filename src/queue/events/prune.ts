/**
 * Prune: deletes events that came long ago, kept ones and taken ones, with their idempotency keys, oldest first, a
 * bounded number a statement.
 *
 * One that an engine has yet to hand to a task stays, however old: a process may have been paused meanwhile. It never
 * waits: events that somebody else is taking or deleting are passed over.
 */
import type { Database } from '../../database/connection.ts';

export const eventRetentionMsDefault = 7 * 24 * 3_600_000;

/** Payloads have up to a megabyte each. */
const batchRows = 500;

/** Deletes events older than `retentionMs` until there are none, or `signal` is aborted. Answers how many. */
export async function pruneEvents(
  db: Database,
  { retentionMs, signal }: { retentionMs: number; signal?: AbortSignal },
): Promise<number> {
  let pruned = 0;
  let after = { at: '-infinity', id: '00000000-0000-0000-0000-000000000000' };
  while (!signal?.aborted) {
    const { rows } = await db.pool.query<{ at: string; id: string; deleted: number }>(
      `with old as materialized (
         select id, created_at from skipjack.events
         -- By a time that stands still: the index is read no further.
         where created_at < now() - $3 * interval '1 millisecond'
           and (created_at, id) > ($1::timestamptz, $2::uuid)
         order by created_at, id
         limit ${batchRows}
       ), mine as materialized (
         select id from skipjack.events
         where id = any (array(select id from old))
           and id not in (select (details ->> 'event_id')::uuid from skipjack.engine_items where kind = 'event')
         order by id
         for update skip locked
       ), keys as (
         delete from skipjack.idempotency_keys where made_id = any (array(select id from mine)) and scope = 'event'
       ), deleted as (
         delete from skipjack.events where id = any (array(select id from mine)) returning id
       )
       select created_at::text as at, id, (select count(*)::integer from deleted) as deleted
       from old order by created_at desc, id desc limit 1`,
      [after.at, after.id, retentionMs],
    );
    const last = rows[0];
    if (!last) break;
    pruned += last.deleted;
    after = last;
  }
  return pruned;
}
