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
  const processParameter = filter.processId === undefined ? null : `$${values.push(filter.processId)}`;
  add(
    filter.definition,
    (parameter) =>
      `exists (select from skipjack.processes as process where process.id = status.process_id and process.name = ${parameter})`,
  );
  add(filter.createdAfter, (parameter) => `status.created_at > ${parameter}`);
  add(filter.createdBefore, (parameter) => `status.created_at < ${parameter}`);
  const after = page.after === undefined ? null : `$${values.push(page.after)}`;
  const arms = sourcesOf(filter.state, processParameter).map(({ from, place, where }) => {
    const all = [where, ...conditions, ...(after === null ? [] : [`${place} < ${after}`])];
    return `(select ${summaryColumns} from ${from}
      where ${all.join(' and ')} order by ${place} desc limit ${Number(page.limit)})`;
  });
  const { rows } = await db.pool.query<SummaryRow>(
    arms.length === 1
      ? `${arms[0]}`
      : `select * from (${arms.join(' union all ')}) as found order by id desc limit ${Number(page.limit)}`,
    values,
  );
  return rows.map(toSummary);
}

interface Source {
  from: string;
  /** The id by which they are ordered. */
  place: string;
  where: string;
}

/** All that are kept: the newest first, by their ids. */
const kept: Source = { from: 'skipjack.task_status as status', place: 'status.id', where: 'true' };

/** Those of one process, which are all read: else they may be looked for among all that are kept, from the last one on. */
function ofProcess(parameter: string, where: string): Source {
  const from = `(select * from skipjack.task_status where process_id = ${parameter} offset 0) as status`;
  return { from, place: 'status.id', where };
}

/** These, one after the other and the newest first, until the page is full: whatever Postgres believes of the others. */
function oneByOne(ids: string, where: string): Source {
  const from = `(${ids} order by id desc) as live
      cross join lateral (select * from skipjack.task_status where id = live.id limit 1) as status`;
  return { from, place: 'live.id', where };
}

/** Live tasks are found by what is live of them, of which there is little, however long the record is. */
const queued = oneByOne('select task_id as id from skipjack.queue_items', 'true');

const isParked = 'status.waits_for is not null';
/** Each has something that will wake it, and is found by that. */
const parked = oneByOne(
  `select task_id as id from skipjack.engine_items where task_id is not null
   union select task_id from skipjack.event_waits
   union select parent_task_id from skipjack.processes
     where state in ('running', 'failing', 'cancelling') and parent_task_id is not null
   union select list.task_id
     from (select id from skipjack.processes where state in ('running', 'failing', 'cancelling') offset 0) as process
     cross join lateral (select task_id from skipjack.item_lists where process_id = process.id offset 0) as list`,
  isParked,
);

function sourcesOf(state: TaskFilter['state'], processParameter: string | null): Source[] {
  const own = (where: string, source: Source) =>
    processParameter === null ? source : ofProcess(processParameter, where);
  const ready = own('exists (select from skipjack.queue_items where task_id = status.id offset 0)', queued);
  const waiting = own(isParked, parked);
  switch (state) {
    case 'active':
      return [ready, waiting];
    case 'waiting':
      return [waiting];
    case 'scheduled':
    case 'ready':
    case 'running':
      return [ready];
    default:
      return [own('true', kept)];
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
