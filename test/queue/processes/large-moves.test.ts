/** Ten thousand tasks at once, with statistics that know of none: what joins them by loops within loops takes minutes. */
import { expect } from 'vitest';
import { inTransaction } from '../../../src/database/connection.ts';
import { Engine } from '../../../src/engine/engine.ts';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { stopProcesses } from '../../../src/queue/processes/stop.ts';
import { type TestDatabase, test } from '../../support/database.ts';

const tables = ['processes', 'tasks', 'queue_items', 'engine_items', 'item_lists', 'event_waits'];

/** A list of 10,000 of that. */
async function startList({ queue }: TestDatabase, keys: string): Promise<string> {
  const engine = new Engine({ queue });
  const source = `tasks: [{ name: list, each: range(10000)${keys} }]`;
  const { id } = await engine.startProcess({ source });
  await thinkUntilQuiet(queue);
  await engine.close();
  return id;
}

for (const [what, keys] of [
  ['that wait for a worker', ''],
  ['that sleep', ', sleep: 1h'],
  ['that wait for an event', ', wait_for: { event: never, timeout: 1h }'],
] as const)
  test(`10,000 tasks ${what} are stopped`, async ({ database }) => {
    const { sql, db } = database;
    for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
    await sql('analyze');
    const id = await startList(database, keys);
    const began = performance.now();
    await inTransaction(db, async (tx) => {
      await tx.query(`set local statement_timeout = '10s'`);
      await lockProcesses(tx, [id]);
      await tx.query(`update skipjack.processes set state = 'cancelling' where id = $1`, [id]);
      await stopProcesses(tx, { whole: [id] });
    });
    console.log(`${what}: ${Math.round(performance.now() - began)} ms`);
    const states = await sql('select state, count(*)::integer from skipjack.tasks group by 1');
    expect(states).toEqual([{ state: 'cancelled', count: 10_001 }]);
  }, 120_000);
