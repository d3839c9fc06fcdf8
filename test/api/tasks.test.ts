import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { claimOne, complete, enqueue, fail } from '../support/tasks.ts';
import { test } from './support/api.ts';

describe('enqueueing', () => {
  test('a command is enqueued, and where it is stands in Location', async ({ api }) => {
    const { status, headers, body } = await api.post('/v1/tasks', {
      type: 'command',
      command: 'echo',
      args: ['hello', 'world'],
    });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(`/v1/tasks/${body.id}`);
    expect(body).toMatchObject({
      state: 'ready',
      name: 'echo',
      queue: 'default',
      type: 'command',
      command: 'echo',
      args: ['hello', 'world'],
      attempt: 1,
      success: null,
      waiting_for: 'no worker serves this queue',
    });
    expect((await api.get(headers.get('location') ?? '')).body).toEqual({ ...body, attempts: [] });
  });

  test('each shape of task goes to its own queue', async ({ api }) => {
    const queueOf = async (task: object) => (await api.post('/v1/tasks', task)).body.queue;
    expect(await queueOf({ run: 'echo hi' })).toBe('default');
    expect(await queueOf({ handler: 'send-email', input: { to: 'ada' } })).toBe('send-email');
    expect(await queueOf({ name: 'review' })).toBe('people');
    expect(await queueOf({ name: 'review', queue: 'lawyers' })).toBe('lawyers');
  });

  test('a container is shown as it was written, references to secrets included; a claim takes them apart', async ({
    api,
  }) => {
    const container = {
      image: 'ubuntu:mantic',
      cmd: ['echo', '-n', 'hello ${{ secrets.NAME }}'],
      env: { TOKEN: '${{ secrets.TOKEN }}' },
      volumes: ['/tmp'],
      limits: { cpus: 0.5, memory: '64m', pids: 20 },
      pre: [{ name: 'fetch', image: 'alpine', run: 'ls', timeout: '1m' }],
      sidecars: [{ name: 'db', image: 'postgres', probe: { port: 5432 } }],
    };
    const made = await api.post('/v1/tasks', { ...container, input: '${{ secrets.TOKEN }}' });
    expect([made.status, made.body.queue, made.body.name]).toEqual([201, 'containers', 'ubuntu:mantic']);
    expect(made.body).toMatchObject({ type: 'container', ...container, input: '${{ secrets.TOKEN }}' });
    const claimed = await api.post('/v1/tasks/claim', { queues: ['containers'], worker: 'w', limit: 1 });
    expect(claimed.body.tasks).toMatchObject([
      {
        ...container,
        cmd: ['echo', '-n', ['hello ', { secret: 'NAME' }]],
        env: { TOKEN: [{ secret: 'TOKEN' }] },
        input: '${{ secrets.TOKEN }}',
      },
    ]);
  });

  test('an expression in a task is refused as not supported yet, by name', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks', { run: 'x', env: { A: '${{ input.a }}' } });
    expect(status).toBe(422);
    expect(body).toMatchObject({ code: 'misplaced_expression', problems: [{ pointer: '/env/A' }] });
  });

  test('every problem of a task is pointed at', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks', {
      command: 'echo',
      priority: 10,
      timeout: 'soon',
      colour: 'red',
    });
    expect(status).toBe(400);
    expect(body.code).toBe('invalid_request');
    expect(body.problems.map((problem: { pointer: string }) => problem.pointer).sort()).toEqual([
      '/colour',
      '/priority',
      '/timeout',
    ]);
  });

  test('a time that Postgres does not know is the fault of its task alone', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks', { command: 'true', run_at: '0000-01-01T00:00:00Z' });
    expect([status, body.code]).toEqual([400, 'invalid_request']);
  });

  test('the same key and the same request answer the same task', async ({ api }) => {
    const task = { command: 'true', idempotency_key: 'once' };
    const first = await api.post('/v1/tasks', task);
    const second = await api.post('/v1/tasks', task);
    expect(first.status).toBe(201);
    expect(first.headers.get('idempotency-replayed')).toBeNull();
    expect(second.status).toBe(200);
    expect(second.headers.get('idempotency-replayed')).toBe('true');
    expect(second.body.id).toBe(first.body.id);
  });

  test('the same key for another request is a conflict that names the task', async ({ api }) => {
    const first = await api.post('/v1/tasks', { command: 'true', idempotency_key: 'once' });
    const second = await api.post('/v1/tasks', { command: 'false', idempotency_key: 'once' });
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({ code: 'idempotency_conflict', id: first.body.id });
  });

  test('a key that an open transaction holds answers 503 with Retry-After', async ({ api, database }) => {
    const stranger = await database.connect();
    await stranger.query('begin');
    await stranger.query(`select skipjack.enqueue('{"command": "true", "idempotency_key": "held"}')`);
    const { status, body, headers } = await api.post('/v1/tasks', {
      command: 'true',
      idempotency_key: 'held',
    });
    expect([status, body.code]).toEqual([503, 'idempotency_key_busy']);
    expect(headers.get('retry-after')).toBe('1');
    await stranger.query('rollback');
  });
});

describe('waiting', () => {
  test('who enqueues and waits gets the ended task', async ({ api, database }) => {
    const asked = api.post('/v1/tasks?wait=60s', { command: 'true' });
    const task = await claimOne(database, { waitMs: 60_000 });
    await complete(database, task, 'done');
    const { status, body } = await asked;
    expect(status).toBe(200);
    expect(body).toMatchObject({ id: task.id, state: 'completed', success: true, output: 'done' });
  });

  test('who waits in vain gets the task as it is, and 202', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks?wait=1ms', { command: 'true' });
    expect([status, body.state]).toEqual([202, 'ready']);
    const again = await api.get(`/v1/tasks/${body.id}?wait=0s`);
    expect([again.status, again.body.state]).toEqual([202, 'ready']);
  });

  test('who looks and waits gets the ended task', async ({ api, database }) => {
    const id = await enqueue(database);
    const asked = api.get(`/v1/tasks/${id}?wait=60s`);
    await fail(database, await claimOne(database));
    const { status, body } = await asked;
    expect([status, body.state, body.success]).toEqual([200, 'failed', false]);
    expect(body.attempts).toMatchObject([{ attempt: 1, outcome: 'failed', error: { code: 'exit_code' } }]);
  });

  test.for(['61s', '2m', 'soon', '', '-1s'])('a wait of %j is refused by name', async (wait, { api }) => {
    const { status, body } = await api.post(`/v1/tasks?wait=${wait}`, { command: 'true' });
    expect(status).toBe(400);
    expect(body.problems[0].pointer).toBe('wait');
    expect((await api.get('/v1/tasks')).body.tasks).toEqual([]);
  });
});

describe('listing', () => {
  test('pages follow one another, newest first, and miss nothing', async ({ api, database }) => {
    const ids: string[] = [];
    for (let count = 0; count < 5; count += 1) ids.push(await enqueue(database));
    const seen: string[] = [];
    let path = '/v1/tasks?limit=2';
    for (let page = 0; page < 3; page += 1) {
      const { body } = await api.get(path);
      seen.push(...body.tasks.map((task: { id: string }) => task.id));
      path = `/v1/tasks?limit=2&cursor=${body.next_cursor}`;
      expect(body.next_cursor === null).toBe(page === 2);
    }
    expect(seen).toEqual(ids.reverse());
  });

  test('filters narrow the list', async ({ api, database }) => {
    const red = await enqueue(database, { name: 'red', queue: 'a', labels: { customer: '42', vip: '' } });
    const later = await enqueue(database, { name: 'later', delay: '1h', labels: { customer: '7' } });
    const done = await enqueue(database, { command: 'true', queue: 'b' });
    await complete(database, await claimOne(database, { queues: ['b'] }));
    const idsOf = async (query: string) =>
      (await api.get(`/v1/tasks?${query}`)).body.tasks.map((task: { id: string }) => task.id);
    expect(await idsOf('state=active')).toEqual([later, red]);
    expect(await idsOf('state=scheduled')).toEqual([later]);
    expect(await idsOf('state=completed')).toEqual([done]);
    expect(await idsOf('queue=a')).toEqual([red]);
    expect(await idsOf('name=red')).toEqual([red]);
    expect(await idsOf('label=customer')).toEqual([later, red]);
    expect(await idsOf('label=customer%3D42')).toEqual([red]);
    expect(await idsOf('label=vip')).toEqual([red]);
    expect(
      await idsOf('created_after=2000-01-01T00:00:00%2B02:00&created_before=2999-01-01T00:00:00Z'),
    ).toHaveLength(3);
    expect(await idsOf('created_before=2000-01-01T00:00:00Z')).toEqual([]);
  });

  test.for([
    ['colour=red', 'colour'],
    ['state=happy', 'state'],
    ['state=ready&state=failed', 'state'],
    ['limit=0', 'limit'],
    ['limit=501', 'limit'],
    ['limit=ten', 'limit'],
    ['cursor=nonsense', 'cursor'],
    [`cursor=${Buffer.from('["x"]').toString('base64url')}`, 'cursor'],
    ['created_after=yesterday', 'created_after'],
    ['created_after=2026-01-01T00:00:00+02:00', 'created_after'],
    ['queue=', 'queue'],
    ['label=%3Dvalue', 'label'],
    ['definition=', 'definition'],
    ['process_id=mine', 'process_id'],
    ['__proto__=1', '__proto__'],
  ] as const)('the query %s is refused by the name of its parameter', async ([query, pointer], { api }) => {
    const { status, body } = await api.get(`/v1/tasks?${query}`);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_request', problems: [{ pointer }] });
  });
});

describe('one task', () => {
  test.for(['nonsense', '1', '00000000-0000-0000-0000-00000000000z', newId()])(
    'an id of nothing (%s) is 404 wherever it stands',
    async (id, { api }) => {
      const token = 'AZmixF97fD6dSiscPU5fYAAAAAE';
      const answers = [
        await api.get(`/v1/tasks/${id}`),
        await api.get(`/v1/tasks/${id}?wait=1s`),
        await api.get(`/task/${id}`),
        await api.send('DELETE', `/v1/tasks/${id}`),
        await api.post(`/v1/tasks/${id}/cancel`),
        await api.post(`/v1/tasks/${id}/claim`, {}),
        await api.get(`/v1/dead-letters/${id}`),
        await api.post(`/v1/dead-letters/${id}/replay`),
        await api.send('DELETE', `/v1/dead-letters/${id}`),
      ];
      for (const { status, body } of answers) expect([status, body.code]).toEqual([404, 'not_found']);
      expect((await api.post(`/v1/tasks/${id}/complete`, { token })).status).toBeOneOf([404, 409]);
    },
  );

  test('an id in capitals is the same id', async ({ api, database }) => {
    const id = await enqueue(database);
    expect((await api.get(`/v1/tasks/${id.toUpperCase()}`)).body.id).toBe(id);
  });

  test('a waiting task is cancelled at once, and once more is the same', async ({ api, database }) => {
    const id = await enqueue(database);
    for (const time of [1, 2]) {
      const { status, body } = await api.post(`/v1/tasks/${id}/cancel`);
      expect([time, status, body.state]).toEqual([time, 200, 'cancelled']);
    }
  });

  test('the worker of a running task is asked to stop', async ({ api, database }) => {
    await enqueue(database);
    const task = await claimOne(database);
    const asked = await api.post(`/v1/tasks/${task.id}/cancel`);
    expect([asked.status, asked.body.state, asked.body.cancel_requested]).toEqual([202, 'running', true]);
    const beat = await api.post(`/v1/tasks/${task.id}/heartbeat`, { token: task.token });
    expect(beat.body).toEqual({ status: 'stop', reason: 'cancelled' });
  });

  test('a completed task cannot be cancelled', async ({ api, database }) => {
    const id = await enqueue(database);
    await complete(database, await claimOne(database));
    const { status, body } = await api.post(`/v1/tasks/${id}/cancel`);
    expect(status).toBe(409);
    expect(body).toMatchObject({ code: 'already_settled', state: 'completed' });
  });

  test('a task is deleted when it has ended, not before', async ({ api, database }) => {
    const id = await enqueue(database);
    const early = await api.send('DELETE', `/v1/tasks/${id}`);
    expect([early.status, early.body.code]).toEqual([409, 'not_ended']);
    await complete(database, await claimOne(database));
    expect((await api.send('DELETE', `/v1/tasks/${id}`)).status).toBe(204);
    expect((await api.get(`/v1/tasks/${id}`)).status).toBe(404);
  });
});

describe("Tork's path", () => {
  test('shows its states in capitals and the output as result', async ({ api, database }) => {
    const made = await api.post('/task', { name: 'hello', run: 'echo -n hello world' });
    expect(made.status).toBe(201);
    expect(made.headers.get('location')).toBe(`/task/${made.body.id}`);
    expect([made.body.state, made.body.result]).toEqual(['READY', null]);
    await complete(database, await claimOne(database), 'hello world');
    expect((await api.get(`/task/${made.body.id}`)).body).toMatchObject({
      state: 'COMPLETED',
      result: 'hello world',
    });
  });

  test("Tork's own example is taken", async ({ api }) => {
    const { status, body } = await api.post('/task', {
      image: 'ubuntu:mantic',
      cmd: ['echo', '-n', 'hello world'],
    });
    expect([status, body.state, body.queue]).toEqual([201, 'READY', 'containers']);
  });
});
