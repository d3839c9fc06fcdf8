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
  | 'failed_by_name';
