/** Tasks that wait for a time, or for an event. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../../src/engine/thinking/think-once.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { run, stateOf } from '../../support/processes.ts';
import { endOf, inboxOf, passTime, standOf, startPlan } from './support/plans.ts';

describe('a task that sleeps', () => {
  test('completes when its time has come, and not before', async ({ database }) => {
    const id = await startPlan(
      database,
      { a: { sleep: { for: '${{ string(input.hours) }}h' } } },
      {},
      { hours: 2 },
    );
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for time' });
    const [due] = await database.sql<{ minutes: number }>(
      `select round(extract(epoch from available_at - clock_timestamp()) / 60)::integer as minutes from skipjack.engine_items`,
    );
    expect(due?.minutes).toBe(120);
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toEqual({ state: 'completed', output: null, error: null });
    expect(await stateOf(database, id)).toBe('completed');
  });

  test('until a time that has passed completes at once', async ({ database }) => {
    const id = await startPlan(database, { a: { sleep: { until: '2020-01-31T08:00:00+02:00' } } });
    await thinkUntilQuiet(database.queue);
    expect(await stateOf(database, id)).toBe('completed');
  });

  test.for([
    { for: 'soon' },
    { for: '367d' },
    { until: 'tomorrow' },
    { until: '9000-01-01T00:00:00Z' },
    { until: '${{ input.n }}' },
  ])('%j is no time to sleep', async (sleep, { database }) => {
    const id = await startPlan(database, { a: { sleep } }, {}, { n: 1 });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'invalid_time' },
    });
  });
});

describe('a task that is due later', () => {
  test('lies on its queue until then', async ({ database }) => {
    const id = await startPlan(database, { a: { delay_ms: 60_000 }, b: { run_at: '2020-01-01T00:00:00Z' } });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'ready', b: 'ready' });
    const due = await database.sql(
      'select task_id from skipjack.queue_items where available_at <= clock_timestamp()',
    );
    expect(due).toHaveLength(1);
  });

  test('begins to wait for an event when its time has come', async ({ database }) => {
    const id = await startPlan(database, { a: { delay_ms: 60_000, wait_for: { event: 'paid' } } });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for time' });
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for event' });
  });
});

describe('a task that waits for an event', () => {
  const graph = { a: { wait_for: { event: 'paid', key: '${{ input.order }}', timeout_ms: 60_000 } } };

  async function send(database: Parameters<typeof standOf>[0], key: string, payload: unknown): Promise<void> {
    await database.sql(`select skipjack.send_event('paid', $1, $2::jsonb)`, [key, JSON.stringify(payload)]);
  }

  test('completes with its payload', async ({ database }) => {
    const id = await startPlan(database, graph, {}, { order: 7 });
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for event' });
    await send(database, '8', {});
    await send(database, '7', { amount: 10 });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: { amount: 10 } });
    expect(await inboxOf(database, id)).toEqual([]);
  });

  test('takes the oldest that came before it', async ({ database }) => {
    await send(database, '7', 1);
    await send(database, '7', 2);
    const first = await startPlan(database, graph, {}, { order: 7 });
    const second = await startPlan(database, graph, {}, { order: 7 });
    const third = await startPlan(database, graph, {}, { order: 7 });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, first, 'a')).toMatchObject({ output: 1 });
    expect(await endOf(database, second, 'a')).toMatchObject({ output: 2 });
    expect(await standOf(database, third)).toEqual({ a: 'waits for event' });
  });

  test('fails when none comes in time', async ({ database }) => {
    const id = await startPlan(database, graph, {}, { order: 7 });
    await thinkUntilQuiet(database.queue);
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'event_timeout' },
    });
    await send(database, '7', 1);
    expect(await database.sql('select from skipjack.events where taken_at is null')).toHaveLength(1);
  });

  test('takes the event when both have come by the time somebody looks', async ({ database }) => {
    const id = await startPlan(database, graph, {}, { order: 7 });
    await thinkUntilQuiet(database.queue);
    await passTime(database);
    await send(database, '7', 'just in time');
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: 'just in time' });
  });

  test('is looked at again while a stranger is about to send it', async ({ database }) => {
    const id = await startPlan(database, graph, {}, { order: 7 });
    const other = await startPlan(database, { b: { if: 'true' } });
    const stranger = await database.connect();
    await stranger.query('begin');
    await stranger.query(`select skipjack.send_event('paid', '7', '"from a stranger"')`);
    await thinkUntilQuiet(database.queue);
    expect(await standOf(database, id)).toEqual({ a: 'waits for engine' });
    expect(await standOf(database, other)).toEqual({ b: 'ready' });
    await stranger.query('commit');
    await passTime(database);
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({ state: 'completed', output: 'from a stranger' });
    await run(database, other, 'b');
  });

  test('is one of very many that begin to wait at once, and are not looked at again and again', async ({
    database,
  }) => {
    const looks = noteLooks(database.db);
    const items = Array.from({ length: 1_000 }, (_, index) => index);
    const id = await startPlan(database, {
      a: { each: items, wait_for: { event: 'paid', key: '${{ item }}', timeout_ms: 60_000 } },
    });
    await thinkUntilQuiet(database.queue);
    expect(await database.sql('select from skipjack.event_waits')).toHaveLength(1_000);
    // Each once, in however many transactions.
    expect(looks.reduce((sum, look) => sum + look, 0)).toBe(1_000);
    expect(await standOf(database, id)).toMatchObject({ a: 'waits for items' });
  });

  test('takes its own of very many events that came before', async ({ database }) => {
    const items = Array.from({ length: 120 }, (_, index) => index);
    for (const key of items) await send(database, String(key), { amount: key });
    const id = await startPlan(database, {
      a: { each: items, wait_for: { event: 'paid', key: '${{ item }}' } },
    });
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'completed',
      output: items.map((amount) => ({ amount })),
    });
    expect(await database.sql('select from skipjack.events where taken_at is null')).toEqual([]);
  });

  test('has a name and a key that can be looked for', async ({ database }) => {
    const long = 'k'.repeat(201);
    const id = await startPlan(
      database,
      { a: { wait_for: { event: 'x', key: '${{ input.k }}' } } },
      {},
      { k: long },
    );
    await thinkUntilQuiet(database.queue);
    expect(await endOf(database, id, 'a')).toMatchObject({
      state: 'failed',
      error: { code: 'invalid_event' },
    });
  });
});

/** For how many waits each statement asks that locks their events. */
function noteLooks({ pool }: TestDatabase['db']): number[] {
  const looks: number[] = [];
  const known = new WeakSet<pg.ClientBase>();
  pool.on('acquire', (client) => {
    if (known.has(client)) return;
    known.add(client);
    const original = client.query.bind(client);
    // biome-ignore lint/suspicious/noExplicitAny: counts what goes by and changes nothing.
    client.query = ((...args: any[]) => {
      if (String(args[0]).includes('pg_try_advisory_xact_lock(skipjack.event_lock'))
        looks.push(args[1][0].length);
      // biome-ignore lint/suspicious/noExplicitAny: as above.
      return (original as any)(...args);
    }) as typeof client.query;
  });
  return looks;
}
