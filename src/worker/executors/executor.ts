import type { Json } from '../../core/json.ts';
import type { Spec } from '../../core/spec.ts';
import type { TaskError } from '../../core/task.ts';
import type { ClaimedTask } from '../../core/task-source.ts';
import type { AttemptLog } from '../logs/attempt-log.ts';
import type { Mask } from '../secrets/mask.ts';

/** What an attempt used, where the system tells. */
export interface Usage {
  cpuMs?: number;
  memoryPeakBytes?: number;
}

/** How an attempt came to its end, before anybody decides what that means for the task. */
export type Ending = Usage &
  (
    | { kind: 'completed'; output: Json; exitCode?: number }
    | { kind: 'failed'; error: TaskError; retry?: boolean; output?: Json; exitCode?: number | null }
    /** The signal reached it before its own end did. */
    | {
        kind: 'stopped';
        output?: Json;
        exitCode?: number | null;
        /** More to say than that it was stopped, for the error of a timeout: "it had reached its limit of 64 processes". */
        remark?: string;
        /** Settles when code that ignored the signal has ended at last; nobody waits for it. */
        stillRunning?: Promise<unknown>;
      }
  );

/** A claimed task with the values of its secrets in their places: for running, never for logging or storing. */
export type RunnableTask = Omit<ClaimedTask, 'spec'> & { spec: Spec | null };

export interface ExecutionContext {
  /** Aborted with an `AttemptStopped` to stop the attempt. */
  signal: AbortSignal;
  /** From asking an attempt to stop to making it stop. */
  killGraceMs: number;
  /** Extends the lease now; resolves when the server has answered. */
  heartbeat: () => Promise<void>;
  /** What the attempt says; people read it as the task's log. */
  log: AttemptLog;
  /** Hides the values of the task's secrets in what it puts out. Its endings are masked by whoever called it. */
  mask: Mask;
  /** Says how far the attempt is: small JSON, a number is per cent. */
  progress: (progress: Json) => void;
}

/**
 * A way to run an attempt.
 *
 * It ends at most `killGraceMs` and a few seconds after its signal was aborted, whatever the task does, and what it
 * started is gone when it ends. A throw is a failure of the attempt too, but endings say more.
 */
export type Executor = (task: RunnableTask, context: ExecutionContext) => Promise<Ending>;
