/**
 * The process language, in memory: what the design says of it, in the plainest way there is. Processes that start others,
 * their tasks and items, and what follows at once from each move; what an engine thinks of is in language-thinking.ts.
 * It imports nothing of ours, knows no table and no inbox, and looks at everything anew.
 */
import {
  isCleanUp,
  itemThinks,
  type LanguagePlan,
  type LanguageTask,
  runsOnCancel,
  runsOnFailure,
  thinks,
  type Value,
} from './language-plan.ts';

export type ProcessState = 'running' | 'failing' | 'cancelling' | 'completed' | 'failed' | 'cancelled';
export type TaskState = 'pending' | 'active' | 'completed' | 'failed' | 'cancelled' | 'skipped';
export type Waits = 'engine' | 'items' | 'process' | 'time' | 'event';

export interface Task {
  plan: LanguageTask;
  name: string;
  /** Of an item: whose, from 0 which, and what. */
  item: { of: number; index: number; value: Value } | null;
  isTolerated: boolean;
  state: TaskState;
  waits: Waits | null;
  claim: { stopAsked: boolean } | null;
  /** Its time in the queue has not come. */
  isLater: boolean;
  failures: number;
  losses: number;
  output: Value;
  error: string | null;
  letter: null | 'waits' | 'replayed';
  attempts: string[];
  timer: null | { isDue: boolean; isDelay: boolean };
  /** The event that it waits for has come. */
  event: null | { payload: Value };
  /** The last attached one that it has started, and how many of any kind. */
  child: number | null;
  children: number;
  list: null | { failed: number; concurrency: number; isGivenUp: boolean };
}

export interface Process {
  index: number;
  path: string;
  plan: LanguagePlan;
  parent: { process: number; task: string } | null;
  isDetached: boolean;
  input: 'usual' | 'failure';
  state: ProcessState;
  isPaused: boolean;
  failFast: boolean;
  tasks: Task[];
  output: Value;
  error: string | null;
  failureProcess: number | null;
  /** Somebody has told it, and no engine has heard of it. */
  cancelAsked: boolean;
  retryAsked: boolean;
  deadline: null | { isDue: boolean };
}

export interface World {
  plans: LanguagePlan[];
  processes: Process[];
  /** Events that nobody waited for, the oldest first. */
  kept: { key: string; payload: Value }[];
  count: (what: string) => void;
}

export function copyOf(world: World): World {
  const { plans, processes, kept, count } = world;
  return {
    plans,
    count,
    kept: [...kept],
    processes: processes.map((process) => ({
      ...process,
      deadline: process.deadline && { ...process.deadline },
      tasks: process.tasks.map((task) => ({
        ...task,
        claim: task.claim && { ...task.claim },
        timer: task.timer && { ...task.timer },
        list: task.list && { ...task.list },
        attempts: [...task.attempts],
      })),
    })),
  };
}

export function startProcess(
  world: World,
  plan: LanguagePlan,
  given: Pick<Process, 'path' | 'parent' | 'isDetached' | 'input'>,
): Process {
  const process: Process = {
    ...given,
    index: world.processes.length,
    plan,
    state: 'running',
    isPaused: false,
    failFast: plan.failFast,
    tasks: plan.tasks.map((task) => newTask(task)),
    output: null,
    error: null,
    failureProcess: null,
    cancelAsked: false,
    retryAsked: false,
    deadline: plan.hasDeadline ? { isDue: false } : null,
  };
  world.processes.push(process);
  for (const task of process.tasks) if (task.plan.needs.length === 0) activate(process, task);
  return process;
}

export function newTask(plan: LanguageTask, item: Task['item'] = null): Task {
  return {
    plan,
    name: item === null ? plan.name : `${plan.name}[${item.index}]`,
    item,
    isTolerated: plan.continueOnError || (item !== null && (plan.list?.failuresMax ?? 0) > 0),
    state: 'pending',
    waits: null,
    claim: null,
    isLater: false,
    failures: 0,
    losses: 0,
    output: null,
    error: null,
    letter: null,
    attempts: [],
    timer: null,
    event: null,
    child: null,
    children: 0,
    list: null,
  };
}

export function isLive({ state }: Task): boolean {
  return state === 'pending' || state === 'active';
}

export function isQueued({ state, waits }: Task): boolean {
  return state === 'active' && waits === null;
}

export function hasEnded({ state }: Process): boolean {
  return ['completed', 'failed', 'cancelled'].includes(state);
}

export function isStopping({ state, failFast }: Process): boolean {
  return state === 'cancelling' || (state === 'failing' && failFast);
}

export function isSpared({ state }: Process, { plan }: Task): boolean {
  return state === 'cancelling' ? runsOnCancel(plan) : runsOnFailure(plan);
}

export function isStopped(process: Process, task: Task): boolean {
  return isStopping(process) && !isSpared(process, task);
}

export function isHeld({ isPaused, state }: Process): boolean {
  return isPaused && (state === 'running' || state === 'failing');
}

export function failedForGood({ state, isTolerated }: Task): boolean {
  return state === 'failed' && !isTolerated;
}

/** An engine has the last word on its end. */
export function finishes({ plan, parent, isDetached }: Process): boolean {
  return (
    plan.output !== null ||
    plan.onFailure !== null ||
    plan.hasDeadline ||
    (parent !== null && parent.task !== '!' && !isDetached)
  );
}

export function taskOf(process: Process, ordinal: number): Task {
  const task = process.tasks.find((each) => each.item === null && each.plan.ordinal === ordinal);
  if (!task) throw new Error(`no task ${ordinal}`);
  return task;
}

export function itemsOf(process: Process, { plan }: Task): Task[] {
  return process.tasks.filter((each) => each.item?.of === plan.ordinal);
}

/** Its needs have ended, or its turn has come. */
export function activate(process: Process, task: Task): void {
  task.state = 'active';
  const isSkipping = task.plan.needs.some((need) => taskOf(process, need).state === 'skipped');
  const mustThink = task.item === null ? thinks(task.plan) || isSkipping : itemThinks(task.plan);
  task.waits = mustThink ? 'engine' : null;
  task.isLater = false;
}

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
