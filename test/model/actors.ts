/**
 * Those who work on a process at once, each over connections of its own: workers that now and then crash, a person,
 * somebody in charge, and the reaper. They know what they were told and no more.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { type Case, drawKind, habitsOf, toWord } from './case.ts';
import { type ClaimName, type Move, nameOfClaim } from './moves.ts';
import { type Actor, performMove, type Stage } from './perform.ts';
import { createRandom, type Random, seedOf } from './random.ts';
import { lastNumber } from './record.ts';
import type { Word } from './task-model.ts';

/** A move that was made, and between which numbers of the record. */
export interface Call {
  actor: string;
  move: Move;
  answers: string[];
  after: number;
  upTo: number;
}

export interface Member extends Actor {
  name: string;
  close(): Promise<void>;
}

const workerNames = ['w1', 'w2', 'plain'];
export const crewNames = [...workerNames, 'person', 'manager', 'reaper'];
/** Rounds of one actor; a case that takes more is stuck. */
const roundsMax = 2_000;

/** They serve one case after the other. */
export async function openCrew(url: string): Promise<Member[]> {
  return Promise.all(
    crewNames.map(async (name): Promise<Member> => {
      const db: Database = openDatabase({ url, poolSize: 2, applicationName: name });
      const queue = openQueue(db);
      await db.hints.ready();
      return {
        name,
        db,
        queue,
        sql: async (text, values) => (await db.pool.query(text, values)).rows,
        async close() {
          await queue.close();
          await db.close();
        },
      };
    }),
  );
}

/** What all of one case know of each other. */
interface Play {
  each: Case;
  stage: Stage;
  calls: Call[];
  /** No more mischief: everything is brought to its end. */
  isWindingUp: boolean;
  workersBusy: number;
  /** Leases that ran out so far. */
  crashes: number;
  /** Calls so far that did not come back with empty hands. */
  moves: number;
}

/** Drives all of them until the case is over. Answers their calls, each one's in order. */
export async function playAtOnce(crew: Member[], each: Case, stage: Stage): Promise<Call[]> {
  const play: Play = {
    each,
    stage,
    calls: [],
    isWindingUp: false,
    workersBusy: workerNames.length,
    crashes: 0,
    moves: 0,
  };
  const actor = (name: string) => createActor(crew.find((member) => member.name === name) as Member, play);
  const workers = workerNames.map((name) => createWorker(actor(name)));
  const reaper = actor('reaper');
  await all([...workers.map((work) => work()), act(actor('person')), manage(actor('manager')), reap(reaper)]);
  play.isWindingUp = true;
  await all([...workers.map((work) => work()), reap(reaper)]);
  return play.calls;
}

interface PlayingActor extends Member {
  play: Play;
  random: Random;
  make(move: Move): Promise<string[]>;
  states(): Promise<string[]>;
  haveEnded(): Promise<boolean>;
}

function createActor(member: Member, play: Play): PlayingActor {
  const { stage, each, calls } = play;
  let after: number | null = null;

  async function states(): Promise<string[]> {
    const rows = await member.sql<{ id: string; state: string }>(
      'select id, state from skipjack.processes where id = any ($1::uuid[])',
      [stage.processIds],
    );
    return stage.processIds.map((id) => rows.find((row) => row.id === id)?.state ?? 'gone');
  }

  return {
    ...member,
    play,
    random: createRandom(seedOf(each.seed, 100 + crewNames.indexOf(member.name))),
    states,
    haveEnded: async () =>
      (await states()).every((state) => !['running', 'failing', 'cancelling'].includes(state)),
    async make(move) {
      after ??= await lastNumber(member.sql);
      const answers = await performMove(member, stage, move);
      const upTo = await lastNumber(member.sql);
      calls.push({ actor: member.name, move, answers, after, upTo });
      if (answers.length > 0 && answers[0] !== '0') play.moves += 1;
      after = upTo;
      return answers;
    },
  };
}

interface Held extends ClaimName {
  graceless: boolean;
}

/** Answers its work: until its rounds are over, and called again, until the case is. */
function createWorker({ name: worker, play, random, make, haveEnded }: PlayingActor): () => Promise<void> {
  const { each } = play;
  const habits = habitsOf(each);
  const size = each.plans.reduce((sum, plan) => sum + plan.tasks.length, 0);
  const graceless = worker === 'plain';
  const mine = new Map<string, Held>();
  /** Of mine, those that a heartbeat told to stop. */
  const stopped = new Set<string>();
  /** Claims that were lost or settled: what is said of them comes late. */
  const old: Held[] = [];

  async function claim() {
    const isAll = play.isWindingUp || random.chance(0.5);
    const limit = play.isWindingUp ? 100 : random.whole(1, 2 * habits.claims);
    const answers = await make({
      move: 'claim',
      queues: isAll ? each.queues : [random.pick(each.queues)],
      limit,
      startLimit: random.chance(0.6) ? limit : random.whole(0, limit),
      worker,
      graceless,
    });
    for (const answer of answers) {
      const [, process, task, no] = /^(\d+)\/t(\d+)#(\d+),/.exec(answer) ?? [];
      if (no === undefined) throw new Error(`not a claim: ${answer}`);
      const held = { process: Number(process), task: Number(task), no: Number(no), graceless };
      mine.set(nameOfClaim(held), held);
    }
    if (answers.length === 0) await untilSomebodyMoved(play);
    return answers.length > 0;
  }

  async function beat(names: Held[], started: boolean) {
    const answers = await make({ move: 'beat', claims: names.map((name) => ({ ...name, started })) });
    for (const [index, answer] of answers.entries()) {
      if (answer === 'gone') forget(names[index] as Held);
      if (answer === 'stop cancelled') stopped.add(nameOfClaim(names[index] as Held));
    }
  }

  function forget(name: Held) {
    mine.delete(nameOfClaim(name));
    old.push(name);
  }

  /** It says nothing more, or too late. */
  async function crash(name: Held, { isHung }: { isHung: boolean }) {
    if (isHung) {
      await beat([name], true);
      await make({ move: 'pass deadline', claims: [name] });
      await beat([name], true);
    }
    await make({ move: 'expire', claims: [name] });
    play.crashes += 1;
    forget(name);
  }

  async function settle() {
    const batch = random.shuffled([...mine.values()]).slice(0, play.isWindingUp ? 50 : random.whole(1, 6));
    const words: (ClaimName & { word: Word })[] = [];
    for (const name of batch) {
      const isGood = play.isWindingUp && random.chance(0.7);
      const kind = isGood
        ? 'completed'
        : drawKind(random, each, { isStopping: stopped.has(nameOfClaim(name)), isStarted: true });
      if (kind === 'lost' || kind === 'lost past its deadline') {
        await crash(name, { isHung: kind !== 'lost' });
        continue;
      }
      const { process, task, no } = name;
      words.push({
        process,
        task,
        no,
        word: toWord(kind, { says: `${kind}${no}`, later: random.chance(0.2) }),
      });
    }
    if (old.length > 0 && random.chance(0.3)) words.push(lateWord());
    if (words.length === 0) return;
    await make({ move: 'settle', words: random.shuffled(words) });
    for (const name of batch) if (mine.has(nameOfClaim(name))) forget(name);
  }

  function lateWord(): ClaimName & { word: Word } {
    const { process, task, no } = random.pick(old.slice(-10));
    const kind = drawKind(random, each, { isStopping: true, isStarted: true });
    return {
      process,
      task,
      no,
      word: toWord(kind === 'lost' ? 'completed' : kind, { says: 'late', later: false }),
    };
  }

  return async () => {
    const rounds = play.isWindingUp ? roundsMax : 6 + Math.min(16, size);
    for (let round = 0; round < rounds; round += 1) {
      if (round === roundsMax - 1) throw new Error(`${worker} works for ever`);
      const turn = random.weighted(
        play.isWindingUp
          ? { claim: mine.size === 0 ? 1 : 0, settle: mine.size }
          : {
              claim: mine.size < 12 ? habits.claims : 0,
              settle: mine.size > 0 ? 3 : 0,
              beat: mine.size > 0 ? 1 : 0,
              late: old.length > 0 ? 0.3 : 0,
            },
      );
      if (turn === 'claim' && !(await claim()) && mine.size === 0 && (await haveEnded())) break;
      if (turn === 'settle') await settle();
      if (turn === 'beat') await beat(random.shuffled([...mine.values()]).slice(0, 4), random.chance(0.5));
      if (turn === 'late') await make({ move: 'settle', words: [lateWord()] });
    }
    play.workersBusy -= 1;
  };
}

/** Ends tasks by name. */
async function act({ play, random, make }: PlayingActor): Promise<void> {
  const { each } = play;
  const rounds = Math.round(random.whole(1, 3) * (habitsOf(each).people + 0.5));
  for (let round = 0; round < rounds; round += 1) {
    const process = random.whole(0, each.plans.length - 1);
    const { name } = random.pick(each.plans[process]?.tasks ?? []);
    const kind = random.chance(0.65) ? 'completed' : 'failed';
    const end = { kind, by: random.pick(['Ann', 'Bob']), says: random.pick(['yes', 'done']) } as const;
    await make({ move: 'end by name', process, name, end });
    if (random.chance(0.2)) await make({ move: 'end by name', process, name, end });
  }
}

/** Pauses, resumes, cancels, retries, as long as anybody works. */
async function manage({ play, random, make, states, haveEnded }: PlayingActor): Promise<void> {
  const { each, stage } = play;
  const habits = habitsOf(each);
  let retriesLeft = 2;
  for (let round = 0; round < roundsMax && (play.workersBusy > 0 || round < 3); round += 1) {
    const process = random.whole(0, each.plans.length - 1);
    const isFailed = retriesLeft > 0 && (await states())[process] === 'failed';
    const turn = random.weighted({
      pause: 0.2 * habits.people,
      resume: 0.5 * habits.people,
      cancel: 0.04 * habits.cancels,
      retry: isFailed ? 2 : 0.1,
      replay: isFailed ? 1 : 0.1,
      look: 1,
    });
    if (turn === 'look') await untilSomebodyMoved(play);
    else if (turn === 'replay') {
      const { ordinal } = random.pick(each.plans[process]?.tasks ?? []);
      await make({ move: 'replay', process, task: ordinal });
    } else await make({ move: turn, process });
    if (isFailed && turn === 'retry') retriesLeft -= 1;
    if (retriesLeft === 0 && (await haveEnded())) break;
  }
  for (const process of stage.processIds.keys()) await make({ move: 'resume', process });
}

/** Reaps, and lets the time come for which tasks wait. */
async function reap({ play, random, make, sql, haveEnded }: PlayingActor): Promise<void> {
  const { stage } = play;
  let reaped = 0;
  for (let round = 0; round < roundsMax; round += 1) {
    if (play.isWindingUp ? await haveEnded() : play.workersBusy === 0) return;
    if (play.crashes > reaped || random.chance(0.1)) {
      reaped = play.crashes;
      await make({ move: 'reap' });
    }
    const rows = await sql<{ task_id: string }>(
      `select task_id from skipjack.queue_items
       where process_id = any ($1::uuid[]) and worker is null and available_at > clock_timestamp() limit 5`,
      [stage.processIds],
    );
    for (const { task_id: id } of rows) {
      const place = stage.places.get(id);
      if (place) await make({ move: 'make due', ...place });
    }
    await untilSomebodyMoved(play);
  }
  throw new Error('it never ends');
}

/** Or a while has passed. */
async function untilSomebodyMoved(play: Play): Promise<void> {
  const seen = play.moves;
  for (let looks = 0; looks < 8 && play.moves === seen; looks += 1) await sleep(4);
}

/** All of them to their end, then the first that went wrong. */
async function all(promises: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
