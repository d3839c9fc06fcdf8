/** What the two displays say alike. */
import type { TaskError } from '../../core/task.ts';
import { describeAwaiting } from '../../queue/parking.ts';
import { formatElapsed } from '../elapsed.ts';
import { printable } from '../table.ts';
import type { Change, Progress, TaskProgress } from './progress.ts';

/** A change as one line without its time; null: not worth one. */
export function describeChange(change: Change, at: number): string | null {
  switch (change.kind) {
    case 'paused':
      return 'the process is paused';
    case 'resumed':
      return 'the process goes on';
    case 'started':
      return `${nameOf(change.task)} started${ofAttempts(change.task)}`;
    case 'again':
      return `${nameOf(change.task)} ${describeRepeat(change, at)}`;
    case 'waits':
      return `${nameOf(change.task)} ${describeWait(change.task)}`;
    case 'items':
      return `${nameOf(change.task)}: ${describeItems(change.items)}`;
    case 'waits_for_somebody':
      return `${nameOf(change)} waits for somebody to complete it`;
    case 'unserved':
      return `${nameOf(change.task)} waits: no worker serves queue "${change.task.seen?.queue}"`;
    case 'ended':
      return `${nameOf(change.task)} ${describeEnd(change.task)}`;
  }
}

/** What a parked task waits for. */
export function describeWait({ seen }: TaskProgress): string {
  if (seen?.waits_for == null) return 'waits';
  const { items } = seen.awaiting ?? {};
  if (items) return `has ${items.all} ${items.all === 1 ? 'item' : 'items'}`;
  return `waits ${oneLine(describeAwaiting(seen.waits_for, seen.awaiting)).replace(/^(?!until )/, 'for ')}`;
}

/** `12/100 items, 1 failed`. */
export function describeItems({ all, unended, failed }: NonNullable<TaskProgress['items']>): string {
  return `${all - unended}/${all} items${failed > 0 ? `, ${failed} failed` : ''}`;
}

export function nameOf({ name }: { name: string }): string {
  return oneLine(name);
}

/** On one line, and nothing in it that rules the reader's terminal. */
export function oneLine(text: string): string {
  return printable(text).replaceAll(/\s+/g, ' ');
}

function describeRepeat({ what, error, task }: Extract<Change, { kind: 'again' }>, at: number): string {
  const { seen } = task;
  const number = (seen?.attempt ?? 1) - 1;
  if (what === 'lost') return `was lost in attempt ${number}, its worker is gone; again`;
  const waitMs = (seen?.available_at ?? at) - at;
  const why = error === null ? '' : `: ${messageOf(error)}`;
  return `failed in attempt ${number} of ${seen?.attempts_max}${why}; again${waitMs > 0 ? ` in ${formatElapsed(waitMs)}` : ''}`;
}

function describeEnd(task: TaskProgress): string {
  const { state, seen } = task;
  const took = seen?.run_ms == null ? '' : formatElapsed(Number(seen.run_ms));
  if (state === 'completed') return `completed${took && ` in ${took}`}${ofAttempts(task)}`;
  if (state !== 'failed') return state;
  return `failed${took && ` after ${took}`}${ofAttempts(task)}${seen?.error ? `: ${messageOf(seen.error)}` : ''}`;
}

function ofAttempts({ seen }: TaskProgress): string {
  if (!seen || seen.attempt <= 1) return '';
  return `, attempt ${seen.attempt}${seen.attempts_max > 1 ? ` of ${seen.attempts_max}` : ''}`;
}

export function messageOf({ message }: TaskError): string {
  return printable(message).split('\n')[0] ?? '';
}

/** `3 of 5 completed, 1 running, 1 pending, 1.4 s`. */
export function describeCounts(progress: Progress, nowMs: number): string {
  const counts = new Map<string, number>();
  for (const { state } of progress.tasks) counts.set(state, (counts.get(state) ?? 0) + 1);
  const { length } = progress.tasks;
  const parts = [`${counts.get('completed') ?? 0} of ${length} ${length === 1 ? 'task' : 'tasks'} completed`];
  for (const state of [
    'running',
    'ready',
    'waiting',
    'scheduled',
    'failed',
    'cancelled',
    'skipped',
    'pending',
  ] as const) {
    const count = counts.get(state);
    if (count) parts.push(`${count} ${state}`);
  }
  if (progress.paused) parts.push('paused');
  parts.push(formatElapsed((progress.finishedAt ?? nowMs) - progress.startedAt));
  return parts.join(', ');
}
