/** Why a worker stops an attempt that has not ended by itself. */
export type StopReason =
  /** Somebody asked for the task to be cancelled. */
  | 'cancelled'
  /** The attempt has used up its task's timeout. */
  | 'timed_out'
  /** The claim is no longer ours: somebody else may run the task now. */
  | 'lease_lost'
  /** The worker stops; the task goes back unspent. */
  | 'shutdown';

const sentences: Record<StopReason, string> = {
  cancelled: 'the task was cancelled',
  timed_out: 'the attempt has used up its timeout',
  lease_lost: 'the claim is no longer held by this worker',
  shutdown: 'the worker is stopping',
};

/** What `signal.reason` is for a handler whose attempt is stopped. */
export class AttemptStopped extends Error {
  readonly reason: StopReason;
  readonly code: string = 'attempt_stopped';

  constructor(reason: StopReason) {
    super(sentences[reason]);
    this.name = 'AttemptStopped';
    this.reason = reason;
  }
}
