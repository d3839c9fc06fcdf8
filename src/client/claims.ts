/** The workers' protocol: claim tasks, keep them, and say what became of them. */
import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import { type CallOptions, type Calls, wire } from './calls.ts';
import { taskPath } from './tasks.ts';
import type { ClaimedTaskView, Extended, Settled } from './views.ts';
import type { WireResult, WireSettlement } from './wire.ts';

export interface ClaimOptions extends CallOptions {
  queues: string[];
  /** At most so many tasks; 1 by default. */
  limit?: number;
  /** Who claims, as people will see it. */
  worker?: string;
  /** How long the claim holds without a heartbeat; 30 s by default, 1 s to 24 h. */
  leaseMs?: number;
  /** Waits so long for something to come, at most 60 s; 0 by default. */
  waitMs?: number;
  /** A UUID of your own: the same one answers the same still-held tasks, should an answer get lost. */
  claimId?: string;
  /** Only tasks of this name. */
  name?: string;
  /** Only tasks of processes of this definition. */
  definition?: string;
  /** Only tasks with this label: `key` or `key=value`. */
  label?: string;
  /** Whose outputs `needs` holds: direct needs (the default), or every task before it. */
  outputs?: 'direct' | 'all';
}

/** A claim: the id of its task, and its token. */
export type Held = Pick<ClaimedTaskView, 'id' | 'token'>;

export interface ClaimClient {
  claim(options: ClaimOptions): Promise<ClaimedTaskView[]>;
  /** Claims that one task. @throws SkipjackError `already_claimed` with holder and lease end; `not_claimable`. */
  claimTask(
    id: string,
    options?: Pick<ClaimOptions, 'worker' | 'leaseMs' | 'claimId' | 'signal'>,
  ): Promise<ClaimedTaskView>;
  complete(task: Held, options?: CallOptions & { output?: Json }): Promise<Settled>;
  /** `retry: false`: final, whatever the retry policy says. */
  fail(task: Held, options: CallOptions & { error: string | TaskError; retry?: boolean }): Promise<Settled>;
  /** Gives a claimed task back, nothing counted; with `delayMs` not to be claimed before that. */
  release(task: Held, options?: CallOptions & { delayMs?: number }): Promise<Settled>;
  /** Extends the lease. @throws SkipjackError `lease_lost` when it is no longer held. */
  heartbeat(task: Held, options?: CallOptions & { leaseMs?: number }): Promise<Extended>;
  /** A batch of outcomes, each judged alone. */
  settle(settlements: WireSettlement[], options?: CallOptions): Promise<WireResult[]>;
}

export function createClaimClient({ post }: Calls): ClaimClient {
  return {
    async claim({ leaseMs, waitMs, claimId, signal, ...rest }) {
      const body = { ...rest, lease: wire(leaseMs), wait: wire(waitMs), claim_id: claimId };
      return (await post<{ tasks: ClaimedTaskView[] }>('/v1/tasks/claim', body, { signal })).tasks;
    },
    claimTask: (id, { worker, leaseMs, claimId, signal } = {}) =>
      post(`${taskPath(id)}/claim`, { worker, lease: wire(leaseMs), claim_id: claimId }, { signal }),
    complete: ({ id, token }, { output, ...options } = {}) =>
      post(`${taskPath(id)}/complete`, { token, output }, options),
    fail: ({ id, token }, { error, retry, ...options }) =>
      post(`${taskPath(id)}/fail`, { token, error, retry }, options),
    release: ({ id, token }, { delayMs, ...options } = {}) =>
      post(`${taskPath(id)}/release`, { token, delay: wire(delayMs) }, options),
    heartbeat: ({ id, token }, { leaseMs, ...options } = {}) =>
      post(`${taskPath(id)}/heartbeat`, { token, lease: wire(leaseMs) }, options),
    async settle(settlements, options) {
      return (await post<{ results: WireResult[] }>('/v1/tasks/settle', { settlements }, options)).results;
    },
  };
}
