/** From the queue's words to those of HTTP. */
import { formatDuration } from '../core/durations.ts';
import { pickWork, type Spec, type Work } from '../core/spec.ts';
import type { ClaimedTask } from '../core/task-source.ts';
import type { DeadLetterView } from '../queue/dead-letters.ts';
import type { TaskView } from '../queue/read-tasks.ts';
import type { TaskWithAttempts } from './task-reader.ts';

/** Tork shows states in capitals and calls the output `result`. */
export function toTorkTask(task: TaskWithAttempts) {
  return { ...task, state: task.state.toUpperCase(), result: task.output };
}

/** What a task runs stands flat beside the rest, as it was written when it was enqueued. */
function flatten<Text>(spec: Spec<Text> | null): Work<Text> {
  return spec ?? { type: null };
}

/** `base`: where the app is mounted. */
export function toClaimed({ spec, timeout_ms, large_needs, ...task }: ClaimedTask, base: string) {
  return {
    ...task,
    ...flatten(spec),
    timeout: timeout_ms === null ? null : formatDuration(timeout_ms),
    needs_links: Object.fromEntries(
      Object.entries(large_needs).map(([name, id]) => [name, `${base}/v1/tasks/${id}`]),
    ),
  };
}

/** What it ran stands in its task: one of a process has it from the plan. */
export function toDeadLetter({ spec: _spec, input: _input, ...letter }: DeadLetterView, task: TaskView) {
  const { input, process_id, ordinal, needs } = task;
  return { ...letter, ...pickWork(task), input, process_id, ordinal, needs };
}
