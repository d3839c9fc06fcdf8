/**
 * What an engine thinks, one step at a time, until nothing is left. Which of several steps comes first is not said by
 * the design, so whoever asks chooses.
 */
import { start, startOnFailure, takeUpChild } from './language-children.ts';
import { ask, countDecision, decide } from './language-deciding.ts';
import { endByEngine, endProcess, endTask, stop, stopTask } from './language-ends.ts';
import {
  activate,
  finishes,
  hasEnded,
  isHeld,
  isLive,
  isSpared,
  isStopped,
  isStopping,
  itemsOf,
  newTask,
  type Process,
  type Task,
  type World,
} from './language-model.ts';
import { keyOf } from './language-people.ts';
import { type Asked, ancestorsOf } from './language-plan.ts';
import { goesOn, revive } from './language-retry.ts';

export interface Step {
  process: Process;
  task: Task | null;
  what:
    | 'think'
    | 'timer'
    | 'event'
    | 'items'
    | 'child ended'
    | 'cancel'
    | 'retry'
    | 'deadline'
    | 'clean up'
    | 'finish';
}

export function think(world: World, choose: (steps: Step[]) => Step) {
  for (let count = 0; count < 5_000; count += 1) {
    const steps = stepsOf(world);
    if (steps.length === 0) return;
    take(world, choose(steps));
  }
  throw new Error('the model thinks for ever');
}

/** What may come next. */
export function stepsOf(world: World): Step[] {
  return world.processes.flatMap((process) => stepsOfProcess(world, process));
}

function stepsOfProcess(world: World, process: Process): Step[] {
  const whole = (what: Step['what']): Step => ({ process, task: null, what });
  const cancels = process.cancelAsked ? [whole('cancel')] : [];
  if (isHeld(process)) return cancels;
  if (process.retryAsked) return [whole('retry')];
  if (hasEnded(process)) return cancels;
  const steps = process.tasks.flatMap((task): Step[] => {
    const what = dueOf(world, process, task);
    return what === null ? [] : [{ process, task, what }];
  });
  if (process.deadline?.isDue) steps.push(whole('deadline'));
  if (dueCleanUps(process).length > 0) steps.push(whole('clean up'));
  if (finishes(process) && !process.tasks.some(isLive)) steps.push(whole('finish'));
  return [...cancels, ...steps];
}

function dueOf(world: World, process: Process, task: Task): Step['what'] | null {
  switch (task.waits) {
    case 'engine':
      return 'think';
    case 'event':
      if (task.event) return 'event';
      return task.timer?.isDue ? 'timer' : null;
    case 'time':
      return task.timer?.isDue ? 'timer' : null;
    case 'items': {
      const isFailed = (task.list?.failed ?? 0) > (task.plan.list?.failuresMax ?? 0);
      if (!itemsOf(process, task).some(isLive)) return 'items';
      return isFailed && !task.list?.isGivenUp ? 'items' : null;
    }
    case 'process': {
      const child = world.processes[task.child ?? -1];
      return child && hasEnded(child) && !child.retryAsked ? 'child ended' : null;
    }
    default:
      return null;
  }
}

/** In a process that fails or is cancelled: behind which nothing is left to wait for. */
function dueCleanUps(process: Process): Task[] {
  if (process.state !== 'failing' && process.state !== 'cancelling') return [];
  const live = new Set(process.tasks.filter(isLive).map(({ item, plan }) => item?.of ?? plan.ordinal));
  return process.tasks.filter(
    (task) =>
      task.state === 'pending' &&
      task.item === null &&
      isSpared(process, task) &&
      ![...ancestorsOf(process.plan, task.plan.ordinal)].some((ordinal) => live.has(ordinal)),
  );
}

export function take(world: World, { process, task, what }: Step) {
  if (task) {
    if (what === 'think') return thinkOf(world, process, task, { isDelayed: false });
    if (what === 'event')
      return endByEngine(world, process, task, { state: 'completed', output: task.event?.payload ?? null });
    if (what === 'timer') return passTimer(world, process, task);
    if (what === 'items') return endList(world, process, task);
    return takeUpChild(world, process, task);
  }
  switch (what) {
    case 'cancel':
      process.cancelAsked = false;
      if (process.state !== 'running' && process.state !== 'failing') return;
      world.count('a sub-process is told to cancel');
      process.state = 'cancelling';
      return stop(world, process);
    case 'retry':
      process.retryAsked = false;
      if (process.state === 'failed' && goesOn(world, process)) revive(world, process);
      return;
    case 'deadline':
      process.deadline = null;
      if (process.state === 'cancelling' || !process.tasks.some(isLive)) return;
      world.count(`deadline passed | ${process.state}`);
      process.state = 'failing';
      process.failFast = true;
      process.error ??= 'deadline_exceeded';
      return stop(world, process);
    case 'clean up':
      for (const each of dueCleanUps(process)) {
        activate(process, each);
        each.waits = 'engine';
        world.count(`clean-up due | ${process.state}`);
      }
      return;
    default:
      return finish(world, process);
  }
}

function thinkOf(world: World, process: Process, task: Task, { isDelayed }: { isDelayed: boolean }) {
  const { plan, item } = task;
  const failed = (error: string) => endByEngine(world, process, task, { state: 'failed', error });
  if (isStopped(process, task)) return endTask(world, process, task, { state: 'cancelled' });
  if (item === null && !isDelayed) {
    const decision = decide(process, task);
    countDecision(world, plan.condition, decision);
    if (decision === 'skipped') return endByEngine(world, process, task, { state: 'skipped' });
    if (decision === 'fails') return failed('expression_failed');
    if (isStopping(process)) world.count(`clean-up runs | ${process.state}`);
  }
  if (item === null && plan.list) return expand(world, process, task);
  if (plan.isDelayed && !isDelayed) {
    world.count(`delay, ${plan.kind}`);
    if (plan.kind === 'run') Object.assign(task, { waits: null, isLater: true });
    else Object.assign(task, { waits: 'time', timer: { isDue: false, isDelay: true } });
    return;
  }
  const what = item === null ? '' : ', an item';
  task.timer = null;
  if (plan.kind === 'process') return start(world, process, task);
  if (plan.kind === 'sleep') {
    world.count(`sleep${what}`);
    Object.assign(task, { waits: 'time', timer: { isDue: false, isDelay: false } });
  } else if (plan.kind === 'event') {
    // A key is a text, or a number.
    if (plan.key === null && typeof item?.value === 'object' && item.value !== null)
      return failed('invalid_event');
    const place = world.kept.findIndex(({ key }) => key === keyOf(task));
    const [kept] = place >= 0 ? world.kept.splice(place, 1) : [];
    world.count(`wait_for${what}`);
    if (kept) world.count('event: came before');
    if (kept) return endByEngine(world, process, task, { state: 'completed', output: kept.payload });
    Object.assign(task, { waits: 'event', timer: plan.hasTimeout ? { isDue: false, isDelay: false } : null });
  } else task.waits = null;
}

function expand(world: World, process: Process, task: Task) {
  const { plan } = task;
  const { list } = plan;
  const items = list?.from.of === 'text' ? list.from.items : ask(process, list?.from as Asked);
  const kind = list?.isMatrix ? 'matrix' : 'each';
  if (!Array.isArray(items)) {
    world.count(`${kind}: ${items === undefined ? 'cannot be read' : 'not a list'}`);
    const error = items === undefined ? 'expression_failed' : 'not_a_list';
    return endByEngine(world, process, task, { state: 'failed', error });
  }
  world.count(`${kind} of ${items.length === 0 ? 'nothing' : plan.kind}`);
  if (items.length === 0) return endByEngine(world, process, task, { state: 'completed', output: [] });
  const concurrency = Math.min(list?.concurrency ?? items.length, items.length);
  task.waits = 'items';
  task.timer = null;
  task.list = { failed: 0, concurrency, isGivenUp: false };
  for (const [index, value] of items.entries()) {
    const item = newTask(plan, { of: plan.ordinal, index, value });
    process.tasks.push(item);
    if (index < concurrency) activate(process, item);
  }
}

function endList(world: World, process: Process, task: Task) {
  const { list, plan } = task;
  const items = itemsOf(process, task);
  const isFailed = (list?.failed ?? 0) > (plan.list?.failuresMax ?? 0);
  if (items.some(isLive)) {
    world.count('each | failing at once');
    if (list) list.isGivenUp = true;
    for (const item of items) if (isLive(item)) stopTask(world, process, item);
    return;
  }
  if (isFailed) return endByEngine(world, process, task, { state: 'failed', error: 'items_failed' });
  if (list && list.failed > 0) world.count('each | completed, some failed');
  const output = items.map((item) => (item.state === 'completed' ? item.output : null));
  endByEngine(world, process, task, { state: 'completed', output });
}

function passTimer(world: World, process: Process, task: Task) {
  if (task.timer?.isDelay) return thinkOf(world, process, task, { isDelayed: true });
  if (task.waits === 'time') return endByEngine(world, process, task, { state: 'completed', output: null });
  world.count('wait_for: its time passes');
  endByEngine(world, process, task, { state: 'failed', error: 'event_timeout' });
}

function finish(world: World, process: Process) {
  if (process.state === 'cancelling') return endProcess(world, process, 'cancelled');
  const { plan } = process;
  if (process.state === 'running') {
    const isMade = plan.output === null || (plan.output === 'fine' && process.input === 'usual');
    if (plan.output !== null) world.count(`output ${isMade ? 'made' : 'fails'}`);
    if (isMade) {
      if (plan.output !== null)
        process.output = { three: 3, first: ask(process, { of: 'output', ordinal: 1 }) ?? null };
      return endProcess(world, process, 'completed');
    }
    process.error = 'expression_failed';
  }
  startOnFailure(world, process, plan);
  endProcess(world, process, 'failed');
}
