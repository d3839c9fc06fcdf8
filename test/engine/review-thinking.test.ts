/** Engines: what is not there any more, what is much at once, and what is given up. */
import { describe, expect } from 'vitest';
import { inTransaction } from '../../src/database/connection.ts';
import { thinkRound } from '../../src/engine/thinking/round.ts';
import { thinkOnce, thinkUntilQuiet } from '../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { lockFreeProcesses } from '../../src/queue/processes/due-thoughts.ts';
import { retryProcess } from '../../src/queue/processes/retry.ts';
import { test } from '../support/database.ts';
import { run, stateOf } from '../support/processes.ts';
import { childrenOf, endOf, passTime, publishPlan, standOf, startPlan } from './thinking/support/plans.ts';

describe('a turn', () => {
  test('that finds nothing left of what was due asks for another look at once', async ({ database }) => {
    const id = await startPlan(database, { a: { if: 'true' } });
    const { queue } = database;
    const get: typeof queue.plans.get = async (ids) => {
      await cancelProcess(database.db, id);
      return queue.plans.get(ids);
    };
    const turn = await thinkOnce({ ...queue, plans: { ...queue.plans, get } });
    expect(turn).toEqual({ thought: 0, processIds: [id], busy: [], nextDueMs: 0 });
    expect(await stateOf(database, id)).toBe('cancelled');
    expect((await thinkOnce(queue)).nextDueMs).toBe(null);
  });

  test('starts no more processes than there is time for, and the rest in the next', async ({ database }) => {
    await publishPlan(database, { x: {} }, { name: 'child' });
    const items = Array.from({ length: 25 }, (_, index) => index);
    const id = await startPlan(database, { a: { each: items, process: { definition: 'child' } } });
    const [{ definition_id = '' } = {}] = await database.sql<{ definition_id: string }>(
      'select definition_id from skipjack.processes',
    );
    const plans = await database.queue.plans.get([definition_id]);
    // The time is over when it begins: what must not be left half done is all that is done.
    for (const _round of ['items', 'their processes'])
      await inTransaction(database.db, async (tx) => {
        const ids = await lockFreeProcesses(tx, [id], { patienceMs: database.db.queryTimeoutMs });
        await thinkRound(tx, { ids, plans, only: null, endsAt: 0, waits: 0, hints: [] });
      });
    const { length } = await childrenOf(database, id);
    expect(length).toBeGreaterThan(0);
    expect(length).toBeLessThanOrEqual(10);
    await thinkUntilQuiet(database.queue);
    expect(await childrenOf(database, id)).toHaveLength(25);
  });
});

test('of an input that does not fit a bounded part is told', async ({ database }) => {
  await publishPlan(database, { x: {} }, { name: 'child', input: {} });
  const input = { given: Object.fromEntries(['a', 'b'].map((letter) => [letter.repeat(100_000), 1])) };
  const id = await startPlan(
    database,
    { a: { process: { definition: 'child', input: '${{ input.given }}' } } },
    {},
    input,
  );
  await thinkUntilQuiet(database.queue);
  const { error } = await endOf(database, id, 'a');
  expect(error).toMatchObject({
    code: 'invalid_input',
    message: expect.stringContaining('there is no input'),
  });
  expect(JSON.stringify(error).length).toBeLessThan(5_000);
});

test('a sub-process that cannot be retried, because thinking about that throws, has failed again', async ({
  database,
}) => {
  await publishPlan(database, { x: {} }, { name: 'child' });
  const id = await startPlan(database, { a: { process: { definition: 'child' } } });
  await thinkUntilQuiet(database.queue);
  const [child] = await childrenOf(database, id);
  await run(database, child?.id ?? '', 'x', 'fails');
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('failed');

  await database.sql(`create function skipjack.break_thinking() returns trigger language plpgsql as $$
    begin
      if old.kind = 'retry' and old.failures < 3 then raise exception 'broken' using errcode = 'XX000'; end if;
      return old;
    end $$`);
  await database.sql(`create trigger break_thinking before delete on skipjack.engine_items
    for each row execute function skipjack.break_thinking()`);
  expect((await retryProcess(database.db, id)).kind).toBe('retried');
  expect(await standOf(database, id)).toEqual({ a: 'waits for process' });
  for (let time = 1; time <= 3; time += 1) {
    await passTime(database);
    await thinkUntilQuiet(database.queue);
  }
  expect(await stateOf(database, id)).toBe('failed');
  expect(await endOf(database, id, 'a')).toMatchObject({ error: { code: 'process_failed' } });
  expect(await database.sql('select from skipjack.engine_items')).toEqual([]);
});
