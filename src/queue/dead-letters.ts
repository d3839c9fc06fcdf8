/** Reading dead letters: tasks that failed for good, with every attempt. */
import type { Json } from '../core/json.ts';
import { readSpec, type Spec } from '../core/spec.ts';
import type { TaskError } from '../core/task.ts';
import type { Database } from '../database/connection.ts';
import { toFigure } from './read-tasks.ts';
import type { DeadLetterFilter } from './replay.ts';

export interface DeadLetterSummary {
  /** The id of its task. */
  id: string;
  name: string;
  queue: string;
  reason: 'failed' | 'lost_too_often';
  error: TaskError | null;
  failed_at: string;
  /** Null: it waits for somebody to replay or delete it. */
  replayed_at: string | null;
  replays: number;
}

export interface DeadLetterView extends DeadLetterSummary {
  spec: Spec | null;
  input: Json;
  labels: Record<string, string>;
  attempts: AttemptView[];
}

/** One attempt that did not complete its task. */
export interface AttemptView {
  attempt: number;
  outcome: 'failed' | 'timed_out' | 'lost' | 'cancelled';
  exit_code: number | null;
  run_ms: number | null;
  /** What it used, where its worker could tell. */
  cpu_ms: number | null;
  memory_peak_bytes: number | null;
  error: TaskError | null;
  output: Json;
  worker: string;
  started_at: string | null;
  ended_at: string;
}

type FigureColumn = 'run_ms' | 'cpu_ms' | 'memory_peak_bytes';

interface LetterRow extends Omit<DeadLetterSummary, 'failed_at' | 'replayed_at'> {
  failed_at: Date;
  replayed_at: Date | null;
}

const summaryColumns = `letter.task_id as id, letter.name, letter.queue, letter.reason, letter.failed_at,
  letter.replayed_at, letter.replays, task.error`;

/** Newest first; `after` is where the page before ended. Served by `dead_letters_by_time`. */
export async function listDeadLetters(
  db: Database,
  filter: DeadLetterFilter & { replayed?: boolean },
  page: { limit: number; after?: { failedAt: string; id: string } },
): Promise<{ letters: DeadLetterSummary[]; last: { failedAt: string; id: string } | null }> {
  const values: unknown[] = [];
  const conditions = ['true'];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  add(filter.queue, (parameter) => `letter.queue = ${parameter}`);
  add(filter.name, (parameter) => `letter.name = ${parameter}`);
  add(filter.reason, (parameter) => `letter.reason = ${parameter}`);
  add(filter.failedAfter, (parameter) => `letter.failed_at > ${parameter}`);
  add(filter.failedBefore, (parameter) => `letter.failed_at < ${parameter}`);
  add(filter.replayed, (parameter) => `(letter.replayed_at is not null) = ${parameter}`);
  if (page.after) {
    // As Postgres wrote it: a JavaScript date would lose its microseconds, and the page its place.
    const failedAt = `$${values.push(page.after.failedAt)}::timestamptz`;
    conditions.push(
      `(letter.failed_at, letter.task_id) < (${failedAt}, $${values.push(page.after.id)}::uuid)`,
    );
  }
  const { rows } = await db.pool.query<LetterRow & { cursor: string }>(
    `select ${summaryColumns}, letter.failed_at::text as cursor
     from skipjack.dead_letters as letter join skipjack.tasks as task on task.id = letter.task_id
     where ${conditions.join(' and ')}
     order by letter.failed_at desc, letter.task_id desc limit ${Number(page.limit)}`,
    values,
  );
  const last = rows.at(-1);
  return { letters: rows.map(toSummary), last: last ? { failedAt: last.cursor, id: last.id } : null };
}

export async function readDeadLetter(db: Database, taskId: string): Promise<DeadLetterView | null> {
  const { rows } = await db.pool.query<LetterRow & Pick<DeadLetterView, 'spec' | 'input' | 'labels'>>(
    `select ${summaryColumns}, coalesce(task.labels, '{}') as labels,
       case when task.process_id is null then task.spec else planned.task -> 'spec' end as spec,
       case when task.process_id is null then task.input else planned.task -> 'input' end as input
     from skipjack.dead_letters as letter join skipjack.tasks as task on task.id = letter.task_id
     left join lateral (
       select definition.plan -> 'tasks' -> (task.ordinal - 1) as task
       from skipjack.processes as process
       join skipjack.definitions as definition on definition.id = process.definition_id
       where process.id = task.process_id
     ) as planned on true
     where letter.task_id = $1`,
    [taskId],
  );
  const row = rows[0];
  if (!row) return null;
  return {
    ...toSummary(row),
    spec: readSpec(row.spec),
    input: row.input,
    labels: row.labels,
    attempts: await readAttempts(db, taskId),
  };
}

/** Every attempt that did not complete the task, oldest first; of very many the last 1,000. */
export async function readAttempts(db: Database, taskId: string): Promise<AttemptView[]> {
  const [attempts] = await readAttemptsOf(db, [taskId]);
  return attempts ?? [];
}

/** The same of several tasks, in the order of `taskIds`. */
export async function readAttemptsOf(db: Database, taskIds: string[]): Promise<AttemptView[][]> {
  if (taskIds.length === 0) return [];
  const once = [...new Set(taskIds)];
  const { rows } = await db.pool.query<
    Omit<AttemptView, 'started_at' | 'ended_at' | FigureColumn> &
      Record<FigureColumn, string | null> & { place: number; started_at: Date | null; ended_at: Date }
  >(
    `select wanted.place::integer, last.*
     from (
       select id, place from unnest($1::uuid[]) with ordinality as wanted (id, place) limit ${once.length}
     ) as wanted
     cross join lateral (
       select claim_no, attempt, outcome, exit_code, run_ms, cpu_ms, memory_peak_bytes, error, output, worker,
         started_at, ended_at
       from skipjack.attempts where task_id = wanted.id order by claim_no desc limit 1000
     ) as last
     order by wanted.place, last.claim_no`,
    [once],
  );
  const found = new Map<string, AttemptView[]>(once.map((id) => [id, []]));
  for (const row of rows) {
    found.get(once[row.place - 1] ?? '')?.push({
      attempt: row.attempt,
      outcome: row.outcome,
      exit_code: row.exit_code,
      run_ms: toFigure(row.run_ms),
      cpu_ms: toFigure(row.cpu_ms),
      memory_peak_bytes: toFigure(row.memory_peak_bytes),
      error: row.error,
      output: row.output,
      worker: row.worker,
      started_at: row.started_at?.toISOString() ?? null,
      ended_at: row.ended_at.toISOString(),
    });
  }
  return taskIds.map((id) => found.get(id) ?? []);
}

function toSummary(row: LetterRow): DeadLetterSummary {
  return {
    id: row.id,
    name: row.name,
    queue: row.queue,
    reason: row.reason,
    error: row.error,
    failed_at: row.failed_at.toISOString(),
    replayed_at: row.replayed_at?.toISOString() ?? null,
    replays: row.replays,
  };
}
