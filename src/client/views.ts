/** What the server answers, in the words of its JSON. */
import type { z } from 'zod';
import type { claimedTaskSchema } from '../api/schemas/claim.ts';
import type {
  definitionDiffSchema,
  definitionSchema,
  definitionSummarySchema,
  publishedSchema,
  validationSchema,
} from '../api/schemas/definition.ts';
import type { eventSchema, eventSummarySchema, sentEventSchema } from '../api/schemas/event.ts';
import type {
  endedByNameSchema,
  processEventSchema,
  processSchema,
  processSummarySchema,
  retriedSchema,
} from '../api/schemas/process.ts';
import type { settledSchema } from '../api/schemas/settlement.ts';
import type {
  attemptSchema,
  taskSchema,
  taskSummarySchema,
  taskWithAttemptsSchema,
} from '../api/schemas/task.ts';
import type { Problem } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { ProcessState } from '../core/process.ts';
import type { TaskError, VisibleTaskState } from '../core/task.ts';
import type { WorkerInfo } from '../core/task-source.ts';

export type Task = z.output<typeof taskSchema>;
/** With every attempt that did not complete it. */
export type TaskWithAttempts = z.output<typeof taskWithAttemptsSchema>;
/** As it stands in a list: without what it runs, its input and its output. */
export type TaskSummary = z.output<typeof taskSummarySchema>;
export type Attempt = z.output<typeof attemptSchema>;
export type ClaimedTaskView = z.output<typeof claimedTaskSchema>;
export type Settled = z.output<typeof settledSchema>;

/** A version of a definition, with its text and its plan. */
export type Definition = z.output<typeof definitionSchema>;
export type DefinitionSummary = z.output<typeof definitionSummarySchema>;
/** `created: false`: the newest version had this very text. */
export type Published = z.output<typeof publishedSchema>;
export type Validation = z.output<typeof validationSchema>;
/** What is different between two versions, by task and key. */
export type DefinitionDiff = z.output<typeof definitionDiffSchema>;

/** `kept`: nobody waited for it. */
export type SentEvent = z.output<typeof sentEventSchema>;
/** As it stands in a list: without its payload. */
export type EventSummary = z.output<typeof eventSummarySchema>;
export type EventView = z.output<typeof eventSchema>;

export type Process = z.output<typeof processSchema>;
/** As it stands in a list: without its input and output. */
export type ProcessSummary = z.output<typeof processSummarySchema>;
export type ProcessEvent = z.output<typeof processEventSchema>;
/** The process after one of its tasks was ended by its name; `repeated`: it had been so before. */
export type TaskEndedByName = z.output<typeof endedByNameSchema>;
/** The process, and the names of the tasks that are tried again. */
export type ProcessRetried = z.output<typeof retriedSchema>;

export interface ProcessFilter {
  /** `live` means running, failing and cancelling. */
  state?: ProcessState | 'live' | undefined;
  definition?: string | undefined;
  /** That has started them. */
  parentProcessId?: string | undefined;
  /** RFC 3339. */
  createdAfter?: string | undefined;
  createdBefore?: string | undefined;
}

/** One result of a batch: the task's id, or why it was refused. */
export interface Enqueued {
  /** 201: enqueued; 200: its idempotency key had made it before; else that of the problem. */
  status: number;
  id?: string;
  code?: string;
  detail?: string;
  problems?: Problem[];
}

/** What a heartbeat answers. `stop`: end the attempt and settle it; `busy`: beat again. */
export interface Extended {
  status: 'extended' | 'stop' | 'busy';
  reason?: 'cancelled' | 'timed_out';
  lease_expires_at?: string;
}

export interface TaskFilter {
  /** `active` means scheduled, ready, running and waiting. */
  state?: VisibleTaskState | 'active' | undefined;
  queue?: string | undefined;
  name?: string | undefined;
  /** `key` or `key=value`. */
  label?: string | undefined;
  /** Of processes of this definition. */
  definition?: string | undefined;
  processId?: string | undefined;
  /** RFC 3339. */
  createdAfter?: string | undefined;
  createdBefore?: string | undefined;
}

export interface Page {
  /** 1 to 500; 50 by default. */
  limit?: number | undefined;
  /** The `next_cursor` of the page before. */
  cursor?: string | undefined;
}

export interface DeadLetterFilter {
  queue?: string | undefined;
  name?: string | undefined;
  reason?: 'failed' | 'lost_too_often' | undefined;
  /** RFC 3339. */
  failedAfter?: string | undefined;
  failedBefore?: string | undefined;
}

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

export interface DeadLetter
  extends DeadLetterSummary,
    Pick<Task, 'type' | 'command' | 'args' | 'run' | 'handler' | 'env' | 'process_id' | 'ordinal' | 'needs'> {
  input: Json;
  labels: Record<string, string>;
  /** The last included. */
  attempts: Attempt[];
}

export interface QueueView {
  name: string;
  paused: boolean;
  ready: number;
  scheduled: number;
  running: number;
  /** They wait only because their processes are paused. */
  held: number;
  oldest_ready_at: string | null;
}

export interface WorkerView extends WorkerInfo {
  /** It was heard of within the last 45 seconds. */
  live: boolean;
  running: number;
  started_at: string;
  heartbeat_at: string;
}

export interface Stats {
  tasks: Record<
    'scheduled' | 'ready' | 'running' | 'waiting' | 'completed' | 'failed' | 'cancelled' | 'skipped',
    number
  >;
  /** Those that have not ended. */
  processes: Record<'running' | 'failing' | 'cancelling', number>;
  oldest_ready_at: string | null;
  /** `waiting`: not replayed. */
  dead_letters: { waiting: number; last_hour: number };
  workers: { live: number; slots: number };
}

export interface Health {
  status: 'ok';
  version: string;
  schema: { status: 'current' | 'newer_but_compatible'; version: number };
  /** `listening: false`: wake-ups come by polling alone. */
  database: { latency_ms: number; listening: boolean };
}
