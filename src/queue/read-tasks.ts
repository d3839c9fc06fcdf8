/** Reading tasks: one, whole; many, without their payloads. */
import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import type { ProcessState } from '../core/process.ts';
import { readSpec, type Spec, type Work } from '../core/spec.ts';
import type { RetryOn, RetryPolicy, TaskError, TaskState, VisibleTaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { labelCondition } from './label-condition.ts';
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
  /** Its place among the tasks of its process, counted from 1. */
  ordinal: number | null;
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
    /** Why a task that is ready is not running, where we can tell. */
    waiting_for: string | null;
  };

const summaryColumns = `status.id, status.name, status.queue, status.priority, status.state, status.attempt,
  status.attempts_max, status.failures, status.losses, status.available_at, status.worker, status.lease_expires_at,
  status.cancel_requested, coalesce(status.labels, '{}') as labels, status.created_at, status.started_at,
  status.finished_at, status.wait_ms, status.run_ms, status.exit_code, status.cpu_ms, status.memory_peak_bytes,
  status.progress, status.error, status.process_id, status.ordinal`;

export async function readTask(db: Database, taskId: string): Promise<TaskView | null> {
  const [task] = await readTasks(db, [taskId]);
  return task ?? null;
}

/** In the order of `taskIds`; null for one that is not there. */
export async function readTasks(db: Database, taskIds: string[]): Promise<(TaskView | null)[]> {
  const { rows } = await db.pool.query<SummaryRow & DetailRow>(
    `select ${summaryColumns}, task.output, task.retry, task.timeout_ms,
       case when task.process_id is null then task.spec else planned.task -> 'spec' end as spec,
       case when task.process_id is null then task.input else planned.task -> 'input' end as input,
       planned.needs, status.held,
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
         join skipjack.tasks as need on need.process_id = task.process_id and need.ordinal = wanted.ordinal::integer
         order by need.ordinal) as needs
       from (
         select definition.plan -> 'tasks' -> (task.ordinal - 1) as task
         from skipjack.processes as process
         join skipjack.definitions as definition on definition.id = process.definition_id
         where process.id = task.process_id
         offset 0
       ) as own
     ) as planned on true
     where status.id = any ($1::uuid[])`,
    [taskIds, workerGoneAfterMs],
  );
  const views = new Map(rows.map((row) => [row.id, toView(row)]));
  return taskIds.map((id) => views.get(id) ?? null);
}

export interface TaskFilter {
  /** `active` means scheduled, ready and running. */
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
  const conditions = ['true'];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  const isLive =
    filter.state !== undefined && ['active', 'scheduled', 'ready', 'running'].includes(filter.state);
  // Live tasks are found by their items, of which there are few, however long the record is.
  if (isLive)
    conditions.push('exists (select from skipjack.queue_items as live where live.task_id = status.id)');
  if (filter.state !== 'active') add(filter.state, (parameter) => `status.state = ${parameter}`);
  add(filter.queue, (parameter) => `status.queue = ${parameter}`);
  add(filter.name, (parameter) => `status.name = ${parameter}`);
  add(filter.label, (parameter) => labelCondition('status', parameter));
  add(filter.processId, (parameter) => `status.process_id = ${parameter}`);
  add(
    filter.definition,
    (parameter) =>
      `exists (select from skipjack.processes as process where process.id = status.process_id and process.name = ${parameter})`,
  );
  add(filter.createdAfter, (parameter) => `status.created_at > ${parameter}`);
  add(filter.createdBefore, (parameter) => `status.created_at < ${parameter}`);
  add(page.after, (parameter) => `status.id < ${parameter}`);
  const { rows } = await db.pool.query<SummaryRow>(
    `select ${summaryColumns} from skipjack.task_status as status
     where ${conditions.join(' and ')} order by status.id desc limit ${Number(page.limit)}`,
    values,
  );
  return rows.map(toSummary);
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

/** The output of a task; null while it has none. */
export async function readOutput(db: Database, taskId: string): Promise<Json> {
  const { rows } = await db.pool.query<{ output: Json }>('select output from skipjack.tasks where id = $1', [
    taskId,
  ]);
  return rows[0]?.output ?? null;
}

/** Marks the task as waited for, so that its end is announced, and answers its state. Null: no such task. */
export async function markAwaited(db: Database, taskId: string): Promise<TaskState | null> {
  // Waits for a settle that has the row; after it the item is gone and the next statement sees the end.
  const marked = await db.pool.query('update skipjack.queue_items set awaited = true where task_id = $1', [
    taskId,
  ]);
  // A pending one has no item yet, and its own row is for whoever has the lock of its process.
  if (marked.rowCount === 0) {
    await db.pool.query(
      `update skipjack.processes set tasks_awaited = true where not tasks_awaited
         and id = (select process_id from skipjack.tasks where id = $1 and state in ('pending', 'active'))`,
      [taskId],
    );
  }
  const { rows } = await db.pool.query<{ state: TaskState }>(
    'select state from skipjack.tasks where id = $1',
    [taskId],
  );
  return rows[0]?.state ?? null;
}

/** The same for a process. */
export async function markProcessAwaited(db: Database, processId: string): Promise<ProcessState | null> {
  await db.pool.query('update skipjack.processes set awaited = true where id = $1 and not awaited', [
    processId,
  ]);
  const { rows } = await db.pool.query<{ state: ProcessState }>(
    'select state from skipjack.processes where id = $1',
    [processId],
  );
  return rows[0]?.state ?? null;
}

/** Of these tasks and processes, the ids of those that have ended or are gone. */
export async function findEnded(db: Database, ids: string[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ id: string }>(
    `select wanted.id from unnest($1::uuid[]) as wanted (id)
     where not exists (select from skipjack.queue_items as item where item.task_id = wanted.id)
       and not exists (select from skipjack.tasks as task where task.id = wanted.id and task.state = 'pending')
       and not exists (select from skipjack.processes as process where process.id = wanted.id
         and process.state in ('running', 'failing', 'cancelling'))`,
    [ids],
  );
  return rows.map((row) => row.id);
}

interface SummaryRow
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
  held: boolean;
  paused: boolean;
  unserved: boolean;
}

function toSummary(row: SummaryRow): TaskSummary {
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
  };
}

function waitingFor(row: SummaryRow & DetailRow, spec: Spec | null): string | null {
  if (row.state === 'pending') return 'the tasks that it needs';
  if (row.held && row.state !== 'running') return `process ${row.process_id}, which is paused`;
  return row.paused
    ? `queue "${row.queue}" is paused`
    : row.unserved
      ? spec === null
        ? `somebody to claim it from queue "${row.queue}"`
        : `no worker serves this queue`
      : null;
}
