/** Processes that tasks start, and what becomes of these when they have ended. */
import { endByEngine } from './language-ends.ts';
import { isStopped, type Process, startProcess, type Task, taskOf, type World } from './language-model.ts';
import type { LanguagePlan, Value } from './language-plan.ts';

export function start(world: World, process: Process, task: Task) {
  const { child, list } = task.plan;
  const before = task.child === null ? undefined : world.processes[task.child];
  // An item that is tried again, and had to wait for its turn.
  if (task.item !== null && before?.state === 'failed' && before.failureProcess === null) {
    world.count('retry of a sub-process at the turn of its item');
    before.retryAsked = true;
    task.waits = 'process';
    return;
  }
  const plan = child?.plan == null ? undefined : world.plans[child.plan];
  if (!child || !plan) {
    world.count('sub-process: no such definition');
    return endByEngine(world, process, task, { state: 'failed', error: 'no_such_definition' });
  }
  world.count(`sub-process ${child.isDetached ? 'detached' : 'attached'}${list ? ', an item' : ''}`);
  task.children += 1;
  const started = startProcess(world, plan, {
    path: `${process.path}/${task.name}#${task.children}`,
    parent: { process: process.index, task: task.name },
    isDetached: child.isDetached,
    input: 'usual',
  });
  if (child.isDetached)
    return endByEngine(world, process, task, { state: 'completed', output: { process_id: 'an id' } });
  task.child = started.index;
  task.waits = 'process';
}

export function takeUpChild(world: World, process: Process, task: Task) {
  const child = world.processes[task.child ?? -1];
  if (!child) throw new Error('no child');
  const what = isStopped(process, task) ? 'stopped' : 'goes on';
  world.count(`sub-process ${child.state} | its task ${what}`);
  if (child.state === 'completed')
    return endByEngine(world, process, task, { state: 'completed', output: outputOf(child) });
  const owner = task.item && taskOf(process, task.item.of);
  if (child.state === 'cancelled' && owner?.list && owner.list.failed > (owner.plan.list?.failuresMax ?? 0))
    return endByEngine(world, process, task, { state: 'cancelled' });
  const error = child.state === 'failed' ? 'process_failed' : 'process_cancelled';
  endByEngine(world, process, task, { state: 'failed', error });
}

/** What is handed up. */
export function outputOf({ plan, tasks, output }: Process): Value {
  if (plan.output !== null) return output;
  const isNeeded = (ordinal: number) => plan.tasks.some(({ needs }) => needs.includes(ordinal));
  const last = tasks.filter(
    (task) => task.item === null && task.state === 'completed' && !isNeeded(task.plan.ordinal),
  );
  return Object.fromEntries(last.map((task) => [task.name, task.output]));
}

export function startOnFailure(world: World, process: Process, { onFailure }: LanguagePlan) {
  if (onFailure === null) return;
  world.count(`on_failure ${onFailure === 'nobody' ? 'refused' : 'started'}`);
  if (process.tasks.some((task) => task.error === 'process_failed'))
    world.count('sub-process failed | on_failure');
  if (process.error !== null) world.count(`${process.error} | on_failure`);
  const plan = onFailure === 'nobody' ? undefined : world.plans[onFailure];
  if (!plan) return;
  const started = startProcess(world, plan, {
    path: `${process.path}/!`,
    parent: { process: process.index, task: '!' },
    isDetached: true,
    input: 'failure',
  });
  process.failureProcess = started.index;
}
