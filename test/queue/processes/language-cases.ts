/**
 * Processes that need an engine, laid out by SQL as they stand before some of their tasks end; through the product's
 * own moves it would take minutes. And all that can be seen of them afterwards.
 */
import { newId } from '../../../src/core/ids.ts';
import type { Parking } from '../../../src/core/task.ts';
import type { TestDatabase } from '../../support/database.ts';
import { publish, retryOf } from '../../support/processes.ts';

export interface ShapeTask {
  needs?: string[];
  thinks?: boolean;
  /** Spared when its process stops after a failure, or a cancel. */
  onFailure?: boolean;
  onCancel?: boolean;
  /** Of an active task: what it is parked for; `claimed`: held by a worker. Neither: on the queue. */
  is?: Parking | 'claimed';
  /** The item of that `each`, in the order of the shape. */
  itemOf?: string;
  /** It has needs, but they have ended. */
  active?: boolean;
}

export interface Shape {
  tasks: Record<string, ShapeTask>;
  finishes?: boolean;
  failuresMax?: number;
}

export const standings = [
  { state: 'running', failFast: true, paused: false },
  { state: 'running', failFast: false, paused: false },
  { state: 'failing', failFast: false, paused: true },
  { state: 'failing', failFast: true, paused: false },
  { state: 'cancelling', failFast: true, paused: true },
] as const;
export type Standing = (typeof standings)[number];

export interface Act {
  attempts?: number;
  losses?: number;
  expired?: boolean;
  coe?: boolean;
  /** Of a task that an engine ends. */
  is?: Parking;
}

export interface Layout {
  id: string;
  name: string;
  shape: Shape;
  standing: Standing;
  /** Of the first tasks of the shape. */
  acts: Act[];
  taskIds: string[];
}

type Row = Record<string, unknown>;

function isSpared({ state }: Standing, { onFailure = false, onCancel = false }: ShapeTask): boolean {
  return (state === 'failing' && onFailure) || (state === 'cancelling' && onCancel);
}

function rowsOf({ id, name, shape, standing, acts, taskIds }: Layout, definitionId: string) {
  const tables = {
    processes: [] as Row[],
    tasks: [] as Row[],
    queue_items: [] as Row[],
    engine_items: [] as Row[],
    item_lists: [] as Row[],
    event_waits: [] as Row[],
    attempts: [] as Row[],
  };
  const names = Object.keys(shape.tasks);
  const past = '2026-01-01T00:00:00Z';
  const future = '2036-01-01T00:00:00Z';
  const stops = standing.state === 'cancelling' || (standing.state === 'failing' && standing.failFast);
  const ordinalOf = (each: string) => names.indexOf(each) + 1;
  const add = (row: Row) => tables.tasks.push({ ...emptyTask, process_id: id, created_at: past, ...row });
  const thought = (kind: string, taskId: string, at: string) =>
    tables.engine_items.push({ process_id: id, task_id: taskId, kind, available_at: at });

  for (const [index, [taskName, task]] of Object.entries(shape.tasks).entries()) {
    const act = acts[index];
    const { needs = [], itemOf } = task;
    const is = act?.is ?? task.is;
    const spared = isSpared(standing, task);
    const waits = needs.length > 0 && !task.active;
    const goesOn = !stops || spared || is === 'claimed' || is === 'process';
    const state = !goesOn ? 'cancelled' : waits ? 'pending' : 'active';
    const parked = state === 'active' && is !== undefined && is !== 'claimed' ? is : null;
    const taskId = taskIds[index] ?? newId();
    const items = names.filter((other) => shape.tasks[other]?.itemOf === itemOf);
    add({
      id: taskId,
      ordinal: index + 1,
      name: taskName,
      state,
      finished_at: state === 'cancelled' ? past : null,
      unmet: state === 'pending' ? needs.length : 0,
      dependents: nullIfEmpty(
        names.filter((other) => shape.tasks[other]?.needs?.includes(taskName)).map(ordinalOf),
      ),
      // So long that no machine is slow enough to see it pass.
      retry: { ...retryOf(act?.attempts ?? 1), delay_ms: 3_600_000, max_delay_ms: 3_600_000 },
      continue_on_error: act?.coe ?? (itemOf !== undefined && (shape.failuresMax ?? 0) > 0),
      thinks: task.thinks ?? parked !== null,
      waits_for: parked,
      runs_on_failure: task.onFailure ?? false,
      runs_on_cancel: task.onCancel ?? false,
      item_of: itemOf === undefined ? null : ordinalOf(itemOf),
      item_index: itemOf === undefined ? null : items.indexOf(taskName),
    });
    if (state !== 'active') continue;
    if (parked === null) {
      const claimed = is === 'claimed';
      tables.queue_items.push({
        task_id: taskId,
        process_id: id,
        queue: 'default',
        priority: 5,
        available_at: past,
        claim_no: claimed ? 9 : 0,
        failures: 0,
        losses: act?.losses ?? 0,
        held: standing.paused && standing.state !== 'cancelling',
        worker: claimed ? 'w' : null,
        claimed_at: claimed ? past : null,
        started_at: claimed ? past : null,
        lease_expires_at: claimed ? (act?.expired ? past : future) : null,
        cancel_requested: claimed && stops && !spared,
        overdue: false,
        awaited: false,
      });
      for (let number = 1; number <= (act?.losses ?? 0); number += 1)
        tables.attempts.push({
          task_id: taskId,
          claim_no: number,
          attempt: number,
          outcome: 'lost',
          error: {},
          worker: 'w',
          claimed_at: past,
          ended_at: past,
        });
    }
    if (parked === 'engine') thought('think', taskId, past);
    if (parked === 'time') thought('timer', taskId, future);
    if (parked === 'event') {
      thought('timer', taskId, future);
      tables.event_waits.push({ task_id: taskId, process_id: id, name: 'paid', key: name });
    }
    if (parked === 'process') {
      const child = newId();
      tables.processes.push({
        ...emptyProcess,
        id: child,
        definition_id: definitionId,
        name: `child ${taskName} of ${name}`,
        // Of a task that is to be ended it has ended. In a process that stops it has been told to cancel.
        state: act ? 'completed' : stops && !spared ? 'cancelling' : 'running',
        fail_fast: true,
        tasks: 1,
        unfinished: act ? 0 : 1,
        finished_at: act ? past : null,
        finishes: true,
        parent_process_id: id,
        parent_task_id: taskId,
        depth: 1,
        created_at: past,
      });
      const childTask = newId();
      add({
        id: childTask,
        process_id: child,
        ordinal: 1,
        name: 'inner',
        state: act ? 'completed' : 'active',
        finished_at: act ? past : null,
      });
      if (act) continue;
      tables.queue_items.push({
        task_id: childTask,
        process_id: child,
        queue: 'default',
        priority: 5,
        available_at: past,
        claim_no: 9,
        failures: 0,
        losses: 0,
        held: false,
        worker: 'w',
        claimed_at: past,
        started_at: past,
        lease_expires_at: future,
        cancel_requested: stops && !spared,
        overdue: false,
        awaited: false,
      });
    }
  }
  for (const each of names.filter((other) => names.some((item) => shape.tasks[item]?.itemOf === other))) {
    const items = tables.tasks.filter((row) => row.process_id === id && row.item_of === ordinalOf(each));
    const active = items.filter(({ state }) => state !== 'pending').length;
    const first = items[0]?.ordinal as number;
    tables.item_lists.push({
      process_id: id,
      ordinal: ordinalOf(each),
      task_id: tables.tasks.find((row) => row.process_id === id && row.name === each)?.id,
      first_ordinal: first,
      last_ordinal: first + items.length - 1,
      next_ordinal: first + active,
      unended: items.filter(({ state }) => state !== 'cancelled').length,
      failed: 0,
      failures_max: shape.failuresMax ?? 0,
      concurrency: active,
    });
  }
  if (standing.state !== 'running')
    add({
      id: newId(),
      ordinal: 99,
      name: 'history',
      state: standing.state === 'failing' ? 'failed' : 'cancelled',
      finished_at: past,
      error: standing.state === 'failing' ? {} : null,
    });
  const own = tables.tasks.filter((row) => row.process_id === id);
  const unfinished = own.filter(({ state }) => state === 'pending' || state === 'active').length;
  const all = Object.values(shape.tasks);
  const cleansUp = all.some(({ onFailure, onCancel }) => onFailure || onCancel);
  if (cleansUp && standing.state !== 'running')
    tables.engine_items.push({ process_id: id, task_id: null, kind: 'cleanup', available_at: past });
  tables.processes.push({
    ...emptyProcess,
    id,
    definition_id: definitionId,
    name,
    state: standing.state,
    fail_fast: standing.failFast,
    paused: standing.paused,
    tasks: own.length,
    unfinished,
    thinks: true,
    finishes: shape.finishes ?? false,
    cleans_up: cleansUp,
    created_at: past,
  });
  return tables;
}

const emptyTask = {
  queue: 'default',
  priority: 5,
  unmet: 0,
  dependents: null,
  retry: null,
  continue_on_error: false,
  thinks: false,
  waits_for: null,
  runs_on_failure: false,
  runs_on_cancel: false,
  item_of: null,
  item_index: null,
  finished_at: null,
  error: null,
  claim_no: 0,
  failures: 0,
  losses: 0,
};

const emptyProcess = {
  paused: false,
  revision: 1,
  awaited: false,
  tasks_awaited: false,
  thinks: false,
  finishes: false,
  cleans_up: false,
  parent_process_id: null,
  parent_task_id: null,
  detached: false,
  depth: 0,
  finished_at: null,
};

function nullIfEmpty<Item>(list: Item[]): Item[] | null {
  return list.length > 0 ? list : null;
}

/** Postgres takes so many at once without a text of too many megabytes. */
const rowsAtOnce = 5_000;

export async function layOut(
  database: TestDatabase,
  layouts: Layout[],
  { analyze = true }: { analyze?: boolean } = {},
): Promise<void> {
  const definitionId = await publish(database, { a: [] });
  const tables = new Map<string, Row[]>();
  for (const layout of layouts)
    for (const [table, rows] of Object.entries(rowsOf(layout, definitionId)))
      tables.set(table, [...(tables.get(table) ?? []).splice(0), ...rows]);
  for (const [table, rows] of tables)
    for (let at = 0; at < rows.length; at += rowsAtOnce) {
      const columns = Object.keys(rows[0] ?? {}).join(', ');
      await database.sql(
        `insert into skipjack.${table} (${columns}) select ${columns} from jsonb_populate_recordset(null::skipjack.${table}, $1::jsonb)`,
        [JSON.stringify(rows.slice(at, at + rowsAtOnce))],
      );
    }
  if (analyze) await database.sql('analyze');
}

/**
 * Twins that differ: those called alike but for the last three letters. Thoughts are compared by what they are about,
 * for two of a kind are as good as one; a list's place only while something waits behind it.
 */
export const differences = `
  with recorded as (
    select process.name, jsonb_build_object(
      'process', array[process.state, process.unfinished::text, process.paused::text, (process.finished_at is not null)::text],
      'tasks', (select jsonb_object_agg(task.name, jsonb_build_array(task.state, task.failures, task.losses, task.claim_no,
          task.worker, task.started_at is not null, task.finished_at is not null, task.exit_code, task.output, task.error,
          task.waits_for, case when task.state in ('pending', 'active') then array[task.unmet::text, task.thinks::text] end))
        from skipjack.tasks as task where task.process_id = process.id),
      'items', (select jsonb_object_agg(task.name, jsonb_build_array(item.claim_no, item.failures, item.losses, item.worker,
          item.cancel_requested, item.held, item.started_at is not null, item.available_at > clock_timestamp()))
        from skipjack.tasks as task join skipjack.queue_items as item on item.task_id = task.id where task.process_id = process.id),
      'attempts', (select jsonb_object_agg(task.name || ' ' || attempt.claim_no, jsonb_build_array(attempt.outcome, attempt.error))
        from skipjack.tasks as task join skipjack.attempts as attempt on attempt.task_id = task.id where task.process_id = process.id),
      'letters', (select jsonb_object_agg(task.name, letter.reason)
        from skipjack.tasks as task join skipjack.dead_letters as letter on letter.task_id = task.id where task.process_id = process.id),
      'inbox', (select jsonb_object_agg(thought.kind || ' ' || coalesce(task.name, ''), thought.available_at > clock_timestamp())
        from skipjack.engine_items as thought left join skipjack.tasks as task on task.id = thought.task_id
        where thought.process_id = process.id),
      'waits', (select jsonb_agg(task.name order by task.name)
        from skipjack.event_waits as wait join skipjack.tasks as task on task.id = wait.task_id where wait.process_id = process.id),
      'lists', (select jsonb_agg(jsonb_build_array(list.ordinal, list.unended, list.failed,
          (select min(ordinal) from skipjack.tasks as item where item.process_id = process.id and item.item_of = list.ordinal
             and item.state = 'pending') >= list.next_ordinal))
        from skipjack.item_lists as list where list.process_id = process.id)) as record
    from skipjack.processes as process
  )
  select left(name, -3) as name, jsonb_agg(record order by name) as batched_and_one_by_one
  from recorded
  group by left(name, -3)
  having count(*) <> 2 or count(distinct record) > 1`;
