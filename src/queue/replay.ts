/**
 * Replay: a dead letter's task goes back on its queue with a new budget of attempts and losses. The letter is
 * marked, not deleted, and its earlier attempts stay. Claim numbers go on from where they were, so that no
 * token of the earlier life fits the new one. Two at once: the row lock lets one win, the other sees the mark.
 *
 * The dead letter of a process's task is replayed by retrying the process, with whatever else failed in it.
 */
import { type Database, inTransaction, type Transaction } from '../database/connection.ts';
import { retryProcess } from './processes/retry.ts';

export type ReplayResult =
  | { kind: 'replayed' }
  | { kind: 'already_replayed'; replayedAt: string }
  /** Its process is not failed: there is nothing to go on with. */
  | { kind: 'process_not_failed'; processId: string; state: string }
  /** A task waits for its process: the one to retry is at the top. */
  | { kind: 'has_parent'; processId: string; rootId: string }
  /** The `on_failure` of its process has started that one. */
  | { kind: 'compensated'; processId: string; failureProcessId: string }
  /** Lost too often under `continue_on_error`: its process went on without it. */
  | { kind: 'tolerated'; processId: string }
  | { kind: 'not_found' };

export async function replayDeadLetter(db: Database, taskId: string): Promise<ReplayResult> {
  const { rows } = await db.pool.query<{
    process_id: string | null;
    continue_on_error: boolean;
    replayed_at: Date | null;
  }>(
    `select task.process_id, task.continue_on_error, letter.replayed_at
     from skipjack.dead_letters as letter join skipjack.tasks as task on task.id = letter.task_id
     where letter.task_id = $1`,
    [taskId],
  );
  const letter = rows[0];
  if (!letter) return { kind: 'not_found' };
  if (letter.process_id === null) return replayAlone(db, taskId);
  if (letter.replayed_at) return { kind: 'already_replayed', replayedAt: letter.replayed_at.toISOString() };
  if (letter.continue_on_error) return { kind: 'tolerated', processId: letter.process_id };
  const processId = letter.process_id;
  const result = await retryProcess(db, processId);
  switch (result.kind) {
    case 'retried':
      return { kind: 'replayed' };
    case 'not_found':
      return result;
    case 'not_failed':
      return { kind: 'process_not_failed', processId, state: result.state };
    case 'has_parent':
      return { kind: 'has_parent', processId, rootId: result.rootId };
    case 'compensated':
      return { kind: 'compensated', processId, failureProcessId: result.failureProcessId };
    case 'invalid_inputs':
      throw new Error('none were given');
  }
}

async function replayAlone(db: Database, taskId: string): Promise<ReplayResult> {
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
  const { rows } = await db.pool.query<{ task_id: string; process_id: string | null }>(
    `${text} limit ${Number(limit)}`,
    values,
  );
  if (dryRun) return rows.map((row) => row.task_id);
  const alone = await replayEach(
    db,
    rows.filter((row) => row.process_id === null).map((row) => row.task_id),
  );
  const retried = new Set<string | null>();
  for (const processId of new Set(rows.flatMap((row) => row.process_id ?? []))) {
    try {
      if ((await retryProcess(db, processId)).kind === 'retried') retried.add(processId);
    } catch (error) {
      // What was replayed is said; the rest is there for the next call.
      if (alone.size + retried.size === 0) throw error;
      break;
    }
  }
  return rows
    .filter((row) => alone.has(row.task_id) || retried.has(row.process_id))
    .map((row) => row.task_id);
}

async function replayEach(db: Database, taskIds: string[]): Promise<Set<string>> {
  if (taskIds.length === 0) return new Set();
  const { ids, lines } = await inTransaction(db, async (tx) => {
    const { rows } = await tx.query<{ task_id: string }>(
      `select task_id from skipjack.dead_letters
       where task_id = any ($1::uuid[]) and replayed_at is null order by task_id for update skip locked`,
      [taskIds],
    );
    const locked = rows.map((row) => row.task_id);
    return { ids: locked, lines: await revive(tx, locked) };
  });
  if (lines.length > 0) db.hints.announce({ lines, putBack: true });
  return new Set(ids);
}

/** Of a process's tasks only those whose process can be retried. */
function waitingLetters(filter: DeadLetterFilter): { text: string; values: unknown[] } {
  const values: unknown[] = [];
  const conditions = [
    'letter.replayed_at is null',
    `(task.process_id is null or not task.continue_on_error and exists (
       select from skipjack.processes as process
       where process.id = task.process_id and process.state = 'failed'
         and (process.detached or not exists (select from skipjack.processes as parent where parent.id = process.parent_process_id))
         and not exists (select from skipjack.process_results as result
           where result.process_id = process.id and result.failure_process_id is not null)))`,
  ];
  const add = (condition: (parameter: string) => string, value: unknown) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  add((parameter) => `letter.queue = ${parameter}`, filter.queue);
  add((parameter) => `letter.name = ${parameter}`, filter.name);
  add((parameter) => `letter.reason = ${parameter}`, filter.reason);
  add((parameter) => `letter.failed_at > ${parameter}`, filter.failedAfter);
  add((parameter) => `letter.failed_at < ${parameter}`, filter.failedBefore);
  return {
    text: `select letter.task_id, task.process_id
      from skipjack.dead_letters as letter join skipjack.tasks as task on task.id = letter.task_id
      where ${conditions.join(' and ')} order by letter.failed_at, letter.task_id`,
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
         wait_ms = null, run_ms = null, cpu_ms = null, memory_peak_bytes = null, exit_code = null, output = null,
         error = null
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
