/** What workers, people and programs do with the processes of the model. */
import { endTask, stop } from './language-ends.ts';
import {
  hasEnded,
  isHeld,
  isQueued,
  isStopped,
  type Process,
  type Task,
  type World,
} from './language-model.ts';
import type { Value } from './language-plan.ts';

export type Word = 'completed' | 'failed' | 'failed for good' | 'released' | 'cancelled' | 'lost';

/** The loss that ends a task. */
const lossesMax = 5;

/** What a worker finds. */
export function claimables(world: World): { process: Process; task: Task }[] {
  return world.processes.flatMap((process) =>
    isHeld(process)
      ? []
      : process.tasks.flatMap((task) =>
          isQueued(task) && !task.claim && !task.isLater ? [{ process, task }] : [],
        ),
  );
}

export function settle(
  world: World,
  process: Process,
  task: Task,
  { word, output }: { word: Word; output: Value },
) {
  const { claim } = task;
  if (!claim) throw new Error('not claimed');
  task.claim = null;
  world.count(`settled ${word} | ${process.state}${task.item ? ', an item' : ''}`);
  if (claim.stopAsked) world.count(`asked to stop, ${word === 'completed' ? 'and has completed' : 'stops'}`);
  if (word === 'completed') return endTask(world, process, task, { state: 'completed', output });
  if (claim.stopAsked || isStopped(process, task)) {
    task.attempts.push('cancelled');
    return endTask(world, process, task, { state: 'cancelled' });
  }
  if (word === 'released' || word === 'cancelled') return;
  if (word === 'lost') {
    task.attempts.push('lost');
    task.losses += 1;
    if (task.losses >= lossesMax)
      endTask(world, process, task, { state: 'failed', error: 'lost_too_often', isLost: true });
    return;
  }
  task.attempts.push('failed');
  task.failures += 1;
  if (word === 'failed' && task.failures < task.plan.attemptsMax) world.count('tried again after a failure');
  else endTask(world, process, task, { state: 'failed', error: 'broken' });
}

export function endByName(world: World, process: Process, task: Task, state: 'completed' | 'failed'): string {
  const refuse = (answer: string, why: string) => {
    world.count(`by name refused: ${why}`);
    return answer;
  };
  if (task.state === 'pending') return refuse('pending', 'pending');
  if (task.state !== 'active') return refuse(`already_settled ${task.state}`, 'ended');
  if (task.waits !== null) return refuse(`waiting ${task.waits}`, 'waiting');
  if (task.claim) return refuse('already_claimed', 'claimed');
  world.count(`by name: ${state}`);
  if (state === 'failed') {
    task.attempts.push('failed');
    task.failures += 1;
    endTask(world, process, task, { state, error: 'broken' });
  } else endTask(world, process, task, { state, output: 'said' });
  return 'ended';
}

export function cancel(world: World, process: Process): string {
  if (process.state === 'cancelling' || process.state === 'cancelled') return 'cancelling';
  if (hasEnded(process)) return `ended ${process.state}`;
  world.count(`cancel | ${process.state}${process.isPaused ? ', paused' : ''}`);
  process.state = 'cancelling';
  stop(world, process);
  return 'cancelling';
}

export function pause(world: World, process: Process, isPaused: boolean): string {
  if (process.state !== 'running' && process.state !== 'failing') return `ended ${process.state}`;
  if (process.isPaused !== isPaused) world.count(`${isPaused ? 'pause' : 'resume'} | ${process.state}`);
  process.isPaused = isPaused;
  return 'done';
}

/** Answers how many waited. */
export function sendEvent(world: World, key: string, payload: Value): number {
  const waiting = world.processes.flatMap((process) =>
    process.tasks.filter((task) => task.waits === 'event' && task.event === null && keyOf(task) === key),
  );
  for (const task of waiting) task.event = { payload };
  if (waiting.length === 0) world.kept.push({ key, payload });
  world.count(
    waiting.length === 0 ? 'event: kept' : waiting.length === 1 ? 'event: wakes one' : 'event: wakes several',
  );
  return waiting.length;
}

export function keyOf({ plan, item }: Task): string {
  return plan.key ?? String(item?.value ?? '');
}

/** Its time has come: of a timer, or in the queue. */
export function passTime(task: Task): void {
  if (task.timer) task.timer.isDue = true;
  task.isLater = false;
}
