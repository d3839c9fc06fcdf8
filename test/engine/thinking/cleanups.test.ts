/** Tasks that run although their process stops: `always()`, `failure()`, `cancelled()`. */
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { test } from '../../support/database.ts';
import { claimNamed, run, settlementOf, stateOf } from '../../support/processes.ts';
import { standOf, startPlan } from './support/plans.ts';

describe('a process that fails', () => {
  test('runs its clean-ups before it ends', async ({ database }) => {
    const graph = {
      a: {},
      b: { needs: ['a'] },
      c: { needs: ['b'], if: 'failure()' },
      d: { needs: ['c'], if: 'always()' },
      e: { needs: ['b'], if: 'cancelled()' },
    };
    const id = await startPlan(database, graph);
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({
      a: 'failed',
      b: 'cancelled',
      c: 'ready',
      d: 'pending',
      e: 'cancelled',
    });
    expect(await stateOf(database, id)).toBe('failing');
    await run(database, id, 'c');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ d: 'ready' });
    await run(database, id, 'd', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('waits with a clean-up for whatever still runs before it', async ({ database }) => {
    const graph = { a: {}, b: {}, c: { needs: ['a', 'b'], if: 'always()' } };
    const id = await startPlan(database, graph);
    const slow = await claimNamed(database, id, 'b');
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'failed', b: 'stopping', c: 'pending' });
    await database.queue.settle(settlementOf(slow, 'completes'));
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'completed', c: 'ready' });
    await run(database, id, 'c');
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('does not run one for what it does not follow from', async ({ database }) => {
    const graph = { a: {}, b: {}, c: { needs: ['b'], if: 'failure()' } };
    const id = await startPlan(database, graph);
    await run(database, id, 'b');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ c: 'skipped' });
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('finishes independent branches, clean-ups among them, without fail_fast', async ({ database }) => {
    const graph = {
      a: {},
      b: {},
      c: { needs: ['a'] },
      d: { needs: ['b'], if: '!failure()' },
      e: { needs: ['c', 'd'], if: 'failure()' },
    };
    const id = await startPlan(database, graph, { fail_fast: false });
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({
      a: 'failed',
      b: 'ready',
      c: 'cancelled',
      d: 'pending',
      e: 'pending',
    });
    await run(database, id, 'b');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ d: 'ready', e: 'pending' });
    await run(database, id, 'd');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ e: 'ready' });
    await run(database, id, 'e');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('runs the items of a clean-up', async ({ database }) => {
    const graph = { a: {}, b: { needs: ['a'], if: 'always()', each: [1, 2], concurrency: 1 } };
    const id = await startPlan(database, graph);
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    await run(database, id, 'b[0]');
    await run(database, id, 'b[1]');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'completed' });
    expect(await stateOf(database, id)).toBe('failed');
  });
});

describe('a process that is cancelled', () => {
  test('runs what is for that', async ({ database }) => {
    const graph = {
      a: {},
      b: { needs: ['a'], if: 'cancelled()' },
      c: { needs: ['a'], if: 'failure()' },
      d: { needs: ['b'], if: 'always()', sleep: { for: '0s' } },
    };
    const id = await startPlan(database, graph);
    await cancelProcess(database.db, id);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'cancelled', b: 'ready', c: 'cancelled', d: 'pending' });
    await run(database, id, 'b');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ d: 'completed' });
    expect(await stateOf(database, id)).toBe('cancelled');
  });

  test('cancels what waits for an event, a time, a process, its items', async ({ database }) => {
    const graph = {
      event: { wait_for: { event: 'x', timeout_ms: 1_000_000 } },
      time: { sleep: { for: '1h' } },
      items: { each: [1, 2], concurrency: 1 },
      late: { delay_ms: 1_000_000 },
    };
    const id = await startPlan(database, graph);
    await thinkUntilQuiet(database.queue);
    await cancelProcess(database.db, id);
    expect(await stateOf(database, id)).toBe('cancelled');
    expect(await database.sql('select from skipjack.engine_items')).toEqual([]);
    expect(await database.sql('select from skipjack.event_waits')).toEqual([]);
  });
});
