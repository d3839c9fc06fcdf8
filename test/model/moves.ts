/** Moves as plain data, so that a list of them can be printed and compared; and what the model says to each. */
import type { NamedEnd, ProcessModel } from './model.ts';
import { type Holder, toldOfOld, type Word } from './task-model.ts';

/** A claim of a task, by the places of its process and of itself. */
export interface ClaimName {
  process: number;
  task: number;
  no: number;
}

export type Move =
  | ({ move: 'claim'; queues: string[]; limit: number; startLimit: number } & Holder)
  | ({ move: 'claim one'; process: number; task: number } & Holder)
  | { move: 'beat'; claims: (ClaimName & { started: boolean; graceless: boolean })[] }
  /** Nobody beats any more. */
  | { move: 'expire' | 'pass deadline'; claims: ClaimName[] }
  | { move: 'make due'; process: number; task: number }
  | { move: 'reap' }
  | { move: 'settle'; words: (ClaimName & { word: Word })[] }
  | { move: 'cancel' | 'pause' | 'resume' | 'retry'; process: number }
  | { move: 'end by name'; process: number; name: string; end: NamedEnd }
  | { move: 'replay'; process: number; task: number };

/** For each part of the answer, what it may be. */
export interface Expected {
  parts: string[][];
  /** The parts may come in any order. */
  isUnordered?: boolean;
}

export const nameOfClaim = ({ process, task, no }: ClaimName) => `${process}/t${task}#${no}`;

export interface Waiting {
  process: number;
  task: number;
}

/** What a claim from these lines finds, in its order: by priority, then by time, then by place. */
export function claimables(models: ProcessModel[], queues: string[]): Waiting[] {
  return models
    .flatMap((model, process) =>
      model.tasks
        .filter((task) => queues.includes(task.plan.queue) && model.isClaimable(task))
        .map((task) => ({
          process,
          task: task.plan.ordinal,
          priority: task.plan.priority,
          dueAt: task.dueAt,
        })),
    )
    .sort(
      (one, other) =>
        other.priority - one.priority ||
        one.dueAt - other.dueAt ||
        one.process - other.process ||
        one.task - other.task,
    );
}

export function expiredClaims(models: ProcessModel[]): ClaimName[] {
  return models.flatMap((model, process) =>
    model.tasks
      .filter((task) => task.claim?.expired)
      .map((task) => ({ process, task: task.plan.ordinal, no: task.claimNo })),
  );
}

/** Makes the move in the models. Moves that take several tasks take them in the order of the move. */
export function applyMove(
  models: ProcessModel[],
  move: Move,
  now: number,
  count: (what: string) => void,
): Expected {
  const model = (process: number) => models[process] as ProcessModel;
  switch (move.move) {
    case 'claim': {
      const taken = claimables(models, move.queues).slice(0, move.limit);
      if (taken.length === 0) count('claim: finds nothing');
      return {
        isUnordered: move.queues.length > 1,
        parts: taken.map(({ process, task }, index) => [
          claimIn(model(process), process, task, { ...move, started: index < move.startLimit }),
        ]),
      };
    }
    case 'claim one': {
      const { process } = move;
      const task = model(process).task(move.task);
      if (model(process).isClaimable(task)) {
        count('claim by id');
        return answer(claimIn(model(process), process, move.task, { ...move, started: true }));
      }
      count('claim by id refused');
      if (task.state !== 'active') return answer(`ended ${task.state}`);
      if (task.claim) return answer(`already_claimed ${task.claim.worker}`);
      return answer(model(process).paused ? 'process_paused' : 'not_due');
    }
    case 'beat':
      return {
        parts: move.claims.map(({ process, task, no, started }) => [
          model(process).beat(task, no, { started }),
        ]),
      };
    case 'expire':
      for (const { process, task, no } of move.claims) model(process).expire(task, no);
      return answer('');
    case 'pass deadline':
      for (const { process, task, no } of move.claims) model(process).passDeadline(task, no);
      return answer('');
    case 'make due':
      model(move.process).makeDue(move.task, now);
      return answer('');
    case 'reap': {
      const expired = expiredClaims(models);
      for (const { process, task, no } of expired) model(process).settle(task, no, { kind: 'lost' }, now);
      count(expired.length > 0 ? 'reap' : 'reap: finds nothing');
      return answer(`${expired.length}`);
    }
    case 'settle':
      return { parts: settleIn(models, move.words, now, count) };
    case 'cancel':
      return answer(model(move.process).cancel());
    case 'pause':
      return answer(model(move.process).pause(true));
    case 'resume':
      return answer(model(move.process).pause(false));
    case 'retry':
      return answer(model(move.process).retry(now));
    case 'end by name':
      return answer(model(move.process).endByName(move.name, move.end, now));
    case 'replay':
      return answer(model(move.process).replay(move.task, now));
  }
}

const answer = (part: string): Expected => ({ parts: [[part]] });

function claimIn(
  model: ProcessModel,
  process: number,
  task: number,
  holder: Holder & { started: boolean },
): string {
  const { no } = model.claim(task, holder);
  const { plan, failures, losses } = model.task(task);
  const outputs = plan.needs
    .map((need) => model.task(need))
    .filter((need) => need.state === 'completed')
    .map((need) => `${need.plan.name}=${need.output}`)
    .sort();
  return [
    nameOfClaim({ process, task, no }),
    `attempt ${failures + losses + 1} of ${plan.attemptsMax}`,
    holder.started ? 'started' : 'held',
    `after ${outputs.join(' ')}`,
  ].join(', ');
}

/** One after the other; of two words about one claim the first counts. What did not count is told of the record then. */
export function settleIn(
  models: ProcessModel[],
  words: (ClaimName & { word: Word })[],
  now: number,
  count: (what: string) => void,
): string[][] {
  const seen = new Set<string>();
  const answers = words.map((each) => {
    if (seen.has(nameOfClaim(each))) {
      count('batch: two words about one claim');
      return null;
    }
    seen.add(nameOfClaim(each));
    return (models[each.process] as ProcessModel).settle(each.task, each.no, each.word, now);
  });
  const counted = words.filter((_, index) => answers[index] !== null);
  const processes = new Set(counted.map((each) => each.process));
  if (processes.size > 1) count('batch: of several processes');
  if (counted.length > processes.size) count('batch: several tasks of a process');
  if (counted.some(isGood) && !counted.every(isGood)) count('batch: completed and others');
  return words.map(({ process, task, no, word }, index) => {
    const settled = answers[index];
    if (settled) return [settled];
    const told = toldOfOld((models[process] as ProcessModel).task(task), no, word);
    if (told.length === 1) count(`outcome refused: ${told[0]?.replace(/ .*/, '')}`);
    return told;
  });
}

const isGood = ({ word }: { word: Word }) => word.kind === 'completed';
