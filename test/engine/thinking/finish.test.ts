/** The end of a process: its output, what its failure starts, its deadline. */
import { describe, expect } from 'vitest';
import type { Json } from '../../../src/core/json.ts';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import type { TestDatabase } from '../../support/database.ts';
import { test } from '../../support/database.ts';
import { claimNamed, run, settlementOf, start, stateOf } from '../../support/processes.ts';
import { childrenOf, inboxOf, passTime, publishPlan, standOf, startPlan } from './support/plans.ts';

async function resultOf({ sql }: Pick<TestDatabase, 'sql'>, id: string) {
  const [row] = await sql<{
    output: Json;
    error: { code: string } | null;
    failure_process_id: string | null;
  }>('select output, error, failure_process_id from skipjack.process_results where process_id = $1', [id]);
  return row ?? null;
}

async function inputOf({ sql }: Pick<TestDatabase, 'sql'>, id: string): Promise<Json> {
  const [row] = await sql<{ input: Json }>(
    'select input from skipjack.process_inputs where process_id = $1',
    [id],
  );
  return row?.input ?? {};
}

async function eventsOf(
  { sql }: Pick<TestDatabase, 'sql'>,
  id: string,
): Promise<{ event: string; details: Json }[]> {
  return sql('select event, details from skipjack.process_events where process_id = $1 order by at', [id]);
}

describe('the output of a process', () => {
  test('is made when its last task has ended', async ({ database }) => {
    const output = { sum: '${{ tasks.a.output + input.n }}', fixed: [true] };
    const id = await startPlan(database, { a: {} }, { output }, { n: 1 });
    await run(database, id, 'a', { kind: 'completed', output: 41 });
    expect(await stateOf(database, id)).toBe('running');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('completed');
    expect(await resultOf(database, id)).toMatchObject({ output: { sum: 42, fixed: [true] }, error: null });
    expect(await inboxOf(database, id)).toEqual([]);
  });

  test('that cannot be made fails it', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { output: '${{ tasks.a.output.n }}' });
    await run(database, id, 'a');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
    expect(await resultOf(database, id)).toMatchObject({ error: { code: 'expression_failed' } });
  });

  test('reaches who waits for the end', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { output: 1 });
    const waiting = database.queue.waitForEnd('process', id, { waitMs: 30_000 });
    await run(database, id, 'a');
    await thinkUntilQuiet(database.queue);
    expect(await waiting).toBe('ended');
  });
});

describe('on_failure', () => {
  const clean = {
    name: 'clean',
    input: { task: { type: 'any', required: false }, error: { type: 'any', required: false } },
  };

  test('is started with what happened, of which it gets what it declares', async ({ database }) => {
    await publishPlan(database, { x: {} }, clean as never);
    const id = await startPlan(database, { a: {}, b: {} }, { on_failure: { definition: 'clean' } });
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
    const [child] = await childrenOf(database, id);
    expect(child).toMatchObject({ name: 'clean', state: 'running', detached: true, depth: 1 });
    expect(await inputOf(database, child?.id ?? '')).toMatchObject({
      task: 'a',
      error: { code: 'exit_code' },
    });
    expect(await resultOf(database, id)).toMatchObject({ failure_process_id: child?.id });
    expect(await eventsOf(database, id)).toMatchObject([
      { event: 'failure_process_started', details: { process_id: child?.id } },
    ]);
  });

  test('gets all of it where it declares nothing', async ({ database }) => {
    await publishPlan(database, { x: {} }, { name: 'clean' });
    const id = await startPlan(database, { a: {} }, { on_failure: { definition: 'clean' } }, { n: 1 });
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    const [child] = await childrenOf(database, id);
    expect(await inputOf(database, child?.id ?? '')).toMatchObject({
      process: { id, definition: null, version: null, input: { n: 1 } },
      task: 'a',
      failures: [{ task: 'a', error: { code: 'exit_code' } }],
    });
  });

  test('that cannot be started is told of', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { on_failure: { definition: 'nobody' } });
    await run(database, id, 'a', 'fails');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
    expect(await eventsOf(database, id)).toMatchObject([
      { event: 'failure_process_refused', details: { code: 'no_such_definition' } },
    ]);
  });

  test('ends after so many of itself', async ({ database }) => {
    await publishPlan(
      database,
      { x: { if: 'input.nothing' } },
      { name: 'loop', on_failure: { definition: 'loop' } },
    );
    const [{ id: definitionId } = { id: '' }] = await database.sql('select id from skipjack.definitions');
    await start(database, { other: [] });
    await database.sql(`select skipjack.start_process('loop')`);
    await thinkUntilQuiet(database.queue);
    const [count] = await database.sql(
      'select count(*)::integer as processes from skipjack.processes where definition_id = $1',
      [definitionId],
    );
    expect(count).toEqual({ processes: 11 });
  });

  test('is not for what was cancelled', async ({ database }) => {
    await publishPlan(database, { x: {} }, { name: 'clean' });
    const id = await startPlan(database, { a: {} }, { on_failure: { definition: 'clean' } });
    await cancelProcess(database.db, id);
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('cancelled');
    expect(await childrenOf(database, id)).toEqual([]);
  });
});

describe('the deadline', () => {
  test('stops what is left, clean-ups excepted', async ({ database }) => {
    const graph = { a: {}, b: { needs: ['a'] }, c: { needs: ['a'], if: 'failure() || always()' } };
    const id = await startPlan(database, graph, { deadline_ms: 3_600_000, fail_fast: false });
    const claimed = await claimNamed(database, id, 'a');
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'stopping', b: 'cancelled', c: 'pending' });
    await database.queue.settle(settlementOf(claimed, 'fails'));
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'cancelled', b: 'cancelled', c: 'ready' });
    await run(database, id, 'c');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('failed');
    expect(await resultOf(database, id)).toMatchObject({ error: { code: 'deadline_exceeded' } });
    expect(await eventsOf(database, id)).toMatchObject([{ event: 'deadline_exceeded' }]);
  });

  test('is forgotten when the process has ended in time', async ({ database }) => {
    const id = await startPlan(database, { a: {} }, { deadline_ms: 3_600_000 });
    await run(database, id, 'a');
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('completed');
    expect(await inboxOf(database, id)).toEqual([]);
  });
});
