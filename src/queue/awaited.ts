/** Marks for those who wait for the end of tasks and processes, and what has ended of what they wait for. */
import type { ProcessState } from '../core/process.ts';
import type { TaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';

/** Marks the task as waited for, so that its end is announced, and answers its state. Null: no such task. */
export async function markAwaited(db: Database, taskId: string): Promise<TaskState | null> {
  // Waits for a settle that has the row; after it the item is gone and the next statement sees the end.
  const marked = await db.pool.query('update skipjack.queue_items set awaited = true where task_id = $1', [
    taskId,
  ]);
  // A pending or parked one has no item, and its own row is for whoever has the lock of its process.
  if (marked.rowCount === 0) {
    await db.pool.query(
      `update skipjack.processes set tasks_awaited = true where not tasks_awaited
         and id = (select process_id from skipjack.tasks where id = $1 and state in ('pending', 'active'))`,
      [taskId],
    );
  }
  const { rows } = await db.pool.query<{ state: TaskState }>(
    'select state from skipjack.tasks where id = $1',
    [taskId],
  );
  return rows[0]?.state ?? null;
}

/** The same for a process. */
export async function markProcessAwaited(db: Database, processId: string): Promise<ProcessState | null> {
  await db.pool.query('update skipjack.processes set awaited = true where id = $1 and not awaited', [
    processId,
  ]);
  const { rows } = await db.pool.query<{ state: ProcessState }>(
    'select state from skipjack.processes where id = $1',
    [processId],
  );
  return rows[0]?.state ?? null;
}

/** Of these tasks and processes, the ids of those that have ended or are gone. */
export async function findEnded(db: Database, ids: string[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ id: string }>(
    `select wanted.id from unnest($1::uuid[]) as wanted (id)
     where not exists (select from skipjack.tasks as task where task.id = wanted.id and task.state in ('pending', 'active'))
       and not exists (select from skipjack.processes as process where process.id = wanted.id
         and process.state in ('running', 'failing', 'cancelling'))`,
    [ids],
  );
  return rows.map((row) => row.id);
}
