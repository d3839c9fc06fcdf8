/** Reading tasks: one, whole; many, without their payloads. */
import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import {
  type RetryPolicy,
  readSpec,
  type Spec,
  type TaskError,
  type TaskState,
  type VisibleTaskState,
} from '../core/task.ts';
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
  error: TaskError | null;
}

/** A task, whole. */
export type TaskView = TaskSummary & {
  type: Spec['type'] | null;
  command?: string;
  args?: string[];
  run?: string;
  handler?: string;
  env?: Record<string, string>;
  input: Json;
  retry: { attempts: number; backoff: string; delay: string; max_delay: string; jitter: boolean } | null;
  timeout: string | null;
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
  status.finished_at, status.wait_ms, status.run_ms, status.exit_code, status.error`;

export async function readTask(db: Database, taskId: string): Promise<TaskView | null> {
  const [task] = await readTasks(db, [taskId]);
  return task ?? null;
}

/** In the order of `taskIds`; null for one that is not there. */
export async function readTasks(db: Database, taskIds: string[]): Promise<(TaskView | null)[]> {
  const { rows } = await db.pool.query<SummaryRow & DetailRow>(
    `select ${summaryColumns}, task.spec, task.input, task.output, task.retry, task.timeout_ms,
       (select attempt.error from skipjack.attempts as attempt
        where attempt.task_id = status.id and attempt.error is not null order by attempt.claim_no desc limit 1) as last_error,
       status.state = 'ready' and exists (
         select from skipjack.queues as line where line.name = status.queue and line.paused) as paused,
       status.state = 'ready' and not exists (
         select from skipjack.workers as worker where status.queue = any (worker.queues)
           and worker.heartbeat_at > clock_timestamp() - $2 * interval '1 millisecond') as unserved
     from skipjack.task_status as status
     join skipjack.tasks as task on task.id = status.id
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

/** Marks the task as waited for, so that its end is announced, and answers its state. Null: no such task. */
export async function markAwaited(db: Database, taskId: string): Promise<TaskState | null> {
  // Waits for a settle that has the row; after it the item is gone and the next statement sees the end.
  await db.pool.query('update skipjack.queue_items set awaited = true where task_id = $1 and not awaited', [
    taskId,
  ]);
  const { rows } = await db.pool.query<{ state: TaskState }>(
    'select state from skipjack.tasks where id = $1',
    [taskId],
  );
  return rows[0]?.state ?? null;
}

/** Of these tasks, the ids of those that have ended or are gone. */
export async function findEnded(db: Database, taskIds: string[]): Promise<string[]> {
  const { rows } = await db.pool.query<{ id: string }>(
    `select wanted.id from unnest($1::uuid[]) as wanted (id)
     where not exists (select from skipjack.queue_items as item where item.task_id = wanted.id)`,
    [taskIds],
  );
  return rows.map((row) => row.id);
}

interface SummaryRow
  extends Omit<TaskSummary, 'wait_ms' | 'run_ms' | MomentColumn>,
    Record<MomentColumn, Date | null> {
  wait_ms: string | null;
  run_ms: string | null;
}
type MomentColumn = 'available_at' | 'lease_expires_at' | 'created_at' | 'started_at' | 'finished_at';

interface DetailRow {
  spec: Spec | null;
  input: Json;
  output: Json;
  retry: RetryPolicy | null;
  timeout_ms: string | null;
  last_error: TaskError | null;
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
    wait_ms: row.wait_ms === null ? null : Number(row.wait_ms),
    run_ms: row.run_ms === null ? null : Number(row.run_ms),
    exit_code: row.exit_code,
    error: row.error,
  };
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
    },
    timeout: row.timeout_ms === null ? null : formatDuration(Number(row.timeout_ms)),
    success: row.finished_at === null ? null : row.state === 'completed',
    output: row.output,
    error,
    last_error: row.last_error,
    waiting_for: row.paused
      ? `queue "${row.queue}" is paused`
      : row.unserved
        ? spec === null
          ? `somebody to claim it from queue "${row.queue}"`
          : `no worker serves this queue`
        : null,
  };
}
