/** A process for people to read. What its end means is as with a task: see show-task.ts. */
import type { Process, TaskEndedByName, TaskWithAttempts } from '../client/views.ts';
import { formatElapsed } from './elapsed.ts';
import { formatFields } from './table.ts';

/** `active`: tasks of it that are scheduled, ready, running or waiting. */
export function formatProcess(process: Process, active: TaskWithAttempts[] = []): string {
  const { tasks, unfinished, percent, last_error: error } = process;
  const counts = Object.entries(process.counts).filter(([, count]) => count > 0);
  const finishedAt = process.finished_at === null ? null : Date.parse(process.finished_at);
  const hidden = process.active.length - active.length;
  const { parent } = process;
  return formatFields([
    ['id', process.id],
    ['definition', nameDefinition(process)],
    ['state', stateOf(process)],
    [
      'started by',
      parent &&
        (parent.task_id
          ? `task ${parent.task_id}, of process ${parent.process_id}`
          : `on_failure of process ${parent.process_id}`),
    ],
    ['on failure', process.failure_process_id && `started process ${process.failure_process_id}`],
    ['progress', `${tasks - unfinished} of ${tasks} tasks have ended, ${percent} %`],
    ['tasks', counts.map(([state, count]) => `${count} ${state}`).join(', ')],
    [
      'active',
      active.length === 0
        ? null
        : [...active.map(describeActive), ...(hidden > 0 ? [`and ${hidden} more`] : [])].join('\n'),
    ],
    ['error', process.error && `${process.error.code}: ${process.error.message}`],
    ['last error', error && `${error.task}: ${error.code}: ${error.message}`],
    ['input', process.input],
    ['output', process.output],
    ['created', process.created_at],
    ['finished', process.finished_at],
    ['took', finishedAt === null ? null : formatElapsed(finishedAt - Date.parse(process.created_at))],
  ]);
}

export function nameDefinition({ definition, version }: Pick<Process, 'definition' | 'version'>): string {
  return `${definition ?? 'without a name'}${version === null ? ', inline' : `, version ${version}`}`;
}

export function stateOf({ state, paused }: Pick<Process, 'state' | 'paused'>): string {
  return paused ? `${state}, paused` : state;
}

function describeActive(task: TaskWithAttempts): string {
  const attempt = task.attempt > 1 ? `, attempt ${task.attempt} of ${task.attempts_max}` : '';
  if (task.state === 'running') return `${task.name}: running${attempt}, on ${task.worker}`;
  if (task.state === 'scheduled') return `${task.name}: due ${task.available_at}${attempt}`;
  const waitingFor = task.waiting_for?.replace(/^(?!until )/, 'for ');
  return `${task.name}: ${waitingFor === undefined ? task.state : `waits ${waitingFor}`}${attempt}`;
}

/** What `complete` and `fail` have done. */
export function sayEndedByName(
  process: TaskEndedByName,
  { task, how }: { task: string; how: 'completed' | 'failed' },
): string {
  const { state, tasks, unfinished, repeated } = process;
  const left = unfinished === 0 ? '' : `, ${tasks - unfinished} of ${tasks} tasks have ended`;
  return `"${task}" ${repeated ? 'had been' : 'is'} ${how}. The process is ${state}${left}.`;
}
