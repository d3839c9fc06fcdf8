import { expect } from 'vitest';
import { test } from './support/api.ts';

test('good tasks of a batch are enqueued, whatever the bad ones are', async ({ api }) => {
  const { status, body } = await api.post('/v1/tasks/batch', {
    tasks: [
      { command: 'true' },
      { command: 'true', priority: 10 },
      { command: 'true', input: 'a\u0000b' },
      { command: 'true', env: { A: '${{ input.a }}' } },
      null,
      { command: 'true', run_at: '0000-01-01T00:00:00Z' },
      { command: 'true', idempotency_key: 'once' },
      { handler: 'last' },
    ],
  });
  expect(status).toBe(200);
  expect(body.results).toMatchObject([
    { status: 201, id: expect.any(String) },
    { status: 400, code: 'invalid_request', problems: [{ pointer: '/tasks/1/priority' }] },
    { status: 400, code: 'invalid_request', problems: [{ pointer: '/tasks/2/input' }] },
    { status: 422, code: 'misplaced_expression', problems: [{ pointer: '/tasks/3/env/A' }] },
    { status: 400, code: 'invalid_request' },
    { status: 400, code: 'invalid_request' },
    { status: 201 },
    { status: 201 },
  ]);
  expect((await api.get('/v1/tasks')).body.tasks).toHaveLength(3);
});

test('idempotency keys mean in a batch what they mean alone', async ({ api }) => {
  const once = { command: 'true', idempotency_key: 'once' };
  const first = await api.post('/v1/tasks', once);
  const { body } = await api.post('/v1/tasks/batch', { tasks: [once, { ...once, command: 'false' }] });
  expect(body.results).toMatchObject([
    { status: 200, id: first.body.id },
    { status: 409, code: 'idempotency_conflict', id: first.body.id },
  ]);
});

test('a thousand go at once, one more does not', async ({ api }) => {
  const tasks = Array.from({ length: 1_000 }, (_, index) => ({ command: 'true', input: index }));
  const { body } = await api.post('/v1/tasks/batch', { tasks });
  expect(body.results.every((result: { status: number }) => result.status === 201)).toBe(true);
  const more = await api.post('/v1/tasks/batch', { tasks: [...tasks, tasks[0]] });
  expect([more.status, more.body.problems[0].pointer]).toEqual([400, '/tasks']);
});

test.for([[[]], ['tasks'], [null], [{}], [{ tasks: {} }], [{ tasks: [] }], [{ tasks: [{}], more: 1 }]])(
  'a batch that is none (%j) is refused as a whole',
  async ([body], { api }) => {
    const answer = await api.post('/v1/tasks/batch', JSON.stringify(body));
    expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
  },
);

test('a batch with a key that would vanish is refused as a whole', async ({ api }) => {
  const answer = await api.post('/v1/tasks/batch', '{"tasks":[{"command":"true"}],"__proto__":{}}');
  expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
});
