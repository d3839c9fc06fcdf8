/**
 * Plans: what claim, settle and heartbeat touch, read from EXPLAIN (ANALYZE, BUFFERS) over the product's own
 * connections, stays near what they return, whatever waits, whatever has been, whatever the statistics say.
 */
import { expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { inTransaction } from '../../src/database/connection.ts';
import { claimTasks } from '../../src/queue/claim.ts';
import { createClaimLine } from '../../src/queue/claim-line.ts';
import { type ClaimSelection, claimStatement } from '../../src/queue/claim-statement.ts';
import { heartbeatStatement } from '../../src/queue/heartbeat.ts';
import { settleStatement } from '../../src/queue/settle-statement.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claim, claimNoOf, enqueue } from '../support/tasks.ts';

const buffersMax = 200;

interface Node {
  'Shared Hit Blocks': number;
  'Shared Read Blocks': number;
  'Node Type': string;
  'Relation Name'?: string;
  'Rows Removed by Filter'?: number;
  Plans?: Node[];
}

class RolledBack extends Error {}

/** Runs the statement for its plan and undoes it. */
async function explain({ db }: TestDatabase, statement: { text: string; values: unknown[] }) {
  let root: Node | undefined;
  await inTransaction(db, async (tx) => {
    const { rows } = await tx.query(
      `explain (analyze, buffers, format json) ${statement.text}`,
      statement.values,
    );
    root = rows[0]['QUERY PLAN'][0].Plan;
    throw new RolledBack();
  }).catch((error) => {
    if (!(error instanceof RolledBack)) throw error;
  });
  if (!root) throw new Error('no plan');
  return { buffers: root['Shared Hit Blocks'] + root['Shared Read Blocks'], plan: root };
}

function claimOf(count: number, selection: Partial<ClaimSelection> = {}) {
  const part = {
    part: 0,
    first: 1,
    last: count,
    last_started: count,
    worker: 'w',
    lease_ms: 30_000,
    grace_ms: 0,
    claim_id: newId(),
  };
  return claimStatement({
    selection: { queues: ['default'], lines: null, ...selection },
    limit: count,
    ranges: JSON.stringify([part]),
  });
}

/** Tasks with their items, made by SQL: a million through the product would take a minute. */
async function fill(
  { sql }: TestDatabase,
  {
    count,
    queue = `'default'`,
    priority = '5',
    due = `clock_timestamp() - interval '1 minute'`,
  }: { count: number; queue?: string; priority?: string; due?: string },
) {
  await sql(
    `with made as (
       insert into skipjack.tasks (id, name, queue, priority, created_at)
       select skipjack.new_id(), 'filler', ${queue}, ${priority}, clock_timestamp() - interval '2 minutes'
       from generate_series(1, ${count}) as number
       returning id, queue, priority
     )
     insert into skipjack.queue_items (task_id, queue, priority, available_at)
     select id, queue, priority, ${due} from made`,
  );
}

test('a claim of 10 touches few buffers on an empty queue, behind 100,000 waiting and 1,000,000 scheduled', async ({
  database,
}) => {
  const { sql } = database;
  expect((await explain(database, claimOf(10))).buffers).toBeLessThan(buffersMax);
  // Statistics from the empty table must not matter: nothing analyses these tables until we say so.
  await sql('alter table skipjack.queue_items set (autovacuum_enabled = false)');
  await sql('alter table skipjack.tasks set (autovacuum_enabled = false)');
  await sql('analyze skipjack.queue_items, skipjack.tasks');

  await fill(database, { count: 100_000 });
  expect((await explain(database, claimOf(10))).buffers).toBeLessThan(buffersMax);
  await sql('analyze skipjack.queue_items, skipjack.tasks');
  expect((await explain(database, claimOf(10))).buffers).toBeLessThan(buffersMax);

  const claimed = await claimTasks(database.db, { queues: ['default'], lines: null }, [
    {
      limit: 10,
      startLimit: 10,
      worker: 'w',
      leaseMs: 30_000,
      timeoutGraceMs: 0,
      claimId: newId(),
      mayRepeat: false,
    },
  ]);
  const tasks = claimed.parts[0] ?? [];
  const settle = settleStatement(
    tasks.map((task) => ({ taskId: task.id, claimNo: claimNoOf(task), kind: 'completed', output: 1 })),
    { inProcesses: false },
  );
  expect((await explain(database, settle)).buffers).toBeLessThan(buffersMax);
  const failed = settleStatement(
    tasks.map((task) => ({
      taskId: task.id,
      claimNo: claimNoOf(task),
      kind: 'failed',
      error: { code: 'x', message: 'x' },
    })),
    { inProcesses: false },
  );
  expect((await explain(database, failed)).buffers).toBeLessThan(1.5 * buffersMax);
  const beat = heartbeatStatement(
    tasks.map((task) => ({
      taskId: task.id,
      claimNo: claimNoOf(task),
      started: true,
      leaseMs: 30_000,
      timeoutGraceMs: 0,
    })),
  );
  expect((await explain(database, beat)).buffers).toBeLessThan(buffersMax);

  // Only scheduled ones: nothing to take, and nothing walked.
  await sql('delete from skipjack.queue_items');
  await sql(
    `insert into skipjack.queue_items (task_id, queue, priority, available_at)
     select skipjack.new_id(), 'default', 5, clock_timestamp() + number * interval '1 second'
     from generate_series(1, 1000000) as number`,
  );
  await sql('vacuum skipjack.queue_items');
  for (const statistics of ['from the other extreme', 'fresh']) {
    if (statistics === 'fresh') await sql('analyze skipjack.queue_items');
    expect((await explain(database, claimOf(10))).buffers, statistics).toBeLessThan(buffersMax);
  }
  await sql('truncate skipjack.queue_items');
  expect(
    (await explain(database, claimOf(10))).buffers,
    'emptied, with the statistics of a million',
  ).toBeLessThan(buffersMax);
  database.skipAudit();
}, 180_000);

test('a claim of 10 touches few buffers with skewed priorities and with 500 queues', async ({ database }) => {
  await fill(database, { count: 50_000, priority: 'case when number % 10000 = 0 then 9 else 0 end' });
  await database.sql('analyze skipjack.queue_items, skipjack.tasks');
  expect((await explain(database, claimOf(10))).buffers).toBeLessThan(buffersMax);

  await fill(database, { count: 50_000, queue: `'queue ' || number % 500` });
  expect(
    (await explain(database, claimOf(10, { queues: ['default', 'queue 7', 'queue 499'] }))).buffers,
  ).toBeLessThan(buffersMax);
  // Served by one worker, all 500: found once, then remembered for a moment.
  const queues = Array.from({ length: 500 }, (_, index) => `queue ${index}`);
  const part = {
    limit: 10,
    startLimit: 10,
    worker: 'w',
    leaseMs: 30_000,
    timeoutGraceMs: 0,
    claimId: newId(),
    mayRepeat: false,
  };
  const found = await claimTasks(database.db, { queues, lines: null }, [part]);
  expect(found.lines).toHaveLength(500);
  expect((await explain(database, claimOf(10, { queues, lines: found.lines }))).buffers).toBeLessThan(
    buffersMax,
  );
}, 120_000);

test('a claim of 10 behind 200,000 dead rows held by an open transaction touches few buffers', async ({
  database,
}) => {
  const { sql } = database;
  await fill(database, { count: 200_000, due: `clock_timestamp() - interval '1 hour'` });
  const old = await database.connect();
  await old.query('begin isolation level repeatable read');
  await old.query('select count(*) from skipjack.queue_items');
  await sql(`with ended as (delete from skipjack.queue_items returning task_id)
    update skipjack.tasks as task set state = 'completed', finished_at = clock_timestamp() from ended where id = task_id`);
  await fill(database, { count: 100 });

  // The claim line finds its way through the dead rows once, and remembers.
  const line = createClaimLine(database.db, { queues: ['default'] });
  const part = {
    limit: 10,
    startLimit: 10,
    worker: 'w',
    leaseMs: 30_000,
    timeoutGraceMs: 0,
    claimId: newId(),
    mayRepeat: false,
  };
  expect(await line.claim(part, { waitMs: 0 })).toHaveLength(10);
  line.close();
  const found = await claimTasks(database.db, { queues: ['default'], lines: null }, [
    { ...part, claimId: newId() },
  ]);
  const seen = await explain(database, claimOf(10, { lines: found.lines }));
  expect(seen.buffers).toBeLessThan(buffersMax);
  const blind = await explain(database, claimOf(10));
  expect(blind.buffers, 'without the floor, to show what it is for').toBeGreaterThan(buffersMax);
  await old.query('rollback');
}, 120_000);

test('a heartbeat, and the end of a task in the record, are HOT updates: they write no index', async ({
  database,
}) => {
  await Promise.all(Array.from({ length: 20 }, () => enqueue(database)));
  const tasks = await claim(database, { limit: 20 });
  const claims = tasks.map((task) => ({ taskId: task.id, claimNo: claimNoOf(task) }));
  const updates = async (statement: { text: string; values: unknown[] }, table: string) =>
    inTransaction(database.db, async (tx) => {
      // Earlier transactions of the connection may not have been flushed out of these counters.
      const counters =
        'select n_tup_upd::integer as updated, n_tup_hot_upd::integer as hot from pg_stat_xact_user_tables where relname = $1';
      const before = (await tx.query(counters, [table])).rows[0];
      await tx.query(statement.text, statement.values);
      const after = (await tx.query(counters, [table])).rows[0];
      return { updated: after.updated - before.updated, hot: after.hot - before.hot };
    });
  const beat = heartbeatStatement(
    claims.map((each) => ({ ...each, started: true, leaseMs: 30_000, timeoutGraceMs: 0 })),
  );
  expect(await updates(beat, 'queue_items')).toEqual({ updated: 20, hot: 20 });
  const settle = settleStatement(
    claims.map((each) => ({ ...each, kind: 'completed', output: 'done' })),
    { inProcesses: false },
  );
  expect(await updates(settle, 'tasks')).toEqual({ updated: 20, hot: 20 });
});
