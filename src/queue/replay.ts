/**
 * Replay: a dead letter's task goes back on its queue with a new budget of attempts and losses. The letter is
 * marked, not deleted, and its earlier attempts stay. Claim numbers go on from where they were, so that no
 * token of the earlier life fits the new one. Two at once: the row lock lets one win, the other sees the mark.
 */
import { type Database, inTransaction, type Transaction } from '../database/connection.ts';

export type ReplayResult =
  | { kind: 'replayed' }
  | { kind: 'already_replayed'; replayedAt: string }
  | { kind: 'not_found' };

export async function replayDeadLetter(db: Database, taskId: string): Promise<ReplayResult> {
  let line: [string, number] | undefined;
  const result = await inTransaction(db, async (tx): Promise<ReplayResult> => {
    const { rows } = await tx.query<{ replayed_at: Date | null }>(
      'select replayed_at from skipjack.dead_letters where task_id = $1 for update',
      [taskId],
    );
    if (!rows[0]) return { kind: 'not_found' };
    if (rows[0].replayed_at)
      return { kind: 'already_replayed', replayedAt: rows[0].replayed_at.toISOString() };
    [line] = await revive(tx, [taskId]);
    return { kind: 'replayed' };
  });
  if (line) db.hints.announce({ lines: [line], putBack: true });
  return result;
}

export interface DeadLetterFilter {
  queue?: string;
  name?: string;
  reason?: 'failed' | 'lost_too_often';
  failedAfter?: Date;
  failedBefore?: Date;
}

/** One bounded batch of a replay by filter: oldest first, locked ones passed over. Answers the ids. */
export async function replayDeadLetters(
  db: Database,
  filter: DeadLetterFilter,
  { limit, dryRun }: { limit: number; dryRun: boolean },
): Promise<string[]> {
  const { text, values } = waitingLetters(filter);
  if (dryRun) {
    const { rows } = await db.pool.query<{ task_id: string }>(`${text} limit ${Number(limit)}`, values);
    return rows.map((row) => row.task_id);
  }
  let lines: [string, number][] = [];
  const ids = await inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ task_id: string }>(
      `${text} limit ${Number(limit)} for update skip locked`,
      values,
    );
    const taskIds = rows.map((row) => row.task_id);
    lines = await revive(tx, taskIds);
    return taskIds;
  });
  if (lines.length > 0) db.hints.announce({ lines, putBack: true });
  return ids;
}

function waitingLetters(filter: DeadLetterFilter): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const conditions = ['replayed_at is null'];
  const add = (condition: (parameter: string) => string, value: unknown) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  add((parameter) => `queue = ${parameter}`, filter.queue);
  add((parameter) => `name = ${parameter}`, filter.name);
  add((parameter) => `reason = ${parameter}`, filter.reason);
  add((parameter) => `failed_at > ${parameter}`, filter.failedAfter);
  add((parameter) => `failed_at < ${parameter}`, filter.failedBefore);
  return {
    text: `select task_id from skipjack.dead_letters where ${conditions.join(' and ')} order by failed_at, task_id`,
    values,
  };
}

async function revive(tx: Transaction, taskIds: string[]): Promise<[string, number][]> {
  if (taskIds.length === 0) return [];
  const { rows } = await tx.query<{ queue: string; priority: number }>(
    `with marked as (
       update skipjack.dead_letters set replayed_at = clock_timestamp(), replays = replays + 1
       where task_id = any ($1::uuid[]) and replayed_at is null
       returning task_id
     ), revived as (
       update skipjack.tasks as task set
         state = 'active', failures = 0, losses = 0, worker = null, started_at = null, finished_at = null,
         wait_ms = null, run_ms = null, exit_code = null, output = null, error = null
       from marked
       where task.id = marked.task_id
       returning task.id, task.queue, task.priority, task.claim_no, task.timeout_ms
     ), queued as (
       insert into skipjack.queue_items (task_id, queue, priority, available_at, claim_no, timeout_ms)
       select id, queue, priority, clock_timestamp(), claim_no, timeout_ms from revived
     )
     select distinct queue, priority from revived`,
    [taskIds],
  );
  return rows.map((row) => [row.queue, row.priority]);
}
