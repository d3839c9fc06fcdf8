/** A scenario, drawn move by move from where the models stand. */
import { type Case, drawKind, habitsOf, toWord } from './case.ts';
import type { NamedEnd, ProcessModel } from './model.ts';
import { type ClaimName, claimables, expiredClaims, type Move } from './moves.ts';
import type { Random } from './random.ts';
import type { Task } from './task-model.ts';

const workers = [
  { worker: 'w1', graceless: false },
  { worker: 'w2', graceless: false },
  { worker: 'plain', graceless: true },
];
const people = ['Ann', 'Bob'];
/** Moves on processes that have ended. */
const afterwardsMax = 5;

export interface Scenario {
  /** The moves of the next turn; none: it is over. */
  next(): Move[];
}

export function createScenario(random: Random, each: Case, models: ProcessModel[]): Scenario {
  const habits = habitsOf(each);
  let moves = 0;
  let afterwards = 0;

  const places = <Kept>(keep: (task: Task, model: ProcessModel) => Kept | null | undefined | false) =>
    models.flatMap((model, process) =>
      model.tasks.flatMap((task) => {
        const kept = keep(task, model);
        return kept ? [{ process, task: task.plan.ordinal, kept }] : [];
      }),
    );
  const held = () => places((task) => task.claim).map(({ kept, ...place }) => ({ ...place, no: kept.no }));
  /** By whoever claimed it; late ones by anybody. */
  const beatOf = (name: ClaimName, started: boolean) => ({
    ...name,
    started,
    graceless: models[name.process]?.task(name.task).claim?.graceless ?? false,
  });
  const old = () =>
    places((task) => task.past.size > 0 && task).map(({ process, task, kept }) => ({
      process,
      task,
      no: random.pick([...kept.past.keys()]),
    }));

  function claim(): Move {
    const holder = random.pick(workers);
    // From several lines a part of them: which come first is for the product to choose. So all or one line.
    if (random.chance(0.4) && each.queues.length > 1)
      return {
        move: 'claim',
        queues: each.queues,
        limit: 100,
        startLimit: random.pick([0, 100]),
        ...holder,
      };
    const limit = random.whole(habits.holds > 0 ? 4 : 1, 12);
    const startLimit = random.chance(0.5) ? limit : random.whole(0, limit);
    return { move: 'claim', queues: [random.pick(each.queues)], limit, startLimit, ...holder };
  }

  /** Outcomes of some of what is held, with what must come before them. */
  function settle(): Move[] {
    const before: Move[] = [];
    const expiring: ClaimName[] = [];
    const hanging: ClaimName[] = [];
    const batch = random
      .shuffled(held())
      .slice(0, Number(random.weighted({ 1: 3, 2: 2, 3: 2, 4: 1, 12: each.temper === 'lossy' ? 8 : 2 })));
    const words = batch.map((name) => {
      const model = models[name.process] as ProcessModel;
      const task = model.task(name.task);
      const kind = drawKind(random, each, {
        isStopping: model.isStopping() || (model.state === 'failing' && random.chance(0.4)),
        isStarted: task.claim?.started === true,
      });
      if (kind === 'lost' && !task.claim?.expired && random.chance(0.95)) expiring.push(name);
      if (kind === 'lost past its deadline') (task.plan.hasTimeout ? hanging : expiring).push(name);
      return { ...name, word: toWord(kind, { says: `${kind}${name.no}`, later: random.chance(0.3) }) };
    });
    if (hanging.length > 0) before.push(...overrun(hanging));
    if (expiring.length > 0) before.push({ move: 'expire', claims: expiring });
    const losses = words.filter(({ word }) => word.kind === 'lost');
    if (losses.length === words.length && losses.length > 0 && random.chance(0.6)) {
      // The reaper has an order of its own.
      if (losses.length === 1 && expiredClaims(models).length === 0) return [...before, { move: 'reap' }];
    }
    for (const name of random.shuffled(old()).slice(0, Number(random.weighted({ 0: 6, 1: 2, 2: 1 }))))
      words.push({ ...name, word: oldWord(name) });
    if (random.chance(0.1)) {
      const twice = random.pick(words);
      words.push({
        ...twice,
        word: random.chance(0.3) ? twice.word : toWord('completed', { says: 'twice', later: false }),
      });
    }
    return [...before, { move: 'settle', words: random.shuffled(words) }];
  }

  /** They beat past their deadline. */
  function overrun(names: ClaimName[]): Move[] {
    const beat: Move = { move: 'beat', claims: names.map((name) => beatOf(name, true)) };
    return [beat, { move: 'pass deadline', claims: names }, beat];
  }

  /** Late, and perhaps another than before. */
  function oldWord({ process, task, no }: ClaimName) {
    const past = models[process]?.task(task).past.get(no);
    const kind =
      past && random.chance(0.5) ? past.word : drawKind(random, each, { isStopping: true, isStarted: true });
    return toWord(kind, { says: 'late', later: false });
  }

  function endByName(): Move {
    const process = random.whole(0, models.length - 1);
    const tasks = (models[process] as ProcessModel).tasks;
    const open = tasks.filter((task) => task.state === 'active' && !task.claim);
    const { plan } = random.pick(open.length > 0 && random.chance(0.75) ? open : tasks);
    const end: NamedEnd = {
      kind: random.chance(0.65) ? 'completed' : 'failed',
      by: random.pick(people),
      says: random.pick(['yes', 'done']),
    };
    const said = tasks.filter((task) => people.includes(task.endedBy ?? ''));
    if (said.length > 0 && random.chance(0.25)) {
      const again = random.pick(said);
      const says = again.output ?? again.error ?? '';
      const kind = again.state === 'failed' ? 'failed' : 'completed';
      return {
        move: 'end by name',
        process,
        name: again.plan.name,
        end: { kind, by: again.endedBy ?? '', says },
      };
    }
    const name = random.weighted({ name: 8, ordinal: 2, wrong: 1 });
    return {
      move: 'end by name',
      process,
      name: name === 'wrong' ? 'nobody' : name === 'name' ? plan.name : String(plan.ordinal),
      end,
    };
  }

  const process = (is: (model: ProcessModel) => boolean = () => true) => {
    const fitting = models.flatMap((model, index) => (is(model) ? [index] : []));
    return fitting.length > 0 ? random.pick(fitting) : random.whole(0, models.length - 1);
  };
  const letters = () => places((task) => task.letter !== null);
  const later = () => places((task) => task.later && !task.claim);
  const startable = () => places((task) => (task.claim && !task.claim.started ? task.claim : null));

  const turns = {
    claim: () => [claim()],
    'claim one': (): Move[] => {
      const waiting = claimables(models, each.queues);
      const any = places((task) => task.state !== 'pending');
      const { process, task } = random.pick(waiting.length > 0 && random.chance(0.6) ? waiting : any);
      return [{ move: 'claim one', process, task, ...random.pick(workers) }];
    },
    settle,
    beat: (): Move[] => {
      const some = random
        .shuffled([...held(), ...(random.chance(0.3) ? old() : [])])
        .slice(0, random.whole(1, 4));
      return [{ move: 'beat', claims: some.map((name) => beatOf(name, random.chance(0.5))) }];
    },
    start: (): Move[] => [
      {
        move: 'beat',
        claims: startable().map(({ process, task, kept }) => beatOf({ process, task, no: kept.no }, true)),
      },
    ],
    'late word': (): Move[] => {
      const names = random.shuffled(old()).slice(0, random.whole(1, 3));
      // A number that was never given out, now and then.
      const made = random.chance(0.2) ? names.map((name) => ({ ...name, no: name.no + 100 })) : names;
      return [{ move: 'settle', words: made.map((name) => ({ ...name, word: oldWord(name) })) }];
    },
    'make due': (): Move[] => {
      const { kept, ...place } = random.pick(later());
      return [{ move: 'make due', ...place }];
    },
    expire: (): Move[] => [{ move: 'expire', claims: [random.pick(held())] }],
    reap: (): Move[] => [{ move: 'reap' }],
    'end by name': () => [endByName()],
    pause: (): Move[] => [{ move: 'pause', process: process((model) => !model.paused) }],
    resume: (): Move[] => [{ move: 'resume', process: process((model) => model.paused) }],
    cancel: (): Move[] => [{ move: 'cancel', process: process() }],
    retry: (): Move[] => [{ move: 'retry', process: process((model) => model.state === 'failed') }],
    replay: (): Move[] => {
      const some = letters();
      const { process, task } = random.pick(
        some.length > 0 && random.chance(0.7) ? some : places(() => true),
      );
      return [{ move: 'replay', process, task }];
    },
  } satisfies Record<string, () => Move[]>;
  type Turn = keyof typeof turns;

  function weights(): Partial<Record<Turn, number>> {
    const haveEnded = models.every((model) => model.hasEnded());
    const running = held().length;
    const has = (things: unknown[], weight: number) => (things.length > 0 ? weight : 0);
    const claimable = claimables(models, each.queues).length;
    const some = (what: string) =>
      models.some((model) => model.state === what || (what === 'paused' && isPaused(model)));
    const [isFailing, isStopping] = [some('failing'), models.some((model) => model.isStopping())];
    const isEnough = isStopping || running >= Math.min(habits.holds, running + claimable);
    return {
      claim: claimable > 0 ? habits.claims : 0.1,
      'claim one': haveEnded ? 0.05 : 0.3,
      settle: has(held(), isEnough ? 3 : 0.1),
      beat: has(held(), 0.5),
      start: has(startable(), isStopping ? 0.1 : 0.5),
      'late word': has(old(), 0.4),
      'make due': has(later(), 1.5),
      expire: has(held(), 0.4),
      reap: isReapable(models) ? 0.1 + expiredClaims(models).length : 0,
      'end by name': haveEnded ? 0.2 : 0.4 * habits.people * (isFailing && !isStopping ? 4 : 1),
      pause: (haveEnded ? 0.05 : 0.12) * habits.people * (isFailing ? 5 : 1),
      resume: some('paused') ? 1.2 : 0.1,
      cancel:
        0.12 * habits.cancels * (isEnough ? Math.min(1, running / 3) : 0) +
        (isFailing ? 0.25 : haveEnded ? 0.7 : 0.05) +
        (some('paused') ? 0.6 : 0),
      retry: some('failed') ? 0.1 + habits.retries : 0.1,
      replay: some('failed') ? 0.9 : 0.25,
    };
  }

  /** What brings it to its end. */
  function windUp(): Move[] {
    const paused = models.findIndex(isPaused);
    if (paused >= 0) return [{ move: 'resume', process: paused }];
    if (later().length > 0) return turns['make due']();
    if (held().length > 0 && random.chance(0.7)) return settle();
    return [{ move: 'claim', queues: each.queues, limit: 100, startLimit: 100, ...random.pick(workers) }];
  }

  return {
    next() {
      const haveEnded = models.every((model) => model.hasEnded());
      if (haveEnded) afterwards += 1;
      if (haveEnded && (afterwards > afterwardsMax || moves > each.movesMax * 3)) return [];
      const isLate = moves >= each.movesMax && !haveEnded;
      const turn = isLate ? windUp() : turns[random.weighted<Turn>(weights())]();
      moves += turn.length;
      return turn.length > 0 ? turn : [claim()];
    },
  };
}

/** So that it means something. */
function isPaused(model: ProcessModel): boolean {
  return model.paused && (model.state === 'running' || model.state === 'failing');
}

/** Where the order in which the reaper takes things does not matter: at most one in a process, or none fails it. */
function isReapable(models: ProcessModel[]): boolean {
  return models.every(
    (_, process) => expiredClaims(models).filter((name) => name.process === process).length <= 1,
  );
}
