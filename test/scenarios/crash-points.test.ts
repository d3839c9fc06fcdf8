/**
 * An engine is killed between any two of its statements, and another one goes on: everything ends as if nothing had
 * happened, once. Engines are OS processes, killed as power cuts do; time is moved by moving the times of rows.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import path from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { crashPoints } from '../../src/core/crash-point.ts';
import { newId } from '../../src/core/ids.ts';
import type { Json } from '../../src/core/json.ts';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { Engine } from '../../src/engine/engine.ts';
import { thinkUntilQuiet } from '../../src/engine/thinking/think-once.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { standOf, startPlan } from '../engine/thinking/support/plans.ts';
import { createDatabase, test as databaseTest, expectSound, type TestDatabase } from '../support/database.ts';
import { claimNamed, settlementOf } from '../support/processes.ts';
import { claimOf, untilBlocked } from '../support/tasks.ts';
import { definitions, type Play, parts } from './fixtures/parts.ts';

/** Statements and crash points of transactions in this OS process, in their order. */
const passed: string[] = [];

vi.mock('../../src/core/crash-point.ts', async (original) => ({
  ...(await original<typeof import('../../src/core/crash-point.ts')>()),
  crashPoint: (label: string) => passed.push(label),
}));

interface Move {
  target: 'thinking' | 'queue' | 'engine' | 'process';
  id?: string;
  method?: string;
  args?: Json[];
}

/** Who makes the moves. `null`: it died before it answered. */
interface Actor {
  make(move: Move): Promise<{ value?: Json; error?: { code: string; message: string } } | null>;
}

interface Reach {
  part: string;
  labels: number;
}

interface Lane {
  url: string;
  db: Database;
  client: pg.Client;
  engine: Engine;
}

async function openLane(): Promise<Lane> {
  const { url, drop } = await createDatabase();
  const db = openDatabase({ url, listenUrl: null });
  const queue = openQueue(db);
  const engine = new Engine({ queue });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  onTestFinished(async () => {
    await engine.close();
    await queue.close();
    await db.close();
    await client.end();
    await drop();
  });
  const names = Object.keys(definitions);
  // A definition is published before those that start it.
  for (const name of [
    ...names.filter((each) => ['child', 'note', 'picky', 'lists', 'nothing', 'plain'].includes(each)),
    ...names,
  ])
    await engine.publish({ source: definitions[name] ?? '' }, { name });
  return { url, db, client, engine };
}

function here({ engine }: Lane): Actor {
  return {
    async make({ target, id = '', method = '', args = [] }) {
      if (target === 'thinking') return { value: await thinkUntilQuiet(engine.queue) };
      const whose = { queue: engine.queue, engine, process: engine.process(id) }[target];
      const call = (whose as unknown as Record<string, (...given: Json[]) => Promise<Json>>)[method];
      try {
        const value = await call?.apply(whose, args);
        const made = value as { id?: string } | undefined;
        return { value: made?.id === undefined ? (value ?? null) : { id: made.id } };
      } catch (error) {
        const { code, message } = error as { code: string; message: string };
        return { error: { code, message } };
      }
    },
  };
}

interface OsProcess extends Actor {
  child: ChildProcess;
  exited: Promise<NodeJS.Signals | null>;
}

const main = path.resolve(import.meta.dirname, 'fixtures/engine.mjs');

function startEngine({ url }: Pick<Lane, 'url'>, crashAt?: string): OsProcess {
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [main], {
    env: { PATH, DATABASE_URL: url, ...(crashAt === undefined ? {} : { SKIPJACK_TEST_CRASH_AT: crashAt }) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  // What is written to one that has died is lost with it.
  child.stdin.on('error', () => {});
  const exited = new Promise<NodeJS.Signals | null>((resolve) => {
    child.once('exit', (_code, signal) => resolve(signal));
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exited;
  });
  return {
    child,
    exited,
    async make(move) {
      child.stdin.write(`${JSON.stringify(move)}\n`);
      const line = await lines.next();
      return line.done ? null : JSON.parse(line.value);
    },
  };
}

/** Moves are made by the first who lives; one that nobody has answered is made again by the next. */
async function play(lane: Lane, part: string, actors: Actor[]): Promise<Json> {
  const key = newId();
  const { client, engine } = lane;
  const alive = [...actors];
  const make = async (move: Move): Promise<Json> => {
    for (let again = false; ; again = true) {
      const answer = await alive[0]?.make(move);
      if (answer === undefined) throw new Error('nobody is left to make the move');
      if (answer === null) {
        alive.shift();
        continue;
      }
      // It was made, and the answer was lost.
      if (answer.error && !(again && ['not_failed', 'not_found'].includes(answer.error.code)))
        throw new Error(`${part}: ${JSON.stringify(move)}: ${JSON.stringify(answer.error)}`);
      return answer.value ?? null;
    }
  };
  const one = async (text: string, values: unknown[]): Promise<string> => {
    const { rows } = await client.query<{ id: string }>(text, values);
    if (!rows[0]) throw new Error(`${part}: there is nothing: ${text} ${values.join()}`);
    return rows[0].id;
  };
  const idOf = (processId: string, task: string) =>
    one('select id from skipjack.tasks where process_id = $1 and name = $2', [processId, task]);
  let keys = 0;
  const newKey = () => {
    keys += 1;
    return `${key} ${keys}`;
  };
  const scene: Play = {
    key,
    idOf,
    async start(definition) {
      const input = definition === 'rich' ? { key } : null;
      const options = { idempotencyKey: newKey(), ...(input ? { input } : {}) };
      const started = await make({ target: 'engine', method: 'startProcess', args: [definition, options] });
      return (started as { id: string }).id;
    },
    async think() {
      await make({ target: 'thinking' });
    },
    async passTime() {
      await client.query(
        `update skipjack.engine_items set available_at = clock_timestamp() where available_at < 'infinity'`,
      );
    },
    async call(id, method, ...args) {
      await make({ target: 'process', id, method, args });
    },
    async send(name, payload) {
      const event = { name, key, payload, idempotencyKey: newKey() };
      await make({ target: 'engine', method: 'sendEvent', args: [event] });
    },
    async claim(processId, name) {
      const answer = await engine.queue.claimOne(await idOf(processId, name), {
        worker: 'tester',
        leaseMs: 600_000,
        timeoutGraceMs: 0,
        claimId: newId(),
      });
      if (answer.kind !== 'claimed') throw new Error(`${name}: ${JSON.stringify(answer)}`);
      const claim = { ...claimOf(answer.task), processId };
      return {
        async settle(outcome) {
          const settlement = { ...claim, ...(outcome as { kind: string }) };
          await make({ target: 'queue', method: 'settle', args: [settlement as unknown as Json] });
        },
      };
    },
    async claimById(queue, claimId) {
      const asked = { queues: [queue], limit: 10, worker: 'tester', leaseMs: 600_000, waitMs: 0, claimId };
      const tasks = await make({ target: 'queue', method: 'claim', args: [asked] });
      return (tasks as Json[]).length;
    },
    childOf: (processId, task) =>
      one(
        `select child.id from skipjack.processes as child join skipjack.tasks as task on task.id = child.parent_task_id
         where child.parent_process_id = $1 and task.name = $2 order by child.id desc limit 1`,
        [processId, task],
      ),
    sql: (text, values) => client.query(text, values),
    async whileSending(name, work) {
      await client.query('begin');
      await client.query('select pg_advisory_xact_lock(skipjack.event_lock($1, $2))', [name, key]);
      await work();
      await client.query('rollback');
    },
  };
  const act = parts[part];
  if (!act) throw new Error(`no part ${part}`);
  const ids = await act(scene);
  return look(client, ids, key);
}

/** All that can be seen of the processes and of what they started, but for what is another each time. */
async function look(client: pg.Client, ids: string[], key: string): Promise<Json> {
  const { rows } = await client.query<{ seen: Json }>(
    `select json_agg(json_build_object(
       'name', process.name, 'state', process.state, 'unfinished', process.unfinished, 'tasks', process.tasks,
       'parent', parent.name, 'result', (select json_build_object('output', output, 'error', error, 'failure', failure_process_id)
         from skipjack.process_results where process_id = process.id),
       'all', (select json_agg(json_build_object('name', name, 'state', state, 'output', case when length(output::text) > 10000 then md5(output::text) else output::text end, 'error', error,
         'input', input, 'failures', failures, 'letters', (select count(*) from skipjack.dead_letters where task_id = task.id),
         'replays', (select replays from skipjack.dead_letters where task_id = task.id))
         order by coalesce(item_of, ordinal), item_of nulls first, item_index)
         from skipjack.tasks as task where process_id = process.id),
       'events', (select json_agg(event order by event) from skipjack.process_events where process_id = process.id),
       'inbox', (select count(*) from skipjack.engine_items where process_id = process.id)
     ) order by process.name, process.depth, parent.ordinal,
         array_position($1::uuid[], coalesce(process.parent_process_id, process.id))) as seen
     from skipjack.processes as process
     left join skipjack.tasks as parent on parent.id = process.parent_task_id
     where process.id in (
       with recursive family as (
         select unnest($1::uuid[]) as id
         union
         select child.id from family join skipjack.processes as child on child.parent_process_id = family.id
       ) select id from family)`,
    [ids],
  );
  const events = await client.query(
    `select name, taken_at is not null as taken from skipjack.events where key = $1 order by name, id`,
    [key],
  );
  const seen = JSON.stringify({ processes: rows[0]?.seen ?? null, events: events.rows });
  return JSON.parse(seen.replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{22}/g, '<id>'));
}

/** Notes the statements of transactions among the crash points. */
function noteStatements({ db }: Lane): void {
  const { pool } = db;
  const connect = pool.connect.bind(pool);
  pool.connect = (async (...given: Parameters<typeof connect>) => {
    if (given.length > 0) return connect(...given);
    const client = await connect();
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = (async (...args: unknown[]) => {
      const answer = await query(...args);
      passed.push(`: ${String(args[0]).trim().slice(0, 200)}`);
      return answer;
    }) as typeof client.query;
    const release = client.release.bind(client);
    client.release = (error) => {
      client.query = query as typeof client.query;
      client.release = release;
      release(error);
    };
    return client;
  }) as typeof pool.connect;
}

describe('a crash point', () => {
  test('stands between any two statements, and wherever an engine is killed, another ends everything as if it had not been', async () => {
    const [lane, other] = await Promise.all([openLane(), openLane()]);
    noteStatements(lane);
    const expected = new Map<string, Json>();
    /** Which part comes by a label, with the fewest others: where engines think, and where none does. */
    const reachedBy = { thinking: new Map<string, Reach>(), alone: new Map<string, Reach>() };
    const bare: string[] = [];
    for (const part of Object.keys(parts)) {
      passed.length = 0;
      expected.set(part, await play(lane, part, [here(lane)]));
      const labels = new Set(passed.filter((each) => !each.startsWith(': ')));
      const reached = reachedBy[labels.has('engine_candidates_found') ? 'thinking' : 'alone'];
      for (const label of labels) {
        const known = reached.get(label);
        if (!known || known.labels > labels.size) reached.set(label, { part, labels: labels.size });
      }
      for (const [index, statement] of passed.entries()) {
        const next = passed[index + 1] ?? '';
        // Before a begin, or after it, nothing has been done by this transaction.
        if (/^: (?!begin|set|commit|rollback)/.test(statement) && /^: (?!rollback)/.test(next))
          bare.push(`${statement} | ${next}`);
      }
    }
    expect([...new Set(bare)], 'statements without a crash point between them').toEqual([]);
    const kills = [...reachedBy.thinking, ...reachedBy.alone].map(([label, { part }]) => ({ label, part }));
    expect(crashPoints.filter((label) => !kills.some((kill) => kill.label === label))).toEqual([]);
    expect(summaryOf(expected)).toMatchInlineSnapshot(`
      {
        "a cancel of what is paused": [
          "cancelled cancelled: child cancelled, nap cancelled, open cancelled, cleans completed, 2 × cleans[] completed, sleeps completed",
          "child cancelled: work cancelled",
        ],
        "a chain of skips": [
          "chain completed: first skipped, second skipped, third skipped",
        ],
        "a claim that is asked for again": [
          "taken running: one active, two active",
        ],
        "a deadline": [
          "child cancelled: work cancelled",
          "child completed: work completed",
          "timely failed: runs completed, child cancelled, cleans completed",
        ],
        "a delete": [
          "plain running: a active, b pending, c active",
          "starts running: child active",
        ],
        "a failure that stops everything": [
          "child cancelled: work cancelled",
          "clean completed: first completed",
          "failing failed: fails failed, asks completed, after completed, never cancelled, child cancelled, nap cancelled, waits cancelled, runs cancelled, list cancelled, 3 × list[] cancelled",
        ],
        "a failure that stops what is behind it": [
          "independent failed: fails failed, behind cancelled, further cancelled, cleans completed, other completed, after completed",
        ],
        "a process that uses everything": [
          "3 × child completed: work completed",
          "note completed: nap completed",
          "rich completed: open completed, skipped skipped, behind skipped, behind that skipped, list completed, 3 × list[] completed, grid completed, 2 × grid[] completed, big completed, child completed, children completed, 2 × children[] completed, aside completed, nap completed, later completed, kept completed, comes completed, late failed, always completed",
        ],
        "a retry from the top": [
          "lists completed: items completed, 3 × items[] completed, then completed, times completed, 2 × times[] completed, last completed, last[] completed",
          "parent completed: lists completed, after completed",
        ],
        "a retry with other inputs": [
          "independent completed: fails completed, behind completed, further completed, cleans skipped, other completed, after completed",
        ],
        "events that somebody is sending": [
          "2 × child cancelled: work cancelled",
          "note completed: nap completed",
          "rich cancelled: open cancelled, skipped cancelled, behind cancelled, behind that cancelled, list cancelled, grid cancelled, big cancelled, child cancelled, children cancelled, 2 × children[] cancelled, aside completed, nap completed, later cancelled, kept completed, comes cancelled, late failed, always completed",
        ],
        "more failed items than may": [
          "some completed: items failed, 2 × items[] failed, items[] completed, items[] cancelled, then completed",
        ],
        "more processes than are started without a look at how many there are": [
          "many completed: starts completed, 101 × starts[] completed",
          "101 × nothing completed: idle skipped",
        ],
        "processes that need no engine": [
          "branches failed: a failed, b cancelled, c completed",
          "plain cancelled: a completed, b completed, c cancelled",
        ],
        "processes that start themselves": [
          "11 × refused failed: deep failed, free completed",
        ],
        "what is of a process that was deleted": [],
        "what throws": [
          "note completed: nap completed",
          "thrown failed: throws failed, works cancelled",
          "unfinished failed: works completed",
        ],
        "what throws, of what stops or is retried": [
          "2 × plain failed: a cancelled, b cancelled, c failed",
          "starts failed: child failed",
          "starts cancelled: child cancelled",
          "stops failed: a cancelled, b completed, c cancelled",
          "stops failed: a failed, b failed, c cancelled",
        ],
      }
    `);

    await Promise.all(
      [lane, other].map(async (own) => {
        const survivor = startEngine(own);
        for (let kill = kills.shift(); kill !== undefined; kill = kills.shift()) {
          const { label, part } = kill;
          const mortal = startEngine(own, label);
          const seen = await play(own, part, [mortal, survivor]);
          mortal.child.stdin?.end();
          expect(await mortal.exited, `${label} is reached by ${part}`).toBe('SIGKILL');
          expect(seen, `killed at ${label} in ${part}`).toEqual(expected.get(part));
          await expectSound(own.client);
        }
      }),
    );
  }, 600_000);

  test('may be anywhere, and another engine may die at the next one', async () => {
    const lane = await openLane();
    const survivor = startEngine(lane);
    for (const part of [
      'a process that uses everything',
      'a failure that stops everything',
      'a retry from the top',
      'a cancel of what is paused',
    ]) {
      const expected = await play(lane, part, [survivor]);
      const deaths = Array.from({ length: 4 }, () => ({
        label: `${crashPoints[Math.floor(Math.random() * crashPoints.length)]}:${1 + Math.floor(Math.random() * 4)}`,
        afterMs: 100 + Math.random() * 1_000,
      }));
      const mortals = deaths.map(({ label }) => startEngine(lane, label));
      const timers = deaths.map(({ afterMs }, index) =>
        setTimeout(() => mortals[index]?.child.kill('SIGKILL'), 300 * index + afterMs),
      );
      const seen = await play(lane, part, [...mortals, survivor]);
      for (const timer of timers) clearTimeout(timer);
      for (const { child } of mortals) child.kill('SIGKILL');
      expect(seen, `${part}, killed at ${JSON.stringify(deaths)}`).toEqual(expected);
      await expectSound(lane.client);
    }
  }, 300_000);

  test('kills nobody where the environment does not name it', async () => {
    const lane = await openLane();
    const engine = startEngine(lane, 'engine_no_such_label');
    const seen = await play(lane, 'a failure that stops what is behind it', [engine]);
    expect(seen).toMatchObject({ processes: [{ name: 'independent', state: 'failed' }] });
    engine.child.stdin?.end();
    expect(await engine.exited).toBeNull();
  });
});

/** An engine that stops before its next statement of that kind, until it is let go. */
async function engineHeldAt({ url }: TestDatabase, statement: RegExp) {
  const db = openDatabase({ url, listenUrl: null });
  const queue = openQueue(db);
  let letGo = () => {};
  const free = new Promise<void>((resolve) => {
    letGo = resolve;
  });
  let arrive = () => {};
  const arrived = new Promise<void>((resolve) => {
    arrive = resolve;
  });
  const { pool } = db;
  const connect = pool.connect.bind(pool);
  pool.connect = (async (...given: Parameters<typeof connect>) => {
    if (given.length > 0) return connect(...given);
    const client = await connect();
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = (async (...args: unknown[]) => {
      if (statement.test(String(args[0]))) {
        arrive();
        await free;
      }
      return query(...args);
    }) as typeof client.query;
    return client;
  }) as typeof pool.connect;
  const thinking = thinkUntilQuiet(queue);
  await Promise.race([arrived, thinking.then(() => Promise.reject(new Error('it never came to that')))]);
  return {
    async goOn() {
      letGo();
      await thinking;
      await queue.close();
      await db.close();
    },
  };
}

const parking = /^with parked as/;

describe('between the look of an engine and its parking', () => {
  databaseTest('an event that comes is taken', async ({ database }) => {
    const id = await startPlan(database, { waits: { wait_for: { event: 'paid', key: 'x' } } });
    const held = await engineHeldAt(database, parking);
    const engine = new Engine({ queue: database.queue });
    /** After two seconds it says that somebody else is at it. */
    const send = (): ReturnType<Engine['sendEvent']> =>
      engine.sendEvent({ name: 'paid', key: 'x', payload: 1, idempotencyKey: 'once' }).catch((error) => {
        if (error.code !== 'event_busy') throw error;
        return send();
      });
    const sending = send();
    await untilBlocked(database);
    await held.goOn();
    expect(await sending).toMatchObject({ woken: 1, kept: false });
    await engine.close();
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ waits: 'completed' });
  });

  databaseTest(
    'a process that was started cannot end: it is there when its task is parked',
    async ({ database }) => {
      const engine = new Engine({ queue: database.queue });
      await engine.publish({ source: 'tasks: [{ name: work, if: "false" }]' }, { name: 'quick' });
      const id = await startPlan(database, { starts: { process: { definition: 'quick' } } });
      const held = await engineHeldAt(database, parking);
      // Another engine finds nothing of it yet.
      await thinkUntilQuiet(database.queue, { passOver: [id] });
      expect(await standOf(database, id)).toEqual({ starts: 'waits for engine' });
      await held.goOn();
      await thinkUntilQuiet(database.queue);
      expect(await standOf(database, id)).toEqual({ starts: 'completed' });
      await engine.close();
    },
  );

  databaseTest('the last item that ends wakes its list', async ({ database }) => {
    const id = await startPlan(database, {
      list: { each: [1] },
      gate: {},
      nap: { needs: ['gate'], sleep: { for: '1h' } },
    });
    await thinkUntilQuiet(database.queue);
    const item = await claimNamed(database, id, 'list[0]');
    const gate = await claimNamed(database, id, 'gate');
    await database.queue.settle(settlementOf(gate, 'completes'));
    const held = await engineHeldAt(database, parking);
    const settling = database.queue.settle(settlementOf(item, 'completes'));
    await untilBlocked(database);
    await held.goOn();
    await settling;
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ list: 'completed', nap: 'waits for time' });
  });

  databaseTest('a time that comes is kept', async ({ database }) => {
    const id = await startPlan(database, {
      naps: { sleep: { for: '0s' } },
      waits: { wait_for: { event: 'never' }, continue_on_error: true },
    });
    // The timer is posted, and due, before anybody can see it.
    const held = await engineHeldAt(database, /^insert into skipjack.engine_items/);
    await thinkUntilQuiet(database.queue, { passOver: [id] });
    await held.goOn();
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ naps: 'completed', waits: 'waits for event' });
  });
});

/** How each part ends where nobody dies: the states of its processes; how many there are of those that are alike. */
function summaryOf(expected: Map<string, Json>): Json {
  return Object.fromEntries(
    [...expected].map(([part, seen]) => {
      const { processes } = seen as unknown as {
        processes: { name: string; state: string; all: { name: string; state: string }[] }[] | null;
      };
      const lines = (processes ?? []).map(({ name, state, all }) => {
        const tasks = (all ?? []).map((task) => `${task.name.replace(/\[\d+\]$/, '[]')} ${task.state}`);
        return `${name} ${state}: ${counted(tasks).join(', ')}`;
      });
      return [part, counted(lines)];
    }),
  );
}

function counted(lines: string[]): string[] {
  const counts = new Map<string, number>();
  for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
  return [...counts].map(([line, count]) => (count === 1 ? line : `${count} × ${line}`));
}
