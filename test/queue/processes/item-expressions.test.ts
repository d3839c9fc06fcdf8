/** What a claim hands over of an item of an `each`, and of a task that was given another input. */
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Json } from '../../../src/core/json.ts';
import type { PlannedTask } from '../../../src/core/plan.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { claimNamed, statesOf, taskIdOf } from '../../support/processes.ts';
import { claim, claimOf } from '../../support/tasks.ts';
import { place } from './support/by-hand.ts';

/** A task before, and an `each` behind it with one active item for each value. */
async function placeItems(
  database: TestDatabase,
  values: Json[],
  plan: Partial<PlannedTask>,
  failuresMax = values.length,
): Promise<string> {
  const id = await place(database, {
    state: 'running',
    tasks: {
      Find: { state: 'completed', output: { base: '/in' } },
      Mail: {
        state: 'active',
        waitsFor: 'items',
        thinks: true,
        needs: ['Find'],
        plan: { thinks: true, each: '${{ tasks.Find.output.all }}', ...plan },
        items: { states: values.map(() => 'active' as const), failuresMax },
      },
    },
  });
  for (const [index, value] of values.entries()) {
    await database.sql('update skipjack.tasks set item = $3 where process_id = $1 and item_index = $2', [
      id,
      index,
      JSON.stringify(value),
    ]);
  }
  return id;
}

const giveInput = (database: TestDatabase, taskId: string, input: Json) =>
  database.sql('update skipjack.tasks set input = $2 where id = $1', [taskId, JSON.stringify(input)]);

describe('an item', () => {
  const run = (env: Record<string, string>): Partial<PlannedTask> => ({
    spec: { type: 'run', run: 'x', env },
  });

  test('gets itself and its index in the expressions of its task, and what the task needs', async ({
    database,
  }) => {
    const id = await placeItems(database, ['a.pdf', { to: ['ada'] }, null], {
      ...run({
        PAPER: '${{ item }}',
        WHERE: '${{ tasks.Find.output.base }}/${{ index }}',
        S: '${{ secrets.S }}',
      }),
      input: { of: '${{ item }}', next: '${{ index + 1 }}', plain: 'item' },
    });
    const tasks = await claim(database, { limit: 10 });
    expect(
      tasks.map(({ name, spec, input, item, needs }) => [
        name,
        (spec as { env: unknown }).env,
        input,
        item,
        needs,
      ]),
    ).toEqual(
      [
        ['a.pdf', 'a.pdf'],
        [{ to: ['ada'] }, '{"to":["ada"]}'],
        [null, ''],
      ].map(([value, text], index) => [
        `Mail[${index}]`,
        { PAPER: text, WHERE: `/in/${index}`, S: [{ secret: 'S' }] },
        { of: value, next: index + 1, plain: 'item' },
        { index, value },
        { Find: { base: '/in' } },
      ]),
    );
    expect(tasks[0]?.process?.id).toBe(id);
  });

  test('comes whole with its claim also where no expression asks for it', async ({ database }) => {
    const id = await placeItems(database, [{ to: 'ada' }], { spec: { type: 'handler', handler: 'mail' } });
    const task = await claimNamed(database, id, 'Mail[0]');
    expect([task.spec, task.input, task.item]).toEqual([
      { type: 'handler', handler: 'mail' },
      null,
      { index: 0, value: { to: 'ada' } },
    ]);
  });

  test('comes again with a claim that is asked for again', async ({ database }) => {
    const id = await placeItems(database, ['x'], run({ A: '${{ item }}' }));
    const part = { worker: 'tester', leaseMs: 30_000, timeoutGraceMs: 0, claimId: newId() };
    const taskId = await taskIdOf(database, id, 'Mail[0]');
    const first = await database.queue.claimOne(taskId, part);
    const again = await database.queue.claimOne(taskId, part);
    expect(first).toMatchObject({
      kind: 'claimed',
      task: { item: { value: 'x' }, spec: { env: { A: 'x' } } },
    });
    expect(again).toMatchObject({
      kind: 'claimed',
      task: { item: { value: 'x' }, spec: { env: { A: 'x' } } },
    });
  });

  test('whose expression fails ends by itself, and says of which value', async ({ database }) => {
    const id = await placeItems(database, [{ to: 'ada' }, {}, { to: 'bob' }], run({ TO: '${{ item.to }}' }));
    const tasks = await claim(database, { limit: 10 });
    expect(tasks.map(({ name }) => name)).toEqual(['Mail[0]', 'Mail[2]']);
    expect(await statesOf(database, id)).toEqual({
      Find: 'completed',
      Mail: 'waiting',
      'Mail[0]': 'running',
      'Mail[1]': 'failed',
      'Mail[2]': 'running',
    });
    const [row] = await database.sql<{ error: Json }>(
      `select error from skipjack.tasks where process_id = $1 and name = 'Mail[1]'`,
      [id],
    );
    expect(row?.error).toMatchObject({
      code: 'expression_failed',
      details: { expression: 'item.to', place: 'env.TO', values: { 'item.to': '(not there)' } },
    });
    await database.queue.settle({ ...claimOf(tasks[0] as never), kind: 'completed', output: null });
  });

  test('of a definition that says "item" where there is none fails where it stands', async ({ database }) => {
    const id = await place(database, {
      state: 'running',
      tasks: { A: { state: 'active', plan: run({ A: '${{ item }}' }) } },
    });
    expect(await claim(database, { limit: 10 })).toEqual([]);
    expect((await statesOf(database, id)).A).toBe('failed');
  });
});

describe('an input given in place of the plan’s', () => {
  const plan: Partial<PlannedTask> = {
    spec: { type: 'run', run: 'x', env: { ID: '${{ process.id }}' } },
    input: { fails: '${{ input.nope }}' },
  };

  test.for<[Json]>([[{ to: '${{ input.nope }}', n: 1 }], ['text'], [null], [false]])(
    '%j is what the task gets, and is no template',
    async ([given], { database }) => {
      const id = await place(database, { state: 'running', tasks: { A: { state: 'active', plan } } });
      await giveInput(database, await taskIdOf(database, id, 'A'), given);
      const task = await claimNamed(database, id, 'A');
      expect(task.input).toEqual(given);
      expect(task.spec).toMatchObject({ env: { ID: id } });
      expect('item' in task).toBe(false);
    },
  );

  test('is a task’s also where it has no expression at all', async ({ database }) => {
    const id = await place(database, {
      state: 'running',
      tasks: {
        A: { state: 'active', plan: { input: { a: 1 } } },
        B: { state: 'active', plan: { input: { a: 1 } } },
      },
    });
    await giveInput(database, await taskIdOf(database, id, 'A'), { a: 2 });
    expect((await claimNamed(database, id, 'A')).input).toEqual({ a: 2 });
    expect((await claimNamed(database, id, 'B')).input).toEqual({ a: 1 });
  });

  test('is one item’s alone', async ({ database }) => {
    const id = await placeItems(database, [1, 2], { input: { n: '${{ item }}' } });
    await giveInput(database, await taskIdOf(database, id, 'Mail[1]'), { n: 'two' });
    expect((await claimNamed(database, id, 'Mail[0]')).input).toEqual({ n: 1 });
    expect((await claimNamed(database, id, 'Mail[1]')).input).toEqual({ n: 'two' });
  });
});
