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
}

/** They have ended, so nothing of them moves. `bytesMax`: of an output that is handed up. */
export async function readChildren(tx: Transaction, ids: string[], bytesMax: number): Promise<Child[]> {
  const bytes = Number(bytesMax);
  const { rows } = await tx.query<Child>(
    `select child.id, child.parent_task_id, child.name as definition, child.state,
       coalesce(result.error, failed.error) as error, case when result.error is null then failed.name end as task,
       coalesce(sized.bytes > ${bytes}, false) as is_large,
       case when sized.bytes <= ${bytes} then coalesce(result.output, (
         select jsonb_object_agg(name, output) from skipjack.tasks
         where process_id = child.id and dependents is null and item_of is null and state = 'completed'), '{}') end as output
     from skipjack.processes as child
     left join skipjack.process_results as result on result.process_id = child.id
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
