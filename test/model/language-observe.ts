/** The processes of a case and all that they have started, told in the same words by the model and by the rows. */

import type pg from 'pg';
import { isHeld, isLive, type Process, type Task, type World } from './language-model.ts';
import type { Value } from './language-plan.ts';

/** What stands in a database: lines to compare, and where to find what has a line. */
export interface Seen {
  lines: string[];
  processes: Map<string, string>;
  /** By path and name. */
  tasks: Map<string, { id: string; processId: string }>;
  places: Map<string, { path: string; name: string }>;
}

export type LanguageObserver = (rootId: string) => Promise<Seen>;

export const placeOf = (path: string, name: string) => `${path} ${name}`;

export function describeWorld({ processes }: World): string[] {
  return processes.flatMap((process) => [
    describeProcess(process),
    ...process.tasks.map((task) => describeTask(process, task)),
  ]);
}

export function describeProcess(process: Process): string {
  return lineOfProcess({
    ...process,
    unfinished: process.tasks.filter(isLive).length,
    count: process.tasks.length,
    output: process.plan.output === null ? null : process.output,
    failure: process.failureProcess !== null,
  });
}

function lineOfProcess(process: {
  path: string;
  state: string;
  isPaused: boolean;
  unfinished: number;
  count: number;
  output: Value;
  error: string | null;
  failure: boolean;
}): string {
  const { path, state, output, error, failure } = process;
  const isPaused = process.isPaused && ['running', 'failing'].includes(state);
  return `${path} is ${state}${isPaused ? ', paused' : ''}, ${process.unfinished} of ${process.count} to go; ${JSON.stringify(sorted(output))} ${error} ${failure ? 'on_failure' : ''}`;
}

export function describeTask(process: Process, task: Task): string {
  const queued = task.claim
    ? `claimed${task.claim.stopAsked ? ', to stop' : ''}`
    : `queued${task.isLater ? ', later' : ''}${isHeld(process) ? ', held' : ''}`;
  return lineOf({
    ...task,
    place: placeOf(process.path, task.name),
    state: task.state === 'active' ? (task.waits ? `waits for ${task.waits}` : queued) : task.state,
    attempts: task.attempts.join(' '),
  });
}

function lineOf(task: {
  place: string;
  state: string;
  failures: number;
  losses: number;
  output: Value;
  error: string | null;
  letter: string | null;
  attempts: string;
}): string {
  const { place, state, failures, losses, output, error, letter, attempts } = task;
  return `${place} ${state} | ${failures}+${losses} | ${JSON.stringify(sorted(output))} ${error} | letter ${letter} | ${attempts}`;
}

/** Members in one order; ids of processes differ. */
function sorted(value: Value): Value {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .map(([key, each]): [string, Value] => [key, key === 'process_id' ? 'an id' : sorted(each)])
      .sort(([one], [other]) => (one < other ? -1 : 1)),
  );
}

interface Row {
  id: string;
  parent_process_id: string | null;
  parent_task_id: string | null;
  state: string;
  paused: boolean;
  unfinished: number;
  tasks: number;
  result: { output: Value; error: { code: string } | null; failure_process_id: string | null } | null;
  own: {
    id: string;
    name: string;
    state: string;
    waits_for: string | null;
    failures: number;
    losses: number;
    output: Value;
    error: { code: string } | null;
    item: {
      worker: string | null;
      cancel_requested: boolean;
      held: boolean;
      is_later: boolean;
      failures: number;
      losses: number;
    } | null;
    letter: string | null;
    attempts: string | null;
  }[];
}

const readRows = `
  with recursive tree as (
    select id from skipjack.processes where id = $1
    union all
    select child.id from tree join skipjack.processes as child on child.parent_process_id = tree.id
  )
  select process.id, process.parent_process_id, process.parent_task_id, process.state, process.paused, process.unfinished,
    process.tasks,
    (select row_to_json(result) from skipjack.process_results as result where process_id = process.id) as result,
    (select json_agg(own order by ordinal) from (
      select task.id, task.name, task.ordinal, task.state, task.waits_for, task.failures, task.losses, task.output, task.error,
        (select row_to_json(queued) from (
          select worker, cancel_requested, held, available_at > clock_timestamp() + interval '1 minute' as is_later, failures, losses
          from skipjack.queue_items where task_id = task.id) as queued) as item,
        (select case when replayed_at is null then 'waits' else 'replayed' end from skipjack.dead_letters where task_id = task.id) as letter,
        (select string_agg(outcome, ' ' order by claim_no) from skipjack.attempts where task_id = task.id) as attempts
      from skipjack.tasks as task where task.process_id = process.id) as own) as own
  from tree join skipjack.processes as process using (id)
  order by process.id`;

/** Over a connection of its own, with a statement that is planned once: it runs after every move. */
export async function createLanguageObserver(client: pg.Client): Promise<LanguageObserver> {
  await client.query('set plan_cache_mode = force_generic_plan');
  return async (rootId) =>
    see((await client.query<Row>({ name: 'observe', text: readRows, values: [rootId] })).rows, rootId);
}

function see(rows: Row[], rootId: string): Seen {
  const seen: Seen = { lines: [], processes: new Map(), tasks: new Map(), places: new Map() };
  const counts = new Map<string, number>();
  const visit = (row: Row, path: string) => {
    seen.processes.set(path, row.id);
    seen.lines.push(
      lineOfProcess({
        ...row,
        path,
        isPaused: row.paused,
        count: row.tasks,
        output: row.result?.output ?? null,
        error: row.result?.error?.code ?? null,
        failure: row.result?.failure_process_id != null,
      }),
    );
    for (const task of row.own) {
      const place = placeOf(path, task.name);
      seen.tasks.set(place, { id: task.id, processId: row.id });
      seen.places.set(task.id, { path, name: task.name });
      seen.lines.push(
        lineOf({
          place,
          ...task,
          ...(task.item && { failures: task.item.failures, losses: task.item.losses }),
          state: stateOf(task),
          error: task.error?.code ?? null,
          attempts: task.attempts ?? '',
        }),
      );
    }
    for (const child of rows.filter(({ parent_process_id }) => parent_process_id === row.id)) {
      if (child.parent_task_id === null) visit(child, `${path}/!`);
      else {
        const name = row.own.find(({ id }) => id === child.parent_task_id)?.name ?? 'gone';
        // Of an item that a retry has dropped only the process is left.
        const parent = name === 'gone' ? row.id : child.parent_task_id;
        const count = (counts.get(parent) ?? 0) + 1;
        counts.set(parent, count);
        visit(child, `${path}/${name}#${count}`);
      }
    }
  };
  const root = rows.find(({ id }) => id === rootId);
  if (root) visit(root, '0');
  return seen;
}

function stateOf({ state, waits_for, item }: Row['own'][number]): string {
  if (state !== 'active') return item ? `${state}, in the queue` : state;
  if (waits_for !== null) return `waits for ${waits_for}${item ? ', in the queue' : ''}`;
  if (!item) return 'nowhere';
  if (item.worker !== null) return `claimed${item.cancel_requested ? ', to stop' : ''}`;
  return `queued${item.is_later ? ', later' : ''}${item.held ? ', held' : ''}`;
}

/** Lines that differ, in any order. */
export function differencesOf(wanted: string[], seen: string[]): string[] {
  const found = new Set(seen);
  const known = new Set(wanted);
  return [
    ...wanted.filter((line) => !found.has(line)).map((line) => `model:    ${line}`),
    ...seen.filter((line) => !known.has(line)).map((line) => `database: ${line}`),
  ].sort((one, other) => (one.slice(10) < other.slice(10) ? -1 : 1));
}
