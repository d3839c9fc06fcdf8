/**
 * No move of the engine reads a table whole: what each statement reads stays near what it moves, whatever has been and
 * whatever the statistics say of it. Of two dozen processes at once, with everything that a process can say, and of one
 * of each kind.
 */
import { expect } from 'vitest';
import type { ClaimedTask } from '../../../src/core/task-source.ts';
import { Engine } from '../../../src/engine/engine.ts';
import { listProcesses, readProcess } from '../../../src/engine/read-processes.ts';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { pruneEvents } from '../../../src/queue/events/prune.ts';
import { listEvents } from '../../../src/queue/events/read.ts';
import { listProcessTasks, listTasks } from '../../../src/queue/list-tasks.ts';
import { openQueue, type Queue } from '../../../src/queue/queue.ts';
import { readTasks } from '../../../src/queue/read-tasks.ts';
import { reapExpiredClaims } from '../../../src/queue/reap.ts';
import { settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { type Measured, measure, type Seen } from '../../support/plans.ts';
import { type Saying, settlementOf } from '../../support/processes.ts';

const historyOf = 30_000;
const littleHistoryOf = 1_000;
const tasksEach = 10;

/** Of each kind. */
const many = 4;

const small = (name: string) => `
name: ${name}
tasks: [{ name: x }, { name: y, needs: x }]
output: { y: "\${{ tasks.y.output }}" }
`;
const slow = 'name: slow\ntasks: [{ name: nap, sleep: 1h }, { name: z }]\n';
const mend = 'name: mend\ntasks: [{ name: m }]\n';

/** Completes, once it has waited for everything that a process can wait for. */
const whole = `
name: whole
deadline: 30d
tasks:
  - { name: a }
  - { name: no, needs: a, if: tasks.a.output == 2 }
  - { name: after no, needs: no }
  - { name: yes, needs: a, if: tasks.a.output == 1 }
  - { name: list, needs: a, each: range(5), concurrency: 2, max_failures: 2 }
  - { name: bad, needs: a, each: range(5), concurrency: 3, continue_on_error: true }
  - { name: grid, needs: a, matrix: { x: [1, 2], y: [1, 2] } }
  - { name: sub, needs: a, process: { definition: child } }
  - { name: subs, needs: a, each: range(3), concurrency: 2, process: { definition: child } }
  - { name: away, needs: a, process: { definition: child, detached: true } }
  - { name: nap, needs: a, sleep: 1h }
  - { name: naps, needs: a, each: range(25), sleep: 1h }
  - { name: later, needs: a, delay: 1h, sleep: 1h }
  - { name: at, needs: a, run_at: "2020-01-31T08:00:00Z" }
  - { name: early, needs: a, wait_for: { event: early, key: "\${{ process.id }}" } }
  - { name: late, needs: a, wait_for: { event: late, key: "\${{ process.id }}" } }
  - { name: never, needs: a, wait_for: { event: never, timeout: 1h }, continue_on_error: true }
  - { name: join, needs: [yes, list, bad, grid, sub, subs, away, nap, naps, later, at, early, late, never] }
  - { name: tidy, needs: join, if: always() }
output: { list: "\${{ tasks.list.output }}", sub: "\${{ tasks.sub.output }}" }
`;

/** Stops, while it waits for all of that. */
const stopping = (name: string, more: string) => `
name: ${name}
${more}
tasks:
  - { name: a, queue: stopping }
  - { name: b, queue: stopping }
  - { name: c, needs: b }
  - { name: list, each: range(10), concurrency: 2, queue: stopping }
  - { name: naps, each: range(10), concurrency: 5, sleep: 1h }
  - { name: sub, process: { definition: slow } }
  - { name: subs, each: range(3), process: { definition: slow } }
  - { name: waits, each: range(10), wait_for: { event: stop, key: "\${{ process.id }}", timeout: 1h } }
  - { name: d, needs: [a, sub] }
  - { name: tidy, needs: [c, list, sub], if: always() }
  - { name: tidy more, needs: tidy, if: always() }
  - { name: mends, needs: d, if: failure() }
`;

/** Fails everywhere, and completes when it is tried again. */
const retried = `
name: is retried
tasks:
  - { name: a }
  - { name: b, needs: a }
  - { name: list, each: range(6) }
  - { name: sub, process: { definition: shaky } }
  - { name: subs, each: range(2), process: { definition: shaky } }
  - { name: join, needs: [b, list, sub, subs] }
  - { name: tidy, needs: join, if: always() }
`;

const ends = {
  whole: 'completed',
  fails: 'failed',
  'fails softly': 'failed',
  'is cancelled': 'cancelled',
  'is late': 'failed',
  'is retried': 'failed',
};

const definitions = [
  small('child'),
  small('shaky'),
  slow,
  mend,
  whole,
  stopping('fails', 'on_failure: mend'),
  stopping('fails softly', 'fail_fast: false'),
  stopping('is cancelled', ''),
  stopping('is late', 'deadline: 2d'),
  retried,
];

const tables = [
  'processes',
  'tasks',
  'queue_items',
  'engine_items',
  'item_lists',
  'event_waits',
  'events',
  'process_results',
  'process_inputs',
  'process_events',
  'attempts',
  'dead_letters',
  'idempotency_keys',
];

/** Processes that have ended, with rows in every table but those of what is live. */
async function fillHistory({ sql }: TestDatabase, count: number) {
  const id = (kind: number, number: string) =>
    `('0190000${kind}-0000-7000-8000-' || lpad(to_hex(${number}), 12, '0'))::uuid`;
  const [process, parent] = [id(1, 'n'), id(2, 'n')];
  const task = id(3, 'n * 16 + place');
  const each = `generate_series(1, ${count}) as n`;
  const all = `${each} cross join generate_series(1, ${tasksEach}) as place`;
  const times = `clock_timestamp() - interval '1 day', clock_timestamp()`;
  const state = `case when n % 3 = 0 then 'failed' else 'completed' end`;
  const [first, last] = ['place = 1', `place = ${tasksEach}`];
  await sql(`
    insert into skipjack.processes (id, created_at, finished_at, definition_id, name, state, fail_fast, tasks, unfinished,
      thinks, finishes, parent_process_id, parent_task_id)
    select ${process}, ${times}, definition.id, definition.name, ${state}, true, ${tasksEach}, 0, true, true,
      case when n % 5 = 0 then ${parent} end, case when n % 5 = 0 then ${parent} end
    from ${each} cross join (select id, name from skipjack.definitions where name = 'whole') as definition;

    insert into skipjack.tasks (id, created_at, finished_at, process_id, ordinal, name, queue, priority, state, claim_no, failures,
      dependents, error, output, thinks, item_of, item_index)
    select ${task}, ${times}, ${process}, place, 'filler', 'people', 5,
      case when ${last} then ${state} when place = 4 then 'skipped' else 'completed' end, 1, (${last} and n % 3 = 0)::integer,
      case when not ${last} then array[place + 1] end, case when ${last} and n % 3 = 0 then '{"code": "x"}'::jsonb end, '1',
      place < 6, case when place > 5 then 2 end, case when place > 5 then place - 6 end
    from ${all};

    insert into skipjack.dead_letters (task_id, name, queue, reason, failed_at)
    select ${task}, 'filler', 'people', 'failed', clock_timestamp() from ${all} where ${last} and n % 3 = 0;

    insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
    select ${task}, 1, 1, 'failed', '{}', 'w', ${times} from ${all} where ${last} and n % 3 = 0;

    insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended,
      failures_max, concurrency)
    select ${process}, 2, ${task}, 6, ${tasksEach}, ${tasksEach} + 1, 0, 0, 5 from ${all} where ${first};

    insert into skipjack.process_results (process_id, output) select ${process}, '1' from ${each};
    insert into skipjack.process_inputs (process_id, input) select ${process}, '{"n": 1}' from ${each};

    insert into skipjack.process_events (process_id, id, at, event)
    select ${process}, ${parent}, clock_timestamp(), 'paused' from ${each} where n % 3 = 0;

    insert into skipjack.idempotency_keys (scope, key, fingerprint, made_id, created_at)
    select 'process', n::text, 'x', ${process}, clock_timestamp() from ${each} where n % 3 = 0;

    insert into skipjack.events (id, created_at, taken_at, name, key, payload, woken)
    select ${process}, ${times}, 'early', n::text, '1', 1 from ${each}`);
}

interface Scene {
  database: TestDatabase;
  measured: Measured;
  queue: Queue;
  engine: Engine;
}

type Kind = keyof typeof ends;

async function start({ engine, measured }: Scene, count: number): Promise<Record<Kind, string[]>> {
  measured.begin('start');
  const started = Object.keys(ends).map(async (kind): Promise<[string, string[]]> => {
    const handles = Array.from({ length: count }, () => engine.startProcess(kind, { input: { n: 1 } }));
    return [kind, (await Promise.all(handles)).map(({ id }) => id)];
  });
  return Object.fromEntries(await Promise.all(started)) as Record<Kind, string[]>;
}

async function think({ queue, measured }: Scene, what: string): Promise<void> {
  measured.begin(`think: ${what}`);
  await thinkUntilQuiet(queue, {
    onError: (error) => {
      throw error;
    },
  });
}

async function send({ engine, measured }: Scene, name: string, keys: string[]): Promise<void> {
  measured.begin(`send ${name}`);
  await Promise.all(keys.map((key) => engine.sendEvent({ name, key, payload: 1 })));
}

async function claimAll({ queue, measured }: Scene, line: string): Promise<ClaimedTask[]> {
  measured.begin('claim');
  return queue.claim({ queues: [line], limit: 200, worker: 'w', leaseMs: 600_000, waitMs: 0 });
}

async function settle({ queue, measured }: Scene, tasks: ClaimedTask[], say: (task: ClaimedTask) => Saying) {
  measured.begin('settle');
  await settleTasks(
    queue.db,
    tasks.map((task) => settlementOf(task, say(task))),
  );
}

const done: Saying = { kind: 'completed', output: 1 };

/** Until nothing is left to claim. */
async function workOff(scene: Scene, say: (task: ClaimedTask) => Saying = () => done): Promise<void> {
  for (let rounds = 0; rounds < 40; rounds += 1) {
    const tasks = [...(await claimAll(scene, 'people')), ...(await claimAll(scene, 'stopping'))];
    if (tasks.length === 0) return;
    await settle(scene, tasks, say);
    await think(scene, 'what follows from ends');
  }
  throw new Error('there was always something to do');
}

/** Time is moved by moving the times of what waits for it. */
async function pass({ database }: Scene, kind: 'timer' | 'deadline', ids: string[] | null = null) {
  await database.sql(
    `update skipjack.engine_items set available_at = clock_timestamp()
     where kind = $1 and available_at < 'infinity' and ($2::uuid[] is null or process_id = any ($2))`,
    [kind, ids],
  );
}

/** The ways to look at a process, at those that there are, and at their tasks and events. */
async function look({ database, measured, queue, engine }: Scene, id: string): Promise<void> {
  const { db } = queue;
  const page = { limit: 20 };
  const tasks = await database.sql<{ id: string }>('select id from skipjack.tasks where process_id = $1', [
    id,
  ]);
  const ids = tasks.map((task) => task.id);
  const query = (text: string, value: unknown) => () => db.pool.query(text, [value]);
  const looks: Record<string, () => Promise<unknown>> = {
    itself: () => readProcess(db, id),
    processes: () => listProcesses(db, {}, page),
    'processes of a definition': () => listProcesses(db, { definition: 'is retried' }, page),
    'live processes': () => listProcesses(db, { state: 'live' }, page),
    'its active tasks': () => engine.process(id).getActiveTasks(),
    'its tasks': () => listProcessTasks(db, id, page),
    'its tasks, newest first': () => listTasks(db, { processId: id }, page),
    'its active tasks, newest first': () => listTasks(db, { processId: id, state: 'active' }, page),
    'each of its tasks': () => readTasks(db, ids),
    tasks: () => listTasks(db, {}, page),
    'active tasks': () => listTasks(db, { state: 'active' }, page),
    'waiting tasks': () => listTasks(db, { state: 'waiting' }, page),
    'waiting tasks, page two': () => listTasks(db, { state: 'waiting' }, { ...page, after: ids[5] ?? id }),
    'ready tasks': () => listTasks(db, { state: 'ready' }, page),
    events: () => listEvents(db, {}, page),
    'old events': () => pruneEvents(db, { retentionMs: 365 * 24 * 3_600_000 }),
    'lost claims': () => reapExpiredClaims(db),
    'ended or not': () => queue.waitForEnd('process', id, { waitMs: 0 }),
    'view process_progress': query('select * from skipjack.process_progress where id = $1', id),
    'view task_status of a process': query('select * from skipjack.task_status where process_id = $1', id),
    'view task_status': query('select * from skipjack.task_status where id = $1', ids[0]),
  };
  for (const [name, read] of Object.entries(looks)) {
    measured.begin(`look: ${name}`);
    await read();
  }
}

async function runAll(scene: Scene, count: number): Promise<void> {
  const { measured, engine, database } = scene;
  const ids = await start(scene, count);
  await think(scene, 'starts');
  for (const paused of [true, false]) {
    measured.begin(paused ? 'pause' : 'resume');
    for (const id of ids['is retried'])
      await (paused ? engine.process(id).pause() : engine.process(id).resume());
    await think(scene, paused ? 'paused' : 'resumed');
  }
  await send(scene, 'early', ids.whole);
  const first = await claimAll(scene, 'people');
  await settle(scene, first, ({ process, name }) =>
    process?.definition === 'is retried' && /^(a|list.[35].)$/.test(name) ? 'fails' : done,
  );
  await think(scene, 'everything');
  await look(scene, ids.whole[0] as string);
  await send(scene, 'late', ids.whole);
  await think(scene, 'events');

  const claimed = await claimAll(scene, 'stopping');
  const fails = ({ process, name }: ClaimedTask) => name === 'a' && /^fails/.test(process?.definition ?? '');
  await settle(scene, claimed.filter(fails), () => 'fails');
  measured.begin('cancel');
  for (const id of ids['is cancelled']) await engine.process(id).cancel();
  await pass(scene, 'deadline', ids['is late']);
  await think(scene, 'stops');
  await send(scene, 'stop', Object.values(ids).flat());
  await think(scene, 'events of what has stopped');
  const others = claimed.filter((task) => !fails(task));
  await settle(scene, others, ({ process }) =>
    process?.definition === 'fails softly' ? done : { kind: 'cancelled' },
  );
  await think(scene, 'what is left of what has stopped');
  await look(scene, ids.fails[0] as string);

  const say = ({ process, name }: ClaimedTask): Saying =>
    /^bad|^list.[14].$/.test(name) || process?.definition === 'shaky' ? 'fails' : done;
  await workOff(scene, say);
  for (let passed = 0; passed < 3; passed += 1) {
    await pass(scene, 'timer');
    await think(scene, 'timers');
    await workOff(scene, say);
  }
  for (const [kind, end] of Object.entries(ends)) {
    const states = await database.sql('select distinct state from skipjack.processes where id = any ($1)', [
      ids[kind as Kind],
    ]);
    expect(states, kind).toEqual([{ state: end }]);
  }

  measured.begin('retry');
  for (const id of ids['is retried']) await engine.process(id).retry({ inputs: { a: { other: true } } });
  await think(scene, 'retries');
  await workOff(scene);
  measured.begin('delete');
  for (const id of ids['is retried']) await engine.process(id).delete();
  const old = await database.sql<{ id: string }>('select id from skipjack.processes order by id limit 1');
  await look(scene, old[0]?.id as string);
}

/**
 * With the long history of these there are 10,000 and more: what reads one of them whole is far beyond the bound. What is
 * live is found by entries of which up to 1,500 are of processes that have ended meanwhile.
 */
const longOnes = [
  'tasks',
  'processes',
  'item_lists',
  'events',
  'process_results',
  'process_inputs',
  'process_events',
  'attempts',
  'dead_letters',
  'idempotency_keys',
];
const boundOfLong = { rows: 2_500, ofEachMoved: 10 };

/** A table of few pages is rightly read whole for each row that is looked for. */
const boundOfShort = { rows: 15_000, ofEachMoved: 300 };

/** Rows read above the bound. */
function excessOf({ tables: read, moved }: Seen, long: string[]): number {
  const above = (isWanted: (table: string) => boolean, { rows, ofEachMoved }: typeof boundOfLong) => {
    const own = Object.entries(read).filter(([table]) => isWanted(table));
    return own.reduce((sum, [, count]) => sum + count, 0) - rows - ofEachMoved * moved;
  };
  return Math.max(
    above((table) => long.includes(table), boundOfLong),
    above((table) => !long.includes(table), boundOfShort),
  );
}

function say({ move, read, moved, tables: byTable, text }: Seen): string {
  const said = text.replace(/\s+/g, ' ').trim().slice(0, 120);
  return `${move}: ${read} rows read and ${moved} moved, ${JSON.stringify(byTable)}, by ${said}`;
}

/** In a session of its own: functions are planned anew. */
async function run(
  database: TestDatabase,
  { when, long, count = many }: { when: string; long: string[]; count?: number },
): Promise<string[]> {
  const measured = await measure(database);
  const queue = openQueue(measured.db, { pollIntervalMs: 600_000 });
  const engine = new Engine({ queue });
  try {
    await runAll({ database, measured, queue, engine }, count);
  } finally {
    await engine.close();
    await queue.close();
  }
  const seen = measured.take();
  const excess = (each: Seen) => excessOf(each, long);
  const most = Math.max(...seen.map(excess));
  console.log(
    `${when}, ${count} of each kind: ${seen.length} statements, the worst ${most} rows above its bound`,
  );
  return seen.filter((each) => excess(each) > 0).map((each) => `${when}: ${say(each)}`);
}

/** The history is none that could have been. Nothing analyses but we. */
async function prepare(database: TestDatabase): Promise<void> {
  database.skipAudit();
  for (const table of tables)
    await database.sql(`alter table skipjack.${table} set unlogged, set (autovacuum_enabled = false)`);
  const publisher = new Engine({ queue: database.queue });
  for (const source of definitions) await publisher.publish({ source });
  await publisher.close();
}

test('no move of the engine reads a table whole', { timeout: 180_000 }, async ({ database }) => {
  await prepare(database);
  const { sql } = database;
  const truncate = () => sql(`truncate ${tables.map((table) => `skipjack.${table}`).join(', ')}`);

  const found: string[] = [];
  await fillHistory(database, littleHistoryOf);
  found.push(...(await run(database, { when: 'never analyzed', long: ['tasks'] })));
  await truncate();
  await sql('analyze');
  found.push(...(await run(database, { when: 'analyzed when empty', long: [] })));
  await fillHistory(database, historyOf);
  const misled = 'full, analyzed when empty';
  found.push(...(await run(database, { when: misled, long: longOnes })));
  found.push(...(await run(database, { when: misled, long: longOnes, count: 1 })));
  // What has gone is cleared away as well.
  await sql('vacuum analyze');
  found.push(...(await run(database, { when: 'full, analyzed', long: longOnes })));
  found.push(...(await run(database, { when: 'full, analyzed', long: longOnes, count: 1 })));
  await truncate();
  found.push(...(await run(database, { when: 'emptied, with the statistics of full', long: [] })));
  expect(found).toEqual([]);
});

test('an inbox that is believed to be empty is not walked through', async ({ database }) => {
  await prepare(database);
  const { sql } = database;
  const fill = `insert into skipjack.engine_items (process_id, kind, available_at)
    select skipjack.new_id(), 'timer', clock_timestamp() + interval '1 year' from generate_series(1, 5000)`;
  await sql(fill);
  await sql('delete from skipjack.engine_items');
  // Pages without rows.
  await sql('analyze');
  await sql(fill);
  const measured = await measure(database);
  const queue = openQueue(measured.db, { pollIntervalMs: 600_000 });
  const engine = new Engine({ queue });
  const scene = { database, measured, queue, engine };
  await start(scene, many);
  await think(scene, 'starts');
  const claimed = await claimAll(scene, 'stopping');
  await settle(scene, claimed, ({ name }) => (name === 'a' ? 'fails' : done));
  await think(scene, 'stops');
  await workOff(scene);
  await engine.close();
  await queue.close();
  const found = measured.take().filter(({ tables: read }) => (read.engine_items ?? 0) > 5_000);
  expect(found.map(say)).toEqual([]);
});
