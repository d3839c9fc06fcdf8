/** A random case from a seed: processes, and how the world treats them. */
import { drawNeeds, shapes } from './graph.ts';
import type { ProcessPlan, TaskPlan, Word } from './model.ts';
import { createRandom, type Random } from './random.ts';

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
  /** How often people act, and how often they cancel. */
  people: number;
  cancels: number;
}

/** What mostly happens in a case; each is there to bring about what is rare in the others. */
const tempers = {
  calm: {
    words: { completed: 20, failed: 1, released: 1, lost: 1 },
    claims: 3,
    holds: 0,
    people: 1,
    cancels: 0.2,
  },
  flaky: {
    words: { completed: 6, failed: 8, timed_out: 3, released: 1, lost: 1, 'lost past its deadline': 1 },
    claims: 3,
    holds: 0,
    people: 1,
    cancels: 0.2,
  },
  /** Fails for good while much runs. */
  fatal: {
    words: { completed: 6, 'failed, no retry wanted': 3, failed: 3, timed_out: 1, lost: 1, released: 1 },
    claims: 6,
    holds: 5,
    people: 1,
    cancels: 0.3,
  },
  lossy: {
    words: { completed: 2, lost: 24, failed: 1, 'lost past its deadline': 1, released: 1 },
    claims: 6,
    holds: 0,
    people: 0.4,
    cancels: 0.1,
  },
  /** Somebody pauses, resumes and ends by name all the time. */
  meddled: {
    words: { completed: 8, failed: 3, released: 2, lost: 1 },
    claims: 3,
    holds: 0,
    people: 6,
    cancels: 0.6,
  },
  /** Cancelled while much runs. */
  cancelled: {
    words: { completed: 6, failed: 2, released: 1, cancelled: 1, lost: 1, timed_out: 1 },
    claims: 6,
    holds: 7,
    people: 1.5,
    cancels: 10,
  },
  stormy: {
    words: {
      completed: 4,
      failed: 2,
      'failed, no retry wanted': 1,
      timed_out: 2,
      released: 2,
      cancelled: 2,
      lost: 2,
      'lost past its deadline': 2,
    },
    claims: 4,
    holds: 3,
    people: 2,
    cancels: 1,
  },
} satisfies Record<string, Habits>;

export type Temper = keyof typeof tempers;

export const habitsOf = (each: Case): Habits => tempers[each.temper];

const queueLabels = ['a', 'b', 'c'];

export function drawCase(number: number, seed: number): Case {
  const random = createRandom(seed);
  const temper = random.weighted<Temper>({
    calm: 2,
    flaky: 2,
    fatal: 4,
    lossy: 4,
    meddled: 4,
    cancelled: 5,
    stormy: 3,
  });
  const queues = queueLabels.slice(0, random.whole(1, queueLabels.length));
  const plans = Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => drawPlan(random, temper, queues));
  const size = plans.reduce((sum, plan) => sum + plan.tasks.length, 0);
  return { number, seed, temper, plans, queues, movesMax: 12 + Math.min(60, 3 * size) };
}

const sizes = { small: [1, 8], middle: [6, 20], large: [21, 60] } as const;

function drawPlan(random: Random, temper: Temper, queues: string[]): ProcessPlan {
  const isWide = temper === 'fatal' || temper === 'cancelled';
  const shape = random.pick(isWide ? ([...shapes, 'fan', 'join', 'branches', 'branches'] as const) : shapes);
  const size = random.weighted({ small: isWide ? 2 : 6, middle: 6, large: temper === 'lossy' ? 0 : 1.5 });
  const needs = drawNeeds(random, shape, random.whole(...sizes[size]));
  const tolerance = random.pick(temper === 'lossy' ? [0.1, 0.6] : [0, 0.1, 0.3, 0.6]);
  const patience = random.pick([1, 2, 4]);
  return {
    failFast: random.chance(0.5),
    tasks: needs.map(
      (each, index): TaskPlan => ({
        ordinal: index + 1,
        name: `t${index + 1}`,
        queue: random.pick(queues),
        priority: random.chance(0.7) ? 5 : random.whole(0, 9),
        needs: each,
        attemptsMax: random.whole(1, patience),
        retriesLater: random.chance(0.3),
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
    lost: isStarted ? 3 : 12,
    'lost past its deadline': 3,
  };
  return random.weighted<Kind>(isStopping ? anyWay : habitsOf(each).words);
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
