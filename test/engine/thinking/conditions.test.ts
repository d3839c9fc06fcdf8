/** Tasks with `if`, and what follows from those that were skipped. */
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { test } from '../../support/database.ts';
import { lettersOf, run, stateOf } from '../../support/processes.ts';
import { endOf, inboxOf, standOf, startPlan } from './support/plans.ts';

describe('a task with a condition', () => {
  test('runs when it holds, and not before an engine has thought about it', async ({ database }) => {
    const id = await startPlan(database, { a: { if: 'input.n > 1' } }, {}, { n: 2 });
    expect(await standOf(database, id)).toEqual({ a: 'waits for engine' });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'ready' });
    await run(database, id, 'a');
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('is skipped when it does not hold, and with it what needs it', async ({ database }) => {
    const id = await startPlan(database, {
      a: { if: 'false' },
      b: { needs: ['a'] },
      c: { needs: ['b'] },
      d: {},
    });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'skipped', b: 'skipped', c: 'skipped', d: 'ready' });
    await run(database, id, 'd');
    expect(await stateOf(database, id)).toBe('completed');
    expect(await inboxOf(database, id)).toEqual([]);
  });

  test('sees how the tasks ended that it follows from', async ({ database }) => {
    const graph = {
      a: {},
      b: {
        needs: ['a'],
        if: 'tasks.a.output.n > 1 && tasks.a.state == "completed" && tasks.a.attempts == 1',
      },
    };
    const id = await startPlan(database, graph);
    await run(database, id, 'a', { kind: 'completed', output: { n: 2 } });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
  });

  test('that comes to no answer fails for good, with the expression in its error', async ({ database }) => {
    const id = await startPlan(database, { a: { if: 'input.nothing' } });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'expression_failed', details: { place: 'if', expression: 'input.nothing' } },
    });
    expect(await lettersOf(database, id)).toEqual(['a']);
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('finds its process stopped by what was decided a moment before it', async ({ database }) => {
    const graph = {
      a: {},
      fails: { needs: ['a'], if: 'input.nothing' },
      'has an eye on it': { needs: ['a'], if: '!failure() && input.nothing' },
      'cleans up': { needs: ['a'], if: 'failure()' },
    };
    const id = await startPlan(database, graph);
    await run(database, id, 'a');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({
      a: 'completed',
      fails: 'failed',
      'has an eye on it': 'skipped',
      'cleans up': 'ready',
    });
  });

  test('that is neither true nor false fails', async ({ database }) => {
    const id = await startPlan(database, { a: { if: '1' } });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'expression_failed' },
    });
  });

  test('may be asked for its failure by what goes on nevertheless', async ({ database }) => {
    const graph = {
      a: { continue_on_error: true },
      b: { needs: ['a'], if: 'tasks.a.state == "failed" && tasks.a.error.code == "exit_code"' },
    };
    const id = await startPlan(database, graph);
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toMatchObject({ b: 'ready' });
  });

  test('that asks nothing of its needs but how they ended runs behind a skipped one', async ({
    database,
  }) => {
    const graph = {
      a: { if: 'false' },
      b: { needs: ['a'], if: '!failure()' },
      c: { needs: ['a'], if: 'success()' },
      d: { needs: ['b'] },
    };
    const id = await startPlan(database, graph);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'skipped', b: 'ready', c: 'skipped', d: 'pending' });
    await run(database, id, 'b');
    expect(await standOf(database, id)).toMatchObject({ d: 'ready' });
  });
});

test('a chain of skips is thought about once, up to where something is to be decided', async ({
  database,
}) => {
  const links = Array.from({ length: 50 }, (_, index) => [`link ${index}`, { needs: [`link ${index - 1}`] }]);
  const id = await startPlan(database, {
    ...Object.fromEntries(links),
    'link 0': { if: 'false' },
    last: { needs: ['link 49'], if: 'always()' },
    behind: { needs: ['last'] },
    // Of two that need the same one each has its own turn.
    left: { needs: ['behind'] },
    right: { needs: ['behind'] },
  });
  // The first link with all that follow it, and the last.
  expect(await thinkUntilQuiet(database.queue)).toBe(2);
  const standing = await standOf(database, id);
  for (const [name] of links) expect(standing[String(name)]).toBe('skipped');
  expect(standing).toMatchObject({ last: 'ready', behind: 'pending', left: 'pending', right: 'pending' });
  expect(await inboxOf(database, id)).toEqual([]);
  for (const name of ['last', 'behind', 'left', 'right']) await run(database, id, name);
  expect(await stateOf(database, id)).toBe('completed');
});

test('a chain is skipped no further than it waits', async ({ database }) => {
  const id = await startPlan(database, {
    a: { if: 'false' },
    b: { needs: ['a'] },
    other: {},
    both: { needs: ['b', 'other'] },
    end: { needs: ['both'] },
  });
  await thinkUntilQuiet(database.queue);
  expect(await standOf(database, id)).toEqual({
    a: 'skipped',
    b: 'skipped',
    other: 'ready',
    both: 'pending',
    end: 'pending',
  });
  await run(database, id, 'other');
  await thinkUntilQuiet(database.queue);
  expect(await stateOf(database, id)).toBe('completed');
  expect(await standOf(database, id)).toMatchObject({ both: 'skipped', end: 'skipped' });
});

test('a deep chain of skips that are decided one by one ends in few turns', async ({ database }) => {
  const length = 250;
  const names = Array.from({ length }, (_, index) => `t${index}`);
  const graph = Object.fromEntries(
    names.map((name, index) => [
      name,
      index === 0 ? { if: 'false' } : { needs: [names[index - 1] ?? ''], if: 'success()' },
    ]),
  );
  const id = await startPlan(database, graph);
  expect(await thinkUntilQuiet(database.queue)).toBe(length);
  expect(new Set(Object.values(await standOf(database, id)))).toEqual(new Set(['skipped']));
  expect(await stateOf(database, id)).toBe('completed');
});
