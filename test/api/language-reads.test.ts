/** What HTTP shows of tasks that wait, of their items, and of the processes that they start. */
import { describe, expect } from 'vitest';
import { thinkUntilQuiet } from '../../src/engine/thinking/think-once.ts';
import { type TestApi, test } from './support/api.ts';

async function start(api: TestApi, definition: object): Promise<string> {
  const { status, body } = await api.post('/v1/processes', { definition });
  expect(status).toBe(201);
  return body.id;
}

async function taskIds(api: TestApi, processId: string): Promise<Record<string, string>> {
  const { body } = await api.get(`/v1/processes/${processId}/tasks`);
  return Object.fromEntries(body.tasks.map(({ name, id }: { name: string; id: string }) => [name, id]));
}

describe('a task that waits', () => {
  test('is found by its state, says for what, and is waited for until it has ended', async ({
    api,
    database,
  }) => {
    const id = await start(api, {
      tasks: [
        { name: 'Paid', wait_for: { event: 'paid', key: '42' } },
        { name: 'Nap', sleep: '10m' },
        { name: 'After', needs: ['Paid'], if: 'false' },
        { name: 'Work', queue: 'people' },
      ],
    });
    await thinkUntilQuiet(database.queue);
    for (const query of [`state=waiting`, `state=waiting&process_id=${id}`]) {
      const { body } = await api.get(`/v1/tasks?${query}`);
      expect(body.tasks.map(({ name }: { name: string }) => name)).toEqual(['Nap', 'Paid']);
    }
    const active = await api.get('/v1/tasks?state=active');
    expect(active.body.tasks.map(({ name }: { name: string }) => name)).toEqual(['Work', 'Nap', 'Paid']);

    const { Paid = '', Nap = '', After = '' } = await taskIds(api, id);
    expect((await api.get(`/v1/tasks/${Paid}`)).body).toMatchObject({
      state: 'waiting',
      waits_for: 'event',
      waiting_for: 'the event "paid" with key "42"',
    });
    expect((await api.get(`/v1/tasks/${Nap}`)).body.waiting_for).toMatch(/^until 20\d\d-.*Z$/);
    expect((await api.get(`/v1/processes/${id}`)).body).toMatchObject({
      counts: { waiting: 2, pending: 1, ready: 1 },
      active: ['Paid', 'Nap', 'Work'],
    });

    expect((await api.get(`/v1/tasks/${Paid}?wait=1ms`)).status).toBe(202);
    // Parked and pending ones have no queue item to carry the mark.
    const waiting = [Paid, After].map((task) => api.get(`/v1/tasks/${task}?wait=60s`));
    await expect
      .poll(() => database.sql('select tasks_awaited from skipjack.processes'))
      .toEqual([{ tasks_awaited: true }]);
    expect((await api.post('/v1/events', { name: 'paid', key: '42', payload: [7] })).status).toBeLessThan(
      300,
    );
    await thinkUntilQuiet(database.queue);
    const [paid, after] = await Promise.all(waiting);
    expect(paid).toMatchObject({ status: 200, body: { state: 'completed', output: [7], waits_for: null } });
    expect(after).toMatchObject({ status: 200, body: { state: 'skipped', success: false } });
  });
});

test('a task that waits cannot be ended by its name, and says what it waits for and what to do', async ({
  api,
  database,
}) => {
  const id = await start(api, {
    tasks: [
      { name: 'Paid', wait_for: { event: "Ann's bill", key: 'order 42', timeout: '1h' } },
      { name: 'Signed', wait_for: 'signed' },
      { name: 'Nap', sleep: '10m' },
      { name: 'Each', each: [1, 2], queue: 'people' },
    ],
  });
  await thinkUntilQuiet(database.queue);
  for (const [name, words] of [
    [
      'Paid',
      `the event "Ann's bill" with key "order 42", until .*\\. Send that: skipjack send 'Ann'\\\\''s bill' --key 'order 42', or`,
    ],
    [
      'Signed',
      'for the event "signed"\\. Send that: skipjack send signed, or POST /v1/events\\. Nothing was changed',
    ],
    ['Nap', 'waits until 20.*Z\\. Nothing was changed'],
    ['Each', 'for 2 of 2 items\\. Nothing'],
  ]) {
    const { status, body } = await api.post(`/v1/processes/${id}/tasks/${name}/complete`, {});
    expect([status, body.code]).toEqual([409, 'not_active']);
    expect(body.detail).toMatch(new RegExp(words ?? ''));
  }
});

test('items show their place and value, and fold into the task that they are of', async ({
  api,
  database,
}) => {
  const id = await start(api, {
    tasks: [{ name: 'Ask', queue: 'people', each: ['a', 'b', 'c'], concurrency: 2, input: '${{ item }}' }],
  });
  await thinkUntilQuiet(database.queue);
  const ids = await taskIds(api, id);
  expect(Object.keys(ids)).toEqual(['Ask', 'Ask[0]', 'Ask[1]', 'Ask[2]']);
  expect((await api.get(`/v1/tasks/${ids.Ask}`)).body.waiting_for).toBe('3 of 3 items');
  expect((await api.get(`/v1/tasks/${ids['Ask[1]']}`)).body).toMatchObject({
    state: 'ready',
    item: { index: 1, value: 'b' },
    item_of: 1,
    item_index: 1,
    input: '${{ item }}',
  });
  expect((await api.get(`/v1/tasks/${ids['Ask[2]']}`)).body).toMatchObject({
    state: 'pending',
    waiting_for: 'items before it',
  });
  for (const index of [0, 1, 2]) {
    const path = `/v1/processes/${id}/tasks/${encodeURIComponent(`Ask[${index}]`)}/complete`;
    expect((await api.post(path, { output: index })).status).toBe(200);
    await thinkUntilQuiet(database.queue);
  }
  expect((await api.get(`/v1/processes/${id}`)).body).toMatchObject({
    state: 'completed',
    output: { Ask: [0, 1, 2] },
  });
});

test('a process shows its parent, its own output and error, and is listed by its parent', async ({
  api,
  database,
}) => {
  for (const [name, text] of Object.entries({
    child: 'output: ${{ tasks.B.output.sum }}\ntasks: [{ name: B }]',
    cleanup: 'tasks: [{ name: C }]',
  })) {
    const { status } = await api.send('PUT', `/v1/definitions/${name}`, text, {
      'content-type': 'application/yaml',
    });
    expect(status).toBeLessThan(300);
  }
  const id = await start(api, {
    output: '${{ tasks.A.output.missing }}',
    on_failure: 'cleanup',
    tasks: [{ name: 'A', process: 'child' }],
  });
  await thinkUntilQuiet(database.queue);
  const { A = '' } = await taskIds(api, id);
  const { body: list } = await api.get(`/v1/processes?parent_process_id=${id}`);
  expect(list.processes).toMatchObject([
    { definition: 'child', parent: { process_id: id, task_id: A }, detached: false },
  ]);
  const childId = list.processes[0].id;
  expect((await api.get(`/v1/tasks/${A}`)).body).toMatchObject({
    waiting_for: `process ${childId}`,
    process: { id: childId },
  });
  await api.post(`/v1/processes/${childId}/tasks/B/complete`, { output: { sum: 5 } });
  await thinkUntilQuiet(database.queue);
  expect((await api.get(`/v1/processes/${childId}`)).body).toMatchObject({
    state: 'completed',
    output: 5,
    depth: 1,
  });
  const { body: view } = await api.get(`/v1/processes/${id}`);
  expect(view).toMatchObject({ state: 'failed', output: null, error: { code: 'expression_failed' } });
  const { body: after } = await api.get(`/v1/processes/${view.failure_process_id}`);
  expect(after).toMatchObject({
    definition: 'cleanup',
    parent: { process_id: id, task_id: null },
    detached: true,
    depth: 1,
  });
  const { body: history } = await api.get(`/v1/processes/${id}/events`);
  expect(history.events.map(({ event }: { event: string }) => event)).toEqual(
    expect.arrayContaining(['child_process_started', 'failure_process_started', 'process_failed']),
  );
});
