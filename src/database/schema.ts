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
  uuid,
} from 'drizzle-orm/pg-core';
import type { Json } from '../core/json.ts';
import type { RetryPolicy, Spec, TaskError, TaskState } from '../core/task.ts';

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
    output: jsonb('output').$type<Json>(),
    error: jsonb('error').$type<TaskError>(),
  },
  (table) => [
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
  },
  (table) => [
    index('queue_items_claimable')
      .on(table.queue, table.priority.desc().nullsFirst(), table.availableAt, table.taskId)
      .where(sql`${table.worker} is null`),
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
    check('a_scope_is_known', sql`${table.scope} in ('task', 'process')`),
    check('a_key_has_1_to_200_letters', sql`char_length(${table.key}) between 1 and 200`),
  ],
);

/** One row: the oldest code, by number of migrations it knows, that still works with this schema. */
export const compatibility = skipjack.table(
  'compatibility',
  {
    onlyRow: boolean('only_row').primaryKey().default(true),
    compatibleFrom: integer('compatible_from').notNull(),
  },
  (table) => [check('there_is_only_one_row', sql`${table.onlyRow}`)],
);
