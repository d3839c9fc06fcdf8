/** The workers' protocol as JSON, and the way between it and the words of `core/task-source.ts`. */
import type { z } from 'zod';
import type { claimedTaskSchema } from '../api/schemas/claim.ts';
import { formatDuration, parseDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import type { SecretText } from '../core/secret-text.ts';
import { pickWork, readSpec, type Spec, type Work, workKeys } from '../core/spec.ts';
import type { NewTask, TaskError } from '../core/task.ts';
import type { TaskInput } from '../core/task-input.ts';
import type {
  ClaimedTask,
  EnqueueResult,
  HeartbeatResult,
  Settlement,
  SettleResult,
} from '../core/task-source.ts';

/** A claimed task as the server writes it: what it runs stands flat beside the rest. */
export type WireTask = z.output<typeof claimedTaskSchema>;

export interface WireSettlement {
  id: string;
  token: string;
  outcome: Settlement['kind'];
  output?: Json;
  error?: TaskError;
  retry?: boolean;
  exit_code?: number;
  run_ms?: number;
  cpu_ms?: number;
  memory_peak_bytes?: number;
  delay?: string;
}

/** One result of a batch; with a `code` when it is a refusal. */
export interface WireResult {
  id: string;
  status: number | string;
  code?: string;
  detail?: string;
  state?: string;
  repeated?: boolean;
  next_try_at?: string | null;
  reason?: string;
  lease_expires_at?: string;
}

export function toClaimedTask(wire: WireTask): ClaimedTask {
  const { timeout, needs_links, ...rest } = wire;
  const work = rest as unknown as Work<SecretText>;
  const others = Object.entries(rest).filter(
    ([key]) => key !== 'type' && !(workKeys as string[]).includes(key),
  );
  return {
    ...(Object.fromEntries(others) as Omit<ClaimedTask, 'spec' | 'large_needs' | 'timeout_ms'>),
    large_needs: Object.fromEntries(
      // From an older server there are none.
      Object.entries(needs_links ?? {}).map(([name, link]) => [name, link.slice(link.lastIndexOf('/') + 1)]),
    ),
    // Of a server newer than we are it may be of a type that we do not know; the worker gives that back.
    spec: work.type === null ? null : readSpec(pickWork(work) as unknown as Spec<SecretText>),
    timeout_ms: timeout === null ? null : parseDuration(timeout),
  };
}

export function toWireSettlement({ id, token, ...outcome }: Settlement): WireSettlement {
  const wire: WireSettlement = { id, token, outcome: outcome.kind };
  if (outcome.kind === 'released') {
    if (outcome.delayMs) wire.delay = formatDuration(outcome.delayMs);
    return wire;
  }
  if (outcome.output !== undefined) wire.output = outcome.output;
  if (outcome.kind === 'failed' || outcome.kind === 'timed_out') {
    wire.error = outcome.error;
    if (outcome.retry !== undefined) wire.retry = outcome.retry;
  }
  if (outcome.exitCode != null) wire.exit_code = outcome.exitCode;
  if (outcome.runMs != null) wire.run_ms = Math.round(outcome.runMs);
  if (outcome.cpuMs != null) wire.cpu_ms = Math.round(outcome.cpuMs);
  if (outcome.memoryPeakBytes != null) wire.memory_peak_bytes = Math.round(outcome.memoryPeakBytes);
  return wire;
}

export function toSettleResult(result: WireResult | undefined): SettleResult {
  if (result?.code === undefined && result?.state !== undefined) {
    return {
      kind: 'settled',
      state: result.state as 'active',
      nextTryAt: result.next_try_at ?? null,
      repeated: result.repeated ?? false,
    };
  }
  switch (result?.code) {
    case 'lease_lost':
    case 'not_found':
    case 'token_mismatch':
      return { kind: result.code };
    case 'already_settled':
      return { kind: 'already_settled', state: result.state ?? 'ended' };
    default:
      return { kind: 'invalid', message: result?.detail ?? 'the server did not say what became of it' };
  }
}

export function toHeartbeatResult(result: WireResult | undefined): HeartbeatResult {
  switch (result?.status) {
    case 'extended':
      return { kind: 'extended', leaseExpiresAt: result.lease_expires_at ?? '' };
    case 'stop':
      return { kind: 'stop', reason: result.reason === 'timed_out' ? 'timed_out' : 'cancelled' };
    case 'gone':
      return { kind: 'gone' };
    case 'busy':
      return { kind: 'busy' };
    default:
      // Refused, as a task that was deleted is: to beat again is no use. Not answered: beat again.
      return { kind: result?.code === undefined ? 'busy' : 'gone' };
  }
}

/**
 * A checked task in the words of `POST /v1/tasks`.
 *
 * The server makes the ids, so one without an idempotency key gets one made of its own id: asking again after
 * a lost answer then finds the task instead of making another.
 */
export function toTaskInput(task: NewTask): TaskInput {
  const { spec, retry } = task;
  return {
    ...spec,
    name: task.name,
    queue: task.queue,
    priority: task.priority,
    ...(task.input === null ? {} : { input: task.input }),
    ...(task.labels === null ? {} : { labels: task.labels }),
    ...(retry === null
      ? {}
      : {
          retry: {
            attempts: retry.attempts,
            backoff: retry.backoff,
            delay: formatDuration(retry.delay_ms),
            max_delay: formatDuration(retry.max_delay_ms),
            jitter: retry.jitter,
            ...(retry.on === undefined ? {} : { on: retry.on }),
            ...(retry.within_ms === undefined ? {} : { within: formatDuration(retry.within_ms) }),
          },
        }),
    ...(task.timeout_ms === null ? {} : { timeout: formatDuration(task.timeout_ms) }),
    ...(task.delay_ms === null ? {} : { delay: formatDuration(task.delay_ms) }),
    ...(task.run_at === null ? {} : { run_at: task.run_at }),
    idempotency_key: task.idempotency_key ?? `task ${task.id}`,
  };
}

export function toEnqueueResult(result: WireResult | undefined): EnqueueResult {
  switch (result?.code) {
    case 'idempotency_conflict':
      return { kind: 'key_conflict', id: result.id };
    case 'idempotency_key_busy':
      return { kind: 'key_busy' };
    case undefined:
      if (result?.id !== undefined)
        return { kind: result.status === 200 ? 'existing' : 'created', id: result.id };
      break;
  }
  return { kind: 'invalid', message: result?.detail ?? 'the server did not say what became of it' };
}
