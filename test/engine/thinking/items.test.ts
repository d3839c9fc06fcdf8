/** Tasks with items: `each` and `matrix`. */
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { test } from '../../support/database.ts';
import { lettersOf, run, stateOf } from '../../support/processes.ts';
import { endOf, passTime, standOf, startPlan } from './support/plans.ts';

const each = '${{ input.list }}';

describe('a task with each', () => {
  test('completes with the outputs of its items in their order', async ({ database }) => {
    const id = await startPlan(database, { a: { each }, b: { needs: ['a'] } }, {}, { list: ['x', 'y', 'z'] });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({
      a: 'waits for items',
      b: 'pending',
      'a[0]': 'ready',
      'a[1]': 'ready',
      'a[2]': 'ready',
    });
    for (const index of [2, 0, 1])
      await run(database, id, `a[${index}]`, { kind: 'completed', output: index });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: [0, 1, 2] });
    expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
  });

  test('has so many of them active as may be', async ({ database }) => {
    const id = await startPlan(database, { a: { each, concurrency: 1 } }, {}, { list: [1, 2] });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ 'a[0]': 'ready', 'a[1]': 'pending' });
    await run(database, id, 'a[0]');
    expect(await standOf(database, id)).toMatchObject({ 'a[1]': 'ready' });
    await run(database, id, 'a[1]');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('of an empty list is completed', async ({ database }) => {
    const id = await startPlan(database, { a: { each } }, {}, { list: [] });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: [] });
  });

  test.for([
    [{ a: 1 }, 'not_a_list'],
    [null, 'not_a_list'],
    [Array.from({ length: 10_001 }, () => 0), 'too_many_items'],
  ] as const)('of what is no list it can take fails', async ([list, code], { database }) => {
    const id = await startPlan(database, { a: { each } }, {}, { list: list as never });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'failed', error: { code } });
  });

  test('fails when more fail than may, and stops those that wait', async ({ database }) => {
    const graph = { a: { each, concurrency: 2, max_failures: 1 } };
    const id = await startPlan(database, graph, {}, { list: [0, 1, 2, 3] });
    await thinkUntilQuiet(database.queue);
    await run(database, id, 'a[0]', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({
      a: 'waits for items',
      'a[1]': 'ready',
      'a[2]': 'ready',
    });
    await run(database, id, 'a[1]', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: {
        code: 'items_failed',
        details: { failed: 2, items: [{ index: 0, error: { code: 'exit_code' } }, { index: 1 }] },
      },
    });
    expect(await standOf(database, id)).toMatchObject({ 'a[2]': 'cancelled', 'a[3]': 'cancelled' });
    expect(await lettersOf(database, id)).toEqual(['a']);
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('completes with null for items that may fail', async ({ database }) => {
    const id = await startPlan(database, { a: { each, max_failures: 1 } }, {}, { list: [0, 1] });
    await thinkUntilQuiet(database.queue);
    await run(database, id, 'a[0]', 'fails');
    await run(database, id, 'a[1]', { kind: 'completed', output: 'fine' });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: [null, 'fine'] });
    expect(await lettersOf(database, id)).toEqual([]);
  });

  test('is skipped as a whole', async ({ database }) => {
    const id = await startPlan(database, { a: { each, if: 'size(input.list) > 1' } }, {}, { list: [1] });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'skipped' });
  });

  test('gives each item its value where it must be thought about', async ({ database }) => {
    const graph = {
      a: { if: 'true', each, wait_for: { event: 'paid', key: '${{ item.order }}' } },
      b: { each, sleep: { for: '${{ string(index) }}h' } },
    };
    const id = await startPlan(database, graph, {}, { list: [{ order: 'x' }, { order: 'y' }] });
    await thinkUntilQuiet(database.queue);
    const waits = await database.sql<{ key: string }>('select key from skipjack.event_waits order by key');
    expect(waits.map(({ key }) => key)).toEqual(['x', 'y']);
    // The first of b slept for 0 hours.
    expect(await standOf(database, id)).toMatchObject({ 'b[0]': 'completed', 'b[1]': 'waits for time' });
    await database.sql(
      `select skipjack.send_event('paid', 'y', '"Y"'), skipjack.send_event('paid', 'x', '"X"')`,
    );
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ output: ['X', 'Y'] });
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('delays each item, not the list', async ({ database }) => {
    const id = await startPlan(database, { a: { each, delay_ms: 60_000 } }, {}, { list: [1] });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for items', 'a[0]': 'ready' });
    const due = await database.sql(
      'select from skipjack.queue_items where available_at <= clock_timestamp()',
    );
    expect(due).toEqual([]);
  });
});

describe('a task with a matrix', () => {
  test('has an item for every combination', async ({ database }) => {
    const matrix = { os: ['linux', 'mac'], node: '${{ input.nodes }}' };
    const id = await startPlan(database, { a: { matrix } }, {}, { nodes: [20, 22] });
    await thinkUntilQuiet(database.queue);
    const items = await database.sql(
      'select item from skipjack.tasks where process_id = $1 and item_of is not null order by ordinal',
      [id],
    );
    expect(items.map(({ item }) => item)).toEqual([
      { os: 'linux', node: 20 },
      { os: 'linux', node: 22 },
      { os: 'mac', node: 20 },
      { os: 'mac', node: 22 },
    ]);
  });

  test('of too many combinations fails before they are made', async ({ database }) => {
    const all = '${{ range(1000) }}';
    const id = await startPlan(database, { a: { matrix: { x: all, y: all, z: all } } });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ error: { code: 'too_many_items' } });
  });
});
