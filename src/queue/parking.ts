/** What parked tasks wait for: read beside them, and said in words. */
import type { ProcessState } from '../core/process.ts';
import type { Parking } from '../core/task.ts';

/** What is known of it; a task that has just been woken has none of it any more. */
export interface Awaiting {
  /** Of an `each`. */
  items?: { all: number; unended: number; failed: number };
  process?: { id: string; state: ProcessState; tasks: number; unfinished: number };
  event?: { name: string; key: string };
  /** The time that it sleeps to, or waits at most: in milliseconds since 1970. */
  until_ms?: number | null;
}

/**
 * SQL: `Awaiting` as jsonb, of a parked task that has the columns `id`, `process_id`, `ordinal` and `waits_for`.
 *
 * Each look is by an index and finds a row or two; only children of one process are read past one another.
 */
export function awaitingOf(task: string): string {
  // Infinity: its process is paused, and the time has come.
  const timer = `'until_ms', (
      select (extract(epoch from nullif(timer.available_at, 'infinity')) * 1000)::float8 from skipjack.engine_items as timer
      where timer.process_id = ${task}.process_id and timer.task_id = ${task}.id and timer.kind = 'timer' limit 1)`;
  return `(case ${task}.waits_for
    when 'items' then (
      select jsonb_build_object('items', jsonb_build_object('all', list.last_ordinal - list.first_ordinal + 1,
        'unended', list.unended, 'failed', list.failed))
      from skipjack.item_lists as list where list.process_id = ${task}.process_id and list.ordinal = ${task}.ordinal)
    when 'process' then (
      select jsonb_build_object('process', jsonb_build_object('id', child.id, 'state', child.state,
        'tasks', child.tasks, 'unfinished', child.unfinished))
      from (
        select * from skipjack.processes
        where parent_process_id = ${task}.process_id and parent_task_id = ${task}.id
        -- Else it may be looked for among all processes, from the last one on.
        offset 0
      ) as child
      order by child.created_at desc, child.id desc limit 1)
    when 'time' then jsonb_build_object(${timer})
    when 'event' then (
      select jsonb_build_object('event', jsonb_build_object('name', wait.name, 'key', wait.key), ${timer})
      from skipjack.event_waits as wait where wait.task_id = ${task}.id)
  end)`;
}

/** After "waits for"; a time after "waits". @example 'the event "paid" with key "42"' */
export function describeAwaiting(waitsFor: Parking, awaiting: Awaiting | null): string {
  const { items, process, event, until_ms } = awaiting ?? {};
  switch (waitsFor) {
    case 'items':
      return items ? `${items.unended} of ${items.all} items` : 'its items';
    case 'process':
      return process ? `process ${process.id}` : 'its process';
    case 'time':
      return until_ms == null ? 'its time' : `until ${new Date(until_ms).toISOString()}`;
    case 'event': {
      if (event === undefined) return 'its event';
      const key = event.key === '' ? '' : ` with key ${JSON.stringify(event.key)}`;
      const end = until_ms == null ? '' : `, until ${new Date(until_ms).toISOString()}`;
      return `the event ${JSON.stringify(event.name)}${key}${end}`;
    }
    case 'engine':
      return 'an engine';
  }
}
