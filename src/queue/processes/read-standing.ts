/** What an engine decides on, read under the locks of the processes: how they stand, and how tasks of them ended. */
import type { Json } from '../../core/json.ts';
import type { ProcessState } from '../../core/process.ts';
import type { Transaction } from '../../database/connection.ts';
import { columnsOf, type TaskPlace } from './read-outputs.ts';

export interface ProcessStanding {
  id: string;
  definition_id: string;
  /** Of its definition; null for an inline one without a name. */
  name: string | null;
  version: number | null;
  state: ProcessState;
  paused: boolean;
  fail_fast: boolean;
  unfinished: number;
  finishes: boolean;
  parent_task_id: string | null;
  parent_process_id: string | null;
  detached: boolean;
  depth: number;
  awaited: boolean;
}

export async function readStandings(tx: Transaction, ids: string[]): Promise<ProcessStanding[]> {
  const { rows } = await tx.query<ProcessStanding>(
    `select process.id, process.definition_id, process.name, definition.version, process.state, process.paused,
       process.fail_fast, process.unfinished, process.finishes, process.parent_task_id, process.parent_process_id,
       process.detached, process.depth, process.awaited
     from skipjack.processes as process
     left join lateral (
       select version from skipjack.definitions where id = process.definition_id limit 1
     ) as definition on true
     where process.id = any ($1::uuid[])`,
    [ids],
  );
  return rows;
}

/** Of these tasks, those that did not end well: what needs them does not succeed. */
export async function readUnsuccessful(tx: Transaction, places: TaskPlace[]): Promise<TaskPlace[]> {
  if (places.length === 0) return [];
  const { rows } = await tx.query<{ process_id: string; ordinal: number }>(
    `select task.process_id, task.ordinal
     from unnest($1::uuid[], $2::integer[]) as wanted (process_id, ordinal)
     cross join lateral (
       select process_id, ordinal, state, continue_on_error
       from skipjack.tasks where process_id = wanted.process_id and ordinal = wanted.ordinal limit 1
     ) as task
     where not (task.state = 'completed' or (task.state = 'failed' and task.continue_on_error))`,
    columnsOf(places),
  );
  return rows.map((row) => [row.process_id, row.ordinal]);
}

/** Tasks that failed for good, without `continue_on_error`; of an item the task that it belongs to. */
export async function readFailed(tx: Transaction, processIds: string[]): Promise<TaskPlace[]> {
  if (processIds.length === 0) return [];
  const { rows } = await tx.query<{ process_id: string; ordinal: number }>(
    `select distinct task.process_id, coalesce(task.item_of, task.ordinal) as ordinal
     from unnest($1::uuid[]) as wanted (id)
     cross join lateral (
       select * from skipjack.tasks
       where process_id = wanted.id and state = 'failed' and not continue_on_error
       offset 0
     ) as task`,
    [processIds],
  );
  return rows.map((row) => [row.process_id, row.ordinal]);
}

export async function readInputs(tx: Transaction, processIds: string[]): Promise<Map<string, Json>> {
  if (processIds.length === 0) return new Map();
  const { rows } = await tx.query<{ process_id: string; input: Json }>(
    'select process_id, input from skipjack.process_inputs where process_id = any ($1::uuid[])',
    [processIds],
  );
  return new Map(rows.map((row) => [row.process_id, row.input]));
}

/** A task that has not ended, of a process that stops. */
export interface LiveTask {
  process_id: string;
  id: string;
  ordinal: number;
  /** Of an item, the task that it belongs to. */
  item_of: number | null;
  state: 'pending' | 'active';
  /** It is spared as its process stands now. */
  spared: boolean;
}

/** Of those of the processes that are failing or cancelling. */
export async function readLiveTasks(tx: Transaction, processIds: string[]): Promise<LiveTask[]> {
  const { rows } = await tx.query<LiveTask>(
    `select task.process_id, task.id, task.ordinal, task.item_of, task.state,
       case process.state when 'cancelling' then task.runs_on_cancel else task.runs_on_failure end as spared
     from unnest($1::uuid[]) as wanted (id)
     cross join lateral (
       select state from skipjack.processes where id = wanted.id and state in ('failing', 'cancelling') limit 1
     ) as process
     cross join lateral (
       select * from skipjack.tasks where process_id = wanted.id and state in ('pending', 'active') offset 0
     ) as task`,
    [processIds],
  );
  return rows;
}
