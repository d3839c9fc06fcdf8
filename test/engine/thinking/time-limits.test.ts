/** A process that takes longer than a statement may: it is tried again and again, and holds nobody else up. */
import { expect, vi } from 'vitest';
import { openDatabase } from '../../../src/database/connection.ts';
import { startThinking } from '../../../src/engine/thinking/start-thinking.ts';
import { openQueue } from '../../../src/queue/queue.ts';
import { test } from '../../support/database.ts';
import { standOf, startPlan } from './support/plans.ts';

const limits = [
  { whose: 'the database’s', statementTimeoutMs: 3_000, queryTimeoutMs: 30_000 },
  { whose: 'our own', statementTimeoutMs: 0, queryTimeoutMs: 4_000 },
];
for (const { whose, statementTimeoutMs, queryTimeoutMs } of limits)
  test(`a process that runs into a time limit, ${whose}, holds no other one up, and goes on when it does not`, async ({
    database,
  }) => {
    const { sql } = database;
    const ids: string[] = [];
    for (let index = 0; index < 60; index += 1)
      ids.push(await startPlan(database, { a: { if: 'false' }, b: { needs: ['a'], if: 'always()' } }));
    // Among the others, and the first of all later on.
    const [slow = ''] = ids.splice(30, 1);
    await sql(`create function skipjack.slow_thinking() returns trigger language plpgsql as $$
    begin perform pg_sleep(600); return new; end $$`);
    await sql(`create trigger slow_thinking before update on skipjack.tasks for each row
    when (new.process_id = '${slow}') execute function skipjack.slow_thinking()`);
    // Those who run a database set it for everybody; here it is for the engines alone.
    const url = new URL(database.url);
    url.searchParams.set('statement_timeout', `${statementTimeoutMs}`);
    const heard: unknown[] = [];
    const engines = [1, 2].map(() => {
      const db = openDatabase({ url: url.href, queryTimeoutMs });
      const queue = openQueue(db);
      const thinking = startThinking(queue, { onError: (error) => heard.push(error), pollIntervalMs: 500 });
      return { db, queue, thinking };
    });
    await vi.waitFor(
      async () => {
        for (const id of ids) expect(await standOf(database, id)).toEqual({ a: 'skipped', b: 'ready' });
      },
      { timeout: 60_000, interval: 500 },
    );
    expect(await standOf(database, slow)).toEqual({ a: 'waits for engine', b: 'pending' });
    expect(heard).toContainEqual(
      expect.objectContaining({ name: 'TurnTimedOut', cause: expect.objectContaining({ code: '57014' }) }),
    );

    // What comes meanwhile is thought about as well.
    const late = await startPlan(database, { a: { if: 'false' } });
    await vi.waitFor(async () => expect(await standOf(database, late)).toEqual({ a: 'skipped' }), 60_000);

    await sql('drop function skipjack.slow_thinking cascade');
    await vi.waitFor(
      async () => expect(await standOf(database, slow)).toEqual({ a: 'skipped', b: 'ready' }),
      { timeout: 100_000, interval: 100 },
    );
    for (const { db, queue, thinking } of engines) {
      await thinking.stop();
      await queue.close();
      await db.close();
    }
  }, 240_000);
