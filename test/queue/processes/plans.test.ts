/**
 * Plans of the moves of processes: what they touch, over the product's own connections, stays near what they
 * move, whatever has been and whatever the statistics say of it.
 */
import type pg from 'pg';
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { type Database, inTransaction, type Transaction } from '../../../src/database/connection.ts';
import { startProcesses } from '../../../src/engine/start.ts';
import { claimStatement } from '../../../src/queue/claim-statement.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { endTaskByName } from '../../../src/queue/processes/end-by-name.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { settleTasks } from '../../../src/queue/settle.ts';
import { settleStatement } from '../../../src/queue/settle-statement.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { newProcess, publish, run, settlementOf, start } from '../../support/processes.ts';
import { claim } from '../../support/tasks.ts';

const buffersMax = 500;
const rowsMax = 500;
/** Where Postgres knows that there are a few dozen rows it rightly reads all of them, a few times over in a retry. */
const rowsOfSmallMax = 750;
const historyOf = 30_500;
const tasksEach = 10;

class RolledBack extends Error {}

/** Runs it and undoes it; pages that its last statement touched. */
async function explain(
  { db }: TestDatabase,
  statement: { text: string; values: unknown[] },
  before: (tx: Transaction) => Promise<unknown> = async () => {},
) {
  let buffers = 0;
  await inTransaction(db, async (tx) => {
    await before(tx);
    const { rows } = await tx.query(
      `explain (analyze, buffers, format json) ${statement.text}`,
      statement.values,
    );
    const plan = rows[0]['QUERY PLAN'][0].Plan;
    buffers = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
    throw new RolledBack();
  }).catch((error) => {
    if (!(error instanceof RolledBack)) throw error;
  });
  return buffers;
}

/** Runs a move and undoes it; rows of ours that all its statements together visited. */
async function rowsVisited({ db }: TestDatabase, move: (db: Database) => Promise<unknown>): Promise<number> {
  const client = await db.pool.connect();
  // Of this transaction: what the move sends as `begin` and `commit` is left out.
  const counters = `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as rows from pg_stat_xact_user_tables where schemaname = 'skipjack'`;
  try {
    await client.query('begin isolation level read committed');
    const before = (await client.query(counters)).rows[0].rows;
    const query = async (text: string, values?: unknown[]) =>
      /^(begin|commit)/.test(text) ? undefined : client.query(text, values);
    const session = { query, on: () => {}, off: () => {}, release: () => {} };
    const pool = { connect: async () => session, query } as unknown as pg.Pool;
    await move({ ...db, pool, hints: { ...db.hints, announce: () => {} } });
    return (await client.query(counters)).rows[0].rows - before;
  } finally {
    await client.query('rollback');
    client.release();
  }
}

/** Processes that have ended, each of a chain of tasks, made by SQL; some of them failed, with all that is left of it. */
async function fillHistory({ sql }: TestDatabase, definitionId: string) {
  await sql(
    `with made as (
       insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, created_at, finished_at)
       select skipjack.new_id(), $1, case when number % 10 = 0 then 'failed' else 'completed' end, true, ${tasksEach}, 0,
         clock_timestamp() - interval '1 day', clock_timestamp()
       from generate_series(1, ${historyOf}) as number
       returning id, state
     ), tasks as (
       insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, created_at, finished_at, claim_no, failures,
         dependents, error)
       select skipjack.new_id(), made.id, place, 'filler', 'default', 5, case when place = ${tasksEach} then made.state else 'completed' end,
         clock_timestamp() - interval '1 day', clock_timestamp(), 1, (place = ${tasksEach} and made.state = 'failed')::integer,
         case when place < ${tasksEach} then array[place + 1] end, '{}'
       from made cross join generate_series(1, ${tasksEach}) as place
       returning id, state, name, queue
     ), letters as (
       insert into skipjack.dead_letters (task_id, name, queue, reason, failed_at)
       select id, name, queue, 'failed', clock_timestamp() from tasks where state = 'failed'
     )
     insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
     select id, 1, 1, 'failed', '{}', 'w', clock_timestamp(), clock_timestamp() from tasks where state = 'failed'`,
    [definitionId],
  );
}

const tables = [
  'processes',
  'tasks',
  'queue_items',
  'attempts',
  'dead_letters',
  'process_events',
  'process_inputs',
  'idempotency_keys',
];
const graph = { a: [], b: [], c: ['a', 'b'], d: ['a'], e: ['c', 'd'] };

/** Five processes of which `a` and `b` are claimed; what moves of theirs touch. */
async function measure(database: TestDatabase, definitionId: string): Promise<Record<string, number>> {
  const seen: Record<string, number> = {};
  const ids = Array.from({ length: 5 }, () => newId());
  await startProcesses(
    database.db,
    ids.map((id) => newProcess({ id, definition_id: definitionId })),
  );
  const range = {
    part: 0,
    first: 1,
    last: 10,
    last_started: 10,
    worker: 'w',
    lease_ms: 1_000,
    grace_ms: 0,
    claim_id: newId(),
  };
  const selection = { queues: ['default'], lines: null };
  const claiming = claimStatement({ selection, limit: 10, ranges: JSON.stringify([range]) });
  seen['claim of 10, pages'] = await explain(database, claiming);
  const tasks = await claim(database, { limit: 10 });
  expect(tasks).toHaveLength(10);
  for (const saying of ['completes', 'fails'] as const) {
    const outcomes = tasks.map((task) => settlementOf(task, saying));
    const settling = settleStatement(outcomes, { inProcesses: true });
    seen[`settle of 10 that ${saying}, pages`] = await explain(database, settling, (tx) =>
      lockProcesses(tx, ids),
    );
    seen[`settle of 10 that ${saying}, rows`] = await rowsVisited(database, (db) =>
      settleTasks(db, outcomes),
    );
  }
  const [one, failed] = [ids[0] as string, await start(database, graph)];
  await run(database, failed, 'a', 'fails');
  const moves: Record<string, (db: Database) => Promise<{ kind: string }>> = {
    cancelling: (db) => cancelProcess(db, one),
    done: (db) => setProcessPaused(db, one, true),
    retried: (db) => retryProcess(db, failed),
    deleted: (db) => deleteProcess(db, failed),
    already_claimed: (db) => endTaskByName(db, one, 'a', { kind: 'completed', output: 1 }),
    created: async (db) =>
      (await startProcesses(db, [newProcess({ definition_id: definitionId })]))[0] ?? { kind: 'none' },
  };
  for (const [kind, move] of Object.entries(moves)) {
    seen[`${kind}, rows`] = await rowsVisited(database, async (db) =>
      expect(await move(db)).toMatchObject({ kind }),
    );
  }
  for (const id of ids) await cancelProcess(database.db, id);
  await settleTasks(
    database.db,
    tasks.map((task) => settlementOf(task, { kind: 'cancelled' })),
  );
  return seen;
}

test('moves of processes touch little on an empty database and beside 305,000 tasks that have ended', async ({
  database,
}) => {
  const { sql } = database;
  // Nothing analyses but we: the statistics are what each line below says.
  for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
  const definitionId = await publish(database, graph);
  const figures: Record<string, Record<string, number>> = {};
  const measured = async (when: string) => {
    figures[when] = await measure(database, definitionId);
  };
  await measured('never analyzed, empty');
  await sql(`truncate ${tables.map((table) => `skipjack.${table}`).join(', ')}`);
  await sql('analyze');
  await measured('analyzed when empty');
  await fillHistory(database, definitionId);
  await measured('full, analyzed when empty');
  await sql('analyze');
  await measured('full, analyzed');
  await sql(`truncate ${tables.map((table) => `skipjack.${table}`).join(', ')}`);
  await measured('emptied, with the statistics of 305,000');
  console.table(figures);
  const whenSmall = new Set(['analyzed when empty', 'emptied, with the statistics of 305,000']);
  const tooMany = Object.entries(figures).flatMap(([when, seen]) =>
    Object.entries(seen)
      .filter(([what, count]) => {
        if (what.endsWith('pages')) return count > buffersMax;
        return count > (whenSmall.has(when) ? rowsOfSmallMax : rowsMax);
      })
      .map(([what, count]) => `${what}: ${count}, ${when}`),
  );
  expect(tooMany).toEqual([]);
}, 180_000);

test('what follows from failures in some of many processes touches their own tasks', async ({ database }) => {
  const { sql, db } = database;
  for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
  const definitionId = await publish(database, graph, { failFast: false });
  const ids = Array.from({ length: 8 }, () => newId());
  await startProcesses(
    db,
    ids.map((id) => newProcess({ id, definition_id: definitionId })),
  );
  const tasks = await claim(database, { limit: 16 });
  const outcomes = tasks.filter(({ name }) => name === 'a').map((task) => settlementOf(task, 'fails'));
  const never = await rowsVisited(database, (each) => settleTasks(each, outcomes));
  await fillHistory(database, definitionId);
  await sql('analyze');
  const analyzed = await rowsVisited(database, (each) => settleTasks(each, outcomes));
  console.log(`rows visited: ${never} when never analyzed, ${analyzed} beside a history`);
  expect(Math.max(never, analyzed)).toBeLessThan(rowsMax);
});

test('statements are not compiled, whatever the server is set to', async ({ database }) => {
  const { rows } = await database.db.pool.query('show jit');
  expect(rows).toEqual([{ jit: 'off' }]);
});

test('the countdown of a process and a need less of a task are HOT updates: they write no index', async ({
  database,
}) => {
  // Room on every page: whether old versions are cleared away in time depends on what else the server does.
  for (const table of ['tasks', 'processes'])
    await database.sql(`alter table skipjack.${table} set (fillfactor = 10)`);
  const needs = Array.from({ length: 10 }, (_, index) => `n${index}`);
  const joined = { ...Object.fromEntries(needs.map((name) => [name, []])), j: needs };
  const definitionId = await publish(database, joined);
  const ids = Array.from({ length: 3 }, () => newId());
  await startProcesses(
    database.db,
    ids.map((id) => newProcess({ id, definition_id: definitionId })),
  );
  const tasks = await claim(database, { limit: 30 });
  const counters = `select relname, n_tup_upd::integer as updated, n_tup_hot_upd::integer as hot
    from pg_stat_xact_user_tables where relname in ('tasks', 'processes') order by relname`;
  const sum: Record<string, { updated: number; hot: number }> = {};
  // One need of each process at a time, in a transaction of its own; the last ones queue the joins.
  for (const name of needs) {
    const outcomes = tasks
      .filter((task) => task.name === name)
      .map((task) => settlementOf(task, 'completes'));
    await inTransaction(database.db, async (tx) => {
      const before = (await tx.query(counters)).rows;
      await lockProcesses(tx, ids);
      const { text, values } = settleStatement(outcomes, { inProcesses: true });
      await tx.query(text, values);
      for (const [index, { relname, updated, hot }] of (await tx.query(counters)).rows.entries()) {
        const total = sum[relname] ?? { updated: 0, hot: 0 };
        total.updated += updated - before[index].updated;
        total.hot += hot - before[index].hot;
        sum[relname] = total;
      }
    });
  }
  expect(await database.sql(`select from skipjack.tasks where state = 'active' and name = 'j'`)).toHaveLength(
    3,
  );
  expect(sum).toEqual({ processes: { updated: 30, hot: 30 }, tasks: { updated: 60, hot: 60 } });
});
