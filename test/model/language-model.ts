/**
 * The process language, in memory: what the design says of it, in the plainest way there is. Processes that start others,
 * their tasks and items, and what follows at once from each move; what an engine thinks of is in language-thinking.ts.
 * It imports nothing of ours, knows no table and no inbox, and looks at everything anew.
 */
import {
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
  /** Its id, once it was seen: which of two was started first is for the product to say. */
  id: string | null;
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
    id: null,
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
