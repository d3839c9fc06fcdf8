/** `processes.state`. `running` → `failing` | `cancelling` → one of the ended ones. Paused is a flag beside it. */
export const processStates = [
  'running',
  'failing',
  'cancelling',
  'completed',
  'failed',
  'cancelled',
] as const;
export type ProcessState = (typeof processStates)[number];

export const endedProcessStates = ['completed', 'failed', 'cancelled'] as const;

export function hasProcessEnded(state: ProcessState): boolean {
  return (endedProcessStates as readonly string[]).includes(state);
}

/** Moves that people make on a process, recorded in `process_events`. */
export type ProcessEvent =
  | 'paused'
  | 'resumed'
  | 'cancel_requested'
  | 'retried'
  | 'completed_by_name'
  | 'failed_by_name'
  | 'deadline_exceeded'
  | 'failure_process_started'
  | 'failure_process_refused';

/** Why an engine must think about a process, or about a task of it: the kinds of rows in its inbox. */
export const thoughts = [
  /** The needs of a task have ended. */
  'think',
  /** The last item of an `each` has ended, or more have failed than may. */
  'items',
  /** The process that a task had started has ended. */
  'child_ended',
  /** The time has come that a task sleeps to, or waits at most. */
  'timer',
  /** The event has come that a task waits for. */
  'event',
  /** A task has ended in a process that stops: clean-up tasks behind it may be due. */
  'cleanup',
  /** Nothing is unfinished any more, and the end is for the engine. */
  'finish',
  /** The deadline of the process has passed. */
  'deadline',
  /** Asked by the process that started this one. */
  'cancel',
  'retry',
] as const;
export type ThoughtKind = (typeof thoughts)[number];
