/**
 * One move at a time: the product makes it, and thinks until it has nothing left to think of; the model does; and then the
 * answers and everything that can be seen are compared. What the design leaves open, in which order an engine thinks of
 * several things, the model tries until it finds itself where the product is.
 */

import { thinkUntilQuiet } from '../../src/engine/thinking/think-once.ts';
import type { LanguageCase } from './language-case.ts';
import { copyOf, startProcess, type World } from './language-model.ts';
import { applyLanguageMove, type LanguageMove, thinkInSomeOrder } from './language-moves.ts';
import { describeWorld, differencesOf, type LanguageObserver } from './language-observe.ts';
import { type LanguageActor, performLanguageMove, setLanguageStage } from './language-perform.ts';
import { createLanguageScenario } from './language-scenario.ts';
import { thinkTowards } from './language-search.ts';
import { createRandom, seedOf } from './random.ts';
import { Disagreement } from './sequential.ts';
import type { Tally } from './tally.ts';

/** Orders in which the model thinks, of a move: these by chance alone, and then as many towards what is seen. */
const plainOrders = 30;
const ordersMax = 500;

export async function runLanguageSequentially(
  actor: LanguageActor,
  each: LanguageCase,
  { observe, tally, lines }: { observe: LanguageObserver; tally: Tally; lines: string },
): Promise<LanguageMove[]> {
  const stage = await setLanguageStage(actor, each, lines);
  const random = createRandom(seedOf(each.seed, 2));
  const next = createLanguageScenario(createRandom(seedOf(each.seed, 1)), each);
  const moves: LanguageMove[] = [];
  let world: World = { plans: each.plans, processes: [], kept: [], count: () => {} };
  const first = each.plans[0];
  if (!first) throw new Error('no plan');
  startProcess(world, first, { path: '0', parent: null, isDetached: false, input: 'usual' });
  let seen = await settleDown();

  async function settleDown() {
    const faults: unknown[] = [];
    await thinkUntilQuiet(actor.queue, { onError: (error) => faults.push(error) });
    if (faults.length > 0) throw faults[0];
    const now = await observe(stage.rootId);
    const before = world;
    let closest: string[] | null = null;
    for (let order = 0; order < ordersMax; order += 1) {
      const counted: string[] = [];
      world = copyOf(before);
      world.count = (what) => counted.push(what);
      if (order < plainOrders) thinkInSomeOrder(world, random, order);
      else {
        const found = thinkTowards(world, now, random);
        if (found === null) continue;
        world = found;
      }
      const lines = differencesOf(describeWorld(world), now.lines);
      if (lines.length === 0) {
        for (const process of world.processes) process.id = now.processes.get(process.path) ?? null;
        for (const what of counted) tally.count(what);
        if (order > 0) tally.count('thought in another order');
        return now;
      }
      if (closest === null || lines.length < closest.length) closest = lines;
    }
    throw disagreement('in what is seen afterwards', closest ?? [], each, moves);
  }

  for (let move = next(world); move !== null; move = next(world)) {
    moves.push(move);
    world = copyOf(world);
    world.count = tally.count;
    const expected = applyLanguageMove(world, move);
    const answers = await performLanguageMove(actor, stage, seen, move);
    if (JSON.stringify(expected) !== JSON.stringify(answers))
      throw disagreement(
        'in the answer',
        [`model:    ${JSON.stringify(expected)}`, `answered: ${JSON.stringify(answers)}`],
        each,
        moves,
      );
    seen = await settleDown();
    tally.count('moves, one at a time');
  }
  return moves;
}

export function disagreement(
  where: string,
  lines: string[],
  each: LanguageCase,
  moves: LanguageMove[],
): Disagreement {
  return new Disagreement(
    [
      `The model and the product disagree ${where}:`,
      ...lines,
      'after the moves',
      ...moves.map((move) => JSON.stringify(move)),
      'on the plans',
      ...each.plans.map((plan, index) => `${index}: ${JSON.stringify(plan)}`),
    ].join('\n'),
  );
}
