/**
 * One move at a time: the model makes it, the product makes it, and then the answers and everything that can be
 * seen are compared.
 */
import type { Case } from './case.ts';
import { ProcessModel } from './model.ts';
import { applyMove, type Expected, type Move } from './moves.ts';
import { compare, type Observer } from './observe.ts';
import { type Actor, performMove, setStage } from './perform.ts';
import { createRandom, seedOf } from './random.ts';
import { createScenario } from './scenario.ts';
import type { Tally } from './tally.ts';

/** What went wrong, with all that is needed to see it again. */
export class Disagreement extends Error {}

/** Answers the moves it made. `lines`: names for its queues that nobody else uses. */
export async function runSequentially(
  actor: Actor,
  each: Case,
  { observe, tally, lines }: { observe: Observer; tally: Tally; lines: string },
): Promise<Move[]> {
  const stage = await setStage(actor, each, lines);
  let now = 0;
  const models = each.plans.map((plan) => new ProcessModel(plan, now, tally.count));
  const scenario = createScenario(createRandom(seedOf(each.seed, 1)), each, models);
  const moves: Move[] = [];
  let before = await check('at the start');

  async function check(when: string) {
    const rows = await observe(stage);
    const differences = models.flatMap((model, process) => {
      const own = rows[process];
      return own
        ? compare(model, own).map((line) => `process ${process}: ${line}`)
        : [`process ${process} is gone`];
    });
    if (differences.length > 0) throw disagreement(when, differences, moves);
    return rows;
  }

  for (let turn = scenario.next(); turn.length > 0; turn = scenario.next()) {
    for (const move of turn) {
      moves.push(move);
      now += 1;
      const changesBefore = models.map((model) => model.changes);
      const expected = applyMove(models, move, now, tally.count);
      const answers = await performMove(actor, stage, move);
      const wrong = compareAnswers(expected, answers);
      if (wrong.length > 0) throw disagreement('in the answer', wrong, moves);
      const after = await check('in what is seen afterwards');
      for (const [process, model] of models.entries()) {
        const [was, is] = [before[process]?.process.revision ?? 0, after[process]?.process.revision ?? 0];
        if (model.changes === changesBefore[process] && was !== is)
          throw disagreement('in the revision', [`${was}, then ${is}, but nothing was changed`], moves);
        if (before[process]?.process.state !== after[process]?.process.state && was >= is)
          throw disagreement('in the revision', [`${was}, then ${is}, but the state is another`], moves);
      }
      before = after;
      tally.count('moves, one at a time');
    }
  }
  for (const model of models) countEnd(model, tally);
  return moves;
}

export function countEnd(model: ProcessModel, tally: Tally): void {
  tally.count(`process ends ${model.state}`);
  for (const task of model.tasks)
    tally.count(
      `task ends ${task.state}${task.state === 'failed' && task.plan.continueOnError ? ', tolerated' : ''}`,
    );
}

export function compareAnswers({ parts, isUnordered }: Expected, answers: string[]): string[] {
  const wanted = isUnordered
    ? parts.toSorted((one, other) => ((one[0] ?? '') < (other[0] ?? '') ? -1 : 1))
    : parts;
  const found = isUnordered ? answers.toSorted() : answers;
  return Array.from({ length: Math.max(wanted.length, found.length) }, (_, index) => index)
    .filter((index) => !wanted[index]?.includes(found[index] ?? 'nothing'))
    .map(
      (index) =>
        `model:    ${wanted[index]?.join(' or ') ?? 'nothing'}\n   answered: ${found[index] ?? 'nothing'}`,
    );
}

function disagreement(where: string, lines: string[], moves: Move[]): Disagreement {
  return new Disagreement(
    [
      `The model and the product disagree ${where}:`,
      ...lines,
      'after the moves',
      ...moves.map((move) => JSON.stringify(move)),
    ].join('\n'),
  );
}
