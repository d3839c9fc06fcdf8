/** Tasks that start processes. */
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { test } from '../../support/database.ts';
import { claimNamed, run, settlementOf, stateOf } from '../../support/processes.ts';
import { childrenOf, endOf, inboxOf, publishPlan, standOf, startPlan } from './support/plans.ts';

const pay = { name: 'pay', input: { amount: { type: 'number', required: true } } } as const;
const graph = {
  a: { process: { definition: 'pay', input: { amount: '${{ input.amount }}' } } },
  b: { needs: ['a'] },
};

async function childOf(database: Parameters<typeof childrenOf>[0], processId: string): Promise<string> {
  const children = await childrenOf(database, processId);
  const last = children.at(-1);
  if (!last) throw new Error('no child');
  return last.id;
}

describe('a task that starts a process', () => {
  test('completes with its output', async ({ database }) => {
    await publishPlan(
      database,
      { x: {}, y: {} },
      { ...pay, output: { total: '${{ input.amount + tasks.x.output }}' } },
    );
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for process', b: 'pending' });
    const [child] = await childrenOf(database, id);
    expect(child).toMatchObject({ name: 'pay', state: 'running', detached: false, depth: 1 });
    await run(database, child?.id ?? '', 'x', { kind: 'completed', output: 40 });
    await run(database, child?.id ?? '', 'y');
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: { total: 42 } });
    expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
  });

  test('completes with the outputs of its last tasks where it has none of its own', async ({ database }) => {
    await publishPlan(database, { x: {}, y: { needs: ['x'] } }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    await run(database, child, 'x', { kind: 'completed', output: 1 });
    await run(database, child, 'y', { kind: 'completed', output: 2 });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ output: { y: 2 } });
  });

  test('of whose items one may fail fails with the second: others that are cancelled with it have not failed', async ({
    database,
  }) => {
    await publishPlan(database, { x: {} }, pay);
    const id = await startPlan(
      database,
      {
        a: {
          each: [1, 2, 3, 4],
          max_failures: 1,
          process: { definition: 'pay', input: { amount: '${{ item }}' } },
        },
      },
      {},
      null,
    );
    await thinkUntilQuiet(database.queue);
    // All of them at once, before an engine hears of any.
    for (const child of await childrenOf(database, id)) await cancelProcess(database.db, child.id);
    await thinkUntilQuiet(database.queue);
    const { a, ...items } = await standOf(database, id);
    expect(a).toBe('failed');
    expect(Object.values(items).sort()).toEqual(['cancelled', 'cancelled', 'failed', 'failed']);
    expect(await endOf(database, id, 'a')).toMatchObject({ error: { details: { failed: 2 } } });
  });

  test('fails with it', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    await run(database, child, 'x', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: {
        code: 'process_failed',
        details: { process_id: child, error: { code: 'exit_code', task: 'x' } },
      },
    });
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('fails when it is cancelled by itself', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    await cancelProcess(database.db, await childOf(database, id));
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'process_cancelled' },
    });
  });

  test('goes on without it where it is detached', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const detached = { a: { process: { ...graph.a.process, detached: true as const } } };
    const id = await startPlan(database, detached, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'completed',
      output: { process_id: child },
    });
    expect(await stateOf(database, id)).toBe('completed');
    await run(database, child, 'x', 'fails');
    expect(await stateOf(database, child)).toBe('failed');
  });

  test('fails when it cannot be started, and says why', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    await database.sql(`insert into skipjack.inactive_definitions (name, since) values ('off', now())`);
    await publishPlan(database, { x: {} }, { name: 'off' });
    const start = (definition: string, input = {}) => ({ process: { definition, input } });
    const id = await startPlan(
      database,
      { unknown: start('nobody'), inactive: start('off'), wrong: start('pay', { amount: 'much' }) },
      { fail_fast: false },
    );
    await thinkUntilQuiet(database.queue);
    const codes = { unknown: 'no_such_definition', inactive: 'definition_inactive', wrong: 'invalid_input' };
    for (const [name, code] of Object.entries(codes))
      expect(await endOf(database, id, name)).toMatchObject({ state: 'failed', error: { code } });
  });

  test('starts no more than ten of them in one another', async ({ database }) => {
    await publishPlan(database, { again: { process: { definition: 'loop' } } }, { name: 'loop' });
    const id = await startPlan(database, { first: { process: { definition: 'loop' } } });
    await thinkUntilQuiet(database.queue);
    const [deepest] = await database.sql('select max(depth)::integer as depth from skipjack.processes');
    expect(deepest).toEqual({ depth: 10 });
    expect(await endOf(database, id, 'first')).toMatchObject({ error: { code: 'process_failed' } });
    const errors = await database.sql(
      `select distinct error ->> 'code' as code from skipjack.tasks order by 1`,
    );
    expect(errors.map(({ code }) => code)).toEqual(['process_failed', 'too_deep']);
  });

  test('starts none where fifty thousand lie beneath the process at the top, at any depth', async ({
    database,
  }) => {
    // Processes that have no tasks, and that no task has started.
    database.skipAudit();
    await publishPlan(database, { x: {} }, { name: 'leaf' });
    const items = Array.from({ length: 200 }, (_, index) => index);
    await publishPlan(
      database,
      { leaves: { each: items, max_failures: 200, process: { definition: 'leaf', detached: true } } },
      { name: 'inner' },
    );
    const id = await startPlan(database, { a: { process: { definition: 'inner' } } });
    const insertBeneath = (parent: string, count: number) =>
      database.sql<{ id: string }>(
        `insert into skipjack.processes (id, definition_id, name, fail_fast, tasks, unfinished, state, created_at,
           finished_at, parent_process_id, depth)
         select gen_random_uuid(), definition_id, name, fail_fast, tasks, 0, 'completed', now(), now(), id, depth + 1
         from skipjack.processes, generate_series(1, $2) where id = $1
         returning id`,
        [parent, count],
      );
    const [other] = await insertBeneath(id, 20_000);
    await insertBeneath(other?.id ?? '', 29_990);
    // It says now that each process has started half of all.
    await database.sql('analyze skipjack.processes');
    await thinkUntilQuiet(database.queue);
    const child = (await childrenOf(database, id)).find(({ name }) => name === 'inner');
    const [found] = await database.sql<{ started: number; refused: number; code: string }>(
      `select count(*) filter (where state = 'completed')::integer as started,
         count(*) filter (where state = 'failed')::integer as refused, min(error ->> 'code') as code
       from skipjack.tasks where process_id = $1 and item_of is not null`,
      [child?.id],
    );
    expect(found).toMatchObject({ code: 'too_many_processes' });
    // What an engine starts before it first counts.
    expect(found?.started).toBeLessThanOrEqual(100);
    expect(found?.refused).toBeGreaterThanOrEqual(100);
  });

  test('starts one for every item', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const each = { each: [1, 2], process: { definition: 'pay', input: { amount: '${{ item }}' } } };
    const id = await startPlan(database, { a: each });
    await thinkUntilQuiet(database.queue);
    const children = await childrenOf(database, id);
    expect(children).toHaveLength(2);
    for (const [index, child] of children.entries())
      await run(database, child.id, 'x', { kind: 'completed', output: index });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ output: [{ x: 0 }, { x: 1 }] });
  });
});

describe('a process that a task waits for', () => {
  test('is cancelled with the process of that task, even when it is paused', async ({ database }) => {
    await publishPlan(database, { x: {}, y: { if: 'true' } }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    await setProcessPaused(database.db, child, true);
    await cancelProcess(database.db, id);
    expect(await stateOf(database, id)).toBe('cancelling');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, child)).toBe('cancelled');
    expect(await standOf(database, id)).toEqual({ a: 'cancelled', b: 'cancelled' });
    expect(await stateOf(database, id)).toBe('cancelled');
  });

  test('ends the task as completed though its process was being cancelled', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    const claimed = await claimNamed(database, child, 'x');
    await cancelProcess(database.db, id);
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, child)).toBe('cancelling');
    await database.queue.settle(settlementOf(claimed, 'completes'));
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, child)).toBe('cancelled');
    expect(await standOf(database, id)).toMatchObject({ a: 'cancelled' });
  });

  test('is retried with it', async ({ database }) => {
    await publishPlan(database, { x: {} }, pay);
    const id = await startPlan(database, graph, {}, { amount: 2 });
    await thinkUntilQuiet(database.queue);
    const child = await childOf(database, id);
    await run(database, child, 'x', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await retryProcess(database.db, id)).toMatchObject({ kind: 'retried' });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, child)).toEqual({ x: 'ready' });
    expect(await standOf(database, id)).toEqual({ a: 'waits for process', b: 'pending' });
    await run(database, child, 'x');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'completed', b: 'ready' });
    expect(await inboxOf(database, id)).toEqual([]);
  });
});
