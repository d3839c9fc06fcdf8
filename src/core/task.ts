import type { Json } from './json.ts';
import type { Spec } from './spec.ts';

/** `tasks.state`. See the drawing in `queue/README.md`. */
export const taskStates = ['pending', 'active', 'completed', 'failed', 'cancelled', 'skipped'] as const;
export type TaskState = (typeof taskStates)[number];

/** What an active task without a queue item is parked for. */
export const parkings = ['engine', 'items', 'process', 'time', 'event'] as const;
export type Parking = (typeof parkings)[number];

/** What people see: `active` is one of `scheduled`, `ready`, `running`, `waiting` (parked). */
export const visibleTaskStates = [
  'pending',
  'scheduled',
  'ready',
  'running',
  'waiting',
  'completed',
  'failed',
  'cancelled',
  'skipped',
] as const;
export type VisibleTaskState = (typeof visibleTaskStates)[number];

export const endedTaskStates = ['completed', 'failed', 'cancelled', 'skipped'] as const;

export function hasEnded(state: TaskState | VisibleTaskState): boolean {
  return (endedTaskStates as readonly string[]).includes(state);
}

export interface RetryPolicy {
  /** Tries in all, the first included: 1 means no retry. */
  attempts: number;
  backoff: 'fixed' | 'linear' | 'exponential';
  delay_ms: number;
  max_delay_ms: number;
  /** Spread each delay over its upper half, so that tasks that failed together do not come back together. */
  jitter: boolean;
  /** Failures that are tried again; without it all are. One of the lists must have it. */
  on?: RetryOn;
  /** Counted from the start of the first attempt: a retry whose pause would end later is not made. */
  within_ms?: number;
}

export interface RetryOn {
  exit_codes?: number[] | undefined;
  /** Of the attempt's error. A timed-out attempt has the code `timed_out` too, whatever its worker says. */
  codes?: string[] | undefined;
}

export const defaultRetry: RetryPolicy = {
  attempts: 1,
  backoff: 'exponential',
  delay_ms: 1_000,
  max_delay_ms: 3_600_000,
  jitter: true,
};

/** The loss that ends a task as dead letter `lost_too_often`. */
export const lossesMax = 5;

/** Why an attempt or a task failed, as it is stored and shown. */
export interface TaskError {
  code: string;
  message: string;
  details?: Json;
}

/** A checked and normalised task, in the words of the SQL function `skipjack.enqueue_tasks`. */
export interface NewTask {
  id: string;
  name: string;
  queue: string;
  priority: number;
  spec: Spec | null;
  input: Json;
  labels: Record<string, string> | null;
  retry: RetryPolicy | null;
  timeout_ms: number | null;
  delay_ms: number | null;
  /** RFC 3339. */
  run_at: string | null;
  idempotency_key: string | null;
  /** Somebody waits for the end: announce it. */
  awaited?: boolean;
}
