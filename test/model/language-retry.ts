/** A failed process goes on from where it failed, and the processes with it that its tasks wait for. */

import { finishTask } from './language-ends.ts';
import {
  activate,
  failedForGood,
  isLive,
  isStopped,
  itemsOf,
  type Process,
  type Task,
  taskOf,
  type World,
} from './language-model.ts';
import { ancestorsOf } from './language-plan.ts';

/** Answers what the product answers. */
export function retry(world: World, process: Process): string {
  if (process.state !== 'failed') return `not_failed ${process.state}`;
  if (process.parent && !process.isDetached) return 'has_parent';
  if (process.failureProcess !== null) return 'compensated';
  world.count('retry of a process');
  revive(world, process);
  return 'retried';
}

/** The task that had started it waits for it, and its process goes on. */
export function goesOn(world: World, { parent, failureProcess }: Process): boolean {
  const above = parent && world.processes[parent.process];
  const task = above?.tasks.find(({ name }) => name === parent?.task);
  return failureProcess === null && above != null && task?.waits === 'process' && !isStopped(above, task);
}

/** Failed and cancelled tasks, and all that follows from them, begin anew. */
export function revive(world: World, process: Process) {
  const again = new Set(
    process.tasks.flatMap((task) =>
      task.item === null && (task.state === 'cancelled' || failedForGood(task)) ? [task.plan.ordinal] : [],
    ),
  );
  for (const { ordinal } of process.plan.tasks)
    if ([...ancestorsOf(process.plan, ordinal)].some((before) => again.has(before))) again.add(ordinal);
  process.state = 'running';
  process.isPaused = false;
  process.failFast = process.plan.failFast;
  process.output = null;
  process.error = null;
  process.deadline = process.plan.hasDeadline ? { isDue: false } : null;
  for (const ordinal of again) {
    const task = taskOf(process, ordinal);
    const isWaiting = task.plan.needs.some((need) => again.has(need));
    begin(task);
    if (isWaiting) {
      if (task.list) world.count('retry: items of a list that waits are dropped');
      dropItems(world, process, task);
      task.list = null;
    } else if (task.list) reviveItems(world, process, task);
    else goOn(world, process, task);
  }
  endIfNothing(world, process);
}

function endIfNothing(world: World, process: Process) {
  if (!process.tasks.some(isLive)) world.count('retry: nothing but the end');
}

function reviveItems(world: World, process: Process, task: Task) {
  task.state = 'active';
  task.waits = 'items';
  task.list = { concurrency: task.list?.concurrency ?? 0, failed: 0, isGivenUp: false };
  const items = itemsOf(process, task).filter(({ state }) => state === 'failed' || state === 'cancelled');
  world.count('retry of an each');
  for (const [turn, item] of items.entries()) {
    begin(item);
    if (turn < task.list.concurrency) goOn(world, process, item);
  }
}

function begin(task: Task) {
  finishTask(task, 'pending');
  if (task.letter) task.letter = 'replayed';
  Object.assign(task, { failures: 0, losses: 0, output: null, error: null });
}

/** As it was, where it waited for a process that failed; else as at first. */
function goOn(world: World, process: Process, task: Task) {
  activate(process, task);
  const child = task.child === null ? undefined : world.processes[task.child];
  if (child?.state !== 'failed' || child.failureProcess !== null) return;
  world.count('retry of a sub-process with its process');
  task.waits = 'process';
  child.retryAsked = true;
}

/** What they had started is left, and nobody's. */
function dropItems(world: World, process: Process, task: Task) {
  const names = new Set(itemsOf(process, task).map(({ name }) => name));
  process.tasks = process.tasks.filter(({ name }) => !names.has(name));
  const own = world.processes.filter(({ parent }) => parent?.process === process.index);
  for (const each of own)
    if (each.parent && names.has(each.parent.task)) each.parent = { ...each.parent, task: 'gone' };
  // As the product has started them; those of this very moment last.
  const key = ({ id, index }: Process) => `${id ?? '~'} ${String(index).padStart(6, '0')}`;
  const renamed = own
    .filter(({ parent }) => parent?.task === 'gone')
    .toSorted((one, other) => (key(one) < key(other) ? -1 : 1))
    .map((each, place) => [each.path, `${process.path}/gone#${place + 1}`] as const);
  for (const other of world.processes) {
    const found = renamed.find(([before]) => other.path === before || other.path.startsWith(`${before}/`));
    if (found) other.path = found[1] + other.path.slice(found[0].length);
  }
}
