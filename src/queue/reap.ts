/**
 * Reap: settles as lost what is claimed and whose lease ran out.
 *
 * Candidates are read without a lock and settled with the extra condition that the lease is *still* expired,
 * so a heartbeat or an outcome that comes between wins. Served by `queue_items_claimed`, which holds only what
 * is claimed. One replica at a time looks (an advisory lock that lasts for the statement); the others skip the
 * turn, so ten replicas cost what one does.
 */
import type { Database } from '../database/connection.ts';
import { settleTasks } from './settle.ts';

/** Read by the reaper of every replica: any constant of our own. */
const advisoryLock = 7_364_118_522;
const batchMax = 1_000;

/** Settles up to 1,000 expired claims. Answers how many were taken from their workers. */
export async function reapExpiredClaims(db: Database): Promise<number> {
  const { rows } = await db.pool.query<{ task_id: string; claim_no: number; process_id: string | null }>(
    `with turn as materialized (select pg_try_advisory_xact_lock(${advisoryLock}) as is_mine)
     select item.task_id, item.claim_no, item.process_id
     from turn
     cross join lateral (
       select task_id, claim_no, process_id
       from skipjack.queue_items
       where turn.is_mine and worker is not null and lease_expires_at < clock_timestamp()
       limit ${batchMax}
     ) as item`,
  );
  if (rows.length === 0) return 0;
  const results = await settleTasks(
    db,
    rows.map((row) => ({
      taskId: row.task_id,
      claimNo: row.claim_no,
      processId: row.process_id,
      kind: 'lost',
    })),
  );
  return results.filter((result) => result.kind === 'settled' && !result.repeated).length;
}
