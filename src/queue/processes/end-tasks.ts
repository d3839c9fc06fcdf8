/**
 * Ends parked tasks by the word of an engine, and does everything that follows from their ends, as settle does for
 * claimed ones: what follows is the same SQL (advance.ts).
 *
 * A process that stops has the last word, as in settle: what is not spared is cancelled, whatever was said of it. Only
 * the end of a process that a task had started, and an event that had come before, come that late: with them it has
 * completed. In one call ends count in their order: behind one that stops the process the others find it stopped.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { type Advanced, followUp } from '../settle.ts';
import { advanceWithEngine, linesWithEngine } from './advance.ts';
import { forgetEnded } from './stop.ts';

export interface EngineEnd {
  taskId: string;
  processId: string;
  state: 'completed' | 'failed' | 'skipped' | 'cancelled';
  output?: Json;
  error?: TaskError;
}

/**
 * The processes must have been locked by an earlier statement. A task that is not parked is passed over. Answers
 * the hints to give after the commit.
 */
export async function endTasks(tx: Transaction, ends: EngineEnd[]): Promise<Hint[]> {
  if (ends.length === 0) return [];
  const rows = ends.map((end, position) => ({
    task_id: end.taskId,
    process_id: end.processId,
    position,
    wanted: end.state,
    output: end.output ?? null,
    error: end.error ?? null,
  }));
  const { rows: answers } = await tx.query<Advanced & { ended: string[] | null }>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), ends as materialized (
       select *
       from jsonb_to_recordset($1::jsonb) as wanted (
         task_id uuid, process_id uuid, position integer, wanted text, output jsonb, error jsonb)
       limit ${rows.length}
     ), judged as materialized (
       select ends.*, task.name, task.queue, task.dependents, task.continue_on_error, task.item_of, task.runs_on_failure,
         task.runs_on_cancel, task.waits_for, process.stopping, process.stoppable, process.tasks_awaited,
         ends.wanted = 'completed' and task.waits_for in ('process', 'event') as comes_late
       from ends
       cross join lateral (
         select * from skipjack.tasks as task
         where task.id = ends.task_id and task.process_id = ends.process_id
           and task.waits_for is not null
         limit 1
       ) as task
       cross join lateral (
         select (state = 'cancelling' and not task.runs_on_cancel)
             or (state = 'failing' and fail_fast and not task.runs_on_failure) as stopping,
           fail_fast and not case when state = 'cancelling' then task.runs_on_cancel else task.runs_on_failure end as stoppable,
           tasks_awaited
         from skipjack.processes where id = ends.process_id limit 1
       ) as process
     ), explained as materialized (
       select judged.*,
         case when comes_late is not true and (stopping or (stoppable and bool_or(
             wanted = 'failed' and not stopping and not continue_on_error and item_of is null) over earlier))
           then 'cancelled' else wanted end as state
       from judged
       window earlier as (partition by process_id order by position rows between unbounded preceding and 1 preceding)
     ), ended as materialized (
       select task_id as id, process_id, waits_for, state, output, error from explained
     ), finished as (
       update skipjack.tasks as task set
         state = ended.state,
         waits_for = null,
         finished_at = clock.at,
         output = case when ended.state = 'completed' then ended.output end,
         error = case when ended.state = 'failed' then ended.error end
       from ended
       cross join clock
       where task.id = ended.id and task.id = any (array(select id from ended))
     ), buried as (
       insert into skipjack.dead_letters as letter (task_id, name, queue, reason, failed_at)
       select explained.task_id, explained.name, explained.queue, 'failed', clock.at
       from explained
       cross join clock
       where explained.state = 'failed' and not explained.continue_on_error
       on conflict (task_id) do update set reason = excluded.reason, failed_at = excluded.failed_at, replayed_at = null
     ), ${forgetEnded}${advanceWithEngine}
     select
       (select jsonb_agg(task_id) from explained where tasks_awaited) as ended,
       (select jsonb_agg(jsonb_build_object('id', process_id, 'fails', fails, 'fail_fast', fail_fast, 'left_over', left_over,
         'awaited', awaited)) from standing) as processes,
       ${linesWithEngine} as lines`,
    [JSON.stringify(rows)],
  );
  crashPoint('engine_tasks_ended');
  const ended = answers[0]?.ended ?? [];
  return [
    ...(ended.length > 0 ? [{ ended }] : []),
    ...(await followUp(tx, answers[0], { withEngine: true })),
  ];
}
