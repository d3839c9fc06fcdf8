import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import type { ClaimedTask } from '../../core/task-source.ts';

/** How an attempt came to its end, before anybody decides what that means for the task. */
export type Ending =
  | { kind: 'completed'; output: Json; exitCode?: number }
  | { kind: 'failed'; error: TaskError; retry?: boolean; output?: Json; exitCode?: number | null }
  /** The signal reached it before its own end did. */
  | {
      kind: 'stopped';
      output?: Json;
      exitCode?: number | null;
      /** Settles when code that ignored the signal has ended at last; nobody waits for it. */
      stillRunning?: Promise<unknown>;
    };

export interface ExecutionContext {
  /** Aborted with an `AttemptStopped` to stop the attempt. */
  signal: AbortSignal;
  /** From asking an attempt to stop to making it stop. */
  killGraceMs: number;
  /** Extends the lease now; resolves when the server has answered. */
  heartbeat: () => Promise<void>;
}

/**
 * A way to run an attempt.
 *
 * It ends at most `killGraceMs` and a few seconds after its signal was aborted, whatever the task does. A
 * throw is a failure of the attempt too, but endings say more.
 */
export type Executor = (task: ClaimedTask, context: ExecutionContext) => Promise<Ending>;
