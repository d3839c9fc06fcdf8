/** A random case from a seed: processes, and how the world treats them. */
import { drawNeeds, shapes, wideShapes } from './graph.ts';
import type { ProcessPlan } from './model.ts';
import { createRandom, type Random } from './random.ts';
import type { TaskPlan, Word } from './task-model.ts';

export interface Case {
  number: number;
  seed: number;
  temper: Temper;
  plans: ProcessPlan[];
  /** Names of lines; the runner makes them its own. */
  queues: string[];
  /** After so many moves it is brought to its end. */
  movesMax: number;
}

export type Kind = Word['kind'] | 'failed, no retry wanted' | 'lost past its deadline';

interface Habits {
  words: Partial<Record<Kind, number>>;
  /** How eagerly tasks are claimed. */
  claims: number;
  /** So many are held before the first of them is settled, where there are so many. */
  holds: number;
  /** How often people act; how often they cancel, and retry what failed. */
  people: number;
  cancels: number;
  retries: number;
}

const evenly = {
  failed: 2,
  'failed, no retry wanted': 2,
  timed_out: 2,
  released: 2,
  cancelled: 2,
  lost: 2,
  'lost past its deadline': 3,
};

/** What mostly happens in a case; each is there to bring about what is rare in the others. */
const tempers = {
  calm: {
    words: { completed: 20, failed: 1, released: 1, lost: 1 },
    claims: 3,
    holds: 0,
    people: 1,
    cancels: 0.2,
    retries: 1,
  },
  flaky: {
    words: { completed: 6, failed: 8, timed_out: 3, released: 1, lost: 1, 'lost past its deadline': 1 },
    claims: 3,
    holds: 0,
    people: 1,
    cancels: 0.2,
    retries: 1,
  },
  /** Fails for good while much runs. */
  fatal: {
    words: { ...evenly, completed: 6 },
    claims: 6,
    holds: 8,
    people: 1,
    cancels: 0.3,
    retries: 4,
  },
  lossy: {
    words: { completed: 2, lost: 40, failed: 1, 'lost past its deadline': 1, released: 1 },
    claims: 6,
    holds: 0,
    people: 0.4,
    cancels: 0.1,
    retries: 3,
  },
  /** Somebody pauses, resumes and ends by name all the time. */
  meddled: {
    words: { completed: 8, failed: 3, released: 2, lost: 1 },
    claims: 3,
    holds: 0,
    people: 6,
    cancels: 0.6,
    retries: 0.5,
  },
  /** Cancelled while much runs. */
  cancelled: {
    words: { completed: 6, failed: 2, released: 1, cancelled: 1, lost: 1, timed_out: 1 },
    claims: 6,
    holds: 10,
    people: 1.5,
    cancels: 10,
    retries: 0.5,
  },
  stormy: {
    words: { ...evenly, completed: 4 },
    claims: 4,
    holds: 3,
    people: 2,
    cancels: 1,
    retries: 1,
  },
} satisfies Record<string, Habits>;

export type Temper = keyof typeof tempers;

export const habitsOf = (each: Case): Habits => tempers[each.temper];

/** In turn, so that each has its share of every run. */
const schedule: Temper[] = [
  ...(['calm', 'fatal', 'cancelled', 'lossy', 'meddled', 'fatal', 'lossy', 'cancelled', 'stormy'] as const),
  ...(['flaky', 'fatal', 'cancelled', 'lossy', 'meddled', 'fatal', 'lossy', 'cancelled', 'lossy'] as const),
];

const queueLabels = ['a', 'b', 'c'];

export function drawCase(number: number, seed: number): Case {
  const random = createRandom(seed);
  const temper = schedule[number % schedule.length] as Temper;
  const queues = queueLabels.slice(0, temper === 'lossy' ? 1 : random.whole(1, queueLabels.length));
  const plans = Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => drawPlan(random, temper, queues));
  const size = plans.reduce((sum, plan) => sum + plan.tasks.length, 0);
  return {
    number,
    seed,
    temper,
    plans,
    queues,
    movesMax: 12 + Math.min(60, (temper === 'lossy' ? 8 : 3) * size),
  };
}

const sizes: Record<'small' | 'middle' | 'large', [min: number, max: number]> = {
  small: [1, 8],
  middle: [6, 20],
  large: [21, 60],
};

/** Some of what workers say: the word and the number of the claim. */
const lists = [['timed_out'], ['failed1', 'failed2', 'timed_out2'], ['failed1', 'timed_out'], ['never said']];

function drawPlan(random: Random, temper: Temper, queues: string[]): ProcessPlan {
  const isWide = temper === 'fatal' || temper === 'cancelled' || temper === 'lossy';
  const shape = random.pick(isWide ? wideShapes : shapes);
  const size = random.weighted(
    temper === 'lossy' ? { small: 1 } : { small: isWide ? 1 : 6, middle: 6, large: 1.5 },
  );
  const needs = drawNeeds(random, shape, random.whole(...sizes[size]));
  const tolerance = random.pick(
    temper === 'lossy' ? [0.65] : temper === 'fatal' ? [0, 0.2] : [0, 0.1, 0.3, 0.6],
  );
  const patience = random.pick(temper === 'fatal' ? [1, 2] : [1, 2, 4]);
  return {
    failFast: random.chance(temper === 'lossy' ? 0.25 : temper === 'fatal' ? 0.65 : 0.5),
    tasks: needs.map(
      (each, index): TaskPlan => ({
        ordinal: index + 1,
        name: `t${index + 1}`,
        queue: random.pick(queues),
        priority: random.chance(0.7) ? 5 : random.whole(0, 9),
        needs: each,
        attemptsMax: random.whole(1, patience),
        retriesLater: random.chance(0.3),
        retriesOn: random.chance(0.7) ? null : random.pick(lists),
        retriesWithin: random.chance(0.3),
        hasTimeout: random.chance(0.6),
        continueOnError: random.chance(tolerance),
      }),
    ),
  };
}

/** How an attempt ends, as this case's workers would have it. Where all that runs is stopped, one way or another. */
export function drawKind(
  random: Random,
  each: Case,
  { isStopping, isStarted }: { isStopping: boolean; isStarted: boolean },
): Kind {
  const anyWay: Habits['words'] = {
    completed: 2,
    failed: 3,
    'failed, no retry wanted': 3,
    timed_out: 3,
    released: 3,
    cancelled: 3,
    lost: isStarted ? 3 : 20,
    'lost past its deadline': 6,
  };
  const { words } = habitsOf(each);
  return random.weighted<Kind>(
    isStopping ? anyWay : { ...words, lost: (words.lost ?? 0) + (isStarted ? 0 : 9) },
  );
}

export function toWord(kind: Kind, { says, later }: { says: string; later: boolean }): Word {
  switch (kind) {
    case 'failed, no retry wanted':
      return { kind: 'failed', says, retry: false };
    case 'lost past its deadline':
      return { kind: 'lost' };
    case 'released':
      return { kind, later };
    case 'cancelled':
    case 'lost':
      return { kind };
    default:
      return { kind, says };
  }
}
