/** A process that takes longer than a statement may: it is tried again and again, and holds nobody else up. */
import { expect, vi } from 'vitest';
import { openDatabase } from '../../../src/database/connection.ts';
import { startThinking } from '../../../src/engine/thinking/start-thinking.ts';
import { openQueue } from '../../../src/queue/queue.ts';
import { test } from '../../support/database.ts';
import { standOf, startPlan } from './support/plans.ts';

test('a process whose statements run into a time limit holds no other one up, and goes on when they do not', async ({
  database,
}) => {
  const { sql } = database;
  const ids: string[] = [];
  for (let index = 0; index < 12; index += 1)
    ids.push(await startPlan(database, { a: { if: 'false' }, b: { needs: ['a'], if: 'always()' } }));
  // Among the others, and the first of all later on.
  const [slow = ''] = ids.splice(3, 1);
  await sql(`create function skipjack.slow_thinking() returns trigger language plpgsql as $$
    begin perform pg_sleep(60); return new; end $$`);
  await sql(`create trigger slow_thinking before update on skipjack.tasks for each row
    when (new.process_id = '${slow}') execute function skipjack.slow_thinking()`);
  // As those who run a database set it for everybody.
  const [{ name } = { name: '' }] = await sql<{ name: string }>('select current_database() as name');
  await sql(`alter database ${name} set statement_timeout = '3s'`);
  const db = openDatabase({ url: database.url });
  const queue = openQueue(db);
  const heard: unknown[] = [];
  const thinking = startThinking(queue, { onError: (error) => heard.push(error), pollIntervalMs: 500 });
  await vi.waitFor(
    async () => {
      for (const id of ids) expect(await standOf(database, id)).toEqual({ a: 'skipped', b: 'ready' });
    },
    { timeout: 40_000, interval: 100 },
  );
  expect(await standOf(database, slow)).toEqual({ a: 'waits for engine', b: 'pending' });
  expect(heard[0]).toMatchObject({ name: 'TurnTimedOut', cause: { code: '57014' } });

  // What comes meanwhile is thought about as well.
  const late = await startPlan(database, { a: { if: 'false' } });
  await vi.waitFor(async () => expect(await standOf(database, late)).toEqual({ a: 'skipped' }), 40_000);

  await sql('drop function skipjack.slow_thinking cascade');
  await vi.waitFor(async () => expect(await standOf(database, slow)).toEqual({ a: 'skipped', b: 'ready' }), {
    timeout: 40_000,
    interval: 100,
  });
  await thinking.stop();
  await queue.close();
  await db.close();
}, 120_000);
