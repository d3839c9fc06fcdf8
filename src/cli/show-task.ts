/** A task for people to read, and what the end of a task or process means for the command that waited for it. */
import type { Task } from '../client/views.ts';
import { formatDuration } from '../core/durations.ts';
import { shellWord } from '../core/shell-word.ts';
import { remark } from './print.ts';
import { formatFields } from './table.ts';

export function formatTask(task: Task): string {
  const { retry } = task;
  const tries = [
    `${task.attempt} of ${task.attempts_max}`,
    task.failures > 0 ? `${task.failures} failed` : '',
    task.losses > 0 ? `${task.losses} lost` : '',
  ];
  return formatFields([
    ['id', task.id],
    ['name', task.name],
    [
      'state',
      task.cancel_requested && task.finished_at === null ? `${task.state}, asked to stop` : task.state,
    ],
    ['waiting for', task.waiting_for],
    ['attempt', tries.filter((part) => part !== '').join(', ')],
    ['process', task.process_id && `${task.process_id}, task ${task.ordinal}`],
    ['item', task.item && `${task.item.index}, of task ${task.item_of}: ${JSON.stringify(task.item.value)}`],
    ['sub-process', task.process?.id],
    ['needs', task.needs.length > 0 ? task.needs.join(', ') : null],
    ['queue', `${task.queue}, priority ${task.priority}`],
    ['runs', formatWork(task)],
    ['input', task.input],
    ['labels', Object.keys(task.labels).length > 0 ? task.labels : null],
    ['retry', retry && describeRetry(retry)],
    ['timeout', task.timeout],
    ['progress', typeof task.progress === 'number' ? `${task.progress} %` : task.progress],
    ['output', task.output === '' ? null : task.output],
    ['exit code', task.exit_code],
    ['error', task.error && `${task.error.code}: ${task.error.message}`],
    [
      'last error',
      task.error ? null : task.last_error && `${task.last_error.code}: ${task.last_error.message}`,
    ],
    ['worker', task.worker],
    ['due', task.available_at],
    ['lease ends', task.lease_expires_at],
    ['created', task.created_at],
    ['started', task.started_at],
    ['finished', task.finished_at],
    ['waited', task.wait_ms === null ? null : formatDuration(task.wait_ms)],
    ['ran', task.run_ms === null ? null : formatDuration(task.run_ms)],
    ['processor', task.cpu_ms === null ? null : formatDuration(task.cpu_ms)],
    [
      'memory',
      task.memory_peak_bytes === null ? null : `${Math.ceil(task.memory_peak_bytes / 1024 ** 2)} MiB at most`,
    ],
  ]);
}

function describeRetry(retry: NonNullable<Task['retry']>): string {
  const failures = [
    ...(retry.on?.exit_codes ?? []).map((code) => `exit code ${code}`),
    ...(retry.on?.codes ?? []),
  ];
  return [
    `${retry.attempts} attempts, ${retry.backoff} from ${retry.delay} to ${retry.max_delay}`,
    retry.within === null ? '' : `, within ${retry.within}`,
    failures.length === 0 ? '' : `, on ${failures.join(', ')}`,
  ].join('');
}

/** What a worker runs, as one would write it; null: nothing. */
export function formatWork(
  task: Pick<Task, 'type' | 'command' | 'args' | 'run' | 'image' | 'entrypoint' | 'cmd' | 'handler'>,
): string | null {
  if (task.type === 'command') return [task.command ?? '', ...(task.args ?? [])].map(shellWord).join(' ');
  if (task.type === 'run') return task.run ?? null;
  if (task.type === 'container') {
    const own =
      task.run === undefined ? [...(task.entrypoint ?? []), ...(task.cmd ?? [])].map(shellWord) : [task.run];
    return [`${task.image}:`, ...own].join(' ').replace(/:$/, '');
  }
  return task.type === 'handler' ? `handler ${task.handler}` : null;
}

/** The exit code that says how it ended; of what has not, that the wait was too short. */
export function exitCodeOf({ state, finished_at }: { state: string; finished_at: string | null }): number {
  if (finished_at === null) return 124;
  if (state === 'failed') return 8;
  return state === 'cancelled' ? 9 : 0;
}

/** Says on stderr what the exit code means. */
export function remarkEnd(
  what: 'task' | 'process',
  { state, finished_at, error }: Pick<Task, 'finished_at' | 'error'> & { state: string },
  waitedMs: number,
): void {
  if (finished_at === null) {
    remark(`skipjack: the ${what} is still ${state} after ${formatDuration(waitedMs)}.`);
  } else if (state === 'failed') {
    remark(`skipjack: the ${what} failed${error ? `: ${error.message.replace(/\.$/, '')}` : ''}.`);
  } else if (state === 'cancelled') {
    remark(`skipjack: the ${what} was cancelled.`);
  }
}
