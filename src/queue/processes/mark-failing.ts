/**
 * A process is to fail by the word of an engine: its deadline has passed, or it cannot be thought about. The caller has
 * locked it, and stops it (`stop.ts`) by the next statement.
 */
import type { TaskError } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';

/** Those that have something unfinished; their own errors are why they fail. An earlier one is kept. */
export async function markFailing(
  tx: Transaction,
  failures: { processId: string; error: TaskError }[],
): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    `with failure as materialized (
       select * from jsonb_to_recordset($1::jsonb) as failure (process_id uuid, error jsonb) limit ${failures.length}
     ), failing as (
       update skipjack.processes as process set state = 'failing', fail_fast = true, revision = revision + 1
       from failure
       where process.id = failure.process_id and process.id = any (array(select process_id from failure))
         and process.state in ('running', 'failing') and process.unfinished > 0
       returning process.id, failure.error
     ), told as (
       insert into skipjack.process_results as known (process_id, error)
       select id, error from failing
       on conflict (process_id) do update set error = coalesce(known.error, excluded.error)
     )
     select id from failing`,
    [JSON.stringify(failures.map(({ processId, error }) => ({ process_id: processId, error })))],
  );
  return rows.map(({ id }) => id);
}
