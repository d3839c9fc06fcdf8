/** What is known of a process while it is shown: its tasks as last seen, and what each look has changed. Pure. */
import type { Plan } from '../../core/plan.ts';
import { hasProcessEnded, type ProcessState } from '../../core/process.ts';
import type { TaskError, VisibleTaskState } from '../../core/task.ts';
import { hasEnded } from '../../core/task.ts';
import type { Look, TaskLook } from './look.ts';

export interface TaskProgress {
  name: string;
  /** Names of the tasks that it needs. */
  needs: string[];
  /** How many tasks lie before it on the longest way. */
  level: number;
  /** Nothing to run: somebody completes it. */
  isForPeople: boolean;
  state: VisibleTaskState;
  /** As last seen; null: never, it is pending. */
  seen: TaskLook | null;
  /** It was said that it waits for somebody; once is enough. */
  isTold: boolean;
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
  /** For people to complete, and no worker will. */
  | { kind: 'waits_for_somebody'; at: number; task: TaskProgress }
  /** To be run, and no worker will. */
  | { kind: 'unserved'; at: number; task: TaskProgress }
  | { kind: 'paused' | 'resumed'; at: number };

/** A worker needs a moment to be known: only what has been ready for longer is unserved. */
const unservedAfterMs = 3_000;

export function beginProgress(plan: Plan, { id, name }: { id: string; name: string }): Progress {
  const levels = levelsOf(plan);
  const tasks = plan.tasks.map((task, index) => ({
    name: task.name,
    needs: task.needs.map((ordinal) => plan.tasks[ordinal - 1]?.name ?? ''),
    level: levels[index] ?? 0,
    isForPeople: task.spec === null,
    state: 'pending' as const,
    seen: null,
    isTold: false,
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
  const waitsFor = waitsForSomebody(task, ownQueues)
    ? 'waits_for_somebody'
    : isUnserved(task, at)
      ? 'unserved'
      : null;
  if (waitsFor !== null && !task.isTold) {
    task.isTold = true;
    changes.push({ kind: waitsFor, at, task });
  }
  return changes;
}

function isEnd(state: VisibleTaskState): state is 'completed' | 'failed' | 'cancelled' | 'skipped' {
  return hasEnded(state);
}

/** Also on a queue of our own worker: it gives back what there is nothing to run of. */
export function waitsForSomebody({ isForPeople, seen }: TaskProgress, ownQueues: readonly string[]): boolean {
  if (!isForPeople || seen === null || (seen.state !== 'ready' && seen.state !== 'scheduled')) return false;
  return !seen.served || ownQueues.includes(seen.queue);
}

export function isUnserved({ isForPeople, seen }: TaskProgress, at: number): boolean {
  if (isForPeople || seen?.state !== 'ready' || seen.served) return false;
  return at - (seen.available_at ?? at) > unservedAfterMs;
}

export function isOver(progress: Progress): boolean {
  return hasProcessEnded(progress.state);
}

/** By the longest way from a task without needs. */
function levelsOf(plan: Plan): number[] {
  const levels = plan.tasks.map(() => 0);
  const unmet = plan.tasks.map((task) => task.needs.length);
  const ready = plan.tasks.flatMap((task, index) => (task.needs.length === 0 ? [index] : []));
  // What becomes ready is added on the way and still visited.
  for (const index of ready) {
    for (const ordinal of plan.tasks[index]?.dependents ?? []) {
      const dependent = ordinal - 1;
      levels[dependent] = Math.max(levels[dependent] ?? 0, (levels[index] ?? 0) + 1);
      unmet[dependent] = (unmet[dependent] ?? 0) - 1;
      if (unmet[dependent] === 0) ready.push(dependent);
    }
  }
  return levels;
}
