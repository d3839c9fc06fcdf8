/**
 * The tables, in schema `skipjack`. Their shape follows one measurement: what moves (`queue_items`) is kept
 * apart from what is recorded (`tasks`), so that cost stays flat as history grows. See queue/README.md.
 *
 * No foreign keys on hot tables: the auditor checks what they would. What no row may ever say is a CHECK
 * with a name that reads as a sentence. Storage settings, views and functions are in drizzle/*_functions.sql.
 */
import { sql } from 'drizzle-orm';
import {
  bigint,
  boolean,
  check,
  index,
  integer,
  jsonb,
  pgSchema,
  primaryKey,
  smallint,
  text,
  timestamp,
  uniqueIndex,
  uuid,
} from 'drizzle-orm/pg-core';
import type { Json } from '../core/json.ts';
import type { Plan } from '../core/plan.ts';
import type { ProcessEvent, ProcessState, ThoughtKind } from '../core/process.ts';
import type { Spec } from '../core/spec.ts';
import type { Parking, RetryPolicy, TaskError, TaskState } from '../core/task.ts';

export const skipjack = pgSchema('skipjack');

const moment = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });
const milliseconds = (name: string) => bigint(name, { mode: 'number' });

/** The record: inserted once, updated when the task ends. */
export const tasks = skipjack.table(
  'tasks',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    queue: text('queue').notNull(),
    priority: smallint('priority').notNull(),
    state: text('state').$type<TaskState>().notNull().default('active'),
    spec: jsonb('spec').$type<Spec>(),
    input: jsonb('input').$type<Json>(),
    labels: jsonb('labels').$type<Record<string, string>>(),
    retry: jsonb('retry').$type<RetryPolicy>(),
    timeoutMs: milliseconds('timeout_ms'),
    createdAt: moment('created_at').notNull(),
    // Written when the task ends; while it is active they live on its queue item.
    claimNo: integer('claim_no').notNull().default(0),
    failures: integer('failures').notNull().default(0),
    losses: integer('losses').notNull().default(0),
    worker: text('worker'),
    startedAt: moment('started_at'),
    finishedAt: moment('finished_at'),
    waitMs: milliseconds('wait_ms'),
    runMs: milliseconds('run_ms'),
    exitCode: integer('exit_code'),
    /** What the attempt that ended it used, where its worker could tell. */
    cpuMs: milliseconds('cpu_ms'),
    memoryPeakBytes: bigint('memory_peak_bytes', { mode: 'number' }),
    output: jsonb('output').$type<Json>(),
    error: jsonb('error').$type<TaskError>(),
    /** Of a process's task: what it runs is in the plan, at this ordinal. */
    processId: uuid('process_id'),
    ordinal: integer('ordinal'),
    /** Needs that have not ended. */
    unmet: integer('unmet').notNull().default(0),
    /** Ordinals of the tasks that need this one. */
    dependents: integer('dependents').array(),
    continueOnError: boolean('continue_on_error').notNull().default(false),
    /** Active, but with no queue item: what for. */
    waitsFor: text('waits_for').$type<Parking>(),
    /** An engine must think about it before it runs: the plan says so, or a need of it was skipped. */
    thinks: boolean('thinks').notNull().default(false),
    /** It is spared when its process stops after a failure, or a cancel. */
    runsOnFailure: boolean('runs_on_failure').notNull().default(false),
    runsOnCancel: boolean('runs_on_cancel').notNull().default(false),
    /** Of an item of an `each`: the ordinal of that task, its place in the list from 0, its value. */
    itemOf: integer('item_of'),
    itemIndex: integer('item_index'),
    item: jsonb('item').$type<Json>(),
  },
  (table) => [
    uniqueIndex('tasks_of_process')
      .on(table.processId, table.ordinal)
      .where(sql`${table.processId} is not null`),
    index('tasks_labelled')
      .using('gin', sql`${table.labels} jsonb_path_ops`)
      .where(sql`${table.labels} is not null`),
    check(
      'a_state_is_known',
      sql`${table.state} in ('pending', 'active', 'completed', 'failed', 'cancelled', 'skipped')`,
    ),
    check(
      'an_ended_task_has_its_time',
      sql`(${table.state} in ('completed', 'failed', 'cancelled', 'skipped')) = (${table.finishedAt} is not null)`,
    ),
    check('a_failed_task_says_why', sql`${table.state} <> 'failed' or ${table.error} is not null`),
    check('a_priority_is_0_to_9', sql`${table.priority} between 0 and 9`),
    check('a_name_has_1_to_200_letters', sql`char_length(${table.name}) between 1 and 200`),
    check(
      'a_queue_has_1_to_200_letters_and_no_dollar',
      sql`char_length(${table.queue}) between 1 and 200 and left(${table.queue}, 1) <> '$'`,
    ),
    check('a_timeout_is_positive', sql`${table.timeoutMs} > 0`),
    check(
      'a_task_of_a_process_has_a_place_in_it',
      sql`(${table.processId} is null) = (${table.ordinal} is null)`,
    ),
    check(
      'only_an_active_task_of_a_process_is_parked',
      sql`${table.waitsFor} is null or (${table.state} = 'active' and ${table.processId} is not null)`,
    ),
    check(
      'a_parked_task_says_what_for',
      sql`${table.waitsFor} in ('engine', 'items', 'process', 'time', 'event')`,
    ),
    check('an_item_has_a_place', sql`(${table.itemOf} is null) = (${table.itemIndex} is null)`),
    check(
      'only_a_pending_task_waits_for_its_needs',
      sql`case ${table.state} when 'pending' then ${table.unmet} > 0 when 'active' then ${table.unmet} = 0 else ${table.unmet} >= 0 end`,
    ),
  ],
);

/** The queue: the live row of a task that can be claimed or is claimed. Deleted when the task ends. */
export const queueItems = skipjack.table(
  'queue_items',
  {
    taskId: uuid('task_id').primaryKey(),
    queue: text('queue').notNull(),
    priority: smallint('priority').notNull(),
    availableAt: moment('available_at').notNull(),
    claimNo: integer('claim_no').notNull().default(0),
    failures: integer('failures').notNull().default(0),
    losses: integer('losses').notNull().default(0),
    timeoutMs: milliseconds('timeout_ms'),
    /** Who holds it; null when it can be claimed. The only claim column that is indexed: heartbeats stay HOT. */
    worker: text('worker'),
    claimId: uuid('claim_id'),
    claimedAt: moment('claimed_at'),
    startedAt: moment('started_at'),
    leaseExpiresAt: moment('lease_expires_at'),
    deadlineAt: moment('deadline_at'),
    cancelRequested: boolean('cancel_requested').notNull().default(false),
    /** Its worker beat past the deadline: alive, and told to stop. A lease that runs out then is no crash. */
    overdue: boolean('overdue').notNull().default(false),
    /** Somebody waits for the end of the task: settle announces it. */
    awaited: boolean('awaited').notNull().default(false),
    processId: uuid('process_id'),
    /** Its process is paused: nobody may claim it. */
    held: boolean('held').notNull().default(false),
    /** How far the attempt is, in its worker's words. Small. */
    progress: jsonb('progress').$type<Json>(),
    /** Of a task with `retry.within`: no attempt begins later. Set when the first attempt has failed. */
    retryUntil: moment('retry_until'),
  },
  (table) => [
    index('queue_items_claimable')
      .on(table.queue, table.priority.desc().nullsFirst(), table.availableAt, table.taskId)
      .where(sql`${table.worker} is null and not ${table.held}`),
    index('queue_items_claimed').on(table.taskId).where(sql`${table.worker} is not null`),
    index('queue_items_claim_id').on(table.claimId).where(sql`${table.claimId} is not null`),
    check(
      'a_claimed_item_has_a_lease',
      sql`(${table.worker} is null) = (${table.leaseExpiresAt} is null) and (${table.worker} is null) = (${table.claimedAt} is null)`,
    ),
    check(
      'only_a_claimed_item_has_started',
      sql`${table.worker} is not null or (${table.startedAt} is null and ${table.deadlineAt} is null and ${table.claimId} is null)`,
    ),
    check(
      'only_a_claimed_item_is_asked_to_stop',
      sql`${table.worker} is not null or not ${table.cancelRequested}`,
    ),
    check('only_a_claimed_item_is_overdue', sql`${table.worker} is not null or not ${table.overdue}`),
    // The years that every part can hold and write back: JavaScript's dates, RFC 3339, Postgres.
    check(
      'a_time_is_between_1970_and_9999',
      sql`${table.availableAt} >= '1970-01-01 00:00:00+00' and ${table.availableAt} < '9999-01-01 00:00:00+00'`,
    ),
    check(
      'counters_do_not_go_below_zero',
      sql`${table.claimNo} >= 0 and ${table.failures} >= 0 and ${table.losses} >= 0`,
    ),
  ],
);

/** One row for each claim that did not complete its task. */
export const attempts = skipjack.table(
  'attempts',
  {
    taskId: uuid('task_id').notNull(),
    claimNo: integer('claim_no').notNull(),
    attempt: integer('attempt').notNull(),
    outcome: text('outcome').$type<'failed' | 'timed_out' | 'lost' | 'cancelled'>().notNull(),
    error: jsonb('error').$type<TaskError>(),
    output: jsonb('output').$type<Json>(),
    exitCode: integer('exit_code'),
    worker: text('worker').notNull(),
    claimedAt: moment('claimed_at').notNull(),
    startedAt: moment('started_at'),
    endedAt: moment('ended_at').notNull(),
    runMs: milliseconds('run_ms'),
    cpuMs: milliseconds('cpu_ms'),
    memoryPeakBytes: bigint('memory_peak_bytes', { mode: 'number' }),
  },
  (table) => [
    primaryKey({ name: 'attempts_pkey', columns: [table.taskId, table.claimNo] }),
    check('an_outcome_is_known', sql`${table.outcome} in ('failed', 'timed_out', 'lost', 'cancelled')`),
    check(
      'an_attempt_that_went_wrong_says_why',
      sql`${table.outcome} = 'cancelled' or ${table.error} is not null`,
    ),
    check('an_attempt_counts_from_1', sql`${table.attempt} >= 1 and ${table.claimNo} >= 1`),
  ],
);

/**
 * What attempts said. A row holds the lines that came together; people read the view `log_lines`.
 *
 * Ids grow in the order in which the chunks of one task, and of one process, were committed: whoever follows a log
 * asks for what is behind the last id, and misses nothing. Written once, deleted with the task or when they are old.
 */
export const taskLogs = skipjack.table(
  'task_logs',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    taskId: uuid('task_id').notNull(),
    claimNo: integer('claim_no').notNull(),
    attempt: integer('attempt').notNull(),
    processId: uuid('process_id'),
    /** The number of its first line among those of the claim, counted from 1. */
    firstLine: integer('first_line').notNull(),
    lineCount: integer('line_count').notNull(),
    /** Of the text of the claim's log up to here. */
    bytesSoFar: bigint('bytes_so_far', { mode: 'number' }).notNull(),
    at: moment('at').notNull(),
    /** `[milliseconds before at, stream, part or null, text]` for each line. */
    lines: jsonb('lines').$type<Json>().notNull(),
  },
  (table) => [
    uniqueIndex('task_logs_of_claim').on(table.taskId, table.claimNo, table.firstLine),
    index('task_logs_of_process').on(table.processId, table.id).where(sql`${table.processId} is not null`),
    check('a_chunk_has_lines', sql`${table.lineCount} >= 1 and ${table.firstLine} >= 1`),
  ],
);

/** Tasks that failed for good. Replaying marks the row; failing again clears the mark. */
export const deadLetters = skipjack.table(
  'dead_letters',
  {
    taskId: uuid('task_id').primaryKey(),
    name: text('name').notNull(),
    queue: text('queue').notNull(),
    reason: text('reason').$type<'failed' | 'lost_too_often'>().notNull(),
    failedAt: moment('failed_at').notNull(),
    replayedAt: moment('replayed_at'),
    replays: integer('replays').notNull().default(0),
  },
  (table) => [
    index('dead_letters_by_time').on(table.failedAt, table.taskId),
    check('a_reason_is_known', sql`${table.reason} in ('failed', 'lost_too_often')`),
  ],
);

/** Immutable. A named one has versions, counted from 1; an inline one is nameless, one for each checksum. */
export const definitions = skipjack.table(
  'definitions',
  {
    id: uuid('id').primaryKey(),
    name: text('name'),
    version: integer('version'),
    /** SHA-256 of the source, in hex. */
    checksum: text('checksum').notNull(),
    source: text('source').notNull(),
    plan: jsonb('plan').$type<Plan>().notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    uniqueIndex('definitions_versions').on(table.name, table.version).where(sql`${table.name} is not null`),
    uniqueIndex('definitions_inline').on(table.checksum).where(sql`${table.name} is null`),
    check('a_named_definition_has_a_version', sql`(${table.name} is null) = (${table.version} is null)`),
    check('a_version_counts_from_1', sql`${table.version} >= 1`),
    check('a_definition_name_has_1_to_200_letters', sql`char_length(${table.name}) between 1 and 200`),
  ],
);

/** A run of a definition. Narrow, for every settle of one of its tasks rewrites the row. */
export const processes = skipjack.table(
  'processes',
  {
    id: uuid('id').primaryKey(),
    definitionId: uuid('definition_id').notNull(),
    /** The definition's name; of an inline one the name in its text, if it has one. */
    name: text('name'),
    state: text('state').$type<ProcessState>().notNull().default('running'),
    paused: boolean('paused').notNull().default(false),
    failFast: boolean('fail_fast').notNull(),
    tasks: integer('tasks').notNull(),
    unfinished: integer('unfinished').notNull(),
    /** Raised by every move of the process; what its ETag shows. */
    revision: bigint('revision', { mode: 'number' }).notNull().default(1),
    /** Somebody waits for its end: settle announces it. */
    awaited: boolean('awaited').notNull().default(false),
    /** Somebody waited for a task of it that was pending, and so had no item to say so. */
    tasksAwaited: boolean('tasks_awaited').notNull().default(false),
    createdAt: moment('created_at').notNull(),
    finishedAt: moment('finished_at'),
    /** Its plan has what only an engine can decide. Never changes. */
    thinks: boolean('thinks').notNull().default(false),
    /** Its end is for the engine: it has an output, `on_failure`, a deadline or a parent. Never changes. */
    finishes: boolean('finishes').notNull().default(false),
    /** Some task of it runs also when it stops. Never changes. */
    cleansUp: boolean('cleans_up').notNull().default(false),
    /** The task that started it, and its process. */
    parentTaskId: uuid('parent_task_id'),
    parentProcessId: uuid('parent_process_id'),
    /** The task goes on without it; also of one started by `on_failure`. */
    detached: boolean('detached').notNull().default(false),
    depth: smallint('depth').notNull().default(0),
  },
  (table) => [
    index('processes_by_parent')
      .on(table.parentProcessId, table.parentTaskId)
      .where(sql`${table.parentProcessId} is not null`),
    index('processes_live').on(table.id).where(sql`${table.state} in ('running', 'failing', 'cancelling')`),
    index('processes_by_name').on(table.name, table.id),
    check(
      'a_process_state_is_known',
      sql`${table.state} in ('running', 'failing', 'cancelling', 'completed', 'failed', 'cancelled')`,
    ),
    check(
      'a_process_has_ended_when_nothing_is_unfinished',
      sql`case when ${table.state} in ('completed', 'failed', 'cancelled') then ${table.unfinished} = 0 else ${table.unfinished} > 0 or ${table.finishes} end`,
    ),
    check(
      'an_ended_process_has_its_time',
      sql`(${table.state} in ('completed', 'failed', 'cancelled')) = (${table.finishedAt} is not null)`,
    ),
    check(
      'only_tasks_it_has_are_unfinished',
      sql`${table.unfinished} between 0 and ${table.tasks} and ${table.tasks} >= 1`,
    ),
  ],
);

/** What a process was started with, kept out of the row that counts. None: an empty object. */
export const processInputs = skipjack.table('process_inputs', {
  processId: uuid('process_id').primaryKey(),
  input: jsonb('input').$type<Json>().notNull(),
});

/** What came of a process, where an engine ended it; kept out of the row that counts. */
export const processResults = skipjack.table('process_results', {
  processId: uuid('process_id').primaryKey(),
  output: jsonb('output').$type<Json>(),
  /** Why it failed, where no task says it: its output, its deadline. */
  error: jsonb('error').$type<TaskError>(),
  /** What `on_failure` started. */
  failureProcessId: uuid('failure_process_id'),
});

/**
 * The engine's inbox: what arithmetic cannot decide. Rows are only inserted, by whoever moves a process, and
 * deleted by the engine that has thought about them, in one transaction with what it did, under the process's lock.
 */
export const engineItems = skipjack.table(
  'engine_items',
  {
    id: bigint('id', { mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
    processId: uuid('process_id').notNull(),
    taskId: uuid('task_id'),
    kind: text('kind').$type<ThoughtKind>().notNull(),
    /** Infinity while the process is paused. */
    availableAt: timestamp('available_at', { withTimezone: true, mode: 'string' }).notNull(),
    /** Of an event: `{"event_id": …}`. Small. */
    details: jsonb('details').$type<Json>(),
    /** Thinking about it threw so often; the third time ends the task, or the process. */
    failures: smallint('failures').notNull().default(0),
  },
  (table) => [
    index('engine_items_due').on(table.availableAt, table.id),
    index('engine_items_of_process').on(table.processId, table.taskId),
    check(
      'a_thought_is_known',
      sql`${table.kind} in ('think', 'items', 'child_ended', 'timer', 'event', 'cleanup', 'finish', 'deadline', 'cancel', 'retry')`,
    ),
  ],
);

/** How far the items of an `each` are. Narrow, for every settle of one of them rewrites the row. */
export const itemLists = skipjack.table(
  'item_lists',
  {
    processId: uuid('process_id').notNull(),
    /** Of the task with the `each`. */
    ordinal: integer('ordinal').notNull(),
    taskId: uuid('task_id').notNull(),
    /** The items are the tasks from … to. */
    firstOrdinal: integer('first_ordinal').notNull(),
    lastOrdinal: integer('last_ordinal').notNull(),
    /** From here on items may be pending. */
    nextOrdinal: integer('next_ordinal').notNull(),
    /** Items that have not ended. */
    unended: integer('unended').notNull(),
    failed: integer('failed').notNull().default(0),
    failuresMax: integer('failures_max').notNull(),
    concurrency: integer('concurrency').notNull(),
  },
  (table) => [
    primaryKey({ name: 'item_lists_pkey', columns: [table.processId, table.ordinal] }),
    check(
      'a_list_counts_its_items',
      sql`${table.unended} between 0 and ${table.lastOrdinal} - ${table.firstOrdinal} + 1 and ${table.failed} >= 0`,
    ),
    check('some_item_may_be_active', sql`${table.concurrency} >= 1 and ${table.failuresMax} >= 0`),
  ],
);

/** What came by `POST /v1/events`. Taken by all who wait for it then; otherwise by the first who comes to wait. */
export const events = skipjack.table(
  'events',
  {
    id: uuid('id').primaryKey(),
    name: text('name').notNull(),
    /** Empty: none. */
    key: text('key').notNull().default(''),
    payload: jsonb('payload').$type<Json>(),
    createdAt: moment('created_at').notNull(),
    /** Null: nobody has waited for it yet. */
    takenAt: moment('taken_at'),
    /** How many tasks it woke: the same answer to whoever sends it again. */
    woken: integer('woken').notNull().default(0),
  },
  (table) => [
    index('events_kept').on(table.name, table.key, table.id).where(sql`${table.takenAt} is null`),
    index('events_by_time').on(table.createdAt),
    check('an_event_has_a_name', sql`char_length(${table.name}) between 1 and 200`),
    check('a_key_has_at_most_200_letters', sql`char_length(${table.key}) <= 200`),
  ],
);

/** Tasks that wait for an event. */
export const eventWaits = skipjack.table(
  'event_waits',
  {
    taskId: uuid('task_id').primaryKey(),
    processId: uuid('process_id').notNull(),
    name: text('name').notNull(),
    key: text('key').notNull().default(''),
  },
  (table) => [index('event_waits_for').on(table.name, table.key)],
);

/** Names of definitions by which nothing more is started. */
export const inactiveDefinitions = skipjack.table('inactive_definitions', {
  name: text('name').primaryKey(),
  since: moment('since').notNull(),
  by: text('by'),
});

/** Moves that leave no time elsewhere. People read the view `process_history`. */
export const processEvents = skipjack.table(
  'process_events',
  {
    processId: uuid('process_id').notNull(),
    id: uuid('id').notNull(),
    at: moment('at').notNull(),
    event: text('event').$type<ProcessEvent>().notNull(),
    taskId: uuid('task_id'),
    /** Who asked, if they said so. */
    by: text('by'),
    details: jsonb('details').$type<Json>(),
  },
  (table) => [
    primaryKey({ name: 'process_events_pkey', columns: [table.processId, table.id] }),
    check(
      'a_process_event_is_known',
      sql`${table.event} in ('paused', 'resumed', 'cancel_requested', 'retried', 'completed_by_name', 'failed_by_name', 'deadline_exceeded', 'failure_process_started', 'failure_process_refused')`,
    ),
  ],
);

/** What is known of a queue beyond its items. A queue needs no row: it exists by being used. */
export const queues = skipjack.table('queues', {
  name: text('name').primaryKey(),
  paused: boolean('paused').notNull(),
  changedAt: moment('changed_at').notNull(),
});

/** Who claims. A worker that has not been heard of for a while is shown as gone, then deleted. */
export const workers = skipjack.table('workers', {
  id: text('id').primaryKey(),
  host: text('host').notNull(),
  pid: integer('pid').notNull(),
  queues: text('queues').array().notNull(),
  slots: integer('slots').notNull(),
  version: text('version').notNull(),
  startedAt: moment('started_at').notNull(),
  heartbeatAt: moment('heartbeat_at').notNull(),
});

/** The same key and the same request: the same answer. */
export const idempotencyKeys = skipjack.table(
  'idempotency_keys',
  {
    scope: text('scope').notNull(),
    key: text('key').notNull(),
    /** The id of what it made. */
    madeId: uuid('made_id').notNull(),
    fingerprint: text('fingerprint').notNull(),
    createdAt: moment('created_at').notNull(),
  },
  (table) => [
    primaryKey({ name: 'idempotency_keys_pkey', columns: [table.scope, table.key] }),
    index('idempotency_keys_by_made').on(table.madeId),
    check('a_scope_is_known', sql`${table.scope} in ('task', 'process', 'event')`),
    check('a_key_has_1_to_200_letters', sql`char_length(${table.key}) between 1 and 200`),
  ],
);

/** One row: the oldest code, by number of migrations it knows, that still works with this schema; and which database it is. */
export const compatibility = skipjack.table(
  'compatibility',
  {
    onlyRow: boolean('only_row').primaryKey().default(true),
    compatibleFrom: integer('compatible_from').notNull(),
    /** What workers write on their containers, so that those of another database are left alone. */
    instanceId: uuid('instance_id').notNull().defaultRandom(),
  },
  (table) => [check('there_is_only_one_row', sql`${table.onlyRow}`)],
);
