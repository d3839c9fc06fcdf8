/** The tasks that made a process fail, down to those of processes that it had started and waited for. */
import { planLimits } from '../../core/plan.ts';
import type { Database } from '../../database/connection.ts';
import { readTasks } from '../../queue/read-tasks.ts';
import { type FailedTask, memberOf } from './explain-failure.ts';

/** More of one process are not read. */
const tasksReadMax = 20;

/** In the order of the definition. In place of a task whose process failed come the tasks of that one, if any are known. */
export async function readFailures(
  db: Database,
  processId: string,
  below: string[] = [],
): Promise<FailedTask[]> {
  // What failed under continue_on_error did not make it fail; items are told by their task.
  const { rows } = await db.pool.query<{ id: string }>(
    `select task.id from skipjack.tasks as task
     where task.process_id = $1 and task.state = 'failed' and not task.continue_on_error and task.item_of is null
     order by task.ordinal limit ${tasksReadMax}`,
    [processId],
  );
  const failed: FailedTask[] = [];
  for (const task of await readTasks(
    db,
    rows.map(({ id }) => id),
  )) {
    if (task === null) continue;
    const child = task.error?.code === 'process_failed' ? memberOf(task.error.details, 'process_id') : null;
    const within =
      typeof child === 'string' && below.length < planLimits.depthMax
        ? await readFailures(db, child, [...below, task.name])
        : [];
    failed.push(...(within.length > 0 ? within : [{ ...task, below }]));
  }
  return failed;
}
