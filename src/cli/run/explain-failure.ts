/** Why a process failed, for people: which tasks, their errors, and the last lines of what they wrote. */
import type { Json } from '../../core/json.ts';
import type { TaskError } from '../../core/task.ts';
import { printable } from '../table.ts';

const linesShown = 10;
const tasksShown = 5;
const itemsShown = 5;

/** A task that failed for good. */
export interface FailedTask {
  name: string;
  error: TaskError | null;
  output: Json;
  /** Of a process that a task had started: the names of the tasks above it, from the top. */
  below?: string[];
}

/** `error`: of the process itself, where no task says why. */
export function explainFailure(failed: FailedTask[], error: TaskError | null = null): string {
  const shown = failed.slice(0, tasksShown).map(explainTask);
  const more = failed.length - tasksShown;
  return [
    `skipjack: the process failed${error === null ? '.' : `: ${error.code}: ${printable(error.message)}`}`,
    ...shown,
    ...(more > 0 ? [`and ${more} more ${more === 1 ? 'task' : 'tasks'}`] : []),
  ].join('\n');
}

function explainTask({ name, error, output, below = [] }: FailedTask): string {
  const why = error === null ? '' : `: ${error.code}: ${printable(error.message)}`;
  const names = [...below, name].map((each) => `"${printable(each)}"`).join(' > ');
  return [
    `${names} failed${why}`,
    ...itemLines(error),
    ...lastLines('stderr', stderrOf(error?.details)),
    ...lastLines('stdout', output),
  ].join('\n');
}

/** Of an `each`: its items that failed, as far as its error has them. */
function itemLines(error: TaskError | null): string[] {
  const items = error?.code === 'items_failed' ? memberOf(error.details, 'items') : null;
  if (!Array.isArray(items)) return [];
  return items.slice(0, itemsShown).map((item) => {
    const why = memberOf(item, 'error');
    const message = printable(String(memberOf(why, 'message') ?? '')).split('\n')[0];
    return [
      `  item ${memberOf(item, 'index')}`,
      memberOf(why, 'code') ?? 'failed',
      ...(message ? [message] : []),
    ].join(': ');
  });
}

function lastLines(stream: string, text: Json): string[] {
  if (typeof text !== 'string' || text.trim() === '') return [];
  const lines = printable(text).trimEnd().split('\n');
  const cut = lines.length > linesShown ? `, the last ${linesShown} of ${lines.length} lines` : '';
  return [`  ${stream}${cut}:`, ...lines.slice(-linesShown).map((line) => `    ${line}`)];
}

function stderrOf(details: Json | undefined): Json {
  return memberOf(details, 'stderr');
}

export function memberOf(value: Json | undefined, name: string): Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && Object.hasOwn(value, name)
    ? (value[name] ?? null)
    : null;
}
