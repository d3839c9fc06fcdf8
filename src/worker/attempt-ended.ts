import type { Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import type { ClaimedTask, Outcome } from '../core/task-source.ts';

/** An attempt's end as its worker saw it; the task's own fate is the server's to say. */
export interface AttemptEnded {
  task: ClaimedTask;
  /** `lost`: the claim was no longer ours, so nothing was said to the server. */
  outcome: Outcome['kind'] | 'lost';
  success: boolean;
  /** Also of a failed attempt, as far as it had put out anything. */
  output: Json;
  error: TaskError | null;
  exitCode: number | null;
  runMs: number;
}

export function attemptEnded(task: ClaimedTask, outcome: Outcome | null, runMs: number): AttemptEnded {
  const figures: { output?: Json; exitCode?: number | null } =
    outcome === null || outcome.kind === 'released' ? {} : outcome;
  return {
    task,
    outcome: outcome?.kind ?? 'lost',
    success: outcome?.kind === 'completed',
    output: figures.output ?? null,
    error: outcome?.kind === 'failed' || outcome?.kind === 'timed_out' ? outcome.error : null,
    exitCode: figures.exitCode ?? null,
    runMs,
  };
}
