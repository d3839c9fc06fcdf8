/** What is refused says what there is to do about it. */
import { expect } from 'vitest';
import { test } from './support/api.ts';

test('an expression in a task on its own is refused by what it lacks: a process', async ({ api }) => {
  const expression = '${{ input.a }}';
  for (const [task, pointer] of [
    [{ command: 'x', args: [expression] }, '/args/0'],
    [{ run: 'x', env: { A: expression } }, '/env/A'],
    [{ image: 'x', cmd: [expression] }, '/cmd/0'],
  ] as const) {
    const { status, body } = await api.post('/v1/tasks', task);
    expect([status, body.code, body.problems[0].pointer]).toEqual([422, 'not_supported_yet', pointer]);
    expect(body.detail).toContain('a task on its own has no process');
    expect(body.detail).not.toContain('later version');
  }
});

test('events of a batch that somebody else is sending are refused each alone, also where all are', async ({
  api,
  database,
}) => {
  const client = await database.connect();
  await client.query(`begin; select skipjack.send_event('paid'), skipjack.send_event('shipped')`);
  const { status, body } = await api.post('/v1/events/batch', {
    events: [{ name: 'paid' }, { name: 'shipped' }],
  });
  await client.query('rollback');
  const refused = { status: 503, code: 'event_busy', detail: expect.any(String) };
  expect([status, body.results]).toEqual([
    200,
    [expect.objectContaining(refused), expect.objectContaining(refused)],
  ]);
});
