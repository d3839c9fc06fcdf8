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
    expect([status, body.code, body.problems[0].pointer]).toEqual([422, 'misplaced_expression', pointer]);
    expect(body.detail).toContain('a task on its own has no process');
    expect(body.detail).not.toContain('later version');
  }
});

test('what does not fit is said in plain words, with its place', async ({ api }) => {
  for (const [path, body, problem] of [
    ['/v1/events', {}, ['/name', 'is missing']],
    ['/v1/events', { name: '' }, ['/name', 'must not be empty']],
    ['/v1/events', { name: 'x'.repeat(201) }, ['/name', 'is longer than 200 letters']],
    ['/v1/events', { name: 5 }, ['/name', 'must be text, not a number: write it in quotes']],
    ['/v1/events', [1], ['', 'must be a map, not a list']],
    ['/v1/processes', { definition: 'a', version: 0.5 }, ['/version', 'must be a whole number']],
    [
      '/v1/tasks',
      { run: 'x', if: 'true' },
      ['/if', 'unknown key "if": only tasks of a definition have it, started as a process'],
    ],
    ['/v1/tasks', { run: 'x', timeout: 30 }, ['/timeout', 'must be a duration such as 30s, not a number']],
    [
      '/v1/tasks',
      { run: 'x', retry: { backoff: 'x' } },
      ['/retry/backoff', 'must be one of fixed, linear, exponential'],
    ],
    [
      '/v1/tasks',
      { handler: '$x' },
      ['/handler', 'begins with "$", as no queue may: say which "queue" it waits on'],
    ],
  ] as const) {
    const { status, body: answer } = await api.post(path, body);
    expect([status, answer.code]).toEqual([400, 'invalid_request']);
    expect([answer.problems[0].pointer, answer.problems[0].message]).toEqual(problem);
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
