/**
 * Settle: ends attempts, any mix of outcomes for any number of tasks and processes.
 *
 * The fence: an item is ours only by (task_id, claim_no). Zero rows for a claim number is an answer: the record
 * says whether this very outcome had been settled before (`repeated`) or the claim is lost. Tasks that stand
 * alone take one statement; those of processes a short transaction that locks the processes first, for what is
 * decided must be decided on a snapshot from after the wait. The SQL is in settle-statement.ts.
 */

import { crashPoint } from '../core/crash-point.ts';
import type { Verdict } from '../core/outcomes.ts';
import type { Outcome, SettleResult } from '../core/task-source.ts';
import { type Database, inTransaction, type Transaction } from '../database/connection.ts';
import type { Hint } from '../database/hints.ts';
import { claimKey } from './claim-key.ts';
import { lockProcesses } from './processes/lock.ts';
import { stopProcesses } from './processes/stop.ts';
import { settleStatement } from './settle-statement.ts';
import { announceSettled, type Settled } from './settled.ts';

/** A worker's outcome with the claim it speaks of, or the reaper's word that a claim is lost. */
export type ClaimOutcome = { taskId: string; claimNo: number; processId?: string | null } & (
  | Outcome
  | { kind: 'lost' }
);

export interface SettledRow {
  task_id: string;
  claim_no: number;
  state: 'active' | 'completed' | 'failed' | 'cancelled';
  verdict: Verdict;
  attempt: Settled['attempt'];
  next_try_at: string | null;
  awaited: boolean;
  queue: string;
  priority: number;
  wait_ms: number | null;
  run_ms: number | null;
}

interface SettleAnswer extends Advanced {
  settled: SettledRow[] | null;
}

/** Answers in the order of `outcomes`. The same claim twice in one call: the first counts. */
export async function settleTasks(db: Database, outcomes: ClaimOutcome[]): Promise<SettleResult[]> {
  const firsts = new Map<string, ClaimOutcome>();
  for (const outcome of outcomes) if (!firsts.has(keyOf(outcome))) firsts.set(keyOf(outcome), outcome);
  const [alone, inProcesses] = [false, true].map((isInProcess) =>
    [...firsts.values()].filter((outcome) => Boolean(outcome.processId) === isInProcess),
  ) as [ClaimOutcome[], ClaimOutcome[]];
  const rows = [
    ...(alone.length > 0 ? await settleAlone(db, alone) : []),
    ...(inProcesses.length > 0 ? await settleInProcesses(db, inProcesses) : []),
  ];
  const settled = new Map(rows.map((row) => [firsts.get(claimKey(row.task_id, row.claim_no)), row]));
  const missing = outcomes.filter((outcome) => !settled.has(outcome));
  const known = missing.length > 0 ? await readRecords(db, missing) : new Map<string, KnownRow>();
  return outcomes.map((outcome) => {
    const row = settled.get(outcome);
    if (!row) return explainMissing(outcome, known.get(idOf(outcome)));
    return {
      kind: 'settled',
      state: row.state,
      nextTryAt: row.next_try_at === null ? null : new Date(row.next_try_at).toISOString(),
      repeated: false,
    };
  });
}

/** Postgres answers ids in lower case, however they were asked for. */
function idOf(outcome: ClaimOutcome): string {
  return outcome.taskId.toLowerCase();
}

function keyOf(outcome: ClaimOutcome): string {
  return claimKey(idOf(outcome), outcome.claimNo);
}

async function settleAlone(db: Database, outcomes: ClaimOutcome[]): Promise<SettledRow[]> {
  const { text, values } = settleStatement(outcomes, { inProcesses: false });
  const { rows } = await db.pool.query<SettleAnswer>(text, values);
  const settled = rows[0]?.settled ?? [];
  for (const hint of hintsOf(settled)) db.hints.announce(hint);
  announceSettled(db, settled.map(toSettled));
  return settled;
}

async function settleInProcesses(db: Database, outcomes: ClaimOutcome[]): Promise<SettledRow[]> {
  const processIds = outcomes.map((outcome) => outcome.processId as string);
  const { settled, hints } = await inTransaction(db, async (tx) => {
    const needEngine = await lockProcesses(tx, processIds);
    crashPoint('settle_locked');
    return settleLocked(tx, outcomes, { withEngine: needEngine.size > 0 });
  });
  crashPoint('settle_committed');
  for (const hint of hints) db.hints.announce(hint);
  announceSettled(db, settled.map(toSettled));
  return settled;
}

/**
 * Settles tasks of processes that the caller has locked in an earlier statement of this transaction. The hints,
 * and what to announce as settled, are for after the commit.
 */
export async function settleLocked(
  tx: Transaction,
  outcomes: ClaimOutcome[],
  /** Some of the processes need an engine: see `lockProcesses`. */
  { withEngine }: { withEngine: boolean },
): Promise<{ settled: SettledRow[]; hints: Hint[] }> {
  const { text, values } = settleStatement(outcomes, { inProcesses: true, withEngine });
  const { rows } = await tx.query<SettleAnswer>(text, values);
  crashPoint('settle_done');
  const settled = rows[0]?.settled ?? [];
  return { settled, hints: [...hintsOf(settled), ...(await followUp(tx, rows[0], { withEngine }))] };
}

/** What a statement says that ended tasks of locked processes and advanced those that go on. */
export interface Advanced {
  /** `left_over`: unfinished tasks; `awaited`: somebody waits for its end, and it has come with the last of them. */
  processes: { id: string; fails: boolean; fail_fast: boolean; left_over: number; awaited: boolean }[] | null;
  lines: [string, number][] | null;
}

/** Stops the processes that have failed by it. Answers the hints to give after the commit. */
export async function followUp(
  tx: Transaction,
  advanced: Advanced | undefined,
  { withEngine }: { withEngine: boolean },
): Promise<Hint[]> {
  const processes = advanced?.processes ?? [];
  const failing = processes.filter((process) => process.fails && process.left_over > 0);
  const hints = await stopProcesses(tx, {
    whole: failing.filter((process) => process.fail_fast).map((process) => process.id),
    behindFailures: failing.filter((process) => !process.fail_fast).map((process) => process.id),
    withEngine,
  });
  const ended = processes.filter((process) => process.left_over === 0 && process.awaited);
  if (ended.length > 0) hints.push({ ended: ended.map((process) => process.id) });
  const lines = advanced?.lines ?? [];
  if (lines.length > 0) hints.push({ lines });
  return hints;
}

function hintsOf(rows: SettledRow[]): Hint[] {
  const ended = rows.filter((row) => row.awaited && row.state !== 'active').map((row) => row.task_id);
  const lines = rows
    .filter((row) => row.state === 'active')
    .map((row): [string, number] => [row.queue, row.priority]);
  return [
    ...(ended.length > 0 ? [{ ended }] : []),
    ...(lines.length > 0 ? [{ lines, putBack: rows.some((row) => row.verdict === 'again') }] : []),
  ];
}

export function toSettled({ queue, verdict, attempt, wait_ms, run_ms }: SettledRow): Settled {
  const ended = verdict === 'retry' || verdict === 'again' ? null : verdict;
  return { queue, attempt, ended, waitMs: wait_ms, runMs: run_ms };
}

interface KnownRow {
  id: string;
  state: string;
  /** Of the last claim, and who made it; null when it was given back and nobody has claimed since. */
  claim_no: number;
  worker: string | null;
  recorded: { claim_no: number; outcome: string }[];
}

/** What the record says of tasks whose claim was not there to settle. */
async function readRecords(db: Database, outcomes: ClaimOutcome[]): Promise<Map<string, KnownRow>> {
  const { rows } = await db.pool.query<KnownRow>(
    `select task.id, task.state, coalesce(item.claim_no, task.claim_no) as claim_no,
       case when item.task_id is null then task.worker else item.worker end as worker,
       coalesce((select jsonb_agg(jsonb_build_object('claim_no', attempt.claim_no, 'outcome', attempt.outcome))
         from skipjack.attempts as attempt where attempt.task_id = task.id), '[]') as recorded
     from skipjack.tasks as task
     left join skipjack.queue_items as item on item.task_id = task.id
     where task.id = any ($1::uuid[])`,
    [outcomes.map((outcome) => outcome.taskId)],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** The same claim with the same outcome, settled before: the answer had been lost. Anything else: the claim is. */
function explainMissing(outcome: ClaimOutcome, known: KnownRow | undefined): SettleResult {
  if (!known) return { kind: 'not_found' };
  const { state } = known;
  if (wasSettledSo(outcome, known)) {
    const settledState = state as 'active' | 'completed' | 'failed' | 'cancelled';
    return { kind: 'settled', state: settledState, nextTryAt: null, repeated: true };
  }
  return state === 'active' ? { kind: 'lease_lost' } : { kind: 'already_settled', state };
}

/** By the traces that each outcome leaves: see `verdict` and `recorded` above. */
function wasSettledSo({ kind, claimNo }: ClaimOutcome, known: KnownRow): boolean {
  const recorded = known.recorded.find((attempt) => attempt.claim_no === claimNo)?.outcome;
  const isLast = known.claim_no === claimNo;
  switch (kind) {
    case 'completed':
      return isLast && known.state === 'completed';
    case 'released':
    case 'cancelled': {
      // Under a cancel request either ended the task; without one either gave it back, and left no attempt.
      const endedIt = known.state === 'cancelled' && known.worker !== null;
      const gaveItBack = known.worker === null && recorded === undefined;
      return isLast && (endedIt || gaveItBack);
    }
    default:
      return recorded === kind || recorded === 'cancelled';
  }
}
