import { isDeepStrictEqual } from 'node:util';
import { findJsonProblem, type Json } from '../core/json.ts';
import { type ClaimedTask, type Lease, progressBytesMax } from '../core/task-source.ts';

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
  /** How far it is, until the server knows. */
  progress?: Json;
  /** What the server knows of that. */
  progressKnown?: Json;
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

/**
 * Notes how far the attempt is. False when there is nothing to tell the server: it knows, or the value is none
 * that it would take, and would fail the beat of every other claim with this one.
 */
export function noteProgress(claim: Claim, progress: Json): boolean {
  const { progress: unsent, progressKnown } = claim;
  if (isDeepStrictEqual(progress, unsent === undefined ? progressKnown : unsent)) return false;
  if (findJsonProblem(progress) !== null || Buffer.byteLength(JSON.stringify(progress)) > progressBytesMax)
    return false;
  claim.progress = progress;
  return true;
}

/** The server has heard `told`. Something newer may have been noted since. */
export function markProgressKnown(claim: Claim, told: Json): void {
  claim.progressKnown = told;
  if (claim.progress === told) delete claim.progress;
}

export function toLease({ task, phase, progress }: Claim): Lease {
  const lease = { id: task.id, token: task.token, started: phase !== 'held' };
  return phase === 'running' && progress !== undefined ? { ...lease, progress } : lease;
}
