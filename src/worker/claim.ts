import type { ClaimedTask, Lease } from '../core/task-source.ts';

/** A claimed task in this worker's hands. The drawing of its phases is in the README. */
export interface Claim {
  readonly task: ClaimedTask;
  phase: 'held' | 'running' | 'settling' | 'over';
  /** The server knows that the attempt has started. */
  startKnown: boolean;
  readonly receivedMs: number;
  startedMs: number;
  /**
   * When the lease runs out if no heartbeat is answered. After a heartbeat never later than the server thinks;
   * before the first one later by as long as the claim's answer travelled, which nobody can know.
   */
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
    // By the server's own clock, for the answer may have been asked for more than once, and waited for long.
    leaseEndsMs: receivedMs + Math.min(task.lease_left_ms, leaseMs),
    stop: new AbortController(),
  };
}

export function toLease({ task, phase }: Claim): Lease {
  return { id: task.id, token: task.token, started: phase !== 'held' };
}
