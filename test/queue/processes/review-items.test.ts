/** Items of an `each` that are processes: tried again, and given up. */
import { expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { childrenOf, endOf, publishPlan, standOf, startPlan } from '../../engine/thinking/support/plans.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { claimNamed, lettersOf, run, settlementOf, stateOf } from '../../support/processes.ts';

async function newestOf(database: TestDatabase, processId: string): Promise<string> {
  return (await childrenOf(database, processId)).at(-1)?.id ?? '';
}

test('an item that had to wait for its turn goes on with its process where that had failed', async ({
  database,
}) => {
  await publishPlan(database, { x: {}, y: { needs: ['x'] } }, { name: 'child' });
  const id = await startPlan(database, {
    a: { each: [1, 2, 3], concurrency: 1, max_failures: 1, process: { definition: 'child', input: {} } },
  });
  for (let index = 0; index < 2; index += 1) {
    await thinkUntilQuiet(database.queue);
    const child = await newestOf(database, id);
    await run(database, child, 'x');
    await run(database, child, 'y', 'fails');
  }
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('failed');

  await retryProcess(database.db, id);
  await thinkUntilQuiet(database.queue);
  const [first, second] = await childrenOf(database, id);
  await run(database, first?.id ?? '', 'y');
  await thinkUntilQuiet(database.queue);
  expect(await childrenOf(database, id)).toHaveLength(2);
  expect(await standOf(database, id)).toMatchObject({ 'a[0]': 'completed', 'a[1]': 'waits for process' });
  expect(await standOf(database, second?.id ?? '')).toEqual({ x: 'completed', y: 'ready' });
  await run(database, second?.id ?? '', 'y');
  await thinkUntilQuiet(database.queue);
  const third = await newestOf(database, id);
  for (const name of ['x', 'y']) await run(database, third, name);
  await thinkUntilQuiet(database.queue);
  expect(await childrenOf(database, id)).toHaveLength(3);
  expect(await stateOf(database, id)).toBe('completed');
});

test('items that are stopped because others failed are cancelled, their processes too', async ({
  database,
}) => {
  await publishPlan(database, { x: {} }, { name: 'child' });
  const id = await startPlan(database, {
    a: { each: [1, 2, 3], process: { definition: 'child', input: {} } },
  });
  await thinkUntilQuiet(database.queue);
  const [first, second, third] = (await childrenOf(database, id)).map((child) => child.id) as [
    string,
    string,
    string,
  ];
  const claimed = await claimNamed(database, third, 'x');
  await run(database, first, 'x', 'fails');
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, second)).toBe('cancelled');
  await database.queue.settle(settlementOf(claimed, { kind: 'cancelled' }));
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({
    a: 'failed',
    'a[0]': 'failed',
    'a[1]': 'cancelled',
    'a[2]': 'cancelled',
  });
  expect((await endOf(database, id, 'a')).error).toMatchObject({
    code: 'items_failed',
    details: { failed: 1 },
  });
  expect(await lettersOf(database, id)).toEqual(['a', 'a[0]']);
});
