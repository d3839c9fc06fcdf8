/** Races: one session is stopped between two of its statements, the other comes to wait for it. Never luck. */
import type pg from 'pg';
import { expect } from 'vitest';
import { newId } from '../../../../src/core/ids.ts';
import type { ClaimedTask } from '../../../../src/core/task-source.ts';
import type { Database } from '../../../../src/database/connection.ts';
import { claimStatement } from '../../../../src/queue/claim-statement.ts';
import { settleTasks } from '../../../../src/queue/settle.ts';
import type { TestDatabase } from '../../../support/database.ts';
import { type Saying, settlementOf } from '../../../support/processes.ts';

/** The statement that locks a process. */
export const lock = /for no key update/;
/** The one that settles tasks of processes. */
export const settleSql = /counted_down/;

export interface Stopped {
  /** For the move that is to be stopped. */
  db: Database;
  /** Resolves with the number of its connection when it has come to the stop. */
  reached: Promise<number>;
  go: () => void;
}

/** The database as ever, but the first session that sends a statement like `pattern` stops behind its answer. */
export function stopAfter({ db }: TestDatabase, pattern: RegExp): Stopped {
  let go = () => {};
  const gate = new Promise<void>((resolve) => {
    go = resolve;
  });
  let reach: (pid: number) => void = () => {};
  const reached = new Promise<number>((resolve) => {
    reach = resolve;
  });
  let stopped = false;
  type Queries = { query: (text: string, values?: unknown[]) => Promise<unknown> };
  function stopping<Target extends object>(target: Target, pid: () => number): Target {
    return new Proxy(target, {
      get(of, name) {
        if (name === 'query')
          return async (text: string, values?: unknown[]) => {
            const answer = await (of as Queries).query(text, values);
            if (!stopped && pattern.test(text)) {
              stopped = true;
              reach(pid());
              await gate;
            }
            return answer;
          };
        if (name === 'connect')
          return async () => {
            const client = await (of as unknown as pg.Pool).connect();
            return stopping(client, () => (client as unknown as { processID: number }).processID);
          };
        const value = Reflect.get(of, name, of);
        return typeof value === 'function' ? value.bind(of) : value;
      },
    });
  }
  return { db: { ...db, pool: stopping(db.pool, () => 0) }, reached, go };
}

/** Resolves when a connection waits for a lock that this one holds. */
export async function untilWaitsFor({ sql }: TestDatabase, pid: number): Promise<void> {
  for (const until = performance.now() + 20_000; performance.now() < until; ) {
    const [row] = await sql<{ waits: boolean }>(
      `select exists (select from pg_stat_activity where datname = current_database()
         and $1 = any (pg_blocking_pids(pid))) as waits`,
      [pid],
    );
    if (row?.waits) return;
  }
  throw new Error(`nobody came to wait for connection ${pid}`);
}

/** `first` is stopped after a statement like `pattern`, `second` comes to wait for it, then both go on. */
export async function race<First, Second>(
  database: TestDatabase,
  pattern: RegExp,
  first: (db: Database) => Promise<First>,
  second: (db: Database) => Promise<Second>,
): Promise<[First, Second]> {
  const stopped = stopAfter(database, pattern);
  const one = first(stopped.db);
  const pid = await Promise.race([stopped.reached, one.then(() => 0)]);
  if (pid === 0) throw new Error(`the first never sent a statement like ${pattern}`);
  const other = second(database.db);
  await untilWaitsFor(database, pid);
  stopped.go();
  return Promise.all([one, other]);
}

/** A claim of one task, stopped before its commit. */
export async function claimUncommitted(database: TestDatabase): Promise<{ client: pg.Client; pid: number }> {
  const client = await database.connect();
  await client.query('begin isolation level read committed');
  const range = {
    part: 0,
    first: 1,
    last: 1,
    last_started: 1,
    worker: 'racer',
    lease_ms: 30_000,
    grace_ms: 0,
    claim_id: newId(),
  };
  const { text, values } = claimStatement({
    selection: { queues: ['default'], lines: null },
    limit: 1,
    ranges: JSON.stringify([range]),
  });
  const { rows } = await client.query(text, values);
  expect(rows[0].tasks).toHaveLength(1);
  return { client, pid: (client as unknown as { processID: number }).processID };
}

export const settles =
  (database: TestDatabase, task: ClaimedTask, saying: Saying = 'completes') =>
  (db: Database = database.db) =>
    settleTasks(db, [settlementOf(task, saying)]);

/** As a race, but the first may be done before it comes to the stop, and the second need not wait for it. */
export async function meet(
  database: TestDatabase,
  pattern: RegExp,
  first: (db: Database) => Promise<unknown>,
  second: (db: Database) => Promise<unknown>,
) {
  const stopped = stopAfter(database, pattern);
  const one = first(stopped.db);
  const pid = await Promise.race([stopped.reached, one.then(() => 0)]);
  const other = second(database.db);
  await Promise.race([untilWaitsFor(database, pid), other]);
  stopped.go();
  const results = await Promise.allSettled([one, other]);
  expect(results.filter((result) => result.status === 'rejected')).toEqual([]);
}
