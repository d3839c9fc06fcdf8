/** What follows at once from the end of a task: arithmetic, and stops. */
import {
  activate,
  failedForGood,
  finishes,
  hasEnded,
  isLive,
  isSpared,
  isStopped,
  isStopping,
  itemsOf,
  type Process,
  type ProcessState,
  type Task,
  type TaskState,
  taskOf,
  type World,
} from './language-model.ts';
import { isCleanUp, runsOnFailure, type Value } from './language-plan.ts';

/** It ends, and what is arithmetic follows at once. */
export function endTask(
  world: World,
  process: Process,
  task: Task,
  end: { state: TaskState; output?: Value; error?: string; isLost?: boolean },
): void {
  const wasStopping = isStopping(process);
  finishTask(task, end.state);
  task.output = end.output ?? null;
  task.error = end.error ?? null;
  if (task.state === 'failed' && (!task.isTolerated || end.isLost)) task.letter = 'waits';
  world.count(`task ends ${task.state}${task.state === 'failed' && task.isTolerated ? ', tolerated' : ''}`);
  if (task.item !== null) passTurn(world, process, task);
  else if (
    !wasStopping &&
    (['completed', 'skipped'].includes(task.state) || (task.state === 'failed' && task.isTolerated))
  )
    advance(process, task);
  if (failedForGood(task) && task.item === null && process.state !== 'cancelling' && !wasStopping) {
    if (process.tasks.some((each) => each.claim)) world.count('process fails while tasks run');
    process.state = 'failing';
    if (process.failFast) stop(world, process);
    else cancelBehindFailures(world, process);
  }
  endIfOver(world, process);
}

export function finishTask(task: Task, state: TaskState): void {
  Object.assign(task, { state, waits: null, claim: null, timer: null, event: null, isLater: false });
}

function advance(process: Process, ended: Task): void {
  for (const task of process.tasks) {
    if (task.state !== 'pending' || task.item !== null || !task.plan.needs.includes(ended.plan.ordinal))
      continue;
    const needs = task.plan.needs.map((need) => taskOf(process, need));
    const isMet = ({ state, isTolerated }: Task) =>
      state === 'completed' || state === 'skipped' || (state === 'failed' && isTolerated);
    if (needs.every(isMet)) activate(process, task);
  }
}

/** An item gives its turn to the next. */
function passTurn(world: World, process: Process, item: Task): void {
  const owner = taskOf(process, item.item?.of ?? 0);
  const { list } = owner;
  if (!list) throw new Error('an item of no list');
  if (item.state === 'failed') {
    list.failed += 1;
    world.count('item failed');
  }
  if (isStopped(process, item) || list.failed > (owner.plan.list?.failuresMax ?? 0)) return;
  const next = itemsOf(process, owner).find((each) => each.state === 'pending');
  if (next) {
    world.count('item: gives its turn to the next');
    activate(process, next);
  }
}

/** Nothing more may start but clean-ups. */
export function stop(world: World, process: Process): void {
  for (const task of process.tasks)
    if (isLive(task) && !isSpared(process, task)) stopTask(world, process, task);
  endIfOver(world, process);
}

export function stopTask(world: World, process: Process, task: Task): void {
  // It has come, and is handed over by an engine.
  if (task.event) {
    world.count(`stopped: its event has come | ${process.state}`);
    return;
  }
  const what = task.state === 'pending' ? 'pending' : (task.waits ?? (task.claim ? 'claimed' : 'unclaimed'));
  world.count(`stopped: ${what}${task.item ? ', an item' : ''} | ${process.state}`);
  if (task.claim) task.claim.stopAsked = true;
  else if (task.waits === 'process') {
    const child = task.child === null ? undefined : world.processes[task.child];
    if (child && ['running', 'failing', 'failed'].includes(child.state)) child.cancelAsked = true;
  } else {
    finishTask(task, 'cancelled');
    world.count('task ends cancelled');
  }
}

function cancelBehindFailures(world: World, process: Process): void {
  const behind = new Set(
    process.tasks
      .filter((task) => task.item === null && failedForGood(task))
      .map((task) => task.plan.ordinal),
  );
  for (let size = 0; size < behind.size; ) {
    size = behind.size;
    for (const { ordinal, needs } of process.plan.tasks)
      if (needs.some((need) => behind.has(need))) behind.add(ordinal);
  }
  for (const task of process.tasks)
    if (
      task.state === 'pending' &&
      task.item === null &&
      behind.has(task.plan.ordinal) &&
      !runsOnFailure(task.plan)
    ) {
      finishTask(task, 'cancelled');
      world.count('cancelled behind a failure');
      world.count('task ends cancelled');
    }
}

export function endIfOver(world: World, process: Process): void {
  if (hasEnded(process) || finishes(process) || process.tasks.some(isLive)) return;
  endProcess(
    world,
    process,
    process.state === 'cancelling' ? 'cancelled' : process.state === 'failing' ? 'failed' : 'completed',
  );
}

export function endProcess(world: World, process: Process, state: ProcessState): void {
  process.state = state;
  world.count(`process ends ${state}`);
  if (process.tasks.some((task) => isCleanUp(task.plan) && task.state === 'completed'))
    world.count(`clean-up completed | process ${state}`);
}

/** A process that stops has the last word, but for a sub-process that has completed, and an event that has come. */
export function endByEngine(
  world: World,
  process: Process,
  task: Task,
  end: { state: TaskState; output?: Value; error?: string },
) {
  const comesLate = end.state === 'completed' && (task.waits === 'process' || task.waits === 'event');
  endTask(world, process, task, isStopped(process, task) && !comesLate ? { state: 'cancelled' } : end);
}
