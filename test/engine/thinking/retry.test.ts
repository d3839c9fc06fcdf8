/** A retried process, thought about to its end. */
import { expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { stopAfter } from '../../queue/processes/support/race.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { claimNamed, run, settlementOf, stateOf } from '../../support/processes.ts';
import { childrenOf, endOf, inboxOf, passTime, publishPlan, standOf, startPlan } from './support/plans.ts';

async function lastChildOf(database: TestDatabase, processId: string): Promise<string> {
  return (await childrenOf(database, processId)).at(-1)?.id ?? '';
}

const says = (output: number) => ({ kind: 'completed', output }) as const;

/** Three deep, with a task `x` at the bottom, which has failed; answers all, from the top. */
async function failAtTheBottom(database: TestDatabase): Promise<[string, string, string]> {
  await publishPlan(database, { x: {}, y: { needs: ['x'] } }, { name: 'bottom' });
  await publishPlan(
    database,
    { m: { process: { definition: 'bottom' } }, tidy: { needs: ['m'], if: 'always()' } },
    { name: 'middle' },
  );
  const top = await startPlan(database, { t: { process: { definition: 'middle' } }, u: { needs: ['t'] } });
  await thinkUntilQuiet(database.queue);
  const middle = await lastChildOf(database, top);
  const bottom = await lastChildOf(database, middle);
  await run(database, bottom, 'x', 'fails');
  await thinkUntilQuiet(database.queue);
  await run(database, middle, 'tidy');
  await thinkUntilQuiet(database.queue);
  for (const id of [top, middle, bottom]) expect(await stateOf(database, id)).toBe('failed');
  return [top, middle, bottom];
}

test('goes down to what failed, and up again to the end', async ({ database }) => {
  const [top, middle, bottom] = await failAtTheBottom(database);
  expect(await retryProcess(database.db, bottom)).toEqual({ kind: 'has_parent', rootId: top });
  for (const saying of ['fails', 'completes'] as const) {
    expect((await retryProcess(database.db, top)).kind).toBe('retried');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, top)).toEqual({ t: 'waits for process', u: 'pending' });
    expect(await standOf(database, middle)).toEqual({ m: 'waits for process', tidy: 'pending' });
    expect(await standOf(database, bottom)).toEqual({ x: 'ready', y: 'pending' });
    await run(database, bottom, 'x', saying);
    if (saying === 'completes') await run(database, bottom, 'y');
    await thinkUntilQuiet(database.queue);
    await run(database, middle, 'tidy');
    await thinkUntilQuiet(database.queue);
    if (saying === 'fails') expect(await stateOf(database, top)).toBe('failed');
  }
  expect(await standOf(database, top)).toEqual({ t: 'completed', u: 'ready' });
  expect(await childrenOf(database, top)).toHaveLength(1);
  await run(database, top, 'u');
  expect(await stateOf(database, top)).toBe('completed');
});

test('that is cancelled before it has come down leaves nothing alive', async ({ database }) => {
  const [top, middle, bottom] = await failAtTheBottom(database);
  await retryProcess(database.db, top);
  await cancelProcess(database.db, top);
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, top)).toBe('cancelled');
  for (const id of [middle, bottom]) expect(await stateOf(database, id)).toBe('failed');
});

test('that has come down while its parent is being cancelled is told so', async ({ database }) => {
  const [top, middle, bottom] = await failAtTheBottom(database);
  await retryProcess(database.db, top);
  const stopped = stopAfter(database, /with recursive chain/);
  const retrying = retryProcess(stopped.db, middle, { withParent: true });
  await stopped.reached;
  await cancelProcess(database.db, top);
  stopped.go();
  expect((await retrying).kind).toBe('retried');
  await thinkUntilQuiet(database.queue);
  await run(database, middle, 'tidy');
  await thinkUntilQuiet(database.queue);
  expect([await stateOf(database, top), await stateOf(database, middle)]).toEqual(['cancelled', 'cancelled']);
  // Retried and then cancelled, or told of the cancel before it was retried.
  expect(['failed', 'cancelled']).toContain(await stateOf(database, bottom));
});

test('yields the outputs of all items, of those that had completed before as well', async ({ database }) => {
  const id = await startPlan(database, { a: { each: [10, 20, 30], concurrency: 1 }, b: { needs: ['a'] } });
  await thinkUntilQuiet(database.queue);
  await run(database, id, 'a[0]', says(1));
  await run(database, id, 'a[1]', 'fails');
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toMatchObject({ a: 'failed', 'a[2]': 'cancelled', b: 'cancelled' });
  await retryProcess(database.db, id, { inputs: { 'a[1]': { other: true } } });
  await run(database, id, 'a[1]', says(2));
  await run(database, id, 'a[2]', says(3));
  await thinkUntilQuiet(database.queue);
  expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: [1, 2, 3] });
  expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
});

test('makes the items of a clean-up anew', async ({ database }) => {
  const id = await startPlan(database, {
    a: {},
    b: { needs: ['a'], if: 'always()', each: '${{ tasks.a.output == null ? ["none"] : tasks.a.output }}' },
  });
  await run(database, id, 'a', 'fails');
  await thinkUntilQuiet(database.queue);
  await run(database, id, 'b[0]');
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('failed');
  await retryProcess(database.db, id);
  expect(await standOf(database, id)).toEqual({ a: 'ready', b: 'pending' });
  await run(database, id, 'a', { kind: 'completed', output: ['one', 'two'] });
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({
    a: 'completed',
    b: 'waits for items',
    'b[0]': 'ready',
    'b[1]': 'ready',
  });
  for (const name of ['b[0]', 'b[1]']) await run(database, id, name);
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('completed');
});

test('skips what needs a task that was skipped while the process stopped', async ({ database }) => {
  const id = await startPlan(database, {
    a: {},
    b: {},
    tidy: { needs: ['b'], if: 'always() && tasks.b.output == true' },
    x: { needs: ['tidy'] },
    y: { needs: ['a', 'tidy'] },
    z: { needs: ['b'] },
  });
  const b = await claimNamed(database, id, 'b');
  await run(database, id, 'a', 'fails');
  // It was told to stop, and had completed.
  await database.queue.settle(settlementOf(b, { kind: 'completed', output: false }));
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({
    a: 'failed',
    b: 'completed',
    tidy: 'skipped',
    x: 'cancelled',
    y: 'cancelled',
    z: 'cancelled',
  });
  await retryProcess(database.db, id);
  expect(await standOf(database, id)).toMatchObject({
    a: 'ready',
    x: 'waits for engine',
    y: 'pending',
    z: 'ready',
  });
  await thinkUntilQuiet(database.queue);
  await run(database, id, 'a');
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({
    a: 'completed',
    b: 'completed',
    tidy: 'skipped',
    x: 'skipped',
    y: 'skipped',
    z: 'ready',
  });
});

test('of what was too late has its time anew', async ({ database }) => {
  const whole = { deadline_ms: 60_000, fail_fast: false };
  const id = await startPlan(database, { a: {}, b: { needs: ['a'] } }, whole);
  await passTime(database);
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('failed');
  expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: [] });
  expect(await inboxOf(database, id)).toEqual(['deadline']);
  await run(database, id, 'a');
  await run(database, id, 'b');
  await thinkUntilQuiet(database.queue);
  expect([await stateOf(database, id), await inboxOf(database, id)]).toEqual(['completed', []]);
});

test('is not for what had started another when it failed', async ({ database }) => {
  await publishPlan(database, { x: {} }, { name: 'put right' });
  const id = await startPlan(database, { a: {} }, { on_failure: { definition: 'put right' } });
  await run(database, id, 'a', 'fails');
  await thinkUntilQuiet(database.queue);
  const failureProcessId = await lastChildOf(database, id);
  expect(await retryProcess(database.db, id)).toEqual({ kind: 'compensated', failureProcessId });
  await run(database, failureProcessId, 'x', 'fails');
  expect((await retryProcess(database.db, failureProcessId)).kind).toBe('retried');
});
