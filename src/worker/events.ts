import type { ClaimedTask, SettleResult } from '../core/task-source.ts';
import type { AttemptEnded } from './attempt-ended.ts';
import type { StopReason } from './stop-reason.ts';

/** What a worker announces. Listeners run at once, in order; one that throws disturbs nobody. */
export interface WorkerEvents {
  'attempt.started': { task: ClaimedTask };
  'attempt.ended': AttemptEnded;
  /** A handler ignored its signal; it may still be running, without a slot. */
  'attempt.abandoned': { task: ClaimedTask; reason: StopReason };
  /** This worker cannot run the task and gave it back. */
  'task.refused': { task: ClaimedTask; why: string };
  /** A heartbeat answered that the claim is no longer ours. */
  'lease.lost': { task: ClaimedTask };
  /** The server did not take an outcome, and would not if it were asked again. */
  'settle.refused': { task: ClaimedTask; result: SettleResult };
  /** A call gave up. It is tried again, but for the last word of a worker that leaves. */
  'source.failed': {
    call: 'claim' | 'settle' | 'heartbeat' | 'announce' | 'remove' | 'logs' | 'sweep';
    error: unknown;
  };
  /** What an OS process of a worker left behind that was killed: programs still running, folders, containers. */
  'leftovers.removed': { folders: number; killed: number; containers: number };
  'drain.started': { running: number };
  /** `unsettled`: outcomes that did not reach the server; those tasks will be reaped and run again. */
  'drain.ended': { unsettled: number };
}

export type Announce = <Name extends keyof WorkerEvents>(name: Name, event: WorkerEvents[Name]) => void;

type Listeners = { [Name in keyof WorkerEvents]?: Set<(event: WorkerEvents[Name]) => void> };

export class Announcer {
  readonly #listeners: Listeners = {};

  /** Returns what ends the subscription. */
  on<Name extends keyof WorkerEvents>(name: Name, listener: (event: WorkerEvents[Name]) => void): () => void {
    const listeners: Set<(event: WorkerEvents[Name]) => void> = this.#listeners[name] ?? new Set();
    (this.#listeners as Record<Name, typeof listeners>)[name] = listeners;
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  announce: Announce = (name, event) => {
    for (const listener of this.#listeners[name] ?? []) {
      try {
        listener(event);
      } catch (error) {
        process.emitWarning(error instanceof Error ? error : String(error));
      }
    }
  };
}
