/** Reading processes: one, whole; many, without their payloads; what happened to one. */
import type { Json } from '../core/json.ts';
import type { ProcessState } from '../core/process.ts';
import type { TaskError, VisibleTaskState } from '../core/task.ts';
import type { Database } from '../database/connection.ts';

/** A process in a list. */
export interface ProcessSummary {
  id: string;
  /** The name of its definition; null for an inline one without a name. */
  definition: string | null;
  /** Null for an inline one. */
  version: number | null;
  state: ProcessState;
  paused: boolean;
  /** How many tasks it has … */
  tasks: number;
  /** … and how many of them have not ended. */
  unfinished: number;
  /** Of its tasks, those that have ended, in percent, rounded down. */
  percent: number;
  created_at: string;
  finished_at: string | null;
  /** The process that has started it, and the task of that one; null for the task where `on_failure` did. */
  parent: { process_id: string; task_id: string | null } | null;
  /** Nobody waits for its end: the task that started it has gone on. */
  detached: boolean;
}

/** A process, whole. */
export interface ProcessView extends ProcessSummary {
  definition_id: string;
  /** Raised by every move of the process. */
  revision: number;
  input: Json;
  /** Its tasks by state as people see them. */
  counts: Record<VisibleTaskState, number>;
  /** Names of the tasks that are scheduled, ready, running or waiting; the first hundred. */
  active: string[];
  /** Of the last attempt, or task, that went wrong. */
  last_error: (TaskError & { task: string }) | null;
  /** Why it has failed, where none of its tasks says so: its deadline, its output. */
  error: TaskError | null;
  /** What its `output` yields; without one the outputs of its last tasks, those that no other needs, by name. Null until it has completed. */
  output: Json;
  /** How many processes lie above it. */
  depth: number;
  /** What its `on_failure` has started. */
  failure_process_id: string | null;
  /** Where there are any: outputs that are too large to come along, name → id of the task that has it. */
  large_outputs?: Record<string, string>;
}

interface SummaryRow extends Omit<ProcessSummary, 'created_at' | 'finished_at' | 'parent'> {
  created_at: Date;
  finished_at: Date | null;
  parent_process_id: string | null;
  parent_task_id: string | null;
}

const summaryColumns = `process.id, process.name as definition, definition.version, process.state, process.paused,
  process.tasks, process.unfinished,
  floor(100.0 * (process.tasks - process.unfinished) / process.tasks)::integer as percent,
  process.created_at, process.finished_at, process.parent_process_id, process.parent_task_id, process.detached`;

const emptyCounts: Record<VisibleTaskState, number> = {
  pending: 0,
  scheduled: 0,
  ready: 0,
  running: 0,
  waiting: 0,
  completed: 0,
  failed: 0,
  cancelled: 0,
  skipped: 0,
};

/** Of the outputs that come along, as JSON. */
const outputBytesMax = 2 * 1024 * 1024;

type ProcessRow = SummaryRow &
  Pick<
    ProcessView,
    'definition_id' | 'input' | 'last_error' | 'error' | 'output' | 'depth' | 'failure_process_id'
  > & {
    large_outputs: Record<string, string> | null;
    revision: string;
    counts: Partial<ProcessView['counts']> | null;
    active: string[] | null;
    by_output: boolean;
  };

export async function readProcess(db: Database, id: string): Promise<ProcessView | null> {
  const [process] = await readProcesses(db, [id]);
  return process ?? null;
}

/** In the order of `ids`; null for one that is not there. Planning this takes longer than to read a process by it. */
export async function readProcesses(db: Database, ids: string[]): Promise<(ProcessView | null)[]> {
  if (ids.length === 0) return [];
  const once = [...new Set(ids)];
  const { rows } = await db.pool.query<ProcessRow>(
    `select found.*
     from (select id from unnest($1::uuid[]) as wanted (id) limit ${once.length}) as wanted
     cross join lateral (
       with own as materialized (
         select id, ordinal, name, state from skipjack.task_status where process_id = wanted.id
       ), made as materialized (
         -- Only what an engine has ended may have an output of its own: of others the plan is not unpacked.
         select process.finishes and exists (
           select from skipjack.definitions as definition where definition.id = process.definition_id and definition.plan ? 'output') as by_output
         from skipjack.processes as process where process.id = wanted.id
       ), last as materialized (
         select task.id, task.name,
           sum(sized.bytes) over (order by sized.bytes, task.ordinal rows unbounded preceding) > ${outputBytesMax} as is_large
         from skipjack.processes as process
         join skipjack.tasks as task on task.process_id = process.id
         -- What is stored in more than the bound is not even unpacked.
         cross join lateral (
           select case when task.output is null then 0
             when pg_column_size(task.output) > ${outputBytesMax} then ${outputBytesMax + 1}
             else octet_length(task.output::text) end as bytes
         ) as sized
         where process.id = wanted.id and process.state = 'completed' and task.dependents is null and task.state = 'completed'
           and task.item_of is null and not (select by_output from made)
       )
       select ${summaryColumns}, process.definition_id, process.revision, coalesce(given.input, '{}') as input,
         (select jsonb_object_agg(state, number) from (select state, count(*) as number from own group by state) as counted) as counts,
         array(select name from own where state in ('scheduled', 'ready', 'running', 'waiting') order by ordinal limit 100) as active,
         (select found.error || jsonb_build_object('task', found.name) from (
            (select own.name, attempt.error, attempt.ended_at as at, attempt.claim_no
             from own
             cross join lateral (
               select error, ended_at, claim_no from skipjack.attempts
               where task_id = own.id and error is not null order by claim_no desc limit 1
             ) as attempt
             order by attempt.ended_at desc, attempt.claim_no desc limit 1)
            union all
            -- What an engine has failed had no attempt.
            (select own.name, task.error, task.finished_at, 0
             from own
             cross join lateral (select error, finished_at from skipjack.tasks where id = own.id limit 1) as task
             where own.state = 'failed' and task.error is not null order by task.finished_at desc limit 1)
          ) as found order by found.at desc, found.claim_no desc limit 1) as last_error,
         result.error, result.failure_process_id, process.depth, made.by_output,
         case when not made.by_output then (
           select jsonb_object_agg(last.name, task.output) from last join skipjack.tasks as task on task.id = last.id
           where not last.is_large)
           when process.state = 'completed' then result.output end as output,
         (select jsonb_object_agg(name, id) from last where is_large) as large_outputs
       from skipjack.processes as process
       join skipjack.definitions as definition on definition.id = process.definition_id
       cross join made
       left join skipjack.process_inputs as given on given.process_id = process.id
       left join skipjack.process_results as result on result.process_id = process.id
       where process.id = wanted.id
     ) as found`,
    [once],
  );
  const views = new Map(rows.map((row) => [row.id, toView(row)]));
  return ids.map((id) => views.get(id.toLowerCase()) ?? null);
}

/** Its state alone: for those who ask again and again. Null: there is no such process. */
export async function readProcessState(db: Database, id: string): Promise<ProcessState | null> {
  const { rows } = await db.pool.query<{ state: ProcessState }>(
    'select state from skipjack.processes where id = $1',
    [id],
  );
  return rows[0]?.state ?? null;
}

export interface ProcessFilter {
  /** `live` means running, failing and cancelling. */
  state?: ProcessState | 'live';
  definition?: string;
  /** That has started them. */
  parentProcessId?: string;
  createdAfter?: Date;
  createdBefore?: Date;
}

/** Newest first; `after` is the id of the last one of the page before. */
export async function listProcesses(
  db: Database,
  filter: ProcessFilter,
  page: { limit: number; after?: string },
): Promise<ProcessSummary[]> {
  const values: unknown[] = [];
  const conditions = ['true'];
  const add = (value: unknown, condition: (parameter: string) => string) => {
    if (value !== undefined) conditions.push(condition(`$${values.push(value)}`));
  };
  // As the index processes_live says it: live ones are few, however long the record is.
  const isLive =
    filter.state !== undefined && ['live', 'running', 'failing', 'cancelling'].includes(filter.state);
  if (isLive) conditions.push(`process.state in ('running', 'failing', 'cancelling')`);
  if (filter.state !== 'live') add(filter.state, (parameter) => `process.state = ${parameter}`);
  add(filter.definition, (parameter) => `process.name = ${parameter}`);
  add(filter.parentProcessId, (parameter) => `process.parent_process_id = ${parameter}`);
  add(filter.createdAfter, (parameter) => `process.created_at > ${parameter}`);
  add(filter.createdBefore, (parameter) => `process.created_at < ${parameter}`);
  add(page.after, (parameter) => `process.id < ${parameter}`);
  const { rows } = await db.pool.query<SummaryRow>(
    `select ${summaryColumns}
     from (
       select * from skipjack.processes as process
       where ${conditions.join(' and ')} order by process.id desc limit ${Number(page.limit)}
     ) as process
     cross join lateral (
       select version from skipjack.definitions where id = process.definition_id limit 1
     ) as definition
     order by process.id desc`,
    values,
  );
  return rows.map(toSummary);
}

/** How many processes have not ended, by state. Served by `processes_live`. */
export async function countLiveProcesses(
  db: Database,
): Promise<Record<'running' | 'failing' | 'cancelling', number>> {
  const { rows } = await db.pool.query<{ state: ProcessState; count: number }>(
    `select state, count(*)::float8 as count from skipjack.processes
     where state in ('running', 'failing', 'cancelling') group by state`,
  );
  const counts = { running: 0, failing: 0, cancelling: 0 };
  return { ...counts, ...Object.fromEntries(rows.map(({ state, count }) => [state, count])) };
}

/** Something that happened to a process or one of its tasks. */
export interface ProcessHistoryEntry {
  at: string;
  /** `process_started`, `task_started`, `attempt_failed`, `task_completed`, `process_cancel_requested` … */
  event: string;
  task: string | null;
  task_id: string | null;
  /** The worker, or whoever asked for it. */
  by: string | null;
  details: Json;
}

/** Where a page of history ended, to the last digit of its time. */
export type HistoryPlace = [at: string, step: number, taskId: string];

const noTask = '00000000-0000-0000-0000-000000000000';

/** Oldest first; `after` is the place of the last entry of the page before. */
export async function readHistory(
  db: Database,
  id: string,
  page: { limit: number; after?: HistoryPlace },
): Promise<{ entries: ProcessHistoryEntry[]; last: HistoryPlace | null }> {
  type Row = Omit<ProcessHistoryEntry, 'at'> & { at: Date; written: string; step: number };
  const { rows } = await db.pool.query<Row>(
    `select at, event, task, task_id, by, details, to_char(at at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00') as written, step from skipjack.process_history
     where process_id = $1 and (at, step, coalesce(task_id, '${noTask}')) > ($2::timestamptz, $3::integer, $4::uuid)
     order by at, step, coalesce(task_id, '${noTask}') limit ${Number(page.limit)}`,
    [id, ...(page.after ?? ['-infinity', 0, noTask])],
  );
  const last = rows.at(-1);
  return {
    entries: rows.map(({ written, step, ...entry }) => ({ ...entry, at: entry.at.toISOString() })),
    last: last ? [last.written, last.step, last.task_id ?? noTask] : null,
  };
}

function toSummary(row: SummaryRow): ProcessSummary {
  return {
    id: row.id,
    definition: row.definition,
    version: row.version,
    state: row.state,
    paused: row.paused,
    tasks: row.tasks,
    unfinished: row.unfinished,
    percent: row.percent,
    created_at: row.created_at.toISOString(),
    finished_at: row.finished_at?.toISOString() ?? null,
    parent:
      row.parent_process_id === null
        ? null
        : { process_id: row.parent_process_id, task_id: row.parent_task_id },
    detached: row.detached,
  };
}

function toView(row: ProcessRow): ProcessView {
  return {
    ...toSummary(row),
    definition_id: row.definition_id,
    revision: Number(row.revision),
    input: row.input,
    counts: { ...emptyCounts, ...row.counts },
    active: row.active ?? [],
    last_error: row.last_error,
    error: row.error,
    // Without an output: none of its last tasks completed, each failed under continue_on_error or was skipped.
    output: row.state === 'completed' && !row.by_output ? (row.output ?? {}) : row.output,
    depth: row.depth,
    failure_process_id: row.failure_process_id,
    ...(row.large_outputs ? { large_outputs: row.large_outputs } : {}),
  };
}
