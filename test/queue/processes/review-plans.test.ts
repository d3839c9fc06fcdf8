/** What moves touch beside 20,000 processes that wait, each with a timer, an event that it waits for and a parent. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { inTransaction, type Transaction } from '../../../src/database/connection.ts';
import { activateCleanups } from '../../../src/queue/processes/activate-cleanups.ts';
import { readDueThoughts } from '../../../src/queue/processes/due-thoughts.ts';
import { endTasks } from '../../../src/queue/processes/end-tasks.ts';
import { giveUpWaits } from '../../../src/queue/processes/event-waits.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { markCancelling } from '../../../src/queue/processes/mark-cancelling.ts';
import { markFailing } from '../../../src/queue/processes/mark-failing.ts';
import { parkTasks, queueTasks } from '../../../src/queue/processes/park.ts';
import { retryLocking } from '../../../src/queue/processes/retry.ts';
import { startWithin } from '../../../src/queue/processes/start-within.ts';
import { stopProcesses } from '../../../src/queue/processes/stop.ts';
import { publishPlan } from '../../engine/thinking/support/plans.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { place } from './support/by-hand.ts';

const waiting = 20_000;
const rowsMax = 300;

const tables = [
  'processes',
  'tasks',
  'queue_items',
  'engine_items',
  'item_lists',
  'event_waits',
  'dead_letters',
];

async function fill({ sql }: TestDatabase, definitionId: string) {
  await sql(
    `with made as (
       insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, thinks, finishes, cleans_up,
         parent_process_id, parent_task_id, created_at)
       select skipjack.new_id(), $1, 'running', true, 2, 2, true, true, true, skipjack.new_id(), skipjack.new_id(),
         clock_timestamp()
       from generate_series(1, ${waiting})
       returning id
     ), tasks as (
       insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, created_at, waits_for, thinks)
       select skipjack.new_id(), made.id, place, 'filler', 'default', 5, 'active', clock_timestamp(),
         case place when 1 then 'event' end, true
       from made cross join generate_series(1, 2) as place
       returning id, process_id, waits_for
     ), items as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
       select id, process_id, 'filler', 5, clock_timestamp() from tasks where waits_for is null
     ), thoughts as (
       insert into skipjack.engine_items (process_id, task_id, kind, available_at)
       select process_id, id, 'timer', clock_timestamp() + interval '1 day' from tasks where waits_for is not null
     ), waits as (
       insert into skipjack.event_waits (task_id, process_id, name, key)
       select id, process_id, 'paid', id::text from tasks where waits_for is not null
     )
     insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended,
       failures_max, concurrency)
     select id, 9, skipjack.new_id(), 10, 20, 11, 0, 0, 5 from made`,
    [definitionId],
  );
}

class RolledBack extends Error {}

async function measure(database: TestDatabase): Promise<Record<string, number>> {
  const { sql, db } = database;
  const parentId = newId();
  const live = await place(database, {
    state: 'running',
    tasks: {
      e: { state: 'active', waitsFor: 'event', thinks: true },
      s: { state: 'active', waitsFor: 'time', thinks: true },
      a: { state: 'active' },
      z: { state: 'pending', needs: ['a'], thinks: true, runsOnFailure: true, runsOnCancel: true },
    },
    finishes: true,
    parent: { processId: parentId, taskId: newId() },
  });
  const failed = await place(database, {
    state: 'failed',
    tasks: { f: { state: 'failed', claims: 1 }, g: { state: 'cancelled', needs: ['f'] } },
  });
  const idOf = async (name: string) =>
    (
      await sql<{ id: string }>('select id from skipjack.tasks where process_id = $1 and name = $2', [
        live,
        name,
      ])
    )[0]?.id as string;
  const [e, s, z] = [await idOf('e'), await idOf('s'), await idOf('z')];
  await sql(
    `insert into skipjack.event_waits (task_id, process_id, name, key) values ($1, $2, 'paid', 'here')`,
    [e, live],
  );
  await publishPlan(
    database,
    { a: { sleep: { for: '1h' } as never } },
    { name: 'child', deadline_ms: 1_000 },
  );
  const child = {
    id: newId(),
    definition: 'child',
    version: null,
    input: {},
    parent_process_id: live,
    parent_task_id: s,
    depth: 1,
    detached: false,
  };
  const moves: Record<string, (tx: Transaction) => Promise<unknown>> = {
    'cancel and stop': async (tx) => {
      await markCancelling(tx, [live]);
      await stopProcesses(tx, { whole: [live] });
    },
    'fail and stop': async (tx) => {
      await markFailing(tx, [{ processId: live, error: { code: 'x', message: 'x' } }]);
      await stopProcesses(tx, { whole: [live] });
    },
    'end of what waits for an event': (tx) =>
      endTasks(tx, [{ taskId: e, processId: live, state: 'completed', output: 1 }]),
    'failed end': (tx) =>
      endTasks(tx, [{ taskId: e, processId: live, state: 'failed', error: { code: 'x', message: 'x' } }]),
    'give up a wait': (tx) => giveUpWaits(tx, [e]),
    park: (tx) => parkTasks(tx, [{ taskId: s, waitsFor: 'event' }]),
    queue: (tx) => queueTasks(tx, [{ taskId: s }]),
    'activate a clean-up': (tx) => activateCleanups(tx, [z]),
    'read what is due': (tx) => readDueThoughts(tx, { processIds: [live], limit: 500, only: null }),
    retry: (tx) => retryLocking(tx, failed),
    start: (tx) => startWithin(tx, [child]),
    'send an event': (tx) => tx.query(`select skipjack.send_event('paid', 'here')`),
  };
  const seen: Record<string, number> = {};
  const counters = `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as rows from pg_stat_xact_user_tables where schemaname = 'skipjack'`;
  for (const [name, move] of Object.entries(moves)) {
    await inTransaction(db, async (tx) => {
      const before = (await tx.query(counters)).rows[0].rows;
      await lockProcesses(tx, [live]);
      await move(tx);
      seen[name] = (await tx.query(counters)).rows[0].rows - before;
      throw new RolledBack();
    }).catch((error) => {
      if (!(error instanceof RolledBack)) throw error;
    });
  }
  return seen;
}

test('moves touch little beside 20,000 processes that wait', { timeout: 300_000 }, async ({ database }) => {
  database.skipAudit();
  const { sql } = database;
  for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
  const definitionId = await publishPlan(database, { a: {} });
  const figures: Record<string, Record<string, number>> = {};
  await sql('analyze');
  await fill(database, definitionId);
  figures['analyzed when empty'] = await measure(database);
  await sql('analyze');
  figures.analyzed = await measure(database);
  console.table(figures);
  const tooMany = Object.entries(figures).flatMap(([when, seen]) =>
    Object.entries(seen)
      .filter(([, count]) => count > rowsMax)
      .map(([what, count]) => `${what}: ${count}, ${when}`),
  );
  expect(tooMany).toEqual([]);
});
