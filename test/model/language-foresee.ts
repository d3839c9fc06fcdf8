/** Cases in which much will occur that was rare so far, as the model foresees it. */
import { drawLanguageCase } from './language-case.ts';
import { startProcess, type World } from './language-model.ts';
import { applyLanguageMove, thinkInSomeOrder } from './language-moves.ts';
import { createLanguageScenario } from './language-scenario.ts';
import { createRandom, seedOf } from './random.ts';

/** What it takes to set a case up, in moves. */
const setUpMoves = 4;

/** How often each thing occurs in a case. */
export type Counts = Map<string, number>;

/** Of these cases, each drawn as any other is, the one in which most of what is lacking occurs, for what it takes. */
export function pickCase(
  numbers: number[],
  { seed, lacking, times }: { seed: number; lacking: Counts; times: number },
): { number: number; counts: Counts } {
  const worths = numbers.map((number) => {
    const { moves, counts } = foreseeCase(number, seed);
    let worth = 0;
    // The rarer it is, the more it is worth.
    for (const [name, known] of lacking)
      worth += Math.min(counts.get(name) ?? 0, times - known) / (known + 5);
    return { number, counts, worth: worth / (moves + setUpMoves) };
  });
  return worths.reduce((best, each) => (each.worth > best.worth ? each : best));
}

/** Plays it in the model alone; an engine may think in another order, and then it goes otherwise. */
export function foreseeCase(number: number, seed: number): { moves: number; counts: Counts } {
  const each = drawLanguageCase(number, seedOf(seed, number));
  const counts: Counts = new Map();
  const world: World = {
    plans: each.plans,
    processes: [],
    kept: [],
    count: (what) => counts.set(what, (counts.get(what) ?? 0) + 1),
  };
  const [first] = each.plans;
  if (!first) throw new Error('no plan');
  startProcess(world, first, { path: '0', parent: null, isDetached: false, input: 'usual' });
  const random = createRandom(each.seed);
  const next = createLanguageScenario(createRandom(seedOf(each.seed, 1)), each);
  thinkInSomeOrder(world, random, 0);
  let moves = 0;
  for (let move = next(world); move !== null; move = next(world)) {
    moves += 1;
    applyLanguageMove(world, move);
    thinkInSomeOrder(world, random, 0);
  }
  return { moves, counts };
}
