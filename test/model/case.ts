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

/** What mostly happens in a case; each is there to bring about what is rare in the others. */
const tempers = {
  calm: { words: { completed: 20, failed: 1, released: 1, lost: 1 }, claims: 3, people: 1, ends: 0.1 },
  flaky: {
    words: { completed: 6, failed: 8, timed_out: 3, released: 1, lost: 1, 'lost past its deadline': 1 },
    claims: 3,
    people: 1,
    ends: 0.1,
  },
  /** Fails for good while much runs. */
  fatal: {
    words: { completed: 12, 'failed, no retry wanted': 2, failed: 3, timed_out: 1, lost: 1, released: 1 },
    claims: 6,
    people: 1,
    ends: 0.1,
  },
  lossy: {
    words: { completed: 2, lost: 14, failed: 1, 'lost past its deadline': 1, released: 1 },
    claims: 6,
    people: 0.5,
    ends: 0.1,
  },
  /** Somebody pauses, resumes and ends by name all the time. */
  meddled: { words: { completed: 8, failed: 2, released: 2, lost: 1 }, claims: 3, people: 6, ends: 0.2 },
  /** Cancelled while much runs. */
  cancelled: {
    words: { completed: 6, failed: 2, released: 1, cancelled: 1, lost: 1, timed_out: 1 },
    claims: 6,
    people: 1.5,
    ends: 4,
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
      'lost past its deadline': 1,
    },
    claims: 4,
    people: 2,
    ends: 0.5,
  },
} satisfies Record<
  string,
  {
    words: Partial<Record<Kind, number>>;
    /** How eagerly tasks are claimed, against how soon they are settled. */
    claims: number;
    /** How often people act. */
    people: number;
    /** How often they cancel. */
    ends: number;
  }
>;

export type Temper = keyof typeof tempers;

export const temperOf = (each: Case) => tempers[each.temper];

const queueLabels = ['a', 'b', 'c'];

export function drawCase(number: number, seed: number): Case {
  const random = createRandom(seed);
  const temper = random.weighted<Temper>({
    calm: 2,
    flaky: 2,
    fatal: 5,
    lossy: 4,
    meddled: 3,
    cancelled: 4,
    stormy: 3,
  });
  const queues = queueLabels.slice(0, random.whole(1, queueLabels.length));
  const plans = Array.from({ length: random.chance(0.3) ? 2 : 1 }, () => drawPlan(random, temper, queues));
  const size = plans.reduce((sum, plan) => sum + plan.tasks.length, 0);
  return { number, seed, temper, plans, queues, movesMax: 12 + Math.min(80, 3 * size) };
}

function drawPlan(random: Random, temper: Temper, queues: string[]): ProcessPlan {
  const isWide = temper === 'fatal' || temper === 'cancelled';
  const shape = random.pick(isWide ? ([...shapes, 'fan', 'join', 'branches', 'branches'] as const) : shapes);
  const [few, many] =
    random.weighted({ small: isWide ? 3 : 6, middle: 5, large: temper === 'lossy' ? 0 : 2 }) === 'small'
      ? [1, 8]
      : random.chance(0.7) || temper === 'lossy'
        ? [6, 20]
        : [21, 60];
  const needs = drawNeeds(random, shape, random.whole(few, many));
  const tolerance = random.pick([0, 0.1, 0.3, 0.6]);
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
export function drawKind(random: Random, temper: Temper, { isStopping }: { isStopping: boolean }): Kind {
  const anyWay = { ...tempers.stormy.words, completed: 2, 'lost past its deadline': 2 };
  return random.weighted<Kind>(isStopping && random.chance(0.8) ? anyWay : tempers[temper].words);
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
