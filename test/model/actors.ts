/**
 * Those who work on a process at once, each over connections of its own: workers that now and then crash, a person,
 * somebody in charge, and the reaper. They know what they were told and no more.
 */
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { type Case, drawKind, temperOf, toWord } from './case.ts';
import type { Word } from './model.ts';
import { type ClaimName, type Move, nameOfClaim } from './moves.ts';
import { type Actor, performMove, type Stage } from './perform.ts';
import { createRandom, type Random, seedOf } from './random.ts';
import { lastNumber } from './record.ts';

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

const workers = ['w1', 'w2', 'plain'];
const crewNames = [...workers, 'person', 'manager', 'reaper'];
export const crewSize = crewNames.length;

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

interface Held extends ClaimName {
  graceless: boolean;
}

/** Drives all of them until the case is over. Answers their calls; each one's in order. */
export async function playAtOnce(crew: Member[], each: Case, stage: Stage): Promise<Call[]> {
  const calls: Call[] = [];
  const size = each.plans.reduce((sum, plan) => sum + plan.tasks.length, 0);
  const temper = temperOf(each);
  let isWindingUp = false;

  function actorOf(member: Member) {
    const random = createRandom(seedOf(each.seed, 100 + crewNames.indexOf(member.name)));
    let after: number | null = null;
    return {
      random,
      async make(move: Move): Promise<string[]> {
        after ??= await lastNumber(member.sql);
        const answers = await performMove(member, stage, move);
        const upTo = await lastNumber(member.sql);
        calls.push({ actor: member.name, move, answers, after, upTo });
        after = upTo;
        return answers;
      },
    };
  }

  async function states(member: Member): Promise<string[]> {
    const rows = await member.sql<{ id: string; state: string }>(
      'select id, state from skipjack.processes where id = any ($1::uuid[])',
      [stage.processIds],
    );
    return stage.processIds.map((id) => rows.find((row) => row.id === id)?.state ?? 'gone');
  }
  const haveEnded = async (member: Member) => (await states(member)).every(isOver);

  async function work(member: Member): Promise<void> {
    const { random, make } = actorOf(member);
    const graceless = member.name === 'plain';
    const holder = { worker: member.name, graceless };
    const mine = new Map<string, Held>();
    /** Claims that were lost or settled: what is said of them comes late. */
    const old: Held[] = [];
    let rounds = 0;

    async function claim() {
      const isAll = isWindingUp || (each.queues.length > 1 && random.chance(0.5));
      const limit = isWindingUp ? 100 : random.whole(1, 2 * temper.claims);
      const answers = await make({
        move: 'claim',
        queues: isAll ? each.queues : [random.pick(each.queues)],
        limit,
        startLimit: random.chance(0.6) ? limit : random.whole(0, limit),
        ...holder,
      });
      for (const answer of answers) keep(answer);
    }

    function keep(answer: string) {
      const [, process, task, no] = /^(\d+)\/t(\d+)#(\d+),/.exec(answer) ?? [];
      if (no === undefined) throw new Error(`not a claim: ${answer}`);
      const held = { process: Number(process), task: Number(task), no: Number(no), graceless };
      mine.set(nameOfClaim(held), held);
    }

    async function beat(names: Held[], started: boolean) {
      const answers = await make({ move: 'beat', claims: names.map((name) => ({ ...name, started })) });
      for (const [index, answer] of answers.entries()) {
        const name = names[index] as Held;
        if (answer === 'gone') forget(name);
      }
    }

    function forget(name: Held) {
      mine.delete(nameOfClaim(name));
      old.push(name);
    }

    async function settle() {
      const batch = random.shuffled([...mine.values()]).slice(0, isWindingUp ? 50 : random.whole(1, 6));
      const words: (ClaimName & { word: Word })[] = [];
      for (const name of batch) {
        const kind = isWindingUp && random.chance(0.7) ? 'completed' : drawKind(random, each.temper, { isStopping: false });
        if (kind === 'lost' || kind === 'lost past its deadline') {
          // A crash: it says nothing more, or too late.
          if (kind === 'lost past its deadline') {
            await beat([name], true);
            await make({ move: 'pass deadline', ...name });
            await beat([name], true);
          }
          await make({ move: 'expire', ...name });
          forget(name);
          continue;
        }
        const { process, task, no } = name;
        words.push({ process, task, no, word: toWord(kind, { says: `${kind}${no}`, later: random.chance(0.2) }) });
      }
      if (old.length > 0 && random.chance(0.3)) words.push(late());
      if (words.length === 0) return;
      await make({ move: 'settle', words: random.shuffled(words) });
      for (const name of batch) if (mine.has(nameOfClaim(name))) forget(name);
    }

    function late(): ClaimName & { word: Word } {
      const { process, task, no } = random.pick(old.slice(-10));
      const kind = drawKind(random, 'stormy', { isStopping: false });
      return { process, task, no, word: toWord(kind === 'lost' ? 'completed' : kind, { says: 'late', later: false }) };
    }

    const roundsMax = 4 + Math.min(16, size);
    while (isWindingUp ? !(await haveEnded(member)) : rounds < roundsMax) {
      rounds += 1;
      if (rounds > 400) throw new Error(`${member.name} works for ever`);
      const turn = random.weighted({
        claim: mine.size < 12 ? temper.claims : 0,
        settle: mine.size > 0 ? 3 : 0,
        beat: mine.size > 0 ? 0.5 : 0,
        late: old.length > 0 ? 0.3 : 0,
        ...(isWindingUp ? { claim: mine.size === 0 ? 1 : 0, late: 0, beat: 0 } : {}),
      });
      if (turn === 'claim') await claim();
      if (turn === 'settle') await settle();
      if (turn === 'beat') await beat(random.shuffled([...mine.values()]).slice(0, 4), random.chance(0.5));
      if (turn === 'late') await make({ move: 'settle', words: [late()] });
      if (!isWindingUp && rounds >= roundsMax && mine.size === 0 && (await haveEnded(member))) break;
    }
  }

  async function person(member: Member): Promise<void> {
    const { random, make } = actorOf(member);
    const rounds = Math.round(random.whole(2, 6) * (temper.people + 0.5));
    for (let round = 0; round < rounds; round += 1) {
      const process = random.whole(0, each.plans.length - 1);
      const task = random.pick(each.plans[process]?.tasks ?? []);
      await make({
        move: 'end by name',
        process,
        name: task.name,
        end: {
          kind: random.chance(0.65) ? 'completed' : 'failed',
          by: random.pick(['Ann', 'Bob']),
          says: random.pick(['yes', 'done']),
        },
      });
    }
  }

  async function manage(member: Member): Promise<void> {
    const { random, make } = actorOf(member);
    const rounds = random.whole(4, 10);
    for (let round = 0; round < rounds; round += 1) {
      const process = random.whole(0, each.plans.length - 1);
      const isFailed = (await states(member))[process] === 'failed';
      const turn = random.weighted({
        pause: 0.3 * temper.people,
        resume: 0.3 * temper.people,
        cancel: 0.08 * temper.ends,
        retry: isFailed ? 2 : 0.1,
        replay: isFailed ? 1 : 0.1,
        look: 0.5,
      });
      if (turn === 'look') continue;
      if (turn === 'replay') {
        const { ordinal } = random.pick(each.plans[process]?.tasks ?? []);
        await make({ move: 'replay', process, task: ordinal });
      } else await make({ move: turn, process });
    }
    for (const process of stage.processIds.keys()) await make({ move: 'resume', process });
  }

  async function reap(member: Member): Promise<void> {
    const { random, make } = actorOf(member);
    for (let round = 0; isWindingUp ? !(await haveEnded(member)) : round < 4 + Math.min(12, size / 2); round += 1) {
      if (round > 4_000) throw new Error('it never ends');
      if (isWindingUp || random.chance(0.8)) await make({ move: 'reap' });
      await makeDue(member, make);
    }
  }

  async function makeDue(member: Member, make: (move: Move) => Promise<string[]>) {
    const rows = await member.sql<{ task_id: string }>(
      `select task_id from skipjack.queue_items
       where process_id = any ($1::uuid[]) and worker is null and available_at > clock_timestamp() limit 5`,
      [stage.processIds],
    );
    for (const { task_id: id } of rows) {
      const place = stage.places.get(id);
      if (place) await make({ move: 'make due', ...place });
    }
  }

  const byName = (name: string) => crew.find((member) => member.name === name) as Member;
  await all([
    ...workers.map((name) => work(byName(name))),
    person(byName('person')),
    manage(byName('manager')),
    reap(byName('reaper')),
  ]);
  isWindingUp = true;
  await all([...workers.map((name) => windUp(byName(name))), reap(byName('reaper'))]);
  return calls;

  /** What its worker still held from before is given up for lost. */
  async function windUp(member: Member): Promise<void> {
    await work(member);
  }
}

function isOver(state: string): boolean {
  return !['running', 'failing', 'cancelling'].includes(state);
}

/** All of them to their end, then the first that went wrong. */
async function all(promises: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(promises);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}
