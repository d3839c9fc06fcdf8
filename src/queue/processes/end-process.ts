/** The end of a process that an engine finishes: everything about it has ended, and nothing waits for it any more. */
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';

export interface ProcessEnd {
  processId: string;
  state: 'completed' | 'failed' | 'cancelled';
  /** Of a completed one with `output`; null is one, too. */
  output?: Json;
  /** Why it failed, where no task says it. */
  error?: TaskError;
  failureProcessId?: string;
}

/** The process must have been locked by an earlier statement, and have nothing unfinished. */
export async function endProcess(tx: Transaction, end: ProcessEnd): Promise<void> {
  await tx.query(
    `with clock as materialized (
       select clock_timestamp() as at
     ), inbox as (
       delete from skipjack.engine_items where process_id = $1
     ), result as (
       insert into skipjack.process_results as known (process_id, output, error, failure_process_id)
       select $1, $3::jsonb, $4::jsonb, $5::uuid
       where $3::jsonb is not null or $4::jsonb is not null or $5::uuid is not null
       on conflict (process_id) do update set output = excluded.output, error = coalesce(excluded.error, known.error),
         failure_process_id = coalesce(excluded.failure_process_id, known.failure_process_id)
     )
     update skipjack.processes as process set state = $2, finished_at = clock.at, revision = revision + 1
     from clock
     where process.id = $1`,
    [
      end.processId,
      end.state,
      end.output === undefined ? null : JSON.stringify(end.output),
      end.error === undefined ? null : JSON.stringify(end.error),
      end.failureProcessId ?? null,
    ],
  );
}

/** What is told of a failed process to whoever is started by its failure. */
export interface Failures {
  /** Of the process itself: its deadline. */
  error: TaskError | null;
  /** Tasks that failed for good, in the order in which they did. */
  tasks: { task: string; error: TaskError }[];
}

export async function readFailures(
  tx: Transaction,
  processId: string,
  { failuresMax }: { failuresMax: number },
): Promise<Failures> {
  const { rows } = await tx.query<{ error: TaskError | null; tasks: Failures['tasks'] | null }>(
    `select
       (select error from skipjack.process_results where process_id = $1) as error,
       (select json_agg(json_build_object('task', name, 'error', error) order by finished_at, ordinal)
        from (
          select name, error, finished_at, ordinal from skipjack.tasks
          where process_id = $1 and state = 'failed' and not continue_on_error and item_of is null
          order by finished_at, ordinal
          limit ${Number(failuresMax)}
        ) as failed) as tasks`,
    [processId],
  );
  return { error: rows[0]?.error ?? null, tasks: rows[0]?.tasks ?? [] };
}
