/**
 * Everybody at once: engines, workers, people and a clock, each over connections of its own. What a worker says of an
 * attempt depends on nothing but the task and the attempt, so how it all ends does not depend on who came first, but for
 * what a failure stops on its way; the model is asked how it ends.
 */

import { setTimeout as sleep } from 'node:timers/promises';
import { newId } from '../../src/core/ids.ts';
import { decodeToken } from '../../src/core/token.ts';
import { openDatabase } from '../../src/database/connection.ts';
import { startThinking } from '../../src/engine/thinking/start-thinking.ts';
import { sendEvents } from '../../src/queue/events/send.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { setProcessPaused } from '../../src/queue/processes/pause.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { type ClaimOutcome, settleTasks } from '../../src/queue/settle.ts';
import { drawOutput, type LanguageCase } from './language-case.ts';
import { isLive, type Process, startProcess, type World } from './language-model.ts';
import { thinkInSomeOrder } from './language-moves.ts';
import { describeWorld, differencesOf, type LanguageObserver } from './language-observe.ts';
import { claimables, keyOf, passTime, sendEvent, settle, type Word } from './language-people.ts';
import { type LanguageActor, setLanguageStage, toOutcome } from './language-perform.ts';
import type { LanguageTask, Value } from './language-plan.ts';
import { disagreement } from './language-sequential.ts';
import { createRandom, type Random, seedOf } from './random.ts';
import type { Tally } from './tally.ts';

export interface LanguageMember extends LanguageActor {
  name: string;
  close(): Promise<void>;
}

const workersMax = 3;
const keys = ['k0', 'k1', 'k2'];
const payload = 'came';
/** How often somebody cancels it. */
const casesPerCancel = 8;
/** Until a case must have ended. */
const timeoutMs = 90_000;

/** Two engines, and those who work: they serve one case after the other. */
export async function openLanguageCrew(url: string): Promise<LanguageMember[]> {
  return Promise.all(
    ['engine 1', 'engine 2', ...Array.from({ length: workersMax }, (_, index) => `worker ${index}`)].map(
      async (name) => {
        const db = openDatabase({ url, poolSize: 2, applicationName: name });
        const queue = openQueue(db);
        await db.hints.ready();
        const faults: unknown[] = [];
        const thinking = name.startsWith('engine')
          ? startThinking(queue, { pollIntervalMs: 60, onError: (error) => faults.push(error) })
          : null;
        return {
          name,
          db,
          queue,
          sql: async (text: string, values?: unknown[]) => (await db.pool.query(text, values)).rows,
          async close() {
            await thinking?.stop();
            await queue.close();
            await db.close();
            if (faults.length > 0) throw faults[0];
          },
        };
      },
    ),
  );
}

/** What its worker says of an attempt. */
function wordOf(
  each: LanguageCase,
  plan: LanguageTask,
  at: { plan: number; name: string; attempt: number },
): { word: Word; output: Value } {
  const text = `${at.plan} ${at.name} ${at.attempt}`;
  const number = [...text].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7);
  const random = createRandom(seedOf(each.seed, number));
  const weights =
    each.temper === 'failing'
      ? { completed: 5, failed: 1.5, 'failed for good': 0.7 }
      : { completed: 30, failed: 1, 'failed for good': 0.3 };
  return { word: random.weighted(weights), output: drawOutput(random, plan) };
}

export async function runLanguageAtOnce(
  actor: LanguageActor,
  crew: LanguageMember[],
  each: LanguageCase,
  { observe, tally, lines }: { observe: LanguageObserver; tally: Tally; lines: string },
): Promise<void> {
  const random = createRandom(seedOf(each.seed, 3));
  const isCancelled = each.number % casesPerCancel === 0;
  const stage = await setLanguageStage(actor, each, lines);
  const until = performance.now() + timeoutMs;
  let isOver = false;
  const tree = async () => {
    const seen = await observe(stage.rootId);
    isOver = [...seen.processes].every(([path]) =>
      seen.lines.some(
        (line) => / is (completed|failed|cancelled),/.test(line) && line.startsWith(`${path} is `),
      ),
    );
    return seen;
  };

  async function work({ db, queue, name }: LanguageMember, own: Random): Promise<void> {
    const claims = new Map<string, ClaimOutcome>();
    while (!isOver) {
      const tasks = await queue.claim({
        queues: [stage.names.queue],
        limit: own.whole(1, 6),
        worker: name,
        waitMs: claims.size === 0 ? 40 : 0,
        leaseMs: 3_600_000,
        timeoutGraceMs: 5_000,
      });
      for (const task of tasks) {
        const place = Number(task.process?.definition?.split(' ').at(-1));
        const plan = each.plans[place]?.tasks.find(
          ({ name: known }) => known === task.name.replace(/\[.*/, ''),
        );
        const claim = decodeToken(task.token, task.id);
        if (!plan || !claim) throw new Error(`a stranger: ${task.name}`);
        const { word, output } = own.chance(0.05)
          ? { word: 'released' as const, output: null }
          : wordOf(each, plan, { plan: place, name: task.name, attempt: task.attempt });
        claims.set(task.id, { ...claim, ...toOutcome(word, output) } as ClaimOutcome);
      }
      const batch = own.shuffled([...claims]).slice(0, own.whole(1, 6));
      for (const [id] of batch) claims.delete(id);
      const results =
        batch.length > 0
          ? await settleTasks(
              db,
              batch.map(([, outcome]) => outcome),
            )
          : [];
      for (const result of results)
        if (result.kind !== 'settled') throw new Error(`${name} was answered ${JSON.stringify(result)}`);
    }
  }

  /** Sends events, early and again where somebody waits; pauses, resumes, cancels; and lets time pass. */
  async function live(): Promise<void> {
    const { db, sql } = actor;
    const send = (key: string) =>
      sendEvents(db, [{ id: newId(), name: stage.names.event, key, payload, idempotency_key: null }]);
    for (const key of keys) if (random.chance(0.3)) await send(key);
    for (let round = 0; ; round += 1) {
      const seen = await tree();
      if (isOver) return;
      if (performance.now() > until) throw new Error(`it never ends:\n${seen.lines.join('\n')}`);
      const processes = [...seen.processes.values()];
      if (random.chance(0.2)) {
        const id = random.pick(processes);
        await setProcessPaused(db, id, true);
        await sleep(random.whole(0, 10));
        await setProcessPaused(db, id, false);
      }
      if (isCancelled && round === 2) await cancelProcess(db, stage.rootId);
      const waits = await sql<{ key: string }>('select key from skipjack.event_waits');
      for (const key of new Set(waits.map((wait) => wait.key)))
        if (round > 3 || random.chance(0.4)) await send(key);
      await sql(passTimes);
      await sql(makeAllDue);
      await sleep(10);
    }
  }

  const workers = crew.filter(({ name }) => name.startsWith('worker'));
  const everybody = [
    live().finally(() => {
      isOver = true;
    }),
    ...workers.map((member, index) => work(member, createRandom(seedOf(each.seed, 10 + index)))),
  ];
  const results = await Promise.allSettled(everybody);
  for (const result of results) if (result.status === 'rejected') throw result.reason;

  const seen = await tree();
  tally.count(isCancelled ? 'at once: cancelled' : 'at once');
  if (isCancelled) return;
  const world = endInModel(each);
  const chance = chanceOf(world);
  const isDetermined = (line: string) => !chance.some((isOf) => isOf(line));
  const ends = (all: string[]) =>
    all.filter(isDetermined).map((line) => line.replace(/ of \d+ to go/, ' to go'));
  const wrong = differencesOf(ends(describeWorld(world)), ends(seen.lines));
  if (wrong.length > 0) throw disagreement('at the end', wrong, each, []);
  if (chance.length > 0) tally.count('at once: something stopped on its way');
}

/** How it ends, with nobody in a hurry. */
function endInModel(each: LanguageCase): World {
  const world: World = { plans: each.plans, processes: [], kept: [], count: () => {} };
  const [first] = each.plans;
  if (!first) throw new Error('no plan');
  startProcess(world, first, { path: '0', parent: null, isDetached: false, input: 'usual' });
  const random = createRandom(1);
  for (let round = 0; round < 1_000; round += 1) {
    thinkInSomeOrder(world, random, 0);
    if (!world.processes.some(({ tasks }) => tasks.some(isLive))) return world;
    for (const { process, task } of claimables(world)) {
      task.claim = { stopAsked: false };
      const attempt = task.failures + task.losses + 1;
      const place = each.plans.indexOf(process.plan);
      settle(world, process, task, wordOf(each, task.plan, { plan: place, name: task.name, attempt }));
    }
    for (const task of world.processes.flatMap(({ tasks }) => tasks)) {
      if (task.timer || task.isLater) passTime(task);
      if (task.waits === 'event' && !task.event) sendEvent(world, keyOf(task), payload);
    }
  }
  throw new Error('the model never ends');
}

/** What depends on who came first: what a failure has stopped, in a process, or in a list of which too many failed. */
function chanceOf({ processes }: World): ((line: string) => boolean)[] {
  const below =
    ({ path }: Process) =>
    (line: string) =>
      line.startsWith(`${path} t`) || (line.startsWith(`${path}/`) && !line.startsWith(`${path}/! `));
  return [
    ...processes.filter(({ state, failFast }) => state === 'failed' && failFast).map(below),
    ...processes.flatMap((process) =>
      process.tasks
        .filter((task) => task.list && task.list.failed > (task.plan.list?.failuresMax ?? 0))
        .map(
          (task) => (line: string) =>
            line.startsWith(`${process.path} ${task.name}[`) ||
            line.startsWith(`${process.path}/${task.name}[`),
        ),
    ),
  ];
}

// What is being moved by others is passed over: it would be a second order of locks.

const passTimes = `
  update skipjack.engine_items set available_at = clock_timestamp() where id in (
    select id from skipjack.engine_items
    where kind = 'timer' and available_at > clock_timestamp() and available_at < 'infinity'
    for update skip locked)`;

const makeAllDue = `
  update skipjack.queue_items set available_at = clock_timestamp() where task_id in (
    select task_id from skipjack.queue_items
    where worker is null and available_at > clock_timestamp()
    for update skip locked)`;
