/** Why a process failed, for people: which tasks, their errors, and the last lines of what they wrote. */
import type { Json } from '../../core/json.ts';
import type { TaskView } from '../../queue/read-tasks.ts';
import { printable } from '../table.ts';

const linesShown = 10;
const tasksShown = 5;

export function explainFailure(failed: Pick<TaskView, 'name' | 'error' | 'output'>[]): string {
  const shown = failed.slice(0, tasksShown).map(explainTask);
  const more = failed.length - tasksShown;
  return [
    'skipjack: the process failed.',
    ...shown,
    ...(more > 0 ? [`and ${more} more ${more === 1 ? 'task' : 'tasks'}`] : []),
  ].join('\n');
}

function explainTask({ name, error, output }: Pick<TaskView, 'name' | 'error' | 'output'>): string {
  const why = error === null ? '' : `: ${error.code}: ${printable(error.message)}`;
  return [
    `"${printable(name)}" failed${why}`,
    ...lastLines('stderr', stderrOf(error?.details)),
    ...lastLines('stdout', output),
  ].join('\n');
}

function lastLines(stream: string, text: Json): string[] {
  if (typeof text !== 'string' || text.trim() === '') return [];
  const lines = printable(text).trimEnd().split('\n');
  const cut = lines.length > linesShown ? `, the last ${linesShown} of ${lines.length} lines` : '';
  return [`  ${stream}${cut}:`, ...lines.slice(-linesShown).map((line) => `    ${line}`)];
}

function stderrOf(details: Json | undefined): Json {
  return typeof details === 'object' && details !== null && !Array.isArray(details)
    ? (details.stderr ?? null)
    : null;
}
