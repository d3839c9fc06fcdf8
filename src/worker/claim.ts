import type { ClaimedTask, Lease } from '../core/task-source.ts';

/** A claimed task in this worker's hands. The drawing of its phases is in the README. */
export interface Claim {
  readonly task: ClaimedTask;
  phase: 'held' | 'running' | 'settling' | 'over';
  /** The server knows that the attempt has started. */
  startKnown: boolean;
  readonly receivedMs: number;
  startedMs: number;
  /** When the lease runs out if no heartbeat is answered, never later than the server thinks. */
  leaseEndsMs: number;
  /** Stops the attempt; aborted with an `AttemptStopped`. */
  readonly stop: AbortController;
}

/** All times in a claim are this OS process's monotonic clock. */
export function openClaim(task: ClaimedTask, leaseMs: number): Claim {
  const receivedMs = performance.now();
  return {
    task,
    phase: 'held',
    startKnown: task.started,
    receivedMs,
    startedMs: receivedMs,
    leaseEndsMs: receivedMs + leaseMs,
    stop: new AbortController(),
  };
}

export function toLease({ task, phase }: Claim): Lease {
  return { id: task.id, token: task.token, started: phase !== 'held' };
}
