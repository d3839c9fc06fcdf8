import { expect } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import { Engine } from '../../src/engine/engine.ts';
import { test as databaseTest } from '../support/database.ts';
import { type LossyServer, startLossyServer } from './support/server.ts';

const test = databaseTest.extend<{ server: LossyServer; client: Client }>({
  server: async ({ database }, use) => {
    await use(await startLossyServer(database.queue));
  },
  client: async ({ server }, use) => {
    await use(createClient({ url: server.url }));
  },
});

test('an event is sent, listed and read', async ({ client }) => {
  const sent = await client.sendEvent({ name: 'paid', key: 'order 7', payload: { amount: 10 } });
  expect(sent).toEqual({ id: sent.id, name: 'paid', key: 'order 7', woken: 0, kept: true });
  expect(await client.getEvent(sent.id)).toMatchObject({
    id: sent.id,
    payload: { amount: 10 },
    taken_at: null,
  });
  const bare = await client.sendEvent({ name: 'opened' });
  const page = await client.listEvents({}, { limit: 1 });
  expect(page.events.map(({ id }) => id)).toEqual([bare.id]);
  const rest = await client.listEvents({}, { cursor: page.next_cursor ?? '' });
  expect(rest).toMatchObject({ events: [{ id: sent.id }], next_cursor: null });
  expect((await client.listEvents({ name: 'paid', key: 'order 7' })).events).toHaveLength(1);
  expect((await client.listEvents({ key: '' })).events.map(({ id }) => id)).toEqual([bare.id]);
});

test('a lost answer is asked for again by the idempotency key', async ({ client, server }) => {
  const event = { name: 'paid', idempotencyKey: 'bank transfer 815' };
  server.lose('answer');
  await expect(client.sendEvent(event)).rejects.toMatchObject({ code: 'server_unreachable' });
  const again = await client.sendEvent(event);
  expect((await client.listEvents()).events.map(({ id }) => id)).toEqual([again.id]);
  await expect(client.sendEvent({ ...event, payload: 1 })).rejects.toMatchObject({
    code: 'idempotency_conflict',
    exitCode: 4,
    extra: { existing_id: again.id },
  });
});

test('a definition is made inactive and active again, and its versions are compared', async ({ client }) => {
  await client.publishDefinition('loan/ä', { tasks: [{ name: 'A' }] });
  await client.publishDefinition('loan/ä', { tasks: [{ name: 'B' }] });
  expect(await client.diffDefinition('loan/ä')).toMatchObject({
    from: 1,
    to: 2,
    tasks: [
      { name: 'B', change: 'added' },
      { name: 'A', change: 'removed' },
    ],
  });
  expect(await client.diffDefinition('loan/ä', { from: 2, to: 2 })).toMatchObject({ tasks: [] });
  expect(await client.setDefinitionActive('loan/ä', false, { by: 'Ada' })).toMatchObject({
    version: 2,
    active: false,
    inactive_by: 'Ada',
  });
  await expect(client.startProcess({ definition: 'loan/ä' })).rejects.toMatchObject({
    code: 'definition_inactive',
    exitCode: 4,
  });
  expect((await client.listDefinitions()).definitions).toMatchObject([{ active: false }]);
  expect(await client.setDefinitionActive('loan/ä', true)).toMatchObject({ active: true });
  expect(await client.startProcess({ definition: 'loan/ä' })).toMatchObject({ state: 'running' });
});

test('an engine does the same in its own OS process', async ({ client, database }) => {
  const engine = new Engine({ queue: database.queue });
  await engine.publish({ source: 'name: loan\ntasks: [{ name: A }]' });
  expect(await engine.setDefinitionActive('loan', false)).toMatchObject({ active: false, inactive_by: null });
  await expect(engine.startProcess('loan')).rejects.toMatchObject({ code: 'definition_inactive' });
  await expect(engine.setDefinitionActive('laon', true)).rejects.toMatchObject({
    code: 'not_found',
    message: 'There is no definition "laon". Did you mean "loan"?',
  });
  await expect(engine.diffDefinitions('loan')).rejects.toMatchObject({ code: 'not_found' });
  const event = { name: 'paid', key: '', payload: [1], idempotencyKey: 'k' };
  const sent = await engine.sendEvent(event);
  expect(sent).toEqual({ id: sent.id, name: 'paid', key: null, woken: 0, kept: true, created: true });
  expect(await engine.sendEvent(event)).toEqual({ ...sent, created: false });
  expect(await client.getEvent(sent.id)).toMatchObject({ payload: [1] });
  for (const wrong of [{ name: '' }, { name: 'a', payload: new Date() as never }, { name: 'a\u0000' }])
    await expect(engine.sendEvent(wrong)).rejects.toMatchObject({ code: 'invalid_request' });
  // Sent in the same turn, they travel together.
  const many = await Promise.all(
    Array.from({ length: 50 }, (_, index) => engine.sendEvent({ name: 'many', key: `${index % 5}` })),
  );
  expect(new Set(many.map(({ id }) => id)).size).toBe(50);
  await engine.close();
});
