/** Events over HTTP: sent once or many at a time, and looked at. */
import { describe, expect, onTestFinished } from 'vitest';
import { startThinking } from '../../src/engine/thinking/start-thinking.ts';
import { test } from './support/api.ts';

const event = { name: 'paid', key: 'order 7', payload: { amount: 10 } };
const unknownId = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';

describe('an event', () => {
  test('is kept where nobody waits, and can be looked at', async ({ api }) => {
    const sent = await api.post('/v1/events', event);
    expect(sent.status).toBe(201);
    expect(sent.body).toEqual({
      id: expect.any(String),
      name: 'paid',
      key: 'order 7',
      woken: 0,
      kept: true,
    });
    const where = sent.headers.get('location') ?? '';
    expect(where).toBe(`/v1/events/${sent.body.id}`);
    expect((await api.get(where)).body).toMatchObject({ ...event, woken: 0, taken_at: null });
    const bare = await api.post('/v1/events', { name: 'opened' });
    expect((await api.get(`/v1/events/${bare.body.id}`)).body).toMatchObject({ key: null, payload: null });
    for (const id of [unknownId, 'x']) expect((await api.get(`/v1/events/${id}`)).status).toBe(404);
  });

  test('with an idempotency key is sent once', async ({ api }) => {
    const keyed = { ...event, idempotency_key: 'k' };
    const first = await api.post('/v1/events', keyed);
    const again = await api.post('/v1/events', keyed);
    expect([again.status, again.body, again.headers.get('idempotency-replayed')]).toEqual([
      200,
      first.body,
      'true',
    ]);
    const other = await api.post('/v1/events', { ...keyed, payload: null });
    expect([other.status, other.body.code, other.body.existing_id]).toEqual([
      409,
      'idempotency_conflict',
      first.body.id,
    ]);
    expect((await api.get('/v1/events')).body.events).toHaveLength(1);
  });

  test('which a transaction that is open is sending is refused for now', async ({ api, database }) => {
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.send_event('paid', key => 'order 7')`);
    const [held, free] = await Promise.all([
      api.post('/v1/events', event),
      api.post('/v1/events', { ...event, key: 'order 8' }),
    ]);
    expect([held.status, held.body.code, held.headers.get('retry-after')]).toEqual([503, 'event_busy', '1']);
    expect(free.status).toBe(201);
    await client.query('rollback');
    expect((await api.post('/v1/events', event)).status).toBe(201);
  });

  test.for([
    [{}, '/name'],
    [{ name: '' }, '/name'],
    [{ name: 'x'.repeat(201) }, '/name'],
    [{ name: 'a\u0000' }, '/name'],
    [{ name: 'a', key: 'x'.repeat(201) }, '/key'],
    [{ name: 'a', key: 7 }, '/key'],
    [{ name: 'a', payload: 'x'.repeat(1024 * 1024) }, '/payload'],
    [{ name: 'a', payload: { a: '\ud800' } }, '/payload/a'],
    [{ name: 'a', idempotency_key: '' }, '/idempotency_key'],
    [{ name: 'a', data: 1 }, '/data'],
  ] as const)('that is malformed is refused (%#)', async ([body, pointer], { api }) => {
    const { status, body: answer } = await api.post('/v1/events', body);
    expect([status, answer.code, answer.problems[0].pointer]).toEqual([400, 'invalid_request', pointer]);
    expect((await api.get('/v1/events')).body.events).toEqual([]);
  });
});

test('a task that waits completes with the payload, whoever comes first', async ({ api, database }) => {
  const thinking = startThinking(database.queue);
  onTestFinished(() => thinking.stop());
  const definition = {
    tasks: [
      { name: 'Wait', wait_for: { event: 'paid', key: '${{ input.order }}' } },
      { name: 'Ship', needs: ['Wait'] },
    ],
  };
  const startOne = async (order: string) =>
    (await api.post('/v1/processes', { definition, input: { order } })).body.id as string;
  const outputOf = async (id: string) => {
    await expect.poll(async () => (await api.get(`/v1/processes/${id}`)).body.active).toEqual(['Ship']);
    const [task] = (await api.get(`/v1/processes/${id}/tasks`)).body.tasks;
    return (await api.get(`/v1/tasks/${task.id}`)).body.output;
  };

  const first = await startOne('7');
  await expect.poll(() => database.sql('select key from skipjack.event_waits')).toEqual([{ key: '7' }]);
  const sent = await api.post('/v1/events', { name: 'paid', key: '7', payload: { amount: 10 } });
  expect(sent.body).toMatchObject({ woken: 1, kept: false });
  expect(await outputOf(first)).toEqual({ amount: 10 });

  const kept = await api.post('/v1/events', { name: 'paid', key: '8', payload: [1] });
  expect(kept.body).toMatchObject({ woken: 0, kept: true });
  expect(await outputOf(await startOne('8'))).toEqual([1]);
  expect((await api.get(`/v1/events/${kept.body.id}`)).body).toMatchObject({
    woken: 0,
    taken_at: expect.any(String),
  });
  await thinking.stop();
});

describe('a batch', () => {
  test('judges each event alone, in their order', async ({ api }) => {
    const keyed = { name: 'a', idempotency_key: 'k' };
    const first = (await api.post('/v1/events', keyed)).body;
    const { status, body } = await api.post('/v1/events/batch', {
      events: [{ name: 'b' }, { name: '' }, keyed, { ...keyed, payload: 1 }, 7, { name: 'b', key: 'c' }],
    });
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { status: 201, name: 'b', kept: true },
      { status: 400, code: 'invalid_request', problems: [{ pointer: '/events/1/name' }] },
      { status: 200, id: first.id },
      { status: 409, code: 'idempotency_conflict', existing_id: first.id },
      { status: 400, problems: [{ pointer: '/events/4' }] },
      { status: 201, key: 'c' },
    ]);
    expect((await api.get('/v1/events')).body.events).toHaveLength(3);
  });

  test('takes a thousand, and no more', async ({ api }) => {
    const events = Array.from({ length: 1_001 }, (_, index) => ({ name: `e${index}` }));
    const many = await api.post('/v1/events/batch', { events });
    expect([many.status, many.body.problems[0].pointer]).toEqual([400, '/events']);
    const { body } = await api.post('/v1/events/batch', { events: events.slice(1) });
    expect(new Set(body.results.map((result: { status: number }) => result.status))).toEqual(new Set([201]));
    expect((await api.post('/v1/events/batch', { events: [] })).status).toBe(400);
    expect((await api.post('/v1/events/batch', { events: [{ name: 'a' }], more: 1 })).status).toBe(400);
  });
});

test('events are listed newest first, by name and key, in pages that miss nothing', async ({ api }) => {
  const sent: string[] = [];
  for (const [name, key] of [
    ['a', '1'],
    ['b', '1'],
    ['a', null],
    ['a', '1'],
  ])
    sent.unshift((await api.post('/v1/events', { name, key })).body.id);
  const seen: string[] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const { body } = await api.get(`/v1/events?limit=1${cursor ? `&cursor=${cursor}` : ''}`);
    seen.push(...body.events.map(({ id }: { id: string }) => id));
    cursor = body.next_cursor;
  }
  expect(seen).toEqual(sent);
  const ids = async (query: string) =>
    (await api.get(`/v1/events?${query}`)).body.events.map(({ id }: { id: string }) => sent.indexOf(id));
  expect(await ids('name=a&key=1')).toEqual([0, 3]);
  expect(await ids('name=a&key=')).toEqual([1]);
  expect(await ids('key=1')).toEqual([0, 2, 3]);
  expect((await api.get('/v1/events')).body.events[0]).not.toHaveProperty('payload');
  for (const query of ['cursor=x', 'limit=0', 'names=a', `name=${'x'.repeat(201)}`])
    expect((await api.get(`/v1/events?${query}`)).status).toBe(400);
});
