/** Many tasks, without their payloads. */
import type { VisibleTaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { labelCondition } from './label-condition.ts';
import { type SummaryRow, summaryColumns, type TaskSummary, toSummary } from './read-tasks.ts';

export interface TaskFilter {
  /** `active` means scheduled, ready, running and waiting. */
  state?: VisibleTaskState | 'active';
  queue?: string;
  name?: string;
  /** `key` or `key=value`. */
  label?: string;
  processId?: string;
  /** Of processes of this definition. */
  definition?: string;
  createdAfter?: Date;
  createdBefore?: Date;
}

/** Newest first; `after` is the id of the last one of the page before. */
export async function listTasks(
  db: Database,
  filter: TaskFilter,
  page: { limit: number; after?: string },
): Promise<TaskSummary[]> {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  if (filter.state !== 'active') add(filter.state, (parameter) => `status.state = ${parameter}`);
  add(filter.queue, (parameter) => `status.queue = ${parameter}`);
  add(filter.name, (parameter) => `status.name = ${parameter}`);
  add(filter.label, (parameter) => labelCondition('status', parameter));
  add(filter.processId, (parameter) => `status.process_id = ${parameter}`);
  add(
    filter.definition,
    (parameter) =>
      `exists (select from skipjack.processes as process where process.id = status.process_id and process.name = ${parameter})`,
  );
  add(filter.createdAfter, (parameter) => `status.created_at > ${parameter}`);
  add(filter.createdBefore, (parameter) => `status.created_at < ${parameter}`);
  add(page.after, (parameter) => `status.id < ${parameter}`);
  const arms = sourcesOf(filter).map(
    (source) => `(select ${summaryColumns} from skipjack.task_status as status
      where ${[source, ...conditions].join(' and ')} order by status.id desc limit ${Number(page.limit)})`,
  );
  const { rows } = await db.pool.query<SummaryRow>(
    arms.length === 1
      ? `${arms[0]}`
      : `select * from (${arms.join(' union all ')}) as found order by id desc limit ${Number(page.limit)}`,
    values,
  );
  return rows.map(toSummary);
}

/** Live tasks are found by what is live of them, of which there is little, however long the record is. */
function sourcesOf({ state, processId }: TaskFilter): string[] {
  const queued = 'exists (select from skipjack.queue_items as live where live.task_id = status.id)';
  const isParked = `status.waits_for is not null`;
  // Each has something that will wake it, and is found by that. Of one process all tasks are read anyway.
  const parked =
    processId !== undefined
      ? isParked
      : `${isParked} and status.id in (
          select task_id from skipjack.engine_items where task_id is not null
          union all select task_id from skipjack.event_waits
          union all select parent_task_id from skipjack.processes
            where state in ('running', 'failing', 'cancelling') and parent_task_id is not null
          union all select list.task_id from skipjack.processes as process
            join skipjack.item_lists as list on list.process_id = process.id
            where process.state in ('running', 'failing', 'cancelling'))`;
  switch (state) {
    case 'active':
      return [queued, parked];
    case 'waiting':
      return [parked];
    case 'scheduled':
    case 'ready':
    case 'running':
      return [queued];
    default:
      return ['true'];
  }
}

/** The tasks of a process in the order of its definition; `after` is the ordinal of the last one before. */
export async function listProcessTasks(
  db: Database,
  processId: string,
  page: { limit: number; after?: number },
): Promise<TaskSummary[]> {
  const { rows } = await db.pool.query<SummaryRow>(
    `select ${summaryColumns} from skipjack.task_status as status
     where status.process_id = $1 and status.ordinal > $2 order by status.ordinal limit ${Number(page.limit)}`,
    [processId, page.after ?? 0],
  );
  return rows.map(toSummary);
}
