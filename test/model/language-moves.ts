/** Moves on processes of the language, and what the model makes of each. */
import type { Process, Task, World } from './language-model.ts';
import {
  cancel,
  claimables,
  endByName,
  passTime,
  pause,
  sendEvent,
  settle,
  type Word,
} from './language-people.ts';
import type { Value } from './language-plan.ts';
import { retry } from './language-retry.ts';
import { type Step, think } from './language-thinking.ts';
import type { Random } from './random.ts';

export interface Place {
  path: string;
  name: string;
}

export type LanguageMove =
  | { move: 'claim' }
  | { move: 'settle'; words: (Place & { word: Word; output: Value })[] }
  | { move: 'send event'; key: string; payload: Value }
  | ({ move: 'pass time' } & Place)
  | { move: 'pass deadline'; path: string }
  | { move: 'cancel' | 'pause' | 'resume' | 'retry'; path: string }
  | ({ move: 'end by name'; state: 'completed' | 'failed' } & Place);

export function processAt({ processes }: World, path: string): Process {
  const process = processes.find((each) => each.path === path);
  if (!process) throw new Error(`the model has no process ${path}`);
  return process;
}

export function taskAt(world: World, { path, name }: Place): [Process, Task] {
  const process = processAt(world, path);
  const task = process.tasks.find((each) => each.name === name);
  if (!task) throw new Error(`the model has no task ${path} ${name}`);
  return [process, task];
}

/** Changes the world; answers what the product must answer. An engine has not thought of it yet. */
export function applyLanguageMove(world: World, move: LanguageMove): string[] {
  switch (move.move) {
    case 'claim':
      return claimables(world)
        .map(({ process, task }) => {
          task.claim = { stopAsked: false };
          return `${process.path} ${task.name}`;
        })
        .sort();
    case 'settle':
      for (const { word, output, ...place } of move.words)
        settle(world, ...taskAt(world, place), { word, output });
      return [];
    case 'send event':
      return [`woken ${sendEvent(world, move.key, move.payload)}`];
    case 'pass time':
      passTime(taskAt(world, move)[1]);
      return [];
    case 'pass deadline': {
      const { deadline } = processAt(world, move.path);
      if (deadline) deadline.isDue = true;
      return [];
    }
    case 'cancel':
      return [cancel(world, processAt(world, move.path))];
    case 'pause':
    case 'resume':
      return [pause(world, processAt(world, move.path), move.move === 'pause')];
    case 'retry':
      return [retry(world, processAt(world, move.path))];
    case 'end by name':
      return [endByName(world, ...taskAt(world, move), move.state)];
  }
}

/**
 * In the order in which an engine looks at what is due. All further attempts leave it to chance: who comes first, a process,
 * a kind of step, or a task.
 */
export function thinkInSomeOrder(world: World, random: Random, attempt: number): void {
  const order: Step['what'][] = [
    'think',
    'timer',
    'event',
    'items',
    'child ended',
    'retry',
    'cancel',
    'deadline',
    'clean up',
    'finish',
  ];
  const ranks = new Map<string, number>();
  const rankOf = ({ process, task, what }: Step) => {
    if (attempt === 0) return order.indexOf(what);
    const name =
      [process.path, what, `${process.path} ${what}`, `${process.path} ${what} ${task?.name}`][attempt % 4] ??
      '';
    const known = ranks.get(name) ?? random.next();
    ranks.set(name, known);
    return known;
  };
  think(world, (steps) =>
    attempt % 5 === 4
      ? random.pick(steps)
      : (steps.toSorted((one, other) => rankOf(one) - rankOf(other))[0] as Step),
  );
}
