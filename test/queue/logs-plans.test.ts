/**
 * Plans: what appending, reading, looking and pruning touch stays near what they move, among a million chunks of others,
 * with statistics from an empty table and with true ones.
 */

import type pg from 'pg';
import { describe, expect } from 'vitest';
import type { ClaimedTask } from '../../src/core/task-source.ts';
import type { Database } from '../../src/database/connection.ts';
import { appendLogs } from '../../src/queue/logs/append.ts';
import { pruneLogs } from '../../src/queue/logs/prune.ts';
import { readLogPage } from '../../src/queue/logs/read.ts';
import { lookAtLogs } from '../../src/queue/logs/subject.ts';
import { findTail } from '../../src/queue/logs/tail.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimNamed, start } from '../support/processes.ts';
import { claim, claimOf, enqueue } from '../support/tasks.ts';

const chunksOfOthers = 1_000_000;

interface Measured {
  buffers: number;
  ms: number;
}

/** Runs `call` over a pool that explains what it is asked, and does it. Answers the dearest statement. */
async function measure({ db }: TestDatabase, call: (db: Database) => Promise<unknown>): Promise<Measured> {
  let most: Measured = { buffers: 0, ms: 0 };
  const query = async (text: string, values: unknown[]) => {
    const client = await db.pool.connect();
    try {
      await client.query('begin');
      const explained = await client.query(`explain (analyze, buffers, format json) ${text}`, values);
      await client.query('rollback');
      const [{ Plan: plan, 'Execution Time': ms }] = explained.rows[0]['QUERY PLAN'];
      const buffers = plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
      if (buffers > most.buffers) most = { buffers, ms };
    } finally {
      client.release();
    }
    return db.pool.query(text, values);
  };
  await call({ ...db, pool: { query } as unknown as pg.Pool });
  return most;
}

async function fill({ sql }: TestDatabase) {
  await sql(
    `insert into skipjack.task_logs (task_id, claim_no, attempt, process_id, first_line, line_count, bytes_so_far, at, lines)
     select ('0199a2c4-0000-7000-8000-' || lpad(to_hex(number % 5000), 12, '0'))::uuid, 1, 1,
       case when number % 2 = 0 then ('0199a2c4-0000-7000-9000-' || lpad(to_hex(number % 100), 12, '0'))::uuid end,
       number / 5000 * 10 + 1, 10, number * 100, clock_timestamp() - interval '1 day',
       '[[0, "stdout", null, "one of ten lines that somebody said"]]'
     from generate_series(0, ${chunksOfOthers - 1}) as number`,
  );
}

describe.each(['true', 'of an empty table'])('with statistics that are %s', (statistics) => {
  test('every statement touches little', { timeout: 180_000 }, async ({ database }) => {
    const { db, sql } = database;
    database.skipAudit();
    await sql('alter table skipjack.task_logs set (autovacuum_enabled = false)');
    const tasks: ClaimedTask[] = [];
    for (let count = 0; count < 100; count += 1) await enqueue(database);
    tasks.push(...(await claim(database, { limit: 100 })));
    const id = await start(database, { a: [] });
    const inProcess = await claimNamed(database, id, 'a');
    // One whose newest chunk is older than a million others.
    await appendLogs(db, chunksOf([inProcess], 1));
    await sql('analyze skipjack.task_logs');
    await fill(database);
    if (statistics === 'true') await sql('analyze skipjack.task_logs');

    const seen: Record<string, Measured> = {};
    seen.append = await measure(database, (own) => appendLogs(own, chunksOf(tasks, 1)));
    seen.again = await measure(database, (own) => appendLogs(own, chunksOf(tasks, 1)));
    await appendLogs(db, chunksOf(tasks, 3));
    const [first] = tasks as [ClaimedTask];
    const ofTask = { what: 'task', id: first.id } as const;
    const ofProcess = { what: 'process', id } as const;
    const ofMany = { what: 'process', id: '0199a2c4-0000-7000-9000-000000000002' } as const;
    seen.page = await measure(database, (own) => readLogPage(own, ofTask, { limit: 50 }));
    seen.pageOfProcess = await measure(database, (own) => readLogPage(own, ofProcess, { limit: 50 }));
    seen.pageOfMany = await measure(database, (own) =>
      readLogPage(own, ofMany, { limit: 50, after: { within: chunksOfOthers / 2, line: 0 } }),
    );
    seen.tail = await measure(database, (own) => findTail(own, ofTask, { count: 3 }));
    seen.tailOfMany = await measure(database, (own) => findTail(own, ofMany, { count: 1_000 }));
    const subjects = [...tasks.map((task) => ({ what: 'task', id: task.id }) as const), ofProcess, ofMany];
    seen.look = await measure(database, (own) => lookAtLogs(own, subjects));
    seen.pruneNothing = await measure(database, (own) =>
      pruneLogs(own, { retentionMs: 14 * 24 * 3_600_000 }),
    );
    await sql(`update skipjack.task_logs set at = at - interval '20 days' where id <= 700`);
    seen.prune = await measure(database, (own) => pruneLogs(own, { retentionMs: 14 * 24 * 3_600_000 }));
    console.log(`statistics ${statistics}: ${JSON.stringify(seen)}`);

    const most: Record<string, number> = {
      append: 4_000,
      again: 3_000,
      page: 100,
      pageOfProcess: 100,
      // As many chunks are looked at as lines are wanted, each with the one before it.
      pageOfMany: 800,
      tail: 100,
      tailOfMany: 1_500,
      look: 1_500,
      pruneNothing: 1_000,
      prune: 15_000,
    };
    for (const [name, { buffers }] of Object.entries(seen))
      expect(buffers, name).toBeLessThan(most[name] ?? 0);
  });
});

function chunksOf(tasks: ClaimedTask[], firstLine: number) {
  return tasks.map((task) => ({
    ...claimOf(task),
    firstLine,
    lines: ['a', 'b'].map((text) => ({ agoMs: 0, stream: 'stdout' as const, part: null, text })),
  }));
}
