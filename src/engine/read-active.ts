import type { Json } from '../core/json.ts';
import type { VisibleTaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import type { Place } from '../queue/claimed-task.ts';

export interface ActiveRow {
  id: string;
  name: string;
  /** Its place among the tasks of its process, counted from 1. */
  ordinal: number;
  queue: string;
  state: VisibleTaskState;
  /** Who holds it. */
  worker: string | null;
  /** Of an item of an `each`: its place in the list, from 0, and its value. */
  item: { index: number; value: Json } | null;
}

/**
 * The first tasks of a process that can be worked on or are, in the order of its definition, items behind the others;
 * none that waits. Null: there is no such process.
 */
export async function readActive(
  db: Database,
  id: string,
  { limit }: { limit: number },
): Promise<(ActiveRow & { place: Place })[] | null> {
  const { rows } = await db.pool.query<{ tasks: (ActiveRow & { place: Place })[] | null }>(
    `select (
       select jsonb_agg(jsonb_build_object('id', task.id, 'name', task.name, 'ordinal', task.ordinal, 'queue', task.queue,
         'state', task.state, 'worker', task.worker,
         'item', (
           select jsonb_build_object('index', own.item_index, 'value', own.item)
           from skipjack.tasks as own where own.id = task.id and own.item_index is not null),
         -- What an item runs stands in the plan where its each does.
         'place', jsonb_build_object('process_id', process.id, 'definition_id', process.definition_id,
           'ordinal', coalesce(task.item_of, task.ordinal))) order by task.ordinal)
       from (
         select id, name, ordinal, queue, state, worker, item_of from skipjack.task_status
         where process_id = process.id and state in ('scheduled', 'ready', 'running')
         order by ordinal limit ${Number(limit)}
       ) as task) as tasks
     from skipjack.processes as process where process.id = $1`,
    [id],
  );
  return rows[0] ? (rows[0].tasks ?? []) : null;
}
