/**
 * The statement that claims.
 *
 * A *line* is a queue at one priority. The statement walks the lines by priority, then by the order in which
 * the queues are named, and takes from each what is due, in order, with SKIP LOCKED; the lateral join locks
 * exactly what is taken and never walks items scheduled for later. Which lines there are is either found by
 * skipping through the index `queue_items_claimable` (one probe a line), or handed in by a caller that has
 * just seen them, with a floor: the oldest `available_at` worth looking at. The floor keeps a claim off the
 * dead rows that a long transaction preserves (test/queue/plans.test.ts shows both).
 *
 * What was locked is updated by its place (ctid), which nobody can move while we hold it: a second walk through
 * the primary key would cost as much as the first. A row that changed hands between our snapshot and the lock is
 * not there for the update, and is left for the next claim.
 *
 * Many requests share one statement: what is taken is numbered, and each request owns a range of numbers.
 * `limit` stands beside every set whose size we know: it is how the planner knows it too, and without it a
 * hash join over the whole table looks cheap.
 */
import type { ClaimFilter } from '../core/task-source.ts';
import { claimedColumns, microseconds } from './claimed-task.ts';
import { labelCondition } from './label-condition.ts';

/** A queue at one priority, and the oldest `available_at` worth looking at there, in microseconds since 1970. */
export interface Line {
  queue: string;
  priority: number;
  floor_us: number;
}

export interface ClaimSelection {
  queues: string[];
  /** Lines seen a moment ago; null to find them. */
  lines: Line[] | null;
  filter?: ClaimFilter;
}

/** Exported for the test that reads its plan. */
export function claimStatement(options: { selection: ClaimSelection; limit: number; ranges: string }): {
  text: string;
  values: unknown[];
} {
  const { selection, limit, ranges } = options;
  const values: unknown[] = [selection.queues, ranges];
  const bind = (value: unknown) => `$${values.push(value)}`;
  // As a literal: the planner then knows how many rows will come, without a look at the parameter.
  const count = Number(limit);

  const known = selection.lines;
  const linesSql =
    known === null
      ? `lines as materialized (
    select queue, priority, available_at as floor from found
  )`
      : `lines as materialized (
    select queue, priority, timestamptz 'epoch' + floor_us * interval '1 microsecond' as floor
    from jsonb_to_recordset(${bind(JSON.stringify(known))}::jsonb) as known (queue text, priority smallint, floor_us float8)
    limit ${known.length}
  )`;
  const foundSql =
    known === null
      ? `found as (
    select first.queue, first.priority, first.available_at
    from unnest($1::text[]) as wanted (queue)
    cross join lateral (
      select item.queue, item.priority, item.available_at
      from skipjack.queue_items as item
      where item.queue = wanted.queue and item.worker is null and not item.held
      order by item.queue, item.priority desc, item.available_at, item.task_id
      limit 1
    ) as first
    union all
    select below.queue, below.priority, below.available_at
    from found
    cross join lateral (
      select item.queue, item.priority, item.available_at
      from skipjack.queue_items as item
      where item.queue = found.queue and item.priority < found.priority and item.worker is null and not item.held
      order by item.queue, item.priority desc, item.available_at, item.task_id
      limit 1
    ) as below
  ), `
      : '';
  const { name, label, definition } = selection.filter ?? {};
  const filterJoin = [
    name === undefined && label === undefined ? '' : 'join skipjack.tasks as task on task.id = item.task_id',
    name === undefined ? '' : `and task.name = ${bind(name)}`,
    label === undefined ? '' : `and ${labelCondition('task', bind(label))}`,
    definition === undefined
      ? ''
      : `join skipjack.processes as process on process.id = item.process_id and process.name = ${bind(definition)}`,
  ].join(' ');

  const text = `
with recursive ${foundSql}${linesSql}, walk as materialized (
  select lines.queue, lines.priority, lines.floor
  from lines
  where not exists (select from skipjack.queues as paused where paused.name = lines.queue and paused.paused)
  order by lines.priority desc, array_position($1::text[], lines.queue)
), taken as materialized (
  select due.place, row_number() over () as number
  from (
    select due.place
    from walk
    cross join lateral (
      select item.ctid as place
      from skipjack.queue_items as item
      ${filterJoin}
      where item.queue = walk.queue and item.priority = walk.priority and item.worker is null and not item.held
        and item.available_at >= walk.floor and item.available_at <= now()
      order by item.available_at, item.task_id
      limit ${count}
      for update of item skip locked
    ) as due
    limit ${count}
  ) as due
), clock as materialized (
  select clock_timestamp() as at
), ranges as materialized (
  select * from jsonb_to_recordset($2::jsonb) as range (
    part integer, first bigint, last bigint, last_started bigint,
    worker text, lease_ms bigint, grace_ms bigint, claim_id uuid)
), claimed as (
  update skipjack.queue_items as item set
    claim_no = item.claim_no + 1,
    worker = ranges.worker,
    claim_id = ranges.claim_id,
    claimed_at = clock.at,
    started_at = case when taken.number <= ranges.last_started then clock.at end,
    deadline_at = case when taken.number <= ranges.last_started
      then clock.at + item.timeout_ms * interval '1 millisecond' end,
    lease_expires_at = least(
      clock.at + ranges.lease_ms * interval '1 millisecond',
      case when taken.number <= ranges.last_started
        then clock.at + (item.timeout_ms + ranges.grace_ms) * interval '1 millisecond' end)
  from taken
  join ranges on taken.number between ranges.first and ranges.last
  cross join clock
  where item.ctid = taken.place
  returning item.*, ranges.part, taken.number
), answered as (
  select claimed.number, jsonb_build_object(${claimedColumns('claimed')}, 'part', claimed.part) as task
  from claimed
  cross join lateral (select * from skipjack.tasks as task where task.id = claimed.task_id limit 1) as task
)
select
  (select jsonb_agg(answered.task order by answered.number) from answered) as tasks,
  ${known === null ? `(select jsonb_agg(jsonb_build_object('queue', queue, 'priority', priority, 'floor_us', ${microseconds('floor')})) from lines)` : 'null'} as lines,
  case when not exists (select from claimed) then (
    select greatest(1, ceil(extract(epoch from min(next.available_at) - now()) * 1000))::float8
    from walk
    cross join lateral (
      select item.available_at
      from skipjack.queue_items as item
      where item.queue = walk.queue and item.priority = walk.priority and item.worker is null and not item.held
        and item.available_at >= walk.floor and item.available_at > now()
      order by item.available_at, item.task_id
      limit 1
    ) as next
  ) end as next_due_ms,
  case when not exists (select from claimed) then exists (
    select from walk
    cross join lateral (
      select
      from skipjack.queue_items as item
      ${filterJoin}
      where item.queue = walk.queue and item.priority = walk.priority and item.worker is null and not item.held
        and item.available_at >= walk.floor and item.available_at <= now()
      order by item.available_at, item.task_id
      limit 1
    ) as due
  ) end as passed_over`;
  return { text, values };
}
