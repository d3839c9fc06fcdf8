/** A claimed task on its way from its rows to a worker. */
import type { Json } from '../core/json.ts';
import { readSpec, referSecrets, type Spec } from '../core/spec.ts';
import type { ClaimedItem, ClaimedTask } from '../core/task-source.ts';
import { encodeToken } from '../core/token.ts';

/** What `claimedColumns` builds. */
export interface ClaimedRow
  extends Omit<ClaimedTask, 'spec' | 'token' | 'process' | 'needs' | 'large_needs' | 'item'> {
  spec: Spec | null;
  claim_no: number;
  available_at_us: number;
  place: Place | null;
}

/** Where in which process a task stands: what it runs and what it gets is found from there. */
export interface Place {
  process_id: string;
  definition_id: string;
  /** In the plan: of an item, that of the task with the `each`. */
  ordinal: number;
  item?: ClaimedItem | null;
  /** What it was given in place of the plan's input, when it was tried again. */
  input?: { value: Json } | null;
}

/** Claimed, but what a task of a process runs and gets is not there yet: see processes/describe.ts. */
export interface TakenTask extends ClaimedTask {
  place: Place | null;
}

/** What a worker is told of a task, from an item (aliased `item`) and its `task`. */
export function claimedColumns(item: string): string {
  return `'id', ${item}.task_id, 'claim_no', ${item}.claim_no, 'attempt', ${item}.failures + ${item}.losses + 1,
    'attempts_max', coalesce((task.retry ->> 'attempts')::integer, 1), 'name', task.name, 'queue', ${item}.queue,
    'priority', ${item}.priority, 'spec', task.spec, 'input', task.input, 'labels', task.labels,
    'timeout_ms', ${item}.timeout_ms, 'started', ${item}.started_at is not null,
    'wait_ms', greatest(0, floor(extract(epoch from ${item}.claimed_at - ${item}.available_at) * 1000)),
    'created_at', task.created_at, 'available_at_us', ${microseconds(`${item}.available_at`)},
    'lease_expires_at', ${item}.lease_expires_at,
    'lease_left_ms', greatest(0, floor(extract(epoch from ${item}.lease_expires_at - clock_timestamp()) * 1000)),
    'place', case when ${item}.process_id is not null then (
      select jsonb_build_object('process_id', process.id, 'definition_id', process.definition_id,
        'ordinal', coalesce(task.item_of, task.ordinal),
        'item', case when task.item_of is not null then jsonb_build_object('index', task.item_index, 'value', task.item) end,
        'input', case when task.input is not null then jsonb_build_object('value', task.input) end)
      from skipjack.processes as process where process.id = ${item}.process_id limit 1) end`;
}

/** A time that JavaScript can hand back without losing a digit. */
export function microseconds(moment: string): string {
  return `(extract(epoch from ${moment}) * 1000000)::float8`;
}

export function toTakenTask(row: ClaimedRow): TakenTask {
  return {
    id: row.id,
    token: encodeToken({
      taskId: row.id,
      claimNo: row.claim_no,
      processId: row.place?.process_id ?? null,
    }),
    attempt: row.attempt,
    attempts_max: row.attempts_max,
    name: row.name,
    queue: row.queue,
    priority: row.priority,
    spec: referSecrets(readSpec(row.spec)),
    input: row.input,
    labels: row.labels,
    process: null,
    needs: {},
    large_needs: {},
    ...(row.place?.item ? { item: row.place.item } : {}),
    timeout_ms: row.timeout_ms,
    started: row.started,
    wait_ms: row.wait_ms,
    created_at: toRfc3339(row.created_at),
    lease_expires_at: toRfc3339(row.lease_expires_at),
    lease_left_ms: row.lease_left_ms,
    place: row.place,
  };
}

/** Postgres writes `2026-01-02T03:04:05.123456+00:00` into JSON; shown are milliseconds and Z. */
function toRfc3339(written: string): string {
  return new Date(written).toISOString();
}
