/**
 * Enqueue: tasks and their queue items, in one statement for the whole batch.
 *
 * The work is done by the SQL function `skipjack.enqueue_tasks`, which `skipjack.enqueue` calls too, so that
 * the ways in cannot drift. Ids come from here and a known id is passed over: a batch whose commit is unknown
 * is sent again as it is. Tasks with an idempotency key travel in batches of their own with a lock timeout: a
 * stranger's open transaction that holds the same key must not hold up everybody else.
 */

import type { NewTask } from '../core/task.ts';
import type { EnqueueResult } from '../core/task-source.ts';
import { type Database, inTransaction } from '../database/connection.ts';
import { isLockTimeout } from '../database/faults.ts';

/** How long a keyed batch waits for other transactions that use one of its keys. */
const keyLockTimeoutMs = 2_000;
/** The same for the halves of a batch that ran into one: the patience was shown. */
const halfLockTimeoutMs = 50;

/** Inserts tasks without idempotency keys. Answers in their order. */
export async function enqueueTasks(db: Database, tasks: NewTask[]): Promise<EnqueueResult[]> {
  await db.pool.query('select from skipjack.enqueue_tasks($1::jsonb)', [JSON.stringify(tasks)]);
  announceNewWork(db, tasks);
  return tasks.map(({ id }) => ({ kind: 'created', id }));
}

/** Inserts tasks with idempotency keys. Answers in their order. */
export async function enqueueKeyedTasks(db: Database, tasks: NewTask[]): Promise<EnqueueResult[]> {
  const answers = await insertKeyed(db, tasks, keyLockTimeoutMs);
  announceNewWork(
    db,
    tasks.filter((_task, index) => answers[index]?.kind === 'created'),
  );
  return answers;
}

async function insertKeyed(db: Database, tasks: NewTask[], lockTimeoutMs: number): Promise<EnqueueResult[]> {
  try {
    const rows = await inTransaction(db, async (tx) => {
      await tx.query(`set local lock_timeout = ${Number(lockTimeoutMs)}`);
      const answer = await tx.query<{
        task_id: string;
        outcome: 'created' | 'existing' | 'key_conflict';
        existing_id: string;
      }>('select * from skipjack.enqueue_tasks($1::jsonb)', [JSON.stringify(tasks)]);
      return new Map(answer.rows.map((row) => [row.task_id, row]));
    });
    return tasks.map(({ id }) => {
      const row = rows.get(id);
      if (!row) throw serializationFailure(`no answer for task ${id}, which has an idempotency key`);
      return { kind: row.outcome, id: row.existing_id };
    });
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    // One key of the batch is held by a stranger. Halving finds it; its neighbours go through.
    if (tasks.length === 1) return [{ kind: 'key_busy' }];
    const middle = Math.ceil(tasks.length / 2);
    return [
      ...(await insertKeyed(db, tasks.slice(0, middle), halfLockTimeoutMs)),
      ...(await insertKeyed(db, tasks.slice(middle), halfLockTimeoutMs)),
    ];
  }
}

/** As Postgres says that the same again may succeed: by its ids a batch is safe to repeat. */
function serializationFailure(message: string): Error {
  return Object.assign(new Error(message), { code: '40001' });
}

function announceNewWork(db: Database, tasks: NewTask[]) {
  const lines = new Map(
    tasks.map((task) => [`${task.priority} ${task.queue}`, [task.queue, task.priority] as [string, number]]),
  );
  if (lines.size > 0) db.hints.announce({ lines: [...lines.values()] });
}
