/**
 * Heartbeat: extends many leases in one statement, and tells each whether to go on.
 *
 * It never waits: an item that somebody else has locked is passed over and read again without a lock in the
 * next statement, whose snapshot is fresh; such a lease is `busy`, never lost. A lease is never extended past
 * the deadline, so a worker that beats but hangs loses the task all the same; that it beat past the deadline is
 * noted (`overdue`), for only then is the loss its timeout and not a crash. Writes only columns that no index
 * holds: the update stays HOT, where the page has room for the progress that came along.
 */
import type { Json } from '../core/json.ts';
import type { HeartbeatResult } from '../core/task-source.ts';
import type { Database } from '../database/connection.ts';
import { claimKey } from './claim-key.ts';

export interface Beat {
  taskId: string;
  claimNo: number;
  /** The attempt has started; the first such beat sets the deadline. */
  started: boolean;
  leaseMs: number;
  timeoutGraceMs: number;
  /** How far the attempt is; null: nothing to show any more; undefined: as before. */
  progress?: Json | undefined;
}

interface BeatRow {
  task_id: string;
  claim_no: number;
  cancel_requested: boolean;
  overdue: boolean;
  lease_expires_at: Date;
}

/** Answers in the order of `beats`. */
export async function heartbeatTasks(db: Database, beats: Beat[]): Promise<HeartbeatResult[]> {
  const { text, values } = heartbeatStatement(oneForEachClaim(beats));
  const { rows } = await db.pool.query<BeatRow>(text, values);
  const beaten = new Map(rows.map((row) => [claimKey(row.task_id, row.claim_no), row]));
  const missed = beats.filter((beat) => !beaten.has(keyOf(beat)));
  const held = missed.length > 0 ? await readHeld(db, missed) : new Set<string>();
  return beats.map((beat) => {
    const row = beaten.get(keyOf(beat));
    if (!row) return held.has(keyOf(beat)) ? { kind: 'busy' } : { kind: 'gone' };
    if (row.cancel_requested) return { kind: 'stop', reason: 'cancelled' };
    if (row.overdue) return { kind: 'stop', reason: 'timed_out' };
    return { kind: 'extended', leaseExpiresAt: row.lease_expires_at.toISOString() };
  });
}

/** Of two beats for one claim the later counts, and neither's start nor progress is lost. */
function oneForEachClaim(beats: Beat[]): Beat[] {
  const merged = new Map<string, Beat>();
  for (const beat of beats) {
    const key = keyOf(beat);
    const earlier = merged.get(key);
    const { started, progress } = earlier ?? beat;
    merged.set(key, {
      ...beat,
      started: beat.started || started,
      progress: beat.progress === undefined ? progress : beat.progress,
    });
  }
  return [...merged.values()];
}

/** Postgres answers ids in lower case, however they were asked for. */
function keyOf(beat: Beat): string {
  return claimKey(beat.taskId.toLowerCase(), beat.claimNo);
}

/** Exported for the test that reads its plan. */
export function heartbeatStatement(beats: Beat[]): { text: string; values: unknown[] } {
  const rows = beats.map((beat) => ({
    task_id: beat.taskId,
    claim_no: beat.claimNo,
    started: beat.started,
    lease_ms: beat.leaseMs,
    grace_ms: beat.timeoutGraceMs,
    progress: beat.progress,
    progress_said: beat.progress !== undefined,
  }));
  const text = `
with beats as materialized (
  select *
  from jsonb_to_recordset($1::jsonb) as beat (
    task_id uuid, claim_no integer, started boolean, lease_ms bigint, grace_ms bigint, progress jsonb,
    progress_said boolean)
  limit ${rows.length}
), held as materialized (
  select item.task_id, beats.grace_ms, beats.lease_ms, beats.progress, beats.progress_said,
    coalesce(item.started_at, case when beats.started then clock_timestamp() end) as began_at
  from beats
  cross join lateral (
    select item.task_id, item.started_at
    from skipjack.queue_items as item
    where item.task_id = beats.task_id and item.claim_no = beats.claim_no and item.worker is not null
    limit 1
    for no key update skip locked
  ) as item
)
update skipjack.queue_items as item set
  started_at = held.began_at,
  deadline_at = held.began_at + item.timeout_ms * interval '1 millisecond',
  overdue = coalesce(held.began_at + item.timeout_ms * interval '1 millisecond' <= clock_timestamp(), false),
  lease_expires_at = least(
    clock_timestamp() + held.lease_ms * interval '1 millisecond',
    held.began_at + (item.timeout_ms + held.grace_ms) * interval '1 millisecond'),
  progress = case when held.progress_said then held.progress else item.progress end
from held
where item.task_id = held.task_id and item.task_id = any (array(select task_id from held))
returning item.task_id, item.claim_no, item.cancel_requested, item.overdue, item.lease_expires_at`;
  return { text, values: [JSON.stringify(rows)] };
}

async function readHeld(db: Database, beats: Beat[]): Promise<Set<string>> {
  const { rows } = await db.pool.query<{ task_id: string; claim_no: number }>(
    `select item.task_id, item.claim_no
     from unnest($1::uuid[], $2::integer[]) as beat (task_id, claim_no)
     join skipjack.queue_items as item using (task_id)
     where item.claim_no = beat.claim_no and item.worker is not null`,
    [beats.map((beat) => beat.taskId), beats.map((beat) => beat.claimNo)],
  );
  return new Set(rows.map((row) => claimKey(row.task_id, row.claim_no)));
}
