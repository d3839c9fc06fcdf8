/** Retry of processes with conditions, items, processes of their own, deadlines. */
import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { deleteProcess } from '../../../src/queue/processes/delete.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { replayDeadLetter, replayDeadLetters } from '../../../src/queue/replay.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { lettersOf, processOf, run, stateOf, taskIdOf } from '../../support/processes.ts';
import { type HandItems, type HandTask, place, placesOf, think, thoughtsOf } from './support/by-hand.ts';

const failed: HandTask = { state: 'failed', claims: 1 };

/** A failed process of one task with items. */
const placeItems = (database: TestDatabase, items: HandItems, more: Partial<HandTask> = {}) =>
  place(database, { state: 'failed', tasks: { a: { state: 'failed', thinks: true, items, ...more } } });

async function listOf({ sql }: TestDatabase, processId: string) {
  const [row] = await sql(
    `select unended, failed, next_ordinal - first_ordinal as next from skipjack.item_lists where process_id = $1`,
    [processId],
  );
  return row ?? null;
}

/** A failed process of a task that had started another, which is as told; answers both. */
async function placeFamily(database: TestDatabase, child: Partial<Parameters<typeof place>[1]> = {}) {
  const parentId = await place(database, {
    state: 'failed',
    tasks: { a: { state: 'failed', thinks: true, plan: { process: { definition: 'd' } } } },
  });
  const taskId = await taskIdOf(database, parentId, 'a');
  const childId = await place(database, {
    state: 'failed',
    tasks: { x: failed },
    parent: { processId: parentId, taskId },
    ...child,
  });
  return { parentId, childId };
}

describe('what follows from a failure', () => {
  test('is decided anew, clean-ups that ran included; what does not, stays', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: failed,
        'clean up': {
          state: 'completed',
          needs: ['a'],
          thinks: true,
          runsOnFailure: true,
          output: 1,
          claims: 1,
        },
        'clean up more': {
          state: 'failed',
          needs: ['clean up'],
          thinks: true,
          runsOnFailure: true,
          claims: 2,
        },
        'not needed': { state: 'skipped', needs: ['clean up', 'c'], thinks: true, runsOnFailure: true },
        b: { state: 'cancelled', needs: ['a', 'c'] },
        c: { state: 'completed', output: 3, claims: 1 },
        d: { state: 'skipped', thinks: true },
        e: { state: 'failed', continueOnError: true, claims: 1 },
      },
    });
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: ['a', 'clean up more'] });
    expect(await placesOf(database, id)).toEqual({
      a: 'queued',
      'clean up': 'pending',
      'clean up more': 'pending',
      'not needed': 'pending',
      b: 'pending',
      c: 'completed',
      d: 'skipped',
      e: 'failed',
    });
    expect(await processOf(database, id)).toMatchObject({ state: 'running', unfinished: 5 });
    expect(await lettersOf(database, id)).toEqual([]);
    const rows = await database.sql(
      `select name, unmet, output, error, failures from skipjack.tasks
       where process_id = $1 and state = 'pending' order by ordinal`,
      [id],
    );
    const fresh = { output: null, error: null, failures: 0, unmet: 1 };
    expect(rows).toEqual([
      { ...fresh, name: 'clean up' },
      { ...fresh, name: 'clean up more' },
      { ...fresh, name: 'not needed' },
      { ...fresh, name: 'b' },
    ]);
  });

  test('is thought about at once where all that it needs has ended', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: { ...failed, thinks: true },
        b: { state: 'cancelled', thinks: true, needs: ['c'] },
        c: { state: 'skipped', thinks: true },
      },
      thoughts: ['cancel'],
    });
    const lines: unknown[] = [];
    database.db.hints.subscribe((hint) => lines.push(...(hint?.lines ?? [])));
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toEqual({ a: 'for engine', b: 'for engine', c: 'skipped' });
    expect((await thoughtsOf(database, id)).sort()).toEqual(['cancel', 'think a', 'think b']);
    expect(lines).toEqual([['$engine', 0]]);
  });
});

describe('the items of a task', () => {
  test('that failed or were cancelled are tried again, as many at once as may; the others keep what they said', async ({
    database,
  }) => {
    const states = ['completed', 'failed', 'cancelled', 'completed', 'cancelled', 'cancelled'] as const;
    const id = await placeItems(database, { states: [...states], concurrency: 2 });
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: ['a'] });
    expect(await placesOf(database, id)).toEqual({
      a: 'for items',
      'a[0]': 'completed',
      'a[1]': 'queued',
      'a[2]': 'queued',
      'a[3]': 'completed',
      'a[4]': 'pending',
      'a[5]': 'pending',
    });
    expect(await listOf(database, id)).toEqual({ unended: 4, failed: 0, next: 4 });
    expect(await processOf(database, id)).toMatchObject({ unfinished: 5 });
    expect(await lettersOf(database, id)).toEqual([]);
  });

  test('give their turns to each other as before, until an engine is told of the last', async ({
    database,
  }) => {
    const states = ['failed', 'completed', 'cancelled', 'cancelled'] as const;
    const id = await placeItems(database, { states: [...states], concurrency: 1 });
    await retryProcess(database.db, id);
    await run(database, id, 'a[0]');
    expect(await placesOf(database, id)).toMatchObject({ 'a[2]': 'queued', 'a[3]': 'pending' });
    await run(database, id, 'a[2]');
    await run(database, id, 'a[3]');
    expect(await placesOf(database, id)).toMatchObject({ a: 'for items', 'a[3]': 'completed' });
    expect(await thoughtsOf(database, id)).toEqual(['items a']);
    expect(await listOf(database, id)).toMatchObject({ unended: 0, failed: 0 });
  });

  test('are thought about if they must be; and where none is left, their task is', async ({ database }) => {
    const id = await placeItems(database, { states: ['failed', 'completed'], thinks: true });
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toMatchObject({ a: 'for items', 'a[0]': 'for engine' });
    expect(await listOf(database, id)).toEqual({ unended: 1, failed: 0, next: 2 });
    // It was stopped before the engine had gathered what they said.
    const other = await place(database, {
      state: 'failed',
      tasks: { a: { state: 'cancelled', thinks: true, items: { states: ['completed'] } }, b: failed },
    });
    await retryProcess(database.db, other);
    expect(await placesOf(database, other)).toEqual({ a: 'for items', b: 'queued', 'a[0]': 'completed' });
    expect(await thoughtsOf(database, other)).toEqual(['items a']);
  });

  test('go, where the task follows from what failed and will have others', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: failed,
        b: {
          state: 'failed',
          needs: ['a'],
          thinks: true,
          runsOnFailure: true,
          items: { states: ['completed', 'failed'] },
        },
      },
    });
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toEqual({ a: 'queued', b: 'pending' });
    expect(await listOf(database, id)).toBeNull();
  });

  test('that never were are made when it has been thought about again', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: { a: { state: 'failed', thinks: true, plan: { each: '${{ input.n + 1 }}' } } },
    });
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toEqual({ a: 'for engine' });
    expect(await thoughtsOf(database, id)).toEqual(['think a']);
  });

  test('which failed within what was allowed stay failed with a task that completed', async ({
    database,
  }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: { state: 'completed', items: { states: ['failed', 'completed'], failuresMax: 1 } },
        b: { ...failed, needs: ['a'] },
      },
    });
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toMatchObject({ a: 'completed', b: 'queued', 'a[0]': 'failed' });
  });
});

describe('a process that a task had started', () => {
  test('is retried with that of the task, which waits for it again', async ({ database }) => {
    const { parentId, childId } = await placeFamily(database);
    expect(await retryProcess(database.db, childId)).toEqual({ kind: 'has_parent', rootId: parentId });
    expect(await stateOf(database, childId)).toBe('failed');
    await retryProcess(database.db, parentId);
    expect(await placesOf(database, parentId)).toEqual({ a: 'for process' });
    expect(await thoughtsOf(database, childId)).toEqual(['retry']);
    expect((await retryProcess(database.db, childId)).kind).toBe('has_parent');
    expect(await retryProcess(database.db, childId, { withParent: true })).toEqual({
      kind: 'retried',
      tasks: ['x'],
    });
    expect(await thoughtsOf(database, childId)).toEqual(['retry']);
    expect(await stateOf(database, childId)).toBe('running');
  });

  test('is started anew if it was cancelled, or its failure had started another', async ({ database }) => {
    for (const child of [
      { state: 'cancelled' as const, tasks: { x: { state: 'cancelled' as const } } },
      { result: { failureProcessId: newId() } },
    ]) {
      const { parentId, childId } = await placeFamily(database, child);
      await retryProcess(database.db, parentId);
      expect(await placesOf(database, parentId)).toEqual({ a: 'for engine' });
      expect(await thoughtsOf(database, parentId)).toEqual(['think a']);
      expect(await thoughtsOf(database, childId)).toEqual([]);
    }
  });

  test('for an item is retried with it; of several the last one counts', async ({ database }) => {
    const id = await placeItems(database, { states: ['failed', 'failed'], thinks: true });
    const [first, second] = [await taskIdOf(database, id, 'a[0]'), await taskIdOf(database, id, 'a[1]')];
    const children = [];
    for (const [taskId, state] of [
      [first, 'failed'],
      [second, 'failed'],
      [second, 'cancelled'],
    ] as const)
      children.push(
        await place(database, {
          state,
          tasks: { x: state === 'failed' ? failed : { state } },
          parent: { processId: id, taskId },
        }),
      );
    await retryProcess(database.db, id);
    expect(await placesOf(database, id)).toEqual({
      a: 'for items',
      'a[0]': 'for process',
      'a[1]': 'for engine',
    });
    const thoughts = [];
    for (const child of children) thoughts.push(await thoughtsOf(database, child));
    expect(thoughts).toEqual([['retry'], [], []]);
  });

  test('names the one at the top; it is its own top when that was deleted, or did not wait', async ({
    database,
  }) => {
    const { parentId, childId } = await placeFamily(database);
    const taskId = await taskIdOf(database, childId, 'x');
    const parent = { processId: childId, taskId };
    const grandchildId = await place(database, { state: 'failed', tasks: { x: failed }, parent });
    const detachedId = await place(database, {
      state: 'failed',
      tasks: { x: failed },
      parent: { ...parent, detached: true },
    });
    expect(await retryProcess(database.db, grandchildId)).toEqual({ kind: 'has_parent', rootId: parentId });
    expect((await retryProcess(database.db, detachedId)).kind).toBe('retried');
    expect(await deleteProcess(database.db, parentId)).toEqual({ kind: 'deleted' });
    expect(await retryProcess(database.db, grandchildId)).toEqual({ kind: 'has_parent', rootId: childId });
    expect((await retryProcess(database.db, childId)).kind).toBe('retried');
    const [row] = await database.sql('select detached from skipjack.processes where id = $1', [childId]);
    expect(row).toEqual({ detached: true });
  });

  test('is kept until the task has taken its outcome', async ({ database }) => {
    const { parentId, childId } = await placeFamily(database);
    await retryProcess(database.db, parentId);
    expect(await deleteProcess(database.db, childId)).toEqual({ kind: 'not_taken', parentId });
    const other = await placeFamily(database);
    expect(await deleteProcess(database.db, other.childId)).toEqual({ kind: 'deleted' });
    await retryProcess(database.db, other.parentId);
    expect(await placesOf(database, other.parentId)).toEqual({ a: 'for engine' });
  });
});

describe('a process', () => {
  test('whose failure has started another is over', async ({ database }) => {
    const failureProcessId = newId();
    const id = await place(database, { state: 'failed', tasks: { a: failed }, result: { failureProcessId } });
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'compensated', failureProcessId });
    expect(await stateOf(database, id)).toBe('failed');
  });

  test('that was too late gets its time anew, and its result is forgotten', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      failFast: true,
      plannedFailFast: false,
      deadlineMs: 3_600_000,
      tasks: { a: { state: 'cancelled' } },
      result: { error: { code: 'deadline_exceeded', message: 'too late' } },
    });
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: [] });
    expect(await placesOf(database, id)).toEqual({ a: 'queued' });
    expect(await thoughtsOf(database, id)).toEqual(['deadline']);
    const [row] = await database.sql(
      `select fail_fast, (select count(*)::integer from skipjack.process_results) as results,
         (select available_at > now() + interval '59 minutes' from skipjack.engine_items) as later
       from skipjack.processes where id = $1`,
      [id],
    );
    expect(row).toEqual({ fail_fast: false, results: 0, later: true });
  });

  test('of which only the output failed is only ended again', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: { a: { state: 'completed' } },
      result: { error: { code: 'expression_failed', message: 'no such key' } },
    });
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'retried', tasks: [] });
    expect(await processOf(database, id)).toMatchObject({ state: 'running', unfinished: 0 });
    expect(await thoughtsOf(database, id)).toEqual(['finish']);
  });

  test('that is resumed gives the engine what it had postponed, and nothing sooner', async ({ database }) => {
    const id = await place(database, {
      state: 'running',
      paused: true,
      tasks: { a: { state: 'active', waitsFor: 'engine' }, b: { state: 'active', waitsFor: 'time' } },
    });
    await database.sql(
      `update skipjack.engine_items set available_at = case kind when 'think' then 'infinity' else now() + interval '1 day' end`,
    );
    const lines: unknown[] = [];
    database.db.hints.subscribe((hint) => lines.push(...(hint?.lines ?? [])));
    await setProcessPaused(database.db, id, false);
    const rows = await database.sql(
      'select kind, available_at > now() as later from skipjack.engine_items order by id',
    );
    expect(rows).toEqual([
      { kind: 'think', later: false },
      { kind: 'timer', later: true },
    ]);
    expect(lines).toEqual([['$engine', 0]]);
  });

  test('is deleted with its lists, its inbox and its result; what it had started stays', async ({
    database,
  }) => {
    const id = await placeItems(database, { states: ['failed', 'cancelled'] });
    const taskId = await taskIdOf(database, id, 'a');
    const childId = await place(database, {
      state: 'running',
      tasks: { x: { state: 'active' } },
      parent: { processId: id, taskId, detached: true },
    });
    await database.sql(`insert into skipjack.process_results (process_id, error) values ($1, '{}')`, [id]);
    await think(database, { processId: id, kind: 'cancel' });
    expect(await deleteProcess(database.db, id)).toEqual({ kind: 'deleted' });
    const [left] = await database.sql(
      `select (select count(*) from skipjack.item_lists) + (select count(*) from skipjack.engine_items)
         + (select count(*) from skipjack.process_results) + (select count(*) from skipjack.dead_letters) as rows`,
    );
    expect(Number(left?.rows)).toBe(0);
    expect(await stateOf(database, childId)).toBe('running');
  });
});

describe('other inputs', () => {
  const plan = (more: NonNullable<HandTask['plan']>) => ({
    state: 'failed' as const,
    thinks: true,
    plan: more,
  });
  const inputsOf = async ({ sql }: TestDatabase, id: string) =>
    Object.fromEntries(
      (
        await sql<{ name: string; input: string }>(
          'select name, input::text from skipjack.tasks where process_id = $1 and input is not null',
          [id],
        )
      ).map((row) => [row.name, row.input]),
    );

  test('are for tasks and items that failed, whatever JSON they are', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: failed,
        ['__proto__']: failed,
        c: { state: 'failed', thinks: true, items: { states: ['failed', 'failed'] } },
      },
    });
    const inputs = JSON.parse('{"a": null, "__proto__": [1], "c[1]": {"amount": 5}}');
    const result = await retryProcess(database.db, id, { inputs, by: 'Ann' });
    expect(result).toEqual({ kind: 'retried', tasks: ['a', '__proto__', 'c'] });
    expect(await inputsOf(database, id)).toEqual(
      Object.fromEntries([
        ['a', 'null'],
        ['__proto__', '[1]'],
        ['c[1]', '{"amount": 5}'],
      ]),
    );
    const [event] = await database.sql(
      'select by, details from skipjack.process_events where process_id = $1',
      [id],
    );
    expect(event).toMatchObject({ by: 'Ann', details: { inputs: ['a', '__proto__', 'c[1]'] } });
  });

  test('are refused by name where there is none to change, and nothing is changed', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: failed,
        b: { state: 'cancelled' },
        c: { ...plan({ each: [1] }), items: { states: ['failed'] } },
        d: plan({ process: { definition: 'd' } }),
        e: plan({ sleep: { for: '1s' } }),
        f: plan({ wait_for: { event: 'paid' } }),
        g: { ...plan({ each: [1], process: { definition: 'd' } }), items: { states: ['failed'] } },
        h: { state: 'failed', continueOnError: true },
      },
    });
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g[0]', 'h', 'none'];
    const result = await retryProcess(database.db, id, {
      inputs: Object.fromEntries(names.map((name) => [name, 1])),
    });
    if (result.kind !== 'invalid_inputs') throw new Error(result.kind);
    expect(Object.fromEntries(result.problems.map(({ task, code }) => [task, code]))).toEqual({
      b: 'not_failed',
      c: 'no_input',
      d: 'no_input',
      e: 'no_input',
      f: 'no_input',
      'g[0]': 'no_input',
      h: 'not_failed',
      none: 'not_failed',
    });
    const choice = 'The input can be changed of "a", "c[0]".';
    expect(result.problems.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        `"b" is no task that failed. ${choice}`,
        `"d" has no input of its own: it starts a process. ${choice}`,
      ]),
    );
    expect([await stateOf(database, id), await inputsOf(database, id)]).toEqual(['failed', {}]);
  });

  test('are not for items that will be others', async ({ database }) => {
    const id = await place(database, {
      state: 'failed',
      tasks: {
        a: { ...failed, plan: { sleep: { for: '1s' } } },
        b: {
          state: 'failed',
          needs: ['a'],
          thinks: true,
          runsOnFailure: true,
          items: { states: ['failed'] },
        },
      },
    });
    const result = await retryProcess(database.db, id, { inputs: { 'b[0]': 1 } });
    expect(result).toMatchObject({ kind: 'invalid_inputs', problems: [{ code: 'not_failed' }] });
  });
});

describe('dead letters', () => {
  test('of what cannot go on by itself are not replayed', async ({ database }) => {
    const { parentId, childId } = await placeFamily(database);
    const ofChild = await taskIdOf(database, childId, 'x');
    expect(await replayDeadLetter(database.db, ofChild)).toEqual({
      kind: 'has_parent',
      processId: childId,
      rootId: parentId,
    });
    const failureProcessId = newId();
    const over = await place(database, {
      state: 'failed',
      tasks: { a: failed },
      result: { failureProcessId },
    });
    expect(await replayDeadLetter(database.db, await taskIdOf(database, over, 'a'))).toEqual({
      kind: 'compensated',
      processId: over,
      failureProcessId,
    });
    const ofParent = await taskIdOf(database, parentId, 'a');
    const replayed = await replayDeadLetters(database.db, {}, { limit: 10, dryRun: false });
    expect(replayed).toEqual([ofParent]);
  });

  test('of an item take its process along', async ({ database }) => {
    const id = await placeItems(database, { states: ['failed', 'completed'] });
    expect(await replayDeadLetter(database.db, await taskIdOf(database, id, 'a[0]'))).toEqual({
      kind: 'replayed',
    });
    expect(await placesOf(database, id)).toEqual({ a: 'for items', 'a[0]': 'queued', 'a[1]': 'completed' });
  });
});
