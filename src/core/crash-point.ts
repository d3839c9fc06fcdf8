/**
 * Places between two statements of the engine at which a test lets this OS process die, as power cuts do: by SIGKILL,
 * when `SKIPJACK_TEST_CRASH_AT` names one.
 */
export const crashPoints = [
  'engine_candidates_found',
  'engine_processes_locked',
  'engine_held',
  'engine_read',
  'engine_decided',
  'engine_events_locked',
  'engine_events_taken',
  'engine_dropped',
  'engine_children_started',
  'engine_parked',
  'engine_posted',
  'engine_expanded',
  'engine_queued',
  'engine_ended',
  'engine_items_stopped',
  'engine_marked_stopping',
  'engine_stopped',
  'engine_cleanups_due',
  'engine_failure_process_started',
  'engine_process_ended',
  'engine_child_told',
  'engine_before_commit',
  'engine_committed',
] as const;

export type CrashPoint = (typeof crashPoints)[number];

const crashAt = process.env.SKIPJACK_TEST_CRASH_AT;

export function crashPoint(label: CrashPoint): void {
  if (crashAt === label) process.kill(process.pid, 'SIGKILL');
}
