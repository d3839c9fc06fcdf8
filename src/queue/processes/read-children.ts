/** How the processes ended that tasks had started and wait for. */
import type { Json } from '../../core/json.ts';
import type { ProcessState } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';

export interface Child {
  id: string;
  parent_task_id: string;
  definition: string | null;
  state: ProcessState;
  /** Of a completed one: its own output, else the outputs of its last tasks by name. Null if it is too large. */
  output: Json;
  is_large: boolean;
  /** Of a failed one: its own, else that of the task that failed first, by `task`. */
  error: TaskError | null;
  task: string | null;
  /** Its task is an item: how many more of the list may fail. Below 0 too many have, and the others were stopped. */
  failures_left: number | null;
}

/** They have ended, so nothing of them moves. `bytesMax`: of an output that is handed up. */
export async function readChildren(tx: Transaction, ids: string[], bytesMax: number): Promise<Child[]> {
  const bytes = Number(bytesMax);
  const { rows } = await tx.query<Child>(
    `select child.id, child.parent_task_id, child.name as definition, child.state,
       coalesce(result.error, failed.error) as error, case when result.error is null then failed.name end as task,
       (
         select list.failures_max - list.failed
         from skipjack.tasks as item
         join skipjack.item_lists as list on list.process_id = item.process_id and list.ordinal = item.item_of
         where item.id = child.parent_task_id) as failures_left,
       coalesce(sized.bytes > ${bytes}, false) as is_large,
       case when sized.bytes <= ${bytes} then coalesce(result.output, (
         select jsonb_object_agg(name, output) from skipjack.tasks
         where process_id = child.id and dependents is null and item_of is null and state = 'completed'), '{}') end as output
     from skipjack.processes as child
     left join lateral (
       select * from skipjack.process_results where process_id = child.id limit 1
     ) as result on true
     left join lateral (
       select case when result.output is not null then octet_length(result.output::text) else (
         select coalesce(sum(case when output is null then 4
           when pg_column_size(output) > ${bytes} then ${bytes + 1}
           else octet_length(output::text) end), 0)
         from skipjack.tasks
         where process_id = child.id and dependents is null and item_of is null and state = 'completed') end as bytes
     ) as sized on child.state = 'completed'
     left join lateral (
       select name, error from skipjack.tasks
       where process_id = child.id and state = 'failed' and not continue_on_error and item_of is null
       order by finished_at
       limit 1
     ) as failed on child.state = 'failed'
     where child.id = any ($1::uuid[])`,
    [ids],
  );
  return rows;
}

/** The last process that each of these tasks had started, where it failed and can go on: by the ids of the tasks. */
export async function readFailedChildren(
  tx: Transaction,
  tasks: { processId: string; taskId: string }[],
): Promise<Map<string, string>> {
  if (tasks.length === 0) return new Map();
  const { rows } = await tx.query<{ task_id: string; id: string }>(
    `select wanted.task_id, child.id
     from unnest($1::uuid[], $2::uuid[]) as wanted (process_id, task_id)
     cross join lateral (
       select id, state
       from (
         select id, state, created_at from skipjack.processes
         where parent_process_id = wanted.process_id and parent_task_id = wanted.task_id and not detached
         -- Else it may be looked for among all processes, from the last one on.
         offset 0
       ) as own
       order by created_at desc, id desc limit 1
     ) as child
     where child.state = 'failed' and not exists (
       select from skipjack.process_results as result
       where result.process_id = child.id and result.failure_process_id is not null)`,
    [tasks.map(({ processId }) => processId), tasks.map(({ taskId }) => taskId)],
  );
  return new Map(rows.map((row) => [row.task_id, row.id]));
}
