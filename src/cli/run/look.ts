/**
 * One look at a process while it is shown: its state, its live tasks, and those that ended since the last look.
 *
 * One statement, so that state and tasks fit each other. It reads the process's own tasks alone, through the index
 * of their places, and answers only those that may have changed: a thousand that wait or have ended cost a few
 * milliseconds, and no transfer.
 */
import type { ProcessState } from '../../core/process.ts';
import type { Parking, TaskError, VisibleTaskState } from '../../core/task.ts';
import type { Database } from '../../database/connection.ts';
import { type Awaiting, awaitingOf } from '../../queue/parking.ts';
import { workerGoneAfterMs } from '../../queue/workers.ts';

export interface Look {
  /** When it was taken. As all times here: in milliseconds since 1970, by the clock of the database. */
  at: number;
  state: ProcessState;
  paused: boolean;
  started_at: number;
  finished_at: number | null;
  /** Those of its definition: items are told by the task that they are of. */
  tasks: TaskLook[];
}

export interface TaskLook {
  id: string;
  ordinal: number;
  state: VisibleTaskState;
  attempt: number;
  attempts_max: number;
  failures: number;
  losses: number;
  queue: string;
  worker: string | null;
  available_at: number | null;
  started_at: number | null;
  finished_at: number | null;
  run_ms: number | null;
  /** Of its last attempt that went wrong. */
  error: TaskError | null;
  /** Its process is paused. */
  held: boolean;
  queue_paused: boolean;
  /** A live worker serves its queue. */
  served: boolean;
  waits_for: Parking | null;
  awaiting: Awaiting | null;
  /** Of its items, the first that waits on the queue: its name. */
  item_name: string | null;
}

/** A settle may commit a little after the time that it has written: what ended shortly before is asked for again. */
const overlapMs = 10_000;

/** `since`: a time by the clock of the database; null: all tasks. Null: there is no such process. */
export async function lookAtProcess(db: Database, id: string, since: number | null): Promise<Look | null> {
  const { rows } = await db.pool.query<Look>(
    `with served as materialized (
       select distinct unnest(queues) as queue from skipjack.workers
       where heartbeat_at > clock_timestamp() - $3 * interval '1 millisecond'
     )
     select ${milliseconds('clock_timestamp()')} as at, process.state, process.paused,
       ${milliseconds('process.created_at')} as started_at, ${milliseconds('process.finished_at')} as finished_at,
       coalesce((
         select jsonb_agg(jsonb_build_object(
           'id', task.id, 'ordinal', task.ordinal, 'state', task.state, 'attempt', task.attempt,
           'attempts_max', task.attempts_max, 'failures', task.failures, 'losses', task.losses, 'queue', task.queue,
           'worker', task.worker, 'available_at', ${milliseconds('task.available_at')},
           'started_at', ${milliseconds('task.started_at')}, 'finished_at', ${milliseconds('task.finished_at')},
           'run_ms', task.run_ms, 'held', task.held,
           'error', coalesce(task.error, case when task.failures + task.losses > 0 then (
             select attempt.error from skipjack.attempts as attempt
             where attempt.task_id = task.id and attempt.error is not null order by attempt.claim_no desc limit 1) end),
           'queue_paused', exists (
             select from skipjack.queues as line where line.name = task.queue and line.paused),
           'served', exists (select from served where served.queue = task.queue),
           'waits_for', task.waits_for, 'awaiting', ${awaitingOf('task')},
           'item_name', case when task.waits_for = 'items' then (
             select item.name from skipjack.item_lists as list
             join skipjack.task_status as item on item.process_id = list.process_id
               and item.ordinal >= list.first_ordinal and item.ordinal < list.next_ordinal
             where list.process_id = process.id and list.ordinal = task.ordinal and item.state in ('scheduled', 'ready')
             order by item.ordinal limit 1) end) order by task.ordinal)
         from skipjack.task_status as task
         where task.process_id = process.id and task.item_of is null and ($2::float8 is null
           or task.state in ('scheduled', 'ready', 'running', 'waiting')
           or task.finished_at > to_timestamp($2::float8 / 1000))), '[]') as tasks
     from skipjack.processes as process where process.id = $1`,
    [id, since === null ? null : since - overlapMs, workerGoneAfterMs],
  );
  return rows[0] ?? null;
}

function milliseconds(moment: string): string {
  return `(extract(epoch from ${moment}) * 1000)::float8`;
}
