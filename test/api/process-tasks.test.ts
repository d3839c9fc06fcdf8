/** The routes of tasks, where the task belongs to a process. */
import { expect } from 'vitest';
import { openQueue } from '../../src/queue/queue.ts';
import { claimOne, complete, enqueue, fail } from '../support/tasks.ts';
import { startTestApi, type TestApi, test } from './support/api.ts';
import { loan, startInline, taskPath, yaml } from './support/definitions.ts';

const definition = {
  tasks: [
    { name: 'A', run: 'true', input: { n: 1 }, labels: { a: 'b' } },
    { name: 'B', needs: ['A'] },
  ],
};

async function tasksOf(api: TestApi, path: string): Promise<{ id: string; name: string }[]> {
  return (await api.get(`${path}/tasks`)).body.tasks;
}

test('a task shows its process, its place, what it needs and what it runs', async ({ api }) => {
  const path = await startInline(api, definition);
  const [a, b] = await tasksOf(api, path);
  expect((await api.get(`/v1/tasks/${a?.id}`)).body).toMatchObject({
    process_id: path.split('/').at(-1),
    ordinal: 1,
    needs: [],
    type: 'run',
    run: 'true',
    input: { n: 1 },
  });
  expect((await api.get(`/v1/tasks/${b?.id}`)).body).toMatchObject({
    ordinal: 2,
    needs: ['A'],
    state: 'pending',
    waiting_for: 'the tasks that it needs',
  });
});

test('tasks are found by their process and by its definition', async ({ api, database }) => {
  await api.send('PUT', '/v1/definitions/loan', loan, yaml);
  const { id } = (await api.post('/v1/processes', { definition: 'loan' })).body;
  await enqueue(database);
  await startInline(api, definition);
  const namesOf = async (query: string) =>
    (await api.get(`/v1/tasks?${query}`)).body.tasks.map(({ name }: { name: string }) => name);
  expect(await namesOf(`process_id=${id.toUpperCase()}&state=active`)).toEqual(['Open Loan Application']);
  expect(await namesOf('definition=loan')).toHaveLength(4);
  expect(await namesOf('definition=none')).toEqual([]);
  const { status, body } = await api.get('/v1/tasks?process_id=mine');
  expect([status, body.problems[0].pointer]).toEqual([400, 'process_id']);
});

test('claims are narrowed to a definition', async ({ api }) => {
  await api.send('PUT', '/v1/definitions/loan', loan, yaml);
  const { id } = (await api.post('/v1/processes', { definition: 'loan', input: { amount: 5 } })).body;
  await startInline(api, definition);
  const claimed = async (filter: object) =>
    (await api.post('/v1/tasks/claim', { queues: ['people', 'default'], limit: 10, ...filter })).body.tasks;
  expect(await claimed({ definition: 'other' })).toEqual([]);
  expect(await claimed({ definition: 'loan' })).toMatchObject([
    { name: 'Open Loan Application', process: { id, definition: 'loan', version: 1, input: { amount: 5 } } },
  ]);
});

test('a task whose needs have not ended cannot be claimed', async ({ api }) => {
  const path = await startInline(api, definition);
  const [, b] = await tasksOf(api, path);
  const { status, body } = await api.post(`/v1/tasks/${b?.id}/claim`, { worker: 'ada' });
  expect([status, body]).toMatchObject([409, { code: 'not_active', state: 'pending', needs: ['A'] }]);
});

test('a task of a process is cancelled and deleted with it', async ({ api, database }) => {
  const path = await startInline(api, definition);
  const processId = path.split('/').at(-1);
  const [task] = await tasksOf(api, path);
  const cancel = await api.post(`/v1/tasks/${task?.id}/cancel`);
  expect([cancel.status, cancel.body]).toMatchObject([
    409,
    { code: 'part_of_process', process_id: processId },
  ]);
  expect(cancel.body.detail).toContain(`POST /v1/processes/${processId}/cancel`);
  const early = await api.send('DELETE', `/v1/tasks/${task?.id}`);
  expect([early.status, early.body]).toMatchObject([409, { code: 'part_of_process', process_id: processId }]);
  await complete(database, await claimOne(database));
  expect((await api.post(`/v1/tasks/${task?.id}/cancel`)).body.code).toBe('already_settled');
  const late = await api.send('DELETE', `/v1/tasks/${task?.id}`);
  expect([late.status, late.body.code]).toEqual([409, 'part_of_process']);
  expect(late.body.detail).toContain(`DELETE /v1/processes/${processId}`);
  expect((await api.get(`/v1/tasks/${task?.id}`)).status).toBe(200);
});

test('who waits for a task whose needs have not ended hears of its end', async ({ database }) => {
  const queue = openQueue(database.db, { pollIntervalMs: 100 });
  const api = await startTestApi({ queue });
  const path = await startInline(api, definition);
  const [, later] = await tasksOf(api, path);
  const asked = api.get(`/v1/tasks/${later?.id}?wait=60s`);
  await complete(database, await claimOne(database));
  await api.post(taskPath(path, 'B', 'complete'), { output: 'done' });
  const { status, body } = await asked;
  expect([status, body.state, body.output]).toEqual([200, 'completed', 'done']);
  const vain = await startInline(api, definition);
  const [, never] = await tasksOf(api, vain);
  expect((await api.get(`/v1/tasks/${never?.id}?wait=1ms`)).status).toBe(202);
  await api.server.close();
  await queue.close();
});

test('the dead letter of a task of a process shows it, and goes on with the process', async ({
  api,
  database,
}) => {
  const path = await startInline(api, definition);
  const task = await claimOne(database);
  const { id } = task;
  await fail(database, task, false);
  expect((await api.get(`/v1/dead-letters/${id}`)).body).toMatchObject({
    process_id: path.split('/').at(-1),
    ordinal: 1,
    needs: [],
    type: 'run',
    run: 'true',
    input: { n: 1 },
    labels: { a: 'b' },
    attempts: [{ outcome: 'failed' }],
  });
  const replayed = await api.post(`/v1/dead-letters/${id}/replay`);
  expect([replayed.status, replayed.body.state]).toEqual([200, 'ready']);
  expect((await api.get(path)).body.state).toBe('running');
  expect((await api.post(`/v1/dead-letters/${id}/replay`)).body.code).toBe('already_replayed');
});

test('a dead letter of a process that is still failing is not replayed', async ({ api, database }) => {
  const path = await startInline(api, {
    tasks: [
      { name: 'A', queue: 'a' },
      { name: 'B', queue: 'b' },
    ],
  });
  const running = await claimOne(database, { queues: ['b'] });
  const failed = await claimOne(database, { queues: ['a'] });
  await fail(database, failed, false);
  const { status, body } = await api.post(`/v1/dead-letters/${failed.id}/replay`);
  expect([status, body]).toMatchObject([
    409,
    { code: 'not_failed', process_id: path.split('/').at(-1), state: 'failing' },
  ]);
  await complete(database, running);
  expect((await api.post(`/v1/dead-letters/${failed.id}/replay`)).status).toBe(200);
});

test('figures count live processes, and queues what is held for them', async ({ api, database }) => {
  const paused = await startInline(api, {
    tasks: [
      { name: 'A', queue: 'a' },
      { name: 'B', queue: 'b' },
    ],
  });
  const cancelled = await startInline(api, { tasks: [{ name: 'A', queue: 'a' }] });
  await claimOne(database, { queues: ['b'] });
  await api.post(`${paused}/pause`);
  await api.post(`${cancelled}/cancel`);
  expect((await api.get('/v1/stats')).body.processes).toEqual({ running: 1, failing: 0, cancelling: 0 });
  expect((await api.get('/v1/queues')).body.queues).toMatchObject([
    { name: 'a', held: 1, ready: 0 },
    { name: 'b', held: 0, running: 1 },
  ]);
});

test('no list loads a payload', async ({ database }) => {
  const asked: string[] = [];
  const pool = new Proxy(database.db.pool, {
    get(target, key) {
      if (key !== 'query') return Reflect.get(target, key);
      return (text: string, values?: unknown[]) => {
        asked.push(text);
        return target.query(text, values);
      };
    },
  });
  const queue = openQueue({ ...database.db, pool });
  const api = await startTestApi({ queue });
  const path = await startInline(api, definition);
  for (const list of ['/v1/processes', `${path}/tasks`, `${path}/events`, '/v1/tasks', '/v1/definitions']) {
    asked.length = 0;
    expect((await api.get(list)).status).toBe(200);
    expect(asked).toHaveLength(1);
    expect(asked[0]).not.toMatch(/process_inputs|\boutput\b|\.input\b|\bsource\b/);
  }
  await api.server.close();
  await queue.close();
});

test('a claim carries the values of expressions; the task shows what was written', async ({ api }) => {
  const written = {
    name: 'A',
    command: 'mail',
    args: ['${{ input.to }}', '${{ secrets.TOKEN }} for ${{ input.to }}'],
    env: { AMOUNT: '${{ input.amount * 2 }}' },
    input: { all: '${{ input }}', text: 'to ${{ input.to }}' },
  };
  const given = { to: 'Ann ${{ secrets.TOKEN }}', amount: 1.5 };
  const created = await api.post('/v1/processes', { definition: { tasks: [written] }, input: given });
  const { tasks } = (await api.post('/v1/tasks/claim', { queues: ['default'], limit: 5 })).body;
  expect(tasks).toMatchObject([
    {
      args: [given.to, [{ secret: 'TOKEN' }, ` for ${given.to}`]],
      env: { AMOUNT: '3' },
      input: { all: given, text: `to ${given.to}` },
      process: { id: created.body.id, input: given },
    },
  ]);
  expect((await api.get(`/v1/tasks/${tasks[0].id}`)).body).toMatchObject(written);
});

test('an expression that fails: the claim passes over the task, which says why it failed', async ({
  api,
}) => {
  const definition = {
    fail_fast: false,
    tasks: [
      { name: 'A', run: 'x', retry: { attempts: 3 }, env: { N: '${{ input.list[0].n / input.zero }}' } },
      { name: 'B', run: 'y' },
      { name: 'C', run: 'z', input: '${{ input.nope }}' },
    ],
  };
  const { id } = (await api.post('/v1/processes', { definition, input: { list: [{ n: 1 }], zero: 0 } })).body;
  const { body } = await api.post('/v1/tasks/claim', { queues: ['default'], limit: 1, worker: 'w' });
  expect(body.tasks.map(({ name }: { name: string }) => name)).toEqual(['B']);
  const [a, , c] = await tasksOf(api, `/v1/processes/${id}`);
  const error = {
    code: 'expression_failed',
    message: 'env.N: ${{ input.list[0].n / input.zero }}: 1 / 0 has no answer',
    details: {
      expression: 'input.list[0].n / input.zero',
      place: 'env.N',
      values: { 'input.list[0].n': '1', 'input.zero': '0' },
    },
  };
  expect((await api.get(`/v1/tasks/${a?.id}`)).body).toMatchObject({ state: 'failed', error, attempt: 1 });
  expect((await api.get(`/v1/dead-letters/${a?.id}`)).body).toMatchObject({
    error,
    attempts: [{ attempt: 1, outcome: 'failed', worker: 'w' }],
  });
  // Nobody has claimed it yet; who asks for it by its id is told that it is over.
  const refused = await api.post(`/v1/tasks/${c?.id}/claim`, { worker: 'w' });
  expect([refused.status, refused.body.code]).toEqual([409, 'already_settled']);
  expect((await api.get(`/v1/processes/${id}`)).body).toMatchObject({ state: 'failing' });
});

test('a single task knows no expressions, and its input is data', async ({ api }) => {
  const { status, body } = await api.post('/v1/tasks', { command: 'x', args: ['${{ input.a }}'] });
  expect([status, body.code]).toEqual([422, 'misplaced_expression']);
  const input = { a: '${{ input.a }} ${{ secrets.B }}' };
  await api.post('/v1/tasks', { name: 'review', queue: 'q', input });
  const { tasks } = (await api.post('/v1/tasks/claim', { queues: ['q'] })).body;
  expect(tasks[0].input).toEqual(input);
});
