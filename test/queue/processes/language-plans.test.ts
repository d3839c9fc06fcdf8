/**
 * Plans of the moves that need an engine: what they touch stays near what they move, whatever has been and whatever
 * the statistics say of it.
 */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { inTransaction, type Transaction } from '../../../src/database/connection.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { endTasks } from '../../../src/queue/processes/end-tasks.ts';
import { expandItems, stopItems } from '../../../src/queue/processes/expand.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { queueTasks } from '../../../src/queue/processes/park.ts';
import { stopProcesses } from '../../../src/queue/processes/stop.ts';
import { settleLocked } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { outcomeOf, publish } from '../../support/processes.ts';
import { type Layout, layOut, type Shape, standings } from './language-cases.ts';

/** Of sixty tasks that are live; where tables are small they are read from end to end. */
const rowsMax = 2_000;
const historyOf = 10_000;
const claimed = { is: 'claimed' } as const;

const shape: Shape = {
  failuresMax: 1,
  tasks: {
    a: claimed,
    i: { ...claimed, itemOf: 'each' },
    i1: { ...claimed, itemOf: 'each' },
    i2: { itemOf: 'each', needs: ['turn'], thinks: true },
    i3: { itemOf: 'each', needs: ['turn'] },
    each: { is: 'items' },
    b: { needs: ['a'], thinks: true },
    c: { needs: ['a', 'each'] },
    p: { is: 'engine' },
    e: { is: 'event' },
    q: { is: 'process' },
    z: { needs: ['p'], thinks: true, onFailure: true, onCancel: true },
  },
};

/** Processes that have ended, each with a list of items, a parent and an event that was taken. */
async function fillHistory({ sql }: TestDatabase, definitionId: string) {
  await sql(
    `with made as (
       insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, thinks, finishes,
         parent_process_id, parent_task_id, created_at, finished_at)
       select skipjack.new_id(), $1, 'completed', true, 10, 0, true, true, skipjack.new_id(), skipjack.new_id(),
         clock_timestamp() - interval '1 day', clock_timestamp()
       from generate_series(1, ${historyOf})
       returning id
     ), tasks as (
       insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, created_at, finished_at, dependents,
         item_of, item_index)
       select skipjack.new_id(), made.id, place, 'filler', 'default', 5, 'completed', clock_timestamp() - interval '1 day',
         clock_timestamp(), case when place < 10 then array[place + 1] end, case when place > 5 then 1 end,
         case when place > 5 then place - 6 end
       from made cross join generate_series(1, 10) as place
     )
     insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended,
       failures_max, concurrency)
     select id, 1, skipjack.new_id(), 6, 10, 11, 0, 0, 5 from made`,
    [definitionId],
  );
}

const tables = [
  'processes',
  'tasks',
  'queue_items',
  'engine_items',
  'item_lists',
  'event_waits',
  'attempts',
  'dead_letters',
  'process_events',
];

class RolledBack extends Error {}

/** Of five processes of the shape: rows that each move visits, and undoes. */
async function measure(database: TestDatabase): Promise<Record<string, number>> {
  const { sql, db } = database;
  const layouts = Array.from({ length: 5 }, (): Layout => {
    const taskIds = Object.keys(shape.tasks).map(() => newId());
    return { id: newId(), name: 'laid out', shape, standing: standings[0], acts: [], taskIds };
  });
  await layOut(database, layouts, { analyze: false });
  const processIds = layouts.map(({ id }) => id);
  const idsOf = (name: string) =>
    layouts.map(({ id, taskIds }) => ({
      processId: id,
      taskId: taskIds[Object.keys(shape.tasks).indexOf(name)] as string,
    }));
  const settling = (says: 'completes' | 'fails') => (tx: Transaction) =>
    settleLocked(
      tx,
      [...idsOf('a'), ...idsOf('i')].map((ids) => ({ ...ids, claimNo: 9, ...outcomeOf(says) })),
      { withEngine: true },
    );
  const moves: Record<string, (tx: Transaction) => Promise<unknown>> = {
    'settle of 10 that complete': settling('completes'),
    'settle of 10 that fail': settling('fails'),
    'end of 5': (tx) =>
      endTasks(
        tx,
        idsOf('p').map((ids) => ({ ...ids, state: 'completed', output: 1 })),
      ),
    'queue 5': (tx) => queueTasks(tx, idsOf('p')),
    'stop 5': (tx) => stopProcesses(tx, { whole: processIds }),
    'stop 5 behind failures': (tx) => stopProcesses(tx, { whole: [], behindFailures: processIds }),
    'stop items': (tx) => stopItems(tx, { processId: processIds[0] as string, ordinal: 6 }),
    'expand into 20': (tx) =>
      expandItems(tx, {
        ...(idsOf('p')[0] as { processId: string; taskId: string }),
        ordinal: 9,
        items: Array.from({ length: 20 }, () => null),
        concurrency: 10,
        failuresMax: 0,
      }),
  };
  const seen: Record<string, number> = {};
  const counters = `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as rows from pg_stat_xact_user_tables where schemaname = 'skipjack'`;
  for (const [name, move] of Object.entries(moves)) {
    await inTransaction(db, async (tx) => {
      const before = (await tx.query(counters)).rows[0].rows;
      await lockProcesses(tx, processIds);
      await move(tx);
      seen[name] = (await tx.query(counters)).rows[0].rows - before;
      throw new RolledBack();
    }).catch((error) => {
      if (!(error instanceof RolledBack)) throw error;
    });
  }
  for (const id of processIds) await cancelProcess(db, id);
  await sql(`truncate skipjack.queue_items, skipjack.engine_items, skipjack.event_waits`);
  return seen;
}

test('moves that need an engine touch little on an empty database and beside 100,000 tasks that have ended', async ({
  database,
}) => {
  // What runs is thrown away between two looks.
  database.skipAudit();
  const { sql } = database;
  // Nothing analyses but we: the statistics are what each line below says.
  for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
  const definitionId = await publish(database, { a: [] });
  const figures: Record<string, Record<string, number>> = {};
  const measured = async (when: string) => {
    figures[when] = await measure(database);
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
  await measured('emptied, with the statistics of 100,000');
  console.table(figures);
  const tooMany = Object.entries(figures).flatMap(([when, seen]) =>
    Object.entries(seen)
      .filter(([, count]) => count > rowsMax)
      .map(([what, count]) => `${what}: ${count}, ${when}`),
  );
  expect(tooMany).toEqual([]);
}, 180_000);
