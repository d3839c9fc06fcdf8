/** Engines beside one another, and what becomes of what they cannot think about. */
import { describe, expect, vi } from 'vitest';
import type { Database } from '../../../src/database/connection.ts';
import { openDatabase } from '../../../src/database/connection.ts';
import { startThinking } from '../../../src/engine/thinking/start-thinking.ts';
import { thinkOnce, thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { findDueProcesses } from '../../../src/queue/processes/due-thoughts.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { openQueue } from '../../../src/queue/queue.ts';
import type { TestDatabase } from '../../support/database.ts';
import { test } from '../../support/database.ts';
import { claimNamed, run, settlementOf, stateOf } from '../../support/processes.ts';
import { childrenOf, endOf, inboxOf, passTime, publishPlan, standOf, startPlan } from './support/plans.ts';

/** Breaks the connection before the n-th statement of the transactions from now on. */
function breakAt(db: Database, statement: number): { count: () => number } {
  let count = 0;
  const { pool } = db;
  const connect = pool.connect.bind(pool);
  pool.connect = (async (...given: Parameters<typeof connect>) => {
    // What is asked by one statement alone needs nobody's rollback.
    if (given.length > 0) return connect(...given);
    const client = await connect();
    const query = client.query.bind(client) as (...args: unknown[]) => Promise<unknown>;
    client.query = ((...args: unknown[]) => {
      count += 1;
      if (count === statement) client.connection.stream.destroy();
      return query(...args);
    }) as typeof client.query;
    const release = client.release.bind(client);
    client.release = (error) => {
      client.query = query as typeof client.query;
      client.release = release;
      release(error);
    };
    return client;
  }) as typeof pool.connect;
  return { count: () => count };
}

async function throwAlways({ sql }: Pick<TestDatabase, 'sql'>, condition: string): Promise<void> {
  // As a bug of ours would, for one of the rows.
  await sql(`create function skipjack.break_thinking() returns trigger language plpgsql as $$
    begin
      if ${condition} then raise exception 'broken for %', old.kind using errcode = 'XX000'; end if;
      return old;
    end $$`);
  await sql(`create trigger break_thinking before delete on skipjack.engine_items
    for each row execute function skipjack.break_thinking()`);
}

describe('engines', () => {
  test('share an inbox: each row is thought about once', async ({ database }) => {
    await publishPlan(database, { x: {} }, { name: 'child' });
    const ids: string[] = [];
    for (let index = 0; index < 30; index += 1)
      ids.push(
        await startPlan(database, {
          a: { if: 'true' },
          b: { process: { definition: 'child', detached: true } },
          c: { sleep: { for: '0s' } },
        }),
      );
    const others = await Promise.all(
      [1, 2, 3].map(async () => {
        const db = openDatabase({ url: database.url, listenUrl: null });
        return { db, queue: openQueue(db) };
      }),
    );
    await Promise.all(others.map(({ queue }) => thinkUntilQuiet(queue)));
    for (const id of ids) {
      expect(await standOf(database, id)).toEqual({ a: 'ready', b: 'completed', c: 'completed' });
      expect(await childrenOf(database, id)).toHaveLength(1);
    }
    for (const { db, queue } of others) {
      await queue.close();
      await db.close();
    }
  });

  test('do not wait for a process that somebody holds, and think about the others', async ({ database }) => {
    const held = await startPlan(database, { a: { if: 'true' } });
    const free = await startPlan(database, { a: { if: 'true' } });
    const holder = await database.connect();
    await holder.query('begin');
    await holder.query('select from skipjack.processes where id = $1 for update', [held]);
    expect(await thinkOnce(database.queue)).toMatchObject({ thought: 1, busy: [held] });
    expect(await standOf(database, free)).toEqual({ a: 'ready' });
    expect(await thinkOnce(database.queue, { passOver: [held] })).toMatchObject({ thought: 0, busy: [] });
    await holder.query('rollback');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, held)).toEqual({ a: 'ready' });
  });

  test('take fifty processes at a time, of no more than twenty definitions', async ({ database }) => {
    const start = (name: string) => startPlan(database, { a: { if: 'false' } }, { name });
    // Found, not thought about: a turn is over when its time is.
    const found = async () => (await findDueProcesses(database.db, { passOver: [] })).due.map(({ id }) => id);
    for (let count = 0; count < 60; count += 1) await start('same');
    const fifty = await found();
    expect(fifty).toHaveLength(50);
    expect(await findDueProcesses(database.db, { passOver: fifty })).toMatchObject({
      due: Array(10).fill({ id: expect.any(String) }),
    });
    expect(await thinkUntilQuiet(database.queue)).toBe(60);
    for (let count = 0; count < 25; count += 1) await start(`definition ${count}`);
    expect(await found()).toHaveLength(20);
    expect(await thinkUntilQuiet(database.queue)).toBe(25);
  });

  test('begin anew where one died, whatever it had been doing', async ({ database }) => {
    await publishPlan(database, { x: {} }, { name: 'child' });
    await publishPlan(database, { x: {} }, { name: 'clean' });
    const graph = {
      skipped: { if: 'false' },
      behind: { needs: ['skipped'] },
      list: { each: [1, 2] },
      child: { process: { definition: 'child' } },
      sleeps: { sleep: { for: '1s' } },
      waits: { wait_for: { event: 'x' } },
      fails: { if: 'input.nothing' },
      cleans: { needs: ['fails'], if: 'always()' },
    };
    let statements = 0;
    for (let dies = 1; statements === 0; dies += 1) {
      const id = await startPlan(database, graph, { on_failure: { definition: 'clean' } });
      const db = openDatabase({ url: database.url, listenUrl: null });
      const mortal = openQueue(db);
      const broken = breakAt(db, dies);
      // A turn may end before all is thought, by the clock.
      await thinkUntilQuiet(mortal).catch(() => {});
      if (broken.count() < dies) statements = broken.count();
      await mortal.close();
      await db.close();
      await thinkUntilQuiet(database.queue);
      expect(await standOf(database, id), `died at statement ${dies}`).toEqual({
        skipped: 'skipped',
        behind: 'cancelled',
        list: 'cancelled',
        child: 'cancelled',
        sleeps: 'cancelled',
        waits: 'cancelled',
        fails: 'failed',
        cleans: 'ready',
        'list[0]': 'cancelled',
        'list[1]': 'cancelled',
      });
      expect(await childrenOf(database, id)).toMatchObject([{ name: 'child', state: 'cancelled' }]);
      await run(database, id, 'cleans');
      await thinkUntilQuiet(database.queue);
      expect(await stateOf(database, id)).toBe('failed');
      expect((await childrenOf(database, id)).map(({ name }) => name)).toEqual(['child', 'clean']);
    }
    expect(statements).toBeGreaterThan(15);
  }, 180_000);
});

describe('what is posted while an engine thinks', () => {
  test('is thought about, too', async ({ database }) => {
    const id = await startPlan(database, { a: {}, b: { if: 'true' }, c: { needs: ['a'], if: 'true' } });
    const thinking = startThinking(database.queue);
    await run(database, id, 'a');
    await vi.waitFor(
      async () => expect(await standOf(database, id)).toMatchObject({ b: 'ready', c: 'ready' }),
      { timeout: 20_000 },
    );
    await thinking.stop();
  });

  test('is found without any hint when its time has come', async ({ database }) => {
    const id = await startPlan(database, { a: { sleep: { for: '50ms' } } });
    const db = openDatabase({ url: database.url, listenUrl: null });
    const deaf = openQueue(db);
    const thinking = startThinking(deaf, { pollIntervalMs: 600_000 });
    await vi.waitFor(async () => expect(await stateOf(database, id)).toBe('completed'), { timeout: 20_000 });
    await thinking.stop();
    await deaf.close();
    await db.close();
  });
});

describe('a paused process', () => {
  test('is not thought about until it is resumed', async ({ database }) => {
    const id = await startPlan(database, { a: {}, b: { if: 'true' } });
    await setProcessPaused(database.db, id, true);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'waits for engine' });
    expect(await thinkOnce(database.queue)).toMatchObject({ thought: 0, nextDueMs: null });
    await setProcessPaused(database.db, id, false);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
  });
});

describe('what throws whenever it is thought about', () => {
  test('fails its task the third time, and holds nothing else up', async ({ database }) => {
    const broken = await startPlan(database, { a: { if: 'true' }, b: { if: 'true' } });
    const other = await startPlan(database, { a: { if: 'true' } });
    const [{ id } = { id: '' }] = await database.sql<{ id: string }>(
      `select id from skipjack.tasks where process_id = $1 and name = 'a'`,
      [broken],
    );
    await throwAlways(database, `old.task_id = '${id}' and old.failures < 3`);
    const errors: unknown[] = [];
    const onError = (error: unknown) => errors.push(error);
    await thinkUntilQuiet(database.queue, { onError });
    expect(await standOf(database, broken)).toEqual({ a: 'waits for engine', b: 'ready' });
    expect(await standOf(database, other)).toEqual({ a: 'ready' });
    for (let time = 2; time <= 3; time += 1) {
      await passTime(database);
      await thinkUntilQuiet(database.queue, { onError });
    }
    expect(errors).toHaveLength(3);
    expect(await endOf(database, broken, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'engine_failed', message: expect.stringContaining('broken for think') },
    });
    expect(await stateOf(database, broken)).toBe('failed');
  });

  test('fails its process where it is about no task', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { output: 1 });
    await run(database, id, 'a');
    await throwAlways(database, `old.kind = 'finish' and old.failures < 3`);
    for (let time = 1; time <= 3; time += 1) {
      await passTime(database);
      await thinkUntilQuiet(database.queue);
    }
    expect(await stateOf(database, id)).toBe('failed');
    const [result] = await database.sql('select error from skipjack.process_results where process_id = $1', [
      id,
    ]);
    expect(result).toMatchObject({ error: { code: 'engine_failed' } });
    expect(await inboxOf(database, id)).toEqual([]);
  });

  test('stops what is left of it', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { deadline_ms: 3_600_000 });
    const claimed = await claimNamed(database, id, 'a');
    await throwAlways(database, `old.kind = 'deadline' and old.failures < 3`);
    for (let time = 1; time <= 3; time += 1) {
      await passTime(database);
      await thinkUntilQuiet(database.queue);
    }
    expect(await standOf(database, id)).toEqual({ a: 'stopping' });
    await database.queue.settle(settlementOf(claimed, 'fails'));
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
  });
});
