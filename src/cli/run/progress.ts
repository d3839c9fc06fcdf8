/** What is known of a process while it is shown: its tasks as last seen, and what each look has changed. Pure. */
import type { Plan } from '../../core/plan.ts';
import { levelsOf } from '../../core/plan-levels.ts';
import { hasProcessEnded, type ProcessState } from '../../core/process.ts';
import type { TaskError, VisibleTaskState } from '../../core/task.ts';
import { hasEnded } from '../../core/task.ts';
import type { Awaiting } from '../../queue/parking.ts';
import type { Look, TaskLook } from './look.ts';

export interface TaskProgress {
  name: string;
  /** Names of the tasks that it needs. */
  needs: string[];
  /** How many tasks lie before it on the longest way. */
  level: number;
  /** Nothing to run: somebody completes it, or each of its items. */
  isForPeople: boolean;
  state: VisibleTaskState;
  /** As last seen; null: never, it is pending. */
  seen: TaskLook | null;
  /** Of an `each`, as last seen: also when it has ended. */
  items: NonNullable<Awaiting['items']> | null;
  /** When it was last told how many of them are left, and how many. */
  itemsTold: { at: number; unended: number } | null;
  /** What it was said to wait for, that somebody or a worker must do; once is enough. */
  told: string | null;
}

export interface Progress {
  name: string;
  id: string;
  state: ProcessState;
  paused: boolean;
  /** In the order of the definition. */
  tasks: TaskProgress[];
  /** Of the last look, by the clock of the database. */
  at: number;
  startedAt: number;
  finishedAt: number | null;
}

export type Change =
  | { kind: 'started'; at: number; task: TaskProgress }
  | { kind: 'ended'; at: number; task: TaskProgress; state: 'completed' | 'failed' | 'cancelled' | 'skipped' }
  /** The attempt failed or was lost, and the task is tried again. */
  | { kind: 'again'; at: number; task: TaskProgress; what: 'failed' | 'lost'; error: TaskError | null }
  /** Parked: for its items, a process, a time, an event. */
  | { kind: 'waits'; at: number; task: TaskProgress }
  /** Some of its items have ended since it was last told. */
  | { kind: 'items'; at: number; task: TaskProgress; items: NonNullable<Awaiting['items']> }
  /** For people to complete, and no worker will: the task, or one of its items. */
  | { kind: 'waits_for_somebody'; at: number; task: TaskProgress; name: string }
  /** To be run, and no worker will. */
  | { kind: 'unserved'; at: number; task: TaskProgress }
  | { kind: 'paused' | 'resumed'; at: number };

/** A worker needs a moment to be known: only what has been ready for longer is unserved. */
const unservedAfterMs = 3_000;
/** Ten thousand items take their time: a build log shows that they go on, and does not grow by a line for each. */
const itemsToldEveryMs = 10_000;

export function beginProgress(plan: Plan, { id, name }: { id: string; name: string }): Progress {
  const levels = levelsOf(plan);
  const tasks = plan.tasks.map((task, index) => ({
    name: task.name,
    needs: task.needs.map((ordinal) => plan.tasks[ordinal - 1]?.name ?? ''),
    level: levels[index] ?? 0,
    isForPeople: task.spec === null && !task.process && !task.sleep && !task.wait_for,
    state: 'pending' as const,
    seen: null,
    items: null,
    itemsTold: null,
    told: null,
  }));
  const now = Date.now();
  return { id, name, state: 'running', paused: false, tasks, at: now, startedAt: now, finishedAt: null };
}

export interface Watcher {
  /** Queues that our own worker serves: what is for people is given back by it, not done. */
  ownQueues: readonly string[];
}

/** Takes a look in; answers what has changed, in the order of time. */
export function noteLook(progress: Progress, look: Look, watcher: Watcher): Change[] {
  const changes: Change[] = [];
  if (look.paused !== progress.paused)
    changes.push({ kind: look.paused ? 'paused' : 'resumed', at: look.at });
  progress.state = look.state;
  progress.paused = look.paused;
  progress.at = look.at;
  progress.startedAt = look.started_at;
  progress.finishedAt = look.finished_at;
  for (const seen of look.tasks) {
    const task = progress.tasks[seen.ordinal - 1];
    if (task) changes.push(...noteTask(task, seen, { ...watcher, at: look.at }));
  }
  return changes.toSorted((one, other) => one.at - other.at);
}

function noteTask(task: TaskProgress, seen: TaskLook, { ownQueues, at }: Watcher & { at: number }): Change[] {
  const before = task.seen;
  const changes: Change[] = [];
  task.seen = seen;
  task.state = seen.state;
  task.items = seen.awaiting?.items ?? task.items;
  const hasFailed = seen.failures > (before?.failures ?? 0);
  const wasLost = seen.losses > (before?.losses ?? 0);
  if ((hasFailed || wasLost) && !hasEnded(seen.state)) {
    changes.push({ kind: 'again', at, task, what: hasFailed ? 'failed' : 'lost', error: seen.error });
  }
  if (seen.state === 'running' && before?.started_at !== seen.started_at) {
    changes.push({ kind: 'started', at: seen.started_at ?? at, task });
  }
  if (isEnd(seen.state) && before?.state !== seen.state) {
    changes.push({ kind: 'ended', at: seen.finished_at ?? at, task, state: seen.state });
  }
  if (seen.waits_for !== null && seen.waits_for !== 'engine' && seen.waits_for !== before?.waits_for) {
    changes.push({ kind: 'waits', at, task });
  }
  changes.push(...tellItems(task, at));
  changes.push(...tellWhoIsAwaited(task, ownQueues, at));
  return changes;
}

function tellItems(task: TaskProgress, at: number): Change[] {
  const items = task.seen?.awaiting?.items;
  if (items === undefined) return [];
  const last = task.itemsTold;
  if (last !== null && (at - last.at < itemsToldEveryMs || items.unended === last.unended)) return [];
  task.itemsTold = { at, unended: items.unended };
  // How many there are was told as they began.
  return last === null ? [] : [{ kind: 'items', at, task, items }];
}

function tellWhoIsAwaited(task: TaskProgress, ownQueues: readonly string[], at: number): Change[] {
  const name = findForSomebody(task, ownQueues);
  const toTell = name ?? (isUnserved(task, at) ? task.name : null);
  if (toTell === null || toTell === task.told) return [];
  task.told = toTell;
  return [name === null ? { kind: 'unserved', at, task } : { kind: 'waits_for_somebody', at, task, name }];
}

function isEnd(state: VisibleTaskState): state is 'completed' | 'failed' | 'cancelled' | 'skipped' {
  return hasEnded(state);
}

/**
 * The name of the task that somebody must complete: its own, or that of its first item. Also on a queue of our own
 * worker, which gives back what there is nothing to run of.
 */
export function findForSomebody(
  { name, isForPeople, seen }: TaskProgress,
  ownQueues: readonly string[],
): string | null {
  if (!isForPeople || seen === null || (seen.served && !ownQueues.includes(seen.queue))) return null;
  if (seen.state === 'ready' || seen.state === 'scheduled') return name;
  return seen.waits_for === 'items' ? seen.item_name : null;
}

export function isUnserved({ isForPeople, seen }: TaskProgress, at: number): boolean {
  if (isForPeople || seen?.state !== 'ready' || seen.served) return false;
  return at - (seen.available_at ?? at) > unservedAfterMs;
}

export function isOver(progress: Progress): boolean {
  return hasProcessEnded(progress.state);
}
