/**
 * Prune: deletes what logs said long ago, oldest first, a bounded number of rows a statement.
 *
 * By id, which grows with time: a batch looks at the next rows and no further. Of a claim that is held the last row
 * stays, for it says how many lines there are. It never waits: rows that somebody else is deleting are passed over.
 */
import type { Database } from '../../database/connection.ts';

export const logRetentionMsDefault = 14 * 24 * 3_600_000;

const batchRows = 500;

/** Deletes rows older than `retentionMs` until there are none, or `signal` is aborted. Answers how many. */
export async function pruneLogs(
  db: Database,
  { retentionMs, signal }: { retentionMs: number; signal?: AbortSignal },
): Promise<number> {
  let pruned = 0;
  let after = 0;
  while (!signal?.aborted) {
    const { rows } = await db.pool.query<{ last: string | null; old: number; deleted: number }>(
      `with oldest as materialized (
         select id, task_id, claim_no, first_line, at
         from skipjack.task_logs
         where id > $1
         order by id
         limit ${batchRows}
       ), old as materialized (
         select * from oldest where at < clock_timestamp() - $2 * interval '1 millisecond'
       ), mine as materialized (
         select id from skipjack.task_logs
         where id = any (array(
           select old.id from old
           where exists (
             select from skipjack.task_logs as later
             where later.task_id = old.task_id and later.claim_no = old.claim_no and later.first_line > old.first_line)
           or not exists (
             select from skipjack.queue_items as item
             where item.task_id = old.task_id and item.claim_no = old.claim_no and item.worker is not null)))
         for update skip locked
       ), deleted as (
         delete from skipjack.task_logs where id = any (array(select id from mine)) returning id
       )
       select max(id) as last, count(*)::integer as old, (select count(*)::integer from deleted) as deleted from old`,
      [after, retentionMs],
    );
    const { last = null, old = 0, deleted = 0 } = rows[0] ?? {};
    pruned += deleted;
    if (last === null || old < batchRows) break;
    after = Number(last);
  }
  return pruned;
}
