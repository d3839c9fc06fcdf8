/**
 * A process as lines for a terminal. Pure.
 *
 * A task stands below and to the right of what it needs, so that forks and joins are seen; its needs are named at
 * the end of its line. A process that does not fit shows the tasks that are active or went wrong, and counts.
 */
import { formatElapsed } from '../elapsed.ts';
import type { Paint } from '../paint.ts';
import { describeCounts, describeItems, describeWait, messageOf, nameOf, oneLine } from './describe.ts';
import { findForSomebody, isOver, isUnserved, type Progress, type TaskProgress } from './progress.ts';

export interface Canvas {
  columns: number;
  rows: number;
  paint: Paint;
  /** By the clock of the database. */
  nowMs: number;
  ownQueues: readonly string[];
}

/** Deeper ones are not moved further to the right. */
const levelShownMax = 12;
/** The name of the process and a blank line above the counts. */
const linesAround = 3;
const nameColumnsMax = 40;

interface Row {
  task: TaskProgress;
  name: string;
  status: string;
}

export function drawProgress(progress: Progress, canvas: Canvas): string[] {
  const { paint, columns } = canvas;
  const room = Math.max(1, canvas.rows - linesAround - 1);
  const fits = progress.tasks.length <= room;
  const shown = fits ? progress.tasks : chooseTasks(progress.tasks, room);
  const rows = shown.map(
    (task): Row => ({
      task,
      name: `${'  '.repeat(fits ? Math.min(task.level, levelShownMax) : 0)}${symbols[task.state]} ${nameOf(task)}`,
      status: describeStatus(task, canvas),
    }),
  );
  const nameWidth = Math.min(nameColumnsMax, columns, Math.max(0, ...rows.map(({ name }) => name.length)));
  const statusWidth = Math.max(0, ...rows.map(({ status, task }) => (isLong(task) ? 0 : status.length)));
  const head = cut(
    `${nameOf(progress)}  ${progress.id}${isOver(progress) ? `  ${progress.state}` : ''}`,
    columns,
  );
  return [
    paint.bold(head),
    ...rows.map((row) => drawRow(row, { nameWidth, statusWidth, columns, paint })),
    '',
    paint.dim(cut(describeCounts(progress, canvas.nowMs), columns)),
  ];
}

const symbols: Record<TaskProgress['state'], string> = {
  pending: '·',
  scheduled: '○',
  ready: '○',
  running: '●',
  waiting: '○',
  completed: '✓',
  failed: '✗',
  cancelled: '–',
  skipped: '»',
};

/** What needs attention first: those that run, that wait, that failed. */
function chooseTasks(tasks: TaskProgress[], room: number): TaskProgress[] {
  const ranked = (['running', 'ready', 'waiting', 'scheduled', 'failed'] as const).flatMap((state) =>
    tasks.filter((task) => task.state === state),
  );
  return ranked.slice(0, room);
}

/** The whole of a message is worth more than the columns being in line. */
function isLong({ state, items }: TaskProgress): boolean {
  if (state === 'waiting') return items === null;
  return state === 'failed' || state === 'ready' || state === 'scheduled';
}

function describeStatus(task: TaskProgress, { nowMs, ownQueues }: Canvas): string {
  const { seen, state, items } = task;
  if (seen === null) return '';
  const ofMany =
    seen.attempt > 1
      ? `, attempt ${seen.attempt}${seen.attempts_max > 1 ? ` of ${seen.attempts_max}` : ''}`
      : '';
  switch (state) {
    case 'running':
      return `${formatElapsed(nowMs - (seen.started_at ?? nowMs))}${ofMany}`;
    case 'completed':
      if (items !== null) return describeItems({ ...items, unended: 0 });
      return `${seen.run_ms === null ? '' : formatElapsed(Number(seen.run_ms))}${ofMany}`;
    case 'failed':
      return `${seen.error === null ? 'failed' : messageOf(seen.error)}${ofMany}`;
    case 'scheduled': {
      if (findForSomebody(task, ownQueues) !== null) return 'waits for somebody';
      const dueIn = formatElapsed((seen.available_at ?? nowMs) - nowMs);
      if (seen.failures + seen.losses === 0) return `due in ${dueIn}`;
      const why = seen.error === null ? '' : `: ${messageOf(seen.error)}`;
      return `again in ${dueIn}${ofMany}${why}`;
    }
    case 'waiting':
      return describeParked(task, { nowMs, ownQueues });
    case 'ready':
      if (seen.held) return 'paused';
      if (seen.queue_paused) return `queue "${seen.queue}" is paused`;
      if (findForSomebody(task, ownQueues) !== null) return 'waits for somebody';
      return isUnserved(task, nowMs) ? `no worker serves queue "${seen.queue}"` : `ready${ofMany}`;
    default:
      return state;
  }
}

function describeParked(
  task: TaskProgress,
  { nowMs, ownQueues }: Pick<Canvas, 'nowMs' | 'ownQueues'>,
): string {
  const { items, process, until_ms } = task.seen?.awaiting ?? {};
  if (items) {
    const who = findForSomebody(task, ownQueues) === null ? '' : ', waits for somebody';
    return `${describeItems(items)}${who}`;
  }
  if (process) return `${process.tasks - process.unfinished}/${process.tasks} tasks of process ${process.id}`;
  if (task.seen?.waits_for === 'time' && until_ms != null)
    return `for another ${formatElapsed(until_ms - nowMs)}`;
  return task.seen?.waits_for === 'engine' ? '' : describeWait(task);
}

function drawRow(
  { task, name, status }: Row,
  {
    nameWidth,
    statusWidth,
    columns,
    paint,
  }: { nameWidth: number; statusWidth: number; columns: number; paint: Paint },
): string {
  const left = cut(name, nameWidth).padEnd(nameWidth);
  const middle = cut(status.padEnd(statusWidth), columns - nameWidth - 2);
  const needs = task.needs.length === 0 ? '' : `← ${oneLine(task.needs.join(', '))}`;
  const right = cut(needs, columns - nameWidth - middle.length - 4);
  const colour = colours[task.state];
  const painted = colour ? paint[colour](left) : left;
  if (middle.trim() === '' && right.length <= 1) return painted;
  const line = `${painted}  ${middle}`;
  return right.length > 1 ? `${line}  ${paint.dim(right)}` : line.trimEnd();
}

const colours: Partial<Record<TaskProgress['state'], keyof Paint>> = {
  pending: 'dim',
  scheduled: 'yellow',
  ready: 'yellow',
  running: 'cyan',
  waiting: 'yellow',
  completed: 'green',
  failed: 'red',
  cancelled: 'dim',
  skipped: 'dim',
};

function cut(text: string, columns: number): string {
  if (columns <= 0) return '';
  const characters = [...text];
  return characters.length <= columns ? text : `${characters.slice(0, columns - 1).join('')}…`;
}
