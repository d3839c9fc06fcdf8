/** Reading whole tasks. */
import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import { readSpec, type Spec, type Work } from '../core/spec.ts';
import type { Parking, RetryOn, RetryPolicy, TaskError, VisibleTaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { type Awaiting, awaitingOf, describeAwaiting } from './parking.ts';
import { workerGoneAfterMs } from './workers.ts';

/** A task in a list. */
export interface TaskSummary {
  id: string;
  name: string;
  queue: string;
  priority: number;
  state: VisibleTaskState;
  /** Attempt n … */
  attempt: number;
  /** … of m. */
  attempts_max: number;
  failures: number;
  losses: number;
  /** When an active one is due; the next try of one that failed. */
  available_at: string | null;
  worker: string | null;
  lease_expires_at: string | null;
  cancel_requested: boolean;
  labels: Record<string, string>;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  wait_ms: number | null;
  run_ms: number | null;
  exit_code: number | null;
  /** What the attempt that ended it used, where its worker could tell. */
  cpu_ms: number | null;
  memory_peak_bytes: number | null;
  /** How far it is, in its worker's words; a number is per cent. Null unless it runs. */
  progress: Json;
  error: TaskError | null;
  /** Of a process's task. */
  process_id: string | null;
  /** Its place among the tasks of its process, counted from 1; items of an `each` stand behind the others. */
  ordinal: number | null;
  /** What a waiting one is parked for. */
  waits_for: Parking | null;
  /** Of an item of an `each`: the ordinal of that task, and its place in the list, from 0. */
  item_of: number | null;
  item_index: number | null;
}

export interface RetryView {
  attempts: number;
  backoff: string;
  delay: string;
  max_delay: string;
  jitter: boolean;
  /** Failures that are tried again; null: all are. */
  on: RetryOn | null;
  /** From the start of the first attempt on. */
  within: string | null;
}

/** A task, whole. */
export type TaskView = TaskSummary &
  Work & {
    input: Json;
    retry: RetryView | null;
    timeout: string | null;
    /** Names of the tasks of its process that it needs. */
    needs: string[];
    /** Null until the task has ended. */
    success: boolean | null;
    output: Json;
    /** Of the last attempt that did not complete the task. */
    last_error: TaskError | null;
    /** Why a task that has not ended is not running, where we can tell. */
    waiting_for: string | null;
    /** Of an item of an `each`: its place in the list, from 0, and its value. */
    item: { index: number; value: Json } | null;
    /** That it has started: the last one. */
    process: { id: string } | null;
  };

export const summaryColumns = `status.id, status.name, status.queue, status.priority, status.state, status.attempt,
  status.attempts_max, status.failures, status.losses, status.available_at, status.worker, status.lease_expires_at,
  status.cancel_requested, coalesce(status.labels, '{}') as labels, status.created_at, status.started_at,
  status.finished_at, status.wait_ms, status.run_ms, status.exit_code, status.cpu_ms, status.memory_peak_bytes,
  status.progress, status.error, status.process_id, status.ordinal, status.waits_for, status.item_of, status.item_index`;

export async function readTask(db: Database, taskId: string): Promise<TaskView | null> {
  const [task] = await readTasks(db, [taskId]);
  return task ?? null;
}

/** In the order of `taskIds`; null for one that is not there. */
export async function readTasks(db: Database, taskIds: string[]): Promise<(TaskView | null)[]> {
  const { rows } = await db.pool.query<SummaryRow & DetailRow>(
    `select ${summaryColumns}, task.output, task.retry, task.timeout_ms,
       case when task.process_id is null then task.spec else planned.task -> 'spec' end as spec,
       case when task.process_id is null then task.input else coalesce(task.input, planned.task -> 'input') end as input,
       planned.needs, status.held, task.item, ${awaitingOf('status')} as awaiting,
       -- Children of one process are found together: looked for only where the plan says that there may be one.
       case when planned.task ? 'process' then (
         select child.id
         from (
           select id, created_at from skipjack.processes
           where parent_process_id = task.process_id and parent_task_id = task.id
           offset 0
         ) as child
         order by child.created_at desc, child.id desc limit 1) end as child_process_id,
       status.state not in ('completed', 'failed', 'cancelled', 'skipped') and coalesce((
         select process.paused from skipjack.processes as process where process.id = task.process_id), false) as of_paused,
       (select attempt.error from skipjack.attempts as attempt
        where attempt.task_id = status.id and attempt.error is not null order by attempt.claim_no desc limit 1) as last_error,
       status.state = 'ready' and exists (
         select from skipjack.queues as line where line.name = status.queue and line.paused) as paused,
       status.state = 'ready' and not exists (
         select from skipjack.workers as worker where status.queue = any (worker.queues)
           and worker.heartbeat_at > clock_timestamp() - $2 * interval '1 millisecond') as unserved
     from skipjack.task_status as status
     join skipjack.tasks as task on task.id = status.id
     left join lateral (
       select own.task, array(
         select need.name
         from jsonb_array_elements_text(own.task -> 'needs') as wanted (ordinal)
         cross join lateral (
           select name, ordinal from skipjack.tasks
           where process_id = task.process_id and ordinal = wanted.ordinal::integer limit 1
         ) as need
         order by need.ordinal) as needs
       from (
         select definition.plan -> 'tasks' -> (coalesce(task.item_of, task.ordinal) - 1) as task
         from skipjack.processes as process
         join skipjack.definitions as definition on definition.id = process.definition_id
         where process.id = task.process_id
         offset 0
       ) as own
     ) as planned on true
     where status.id = any ($1::uuid[]) and task.id = any ($1::uuid[])`,
    [taskIds, workerGoneAfterMs],
  );
  const views = new Map(rows.map((row) => [row.id, toView(row)]));
  return taskIds.map((id) => views.get(id) ?? null);
}

/** The output of a task; null while it has none. */
export async function readOutput(db: Database, taskId: string): Promise<Json> {
  const { rows } = await db.pool.query<{ output: Json }>('select output from skipjack.tasks where id = $1', [
    taskId,
  ]);
  return rows[0]?.output ?? null;
}

export interface SummaryRow
  extends Omit<TaskSummary, FigureColumn | MomentColumn>,
    Record<MomentColumn, Date | null>,
    Record<FigureColumn, string | null> {}
type FigureColumn = 'wait_ms' | 'run_ms' | 'cpu_ms' | 'memory_peak_bytes';
type MomentColumn = 'available_at' | 'lease_expires_at' | 'created_at' | 'started_at' | 'finished_at';

interface DetailRow {
  spec: Spec | null;
  input: Json;
  output: Json;
  retry: RetryPolicy | null;
  timeout_ms: string | null;
  last_error: TaskError | null;
  needs: string[] | null;
  item: Json;
  awaiting: Awaiting | null;
  child_process_id: string | null;
  held: boolean;
  of_paused: boolean;
  paused: boolean;
  unserved: boolean;
}

export function toSummary(row: SummaryRow): TaskSummary {
  return {
    id: row.id,
    name: row.name,
    queue: row.queue,
    priority: row.priority,
    state: row.state,
    attempt: row.attempt,
    attempts_max: row.attempts_max,
    failures: row.failures,
    losses: row.losses,
    available_at: row.available_at?.toISOString() ?? null,
    worker: row.worker,
    lease_expires_at: row.lease_expires_at?.toISOString() ?? null,
    cancel_requested: row.cancel_requested,
    labels: row.labels,
    created_at: row.created_at?.toISOString() ?? '',
    started_at: row.started_at?.toISOString() ?? null,
    finished_at: row.finished_at?.toISOString() ?? null,
    wait_ms: toFigure(row.wait_ms),
    run_ms: toFigure(row.run_ms),
    exit_code: row.exit_code,
    cpu_ms: toFigure(row.cpu_ms),
    memory_peak_bytes: toFigure(row.memory_peak_bytes),
    progress: row.progress,
    error: row.error,
    process_id: row.process_id,
    ordinal: row.ordinal,
    waits_for: row.waits_for,
    item_of: row.item_of,
    item_index: row.item_index,
  };
}

/** pg answers a bigint as text. */
export function toFigure(text: string | null): number | null {
  return text === null ? null : Number(text);
}

function toView(row: SummaryRow & DetailRow): TaskView {
  const { retry } = row;
  const spec = readSpec(row.spec);
  const { error, ...summary } = toSummary(row);
  return {
    ...summary,
    ...(spec ?? { type: null }),
    input: row.input,
    retry: retry && {
      attempts: retry.attempts,
      backoff: retry.backoff,
      delay: formatDuration(retry.delay_ms),
      max_delay: formatDuration(retry.max_delay_ms),
      jitter: retry.jitter,
      on: retry.on ?? null,
      within: retry.within_ms === undefined ? null : formatDuration(retry.within_ms),
    },
    timeout: row.timeout_ms === null ? null : formatDuration(Number(row.timeout_ms)),
    needs: row.needs ?? [],
    success: row.finished_at === null ? null : row.state === 'completed',
    output: row.output,
    error,
    last_error: row.last_error,
    waiting_for: waitingFor(row, spec),
    item: row.item_index === null ? null : { index: row.item_index, value: row.item },
    process: row.child_process_id === null ? null : { id: row.child_process_id },
  };
}

function waitingFor(row: SummaryRow & DetailRow, spec: Spec | null): string | null {
  if (row.state === 'pending') {
    return row.item_of === null ? 'the tasks that it needs' : 'items before it';
  }
  if (row.waits_for !== null) {
    // What is under way elsewhere goes on; what an engine must think about waits.
    return row.of_paused && (row.waits_for === 'engine' || row.waits_for === 'time')
      ? pausedProcess(row)
      : describeAwaiting(row.waits_for, row.awaiting);
  }
  if (row.held && row.state !== 'running') return pausedProcess(row);
  return row.paused
    ? `queue "${row.queue}" is paused`
    : row.unserved
      ? spec === null
        ? `somebody to claim it from queue "${row.queue}"`
        : `no worker serves this queue`
      : null;
}

function pausedProcess({ process_id }: SummaryRow): string {
  return `process ${process_id}, which is paused`;
}
