/**
 * Marks for those who wait for the end of tasks and processes, and what has ended of what they wait for; one statement
 * for all who ask in the same moment.
 *
 * What somebody holds is passed over, never waited for: one that is being moved for long would keep all others from
 * their marks. Its mark is set when the caller asks again.
 */
import { hasProcessEnded, type ProcessState } from '../core/process.ts';
import { hasEnded, type TaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';

export interface Marked {
  isOver: boolean;
  /** Its end will be announced. */
  isMarked: boolean;
}

/** Marks tasks as waited for, so that their ends are announced. In the order of `taskIds`; null: no such task. */
export async function markTasksAwaited(db: Database, taskIds: string[]): Promise<(Marked | null)[]> {
  const { rows: items } = await db.pool.query<{ id: string }>(
    `with free as materialized (
       select task_id from skipjack.queue_items
       where task_id = any ($1::uuid[]) and not awaited order by task_id for no key update skip locked
     ), marked as (
       update skipjack.queue_items set awaited = true where task_id = any (array(select task_id from free))
     )
     select task_id as id from skipjack.queue_items where task_id = any ($1::uuid[])`,
    [taskIds],
  );
  // A pending or parked one has no item, and its own row is for whoever has the lock of its process.
  const queued = new Set(items.map(({ id }) => id));
  const others = taskIds.filter((id) => !queued.has(id));
  if (others.length > 0) {
    await db.pool.query(
      `update skipjack.processes set tasks_awaited = true where id = any (array(
         select id from skipjack.processes
         where not tasks_awaited and id = any (array(
           select process_id from skipjack.tasks where id = any ($1::uuid[]) and state in ('pending', 'active')))
         order by id for no key update skip locked))`,
      [others],
    );
  }
  const { rows } = await db.pool.query<{ id: string; state: TaskState; marked: boolean }>(
    `select task.id, task.state, coalesce(item.awaited, false) or coalesce(process.tasks_awaited, false) as marked
     from skipjack.tasks as task
     left join lateral (select awaited from skipjack.queue_items where task_id = task.id limit 1) as item on true
     left join lateral (select tasks_awaited from skipjack.processes where id = task.process_id limit 1) as process on true
     where task.id = any ($1::uuid[])`,
    [taskIds],
  );
  return inOrderOf(taskIds, rows, hasEnded);
}

/** The same for processes. */
export async function markProcessesAwaited(db: Database, processIds: string[]): Promise<(Marked | null)[]> {
  await db.pool.query(
    `update skipjack.processes set awaited = true where id = any (array(
       select id from skipjack.processes
       where id = any ($1::uuid[]) and not awaited order by id for no key update skip locked))`,
    [processIds],
  );
  const { rows } = await db.pool.query<{ id: string; state: ProcessState; marked: boolean }>(
    'select id, state, awaited as marked from skipjack.processes where id = any ($1::uuid[])',
    [processIds],
  );
  return inOrderOf(processIds, rows, hasProcessEnded);
}

/** Of these tasks and processes, the ids of those that have ended or are gone. */
export async function findEnded(db: Database, ids: string[]): Promise<string[]> {
  // With an offset each is looked for by its id, and not in a join with all that are live.
  const { rows } = await db.pool.query<{ id: string }>(
    `select wanted.id from unnest($1::uuid[]) as wanted (id)
     where not exists (
         select from skipjack.tasks where id = wanted.id and state in ('pending', 'active') offset 0)
       and not exists (
         select from skipjack.processes
         where id = wanted.id and state in ('running', 'failing', 'cancelling') offset 0)`,
    [ids],
  );
  return rows.map((row) => row.id);
}

function inOrderOf<State>(
  ids: string[],
  rows: { id: string; state: State; marked: boolean }[],
  isEnd: (state: State) => boolean,
): (Marked | null)[] {
  const found = new Map(
    rows.map(({ id, state, marked }) => [id, { isOver: isEnd(state), isMarked: marked }]),
  );
  return ids.map((id) => found.get(id) ?? null);
}
