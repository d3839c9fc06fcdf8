/** A scenario, drawn move by move from where the model stands. */

import { drawOutput, type LanguageCase } from './language-case.ts';
import { hasEnded, type Process, type Task, type World } from './language-model.ts';
import type { LanguageMove } from './language-moves.ts';
import { claimables, keyOf } from './language-people.ts';
import type { Random } from './random.ts';

const movesMax = 40;
/** After so many more whatever is left is cancelled. */
const windUpMax = 60;
const cancelledMax = 100;

/** The next move; null: it is over. */
export function createLanguageScenario(
  random: Random,
  { temper, theme }: LanguageCase,
): (world: World) => LanguageMove | null {
  let moves = 0;
  let retries = random.whole(0, 3);
  let pauses = temper === 'people' ? 4 : 1;
  const isOfPeople = temper === 'people';

  const places = (world: World, keep: (task: Task, process: Process) => boolean) =>
    world.processes.flatMap((process) =>
      process.tasks.filter((task) => keep(task, process)).map((task) => ({ process, task })),
    );
  const placeOf = ({ process, task }: { process: Process; task: Task }) => ({
    path: process.path,
    name: task.name,
  });

  function settle(world: World, isWindingUp: boolean): LanguageMove {
    const held = places(world, (task) => task.claim !== null);
    const size = isWindingUp ? held.length : Number(random.weighted({ 1: 3, 2: 2, 4: 2, 30: 2 }));
    const words = random
      .shuffled(held)
      .slice(0, size)
      .map((each) => ({
        ...placeOf(each),
        word: drawWord(each.task, isWindingUp),
        output: drawOutput(random, each.task.plan),
      }));
    return { move: 'settle', words };
  }

  function drawWord({ claim }: Task, isWindingUp: boolean) {
    if (claim?.stopAsked)
      return random.weighted({ completed: 3, cancelled: 4, failed: 1, released: 1, lost: 1 });
    if (isWindingUp) return random.weighted({ completed: 8, 'failed for good': temper === 'calm' ? 0.3 : 1 });
    return temper === 'failing'
      ? random.weighted({
          completed: 5,
          failed: 2,
          'failed for good': 1.5,
          released: 0.3,
          lost: 0.5,
          cancelled: 0.2,
        })
      : random.weighted({
          completed: 10,
          failed: 1,
          'failed for good': 0.5,
          released: 0.5,
          lost: 0.5,
          cancelled: 0.2,
        });
  }

  function passTime(world: World): LanguageMove | null {
    const waiting = places(world, (task) => (task.timer !== null && !task.timer.isDue) || task.isLater);
    return waiting.length === 0 ? null : { move: 'pass time', ...placeOf(random.pick(waiting)) };
  }

  function endByName(world: World): LanguageMove {
    const open = places(world, (task) => task.state === 'active' && task.waits === null && !task.claim);
    const all = places(world, () => true);
    const each = random.pick(open.length > 0 && random.chance(0.75) ? open : all);
    return { move: 'end by name', ...placeOf(each), state: random.chance(0.6) ? 'completed' : 'failed' };
  }

  function windUp(world: World): LanguageMove | null {
    const paused = world.processes.find(
      (process) => process.isPaused && ['running', 'failing'].includes(process.state),
    );
    if (paused) return { move: 'resume', path: paused.path };
    if (claimables(world).length > 0) return { move: 'claim' };
    if (places(world, (task) => task.claim !== null).length > 0) return settle(world, true);
    const time = passTime(world);
    if (time) return time;
    const [waiting] = places(world, (task) => task.waits === 'event' && task.event === null);
    if (!waiting) return null;
    return { move: 'send event', key: keyOf(waiting.task), payload: 'late' };
  }

  return (world) => {
    moves += 1;
    if (moves > movesMax + windUpMax + cancelledMax) throw new Error('it never ends');
    const failed = world.processes.filter(({ state }) => state === 'failed');
    const isLiving = world.processes.some((process) => !hasEnded(process));
    if (retries > 0 && failed.length > 0 && random.chance(isLiving ? 0.1 : 0.9)) {
      retries -= 1;
      const path = random.chance(0.8) ? (failed[0] as Process).path : random.pick(world.processes).path;
      return { move: 'retry', path };
    }
    if (!isLiving) return null;
    const uncancelled = world.processes.find(
      (process) => !hasEnded(process) && process.state !== 'cancelling',
    );
    if (moves > movesMax + windUpMax && uncancelled) return { move: 'cancel', path: uncancelled.path };
    if (moves > movesMax) return windUp(world);

    const live = world.processes.filter((process) => !hasEnded(process));
    const { path } = random.chance(0.7) ? random.pick(live) : random.pick(world.processes);
    const states = live.map(({ state }) => state);
    const isOdd = states.includes('failing') || live.some(({ isPaused }) => isPaused);
    const deadlines = live.filter(({ deadline }) => deadline && !deadline.isDue);
    const turn = random.weighted({
      claim: claimables(world).length > 0 ? 5 : 0,
      settle: places(world, (task) => task.claim !== null).length > 0 ? 5 : 0,
      time: places(world, (task) => task.timer !== null || task.isLater).length > 0 ? 1.5 : 0,
      event:
        places(world, ({ plan, state }) => plan.kind === 'event' && ['pending', 'active'].includes(state))
          .length > 0
          ? 1.5
          : 0,
      name: isOfPeople ? 1 : 0.2,
      deadline: deadlines.length > 0 ? (states.includes('failing') ? 1 : 0.5) : 0,
      cancel: (isOfPeople ? (theme === 'clean-ups' ? 0.9 : 0.4) : 0.06) * (isOdd ? 4 : 1),
      pause: pauses > 0 ? (isOfPeople ? 0.6 : 0.1) * (states.includes('failing') ? 4 : 1) : 0,
      resume: live.some(({ isPaused }) => isPaused) ? 1 : 0.02,
      retry: 0.03,
      nothing: 0.01,
    });
    switch (turn) {
      case 'claim':
        return { move: 'claim' };
      case 'settle':
        return settle(world, false);
      case 'time':
        return passTime(world) ?? windUp(world);
      case 'event':
        return { move: 'send event', key: `k${random.whole(0, 2)}`, payload: random.whole(1, 9) };
      case 'name':
        return endByName(world);
      case 'deadline':
        return { move: 'pass deadline', path: random.pick(deadlines).path };
      case 'pause':
        pauses -= 1;
        return { move: 'pause', path };
      case 'resume':
        return { move: 'resume', path: live.find(({ isPaused }) => isPaused)?.path ?? path };
      case 'nothing':
        return windUp(world);
      default:
        return { move: turn, path };
    }
  };
}
