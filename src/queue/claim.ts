/**
 * Claim: hands due tasks to workers, each to one, and the same again to who asks again. The SQL, and why it has
 * its shape, is in claim-statement.ts.
 */
import { crashPoint } from '../core/crash-point.ts';
import { type Database, inTransaction } from '../database/connection.ts';
import { type ClaimSelection, claimStatement, type Line } from './claim-statement.ts';
import { type ClaimedRow, claimedColumns, type TakenTask, toTakenTask } from './claimed-task.ts';

/** One worker's part of a claim. */
export interface ClaimPart {
  limit: number;
  /** How many start at once; the rest are held ahead. */
  startLimit: number;
  worker: string;
  leaseMs: number;
  timeoutGraceMs: number;
  claimId: string;
  /** The claim id came from outside and may have been used before: look first. */
  mayRepeat: boolean;
}

export interface Claimed {
  /** For each part, what it got. */
  parts: TakenTask[][];
  /** Lines with unclaimed items, as seen when the claim began; null when they were handed in. */
  lines: Line[] | null;
  /** When nothing was taken: how long until the next item is due; null: none is known. */
  nextDueMs: number | null;
  /** When nothing was taken: there was a due item, but somebody had it locked, perhaps only to look. */
  passedOver: boolean;
  /** For each line taken from, the `available_at` of the last item taken. */
  taken: Line[];
}

export async function claimTasks(
  db: Database,
  selection: ClaimSelection,
  parts: ClaimPart[],
): Promise<Claimed> {
  if (!parts.some((part) => part.mayRepeat)) return claimOnce(db.pool, selection, parts);
  const claimed = await inTransaction(db, async (tx) => {
    const repeats = parts.filter((part) => part.mayRepeat);
    const claimIds = repeats.map((part) => part.claimId);
    // Two requests with one id, at once, at two replicas: the second waits, then finds what the first took.
    await tx.query(
      'select pg_advisory_xact_lock(hashtextextended(id, 0)) from (select unnest($1::text[]) as id order by 1) as ids',
      [claimIds],
    );
    crashPoint('claim_id_locked');
    // Their items will be locked: before items come processes, as for everybody.
    await tx.query(
      `select from skipjack.processes where id in (
         select process_id from skipjack.queue_items where claim_id = any ($1::uuid[])
       ) order by id for no key update`,
      [claimIds],
    );
    crashPoint('claim_processes_locked');
    const held = await findHeld(tx, repeats);
    crashPoint('claim_held_read');
    const open = parts.map((part) => (held.has(part.claimId) ? { ...part, limit: 0, startLimit: 0 } : part));
    const others = await claimOnce(tx, selection, open);
    crashPoint('claim_done');
    return {
      ...others,
      parts: others.parts.map((tasks, index) => held.get(parts[index]?.claimId ?? '') ?? tasks),
    };
  });
  crashPoint('claim_committed');
  return claimed;
}

async function claimOnce(
  client: Pick<Database['pool'], 'query'>,
  selection: ClaimSelection,
  parts: ClaimPart[],
): Promise<Claimed> {
  const limit = parts.reduce((sum, part) => sum + part.limit, 0);
  let next = 0;
  const ranges = parts.map((part, index) => {
    const first = next + 1;
    next += part.limit;
    return {
      part: index,
      first,
      last: next,
      last_started: first + part.startLimit - 1,
      worker: part.worker,
      lease_ms: part.leaseMs,
      grace_ms: part.timeoutGraceMs,
      claim_id: part.claimId,
    };
  });
  const { lines, filter } = selection;
  const { text, values } = claimStatement({ selection, limit, ranges: JSON.stringify(ranges) });
  const { rows } = await client.query<{
    tasks: (ClaimedRow & { part: number })[] | null;
    lines: Line[] | null;
    next_due_ms: number | null;
    passed_over: boolean | null;
  }>(text, values);
  const tasks = rows[0]?.tasks ?? [];
  const answer: TakenTask[][] = parts.map(() => []);
  const taken = new Map<string, Line>();
  for (const row of tasks) {
    answer[row.part]?.push(toTakenTask(row));
    taken.set(`${row.priority} ${row.queue}`, {
      queue: row.queue,
      priority: row.priority,
      floor_us: row.available_at_us,
    });
  }
  return {
    parts: answer,
    lines: lines === null ? (rows[0]?.lines ?? []) : null,
    nextDueMs: rows[0]?.next_due_ms ?? null,
    passedOver: rows[0]?.passed_over ?? false,
    // What a filter passed over is still there: a floor may not rise above it.
    taken: filter ? [] : [...taken.values()],
  };
}

/**
 * The tasks still held under these claim ids, their leases begun anew: who asks again counts from now. Locked in
 * the order of their ids, as settle does. Served by `queue_items_claim_id`.
 */
async function findHeld(
  client: Pick<Database['pool'], 'query'>,
  parts: ClaimPart[],
): Promise<Map<string, TakenTask[]>> {
  const asked = parts.map((part) => ({
    claim_id: part.claimId,
    lease_ms: part.leaseMs,
    grace_ms: part.timeoutGraceMs,
  }));
  const { rows } = await client.query<{ claim_id: string; task: ClaimedRow }>(
    `with asked as materialized (
       select * from jsonb_to_recordset($1::jsonb) as asked (claim_id uuid, lease_ms bigint, grace_ms bigint)
       limit ${asked.length}
     ), held as materialized (
       select item.task_id, asked.lease_ms, asked.grace_ms
       from asked
       join skipjack.queue_items as item on item.claim_id = asked.claim_id
       where item.worker is not null
       order by item.task_id
       for no key update of item
     ), claimed as (
       update skipjack.queue_items as item set
         lease_expires_at = least(
           clock_timestamp() + held.lease_ms * interval '1 millisecond',
           item.started_at + (item.timeout_ms + held.grace_ms) * interval '1 millisecond')
       from held
       where item.task_id = held.task_id
       returning item.*
     )
     select claimed.claim_id, jsonb_build_object(${claimedColumns('claimed')}) as task
     from claimed
     cross join lateral (select * from skipjack.tasks as task where task.id = claimed.task_id limit 1) as task
     order by claimed.priority desc, claimed.available_at, claimed.task_id`,
    [JSON.stringify(asked)],
  );
  const held = new Map<string, TakenTask[]>();
  for (const row of rows) held.set(row.claim_id, [...(held.get(row.claim_id) ?? []), toTakenTask(row.task)]);
  return held;
}
