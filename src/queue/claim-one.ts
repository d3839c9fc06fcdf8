/**
 * Claims one task by its id: for people who pick from a list. Held to the same rules as any claim: due, not
 * held by another, its queue not paused. The update waits for whoever has the row and judges it as it is then.
 */
import type { Database } from '../database/connection.ts';
import type { ClaimPart } from './claim.ts';
import { type ClaimedRow, claimedColumns, type TakenTask, toTakenTask } from './claimed-task.ts';

export type ClaimOneResult =
  | { kind: 'claimed'; task: TakenTask }
  | { kind: 'already_claimed'; worker: string; leaseExpiresAt: string }
  | { kind: 'not_due'; availableAt: string }
  | { kind: 'queue_paused'; queue: string }
  | { kind: 'process_paused'; processId: string }
  | { kind: 'ended'; state: string }
  | { kind: 'not_found' };

export async function claimTask(
  db: Database,
  taskId: string,
  part: Pick<ClaimPart, 'worker' | 'leaseMs' | 'timeoutGraceMs' | 'claimId'>,
): Promise<ClaimOneResult> {
  const { rows } = await db.pool.query<{ task: ClaimedRow }>(
    `with claimed as (
       update skipjack.queue_items as item set
         claim_no = item.claim_no + 1, worker = $2, claim_id = $3,
         claimed_at = clock.at, started_at = clock.at,
         deadline_at = clock.at + item.timeout_ms * interval '1 millisecond',
         lease_expires_at = least(
           clock.at + $4 * interval '1 millisecond',
           clock.at + (item.timeout_ms + $5) * interval '1 millisecond')
       from (select clock_timestamp() as at) as clock
       where item.task_id = $1 and item.worker is null and not item.held and item.available_at <= clock_timestamp()
         and not exists (select from skipjack.queues as line where line.name = item.queue and line.paused)
       returning item.*
     )
     select jsonb_build_object(${claimedColumns('claimed')}) as task
     from claimed join skipjack.tasks as task on task.id = claimed.task_id`,
    [taskId, part.worker, part.claimId, part.leaseMs, part.timeoutGraceMs],
  );
  if (rows[0]) return { kind: 'claimed', task: toTakenTask(rows[0].task) };
  return explainRefusal(db, taskId, part);
}

async function explainRefusal(
  db: Database,
  taskId: string,
  part: Pick<ClaimPart, 'claimId'>,
): Promise<ClaimOneResult> {
  const { rows } = await db.pool.query<{
    state: string;
    queue: string;
    worker: string | null;
    claim_id: string | null;
    lease_expires_at: Date | null;
    available_at: Date | null;
    process_id: string | null;
    held: boolean | null;
    paused: boolean;
    task: ClaimedRow | null;
  }>(
    `select task.state, task.queue, item.worker, item.claim_id, item.lease_expires_at, item.available_at,
       task.process_id, item.held,
       exists (select from skipjack.queues as line where line.name = task.queue and line.paused) as paused,
       case when item.worker is not null then jsonb_build_object(${claimedColumns('item')}) end as task
     from skipjack.tasks as task
     left join skipjack.queue_items as item on item.task_id = task.id
     where task.id = $1`,
    [taskId],
  );
  const row = rows[0];
  if (!row) return { kind: 'not_found' };
  if (row.state !== 'active') return { kind: 'ended', state: row.state };
  if (row.task && row.claim_id === part.claimId) return { kind: 'claimed', task: toTakenTask(row.task) };
  if (row.worker !== null) {
    return {
      kind: 'already_claimed',
      worker: row.worker,
      leaseExpiresAt: row.lease_expires_at?.toISOString() ?? '',
    };
  }
  if (row.held) return { kind: 'process_paused', processId: row.process_id ?? '' };
  if (row.paused) return { kind: 'queue_paused', queue: row.queue };
  return { kind: 'not_due', availableAt: row.available_at?.toISOString() ?? '' };
}
