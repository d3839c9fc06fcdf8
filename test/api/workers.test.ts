import { describe, expect } from 'vitest';
import { createApi } from '../../src/api/api.ts';
import { newId } from '../../src/core/ids.ts';
import { Engine } from '../../src/engine/engine.ts';
import { claimOne, enqueue, expireLease, makeDue } from '../support/tasks.ts';
import { test } from './support/api.ts';

describe('claiming', () => {
  test('a claimed task says all that its worker needs', async ({ api, database }) => {
    await enqueue(database, {
      command: 'echo',
      args: ['hi'],
      env: { A: '1' },
      input: { n: 1 },
      labels: { customer: '42' },
      timeout: '90s',
      retry: { attempts: 3 },
    });
    const { status, body } = await api.post('/v1/tasks/claim', { queues: ['default'], worker: 'ada' });
    expect(status).toBe(200);
    expect(body.tasks).toMatchObject([
      {
        token: expect.any(String),
        attempt: 1,
        attempts_max: 3,
        name: 'echo',
        queue: 'default',
        priority: 5,
        type: 'command',
        command: 'echo',
        args: ['hi'],
        env: { A: '1' },
        input: { n: 1 },
        labels: { customer: '42' },
        timeout: '90s',
        started: true,
        process: null,
        needs: {},
      },
    ]);
    const view = await api.get(`/v1/tasks/${body.tasks[0].id}`);
    expect(view.body).toMatchObject({
      state: 'running',
      worker: 'ada',
      lease_expires_at: body.tasks[0].lease_expires_at,
    });
  });

  test('an empty queue answers an empty list', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks/claim', { queues: ['default'] });
    expect([status, body]).toEqual([200, { tasks: [] }]);
  });

  test('who waits gets what comes', async ({ api }) => {
    const asked = api.post('/v1/tasks/claim', { queues: ['people', 'default'], wait: '60s' });
    const made = await api.post('/v1/tasks', { name: 'review' });
    expect((await asked).body.tasks).toMatchObject([{ id: made.body.id, type: null }]);
  });

  test('name and label narrow a claim', async ({ api, database }) => {
    await enqueue(database, { name: 'other', queue: 'people', labels: { customer: '7' } });
    const wanted = await enqueue(database, { name: 'review', queue: 'people', labels: { customer: '42' } });
    const claim = (filter: object) => api.post('/v1/tasks/claim', { queues: ['people'], ...filter });
    expect((await claim({ name: 'review', label: 'customer=7' })).body.tasks).toEqual([]);
    expect((await claim({ name: 'review', label: 'customer=42' })).body.tasks).toMatchObject([
      { id: wanted },
    ]);
  });

  test('the same claim id answers the same tasks', async ({ api, database }) => {
    for (let count = 0; count < 3; count += 1) await enqueue(database);
    const body = { queues: ['default'], limit: 2, claim_id: newId() };
    const first = await api.post('/v1/tasks/claim', body);
    const second = await api.post('/v1/tasks/claim', { ...body, claim_id: body.claim_id.toUpperCase() });
    expect(first.body.tasks).toHaveLength(2);
    const tokens = (answer: typeof first) => answer.body.tasks.map((task: { token: string }) => task.token);
    expect(tokens(second)).toEqual(tokens(first));
  });

  test('tasks held ahead have not started until a heartbeat says so', async ({ api, database }) => {
    await enqueue(database);
    const { body } = await api.post('/v1/tasks/claim', { queues: ['default'], start_limit: 0 });
    const [task] = body.tasks;
    expect(task.started).toBe(false);
    expect((await api.get(`/v1/tasks/${task.id}`)).body.state).toBe('ready');
    await api.post(`/v1/tasks/${task.id}/heartbeat`, { token: task.token });
    expect((await api.get(`/v1/tasks/${task.id}`)).body.state).toBe('running');
  });

  test.for([
    [{ queues: [] }, '/queues'],
    [{}, '/queues'],
    [{ queues: ['$engine'] }, '/queues/0'],
    [{ queues: ['a'], lease: '999ms' }, '/lease'],
    [{ queues: ['a'], lease: '25h' }, '/lease'],
    [{ queues: ['a'], wait: '61s' }, '/wait'],
    [{ queues: ['a'], limit: 1_001 }, '/limit'],
    [{ queues: ['a'], claim_id: 'mine' }, '/claim_id'],
    [{ queues: ['a'], outputs: 'some' }, '/outputs'],
    [{ queues: ['a'], colour: 'red' }, '/colour'],
  ] as const)('the claim %j is refused at %s', async ([claim, pointer], { api }) => {
    const { status, body } = await api.post('/v1/tasks/claim', claim);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_request', problems: [{ pointer }] });
  });

  test('a claim announces its worker, and takes nothing from what the worker says of itself', async ({
    api,
  }) => {
    await api.post('/v1/tasks/claim', { queues: ['a'], worker: 'by-claim', limit: 3 });
    const said = { host: 'build-3', pid: 4711, queues: ['a', 'b'], slots: 10, version: '1.2.3' };
    expect((await api.send('PUT', '/v1/workers/by%2Fitself', said)).status).toBe(204);
    await api.post('/v1/tasks/claim', { queues: ['a'], worker: 'by/itself' });
    await expect
      .poll(async () => (await api.get('/v1/workers')).body.workers)
      .toMatchObject([
        { id: 'by-claim', host: '127.0.0.1', pid: 0, queues: ['a'], slots: 3, live: true },
        { id: 'by/itself', ...said, live: true },
      ]);
    expect((await api.send('DELETE', '/v1/workers/by-claim')).status).toBe(204);
    expect((await api.get('/v1/workers')).body.workers).toHaveLength(1);
  });
});

describe('a connection that closes', () => {
  test('leaves the waiting task to the next', async ({ api, database }) => {
    const gone = new AbortController();
    const asked = fetch(`${api.url}/v1/tasks/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ queues: ['default'], wait: '60s' }),
      signal: gone.signal,
    });
    gone.abort();
    await expect(asked).rejects.toThrow();
    const id = await enqueue(database);
    const next = await api.post('/v1/tasks/claim', { queues: ['default'], wait: '60s' });
    expect(next.body.tasks).toMatchObject([{ id, attempt: 1 }]);
  });

  for (const [claimId, what] of [
    [undefined, 'gives back at once what could not be delivered'],
    [newId(), 'keeps what the same claim id may ask for again'],
  ] as const) {
    test(what, async ({ database }) => {
      const id = await enqueue(database);
      const gone = new AbortController();
      const claimedThenGone: typeof database.queue.claim = async (request) => {
        const tasks = await database.queue.claim(request);
        gone.abort();
        return tasks;
      };
      const app = createApi(new Engine({ queue: { ...database.queue, claim: claimedThenGone } }));
      await app.request('/v1/tasks/claim', {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ queues: ['default'], claim_id: claimId }),
        signal: gone.signal,
      });
      const waitMs = claimId === undefined ? 60_000 : 0;
      const next = await database.queue.claim({
        queues: ['default'],
        limit: 1,
        worker: 'next',
        leaseMs: 30_000,
        waitMs,
      });
      expect(next.map((task) => [task.id, task.attempt])).toEqual(claimId === undefined ? [[id, 1]] : []);
    });
  }
});

describe('claiming one task', () => {
  test('gives it to the first who asks, and tells the others who has it', async ({ api, database }) => {
    const id = await enqueue(database, { name: 'review' });
    const first = await api.post(`/v1/tasks/${id}/claim`, { worker: 'ada', lease: '10m' });
    expect([first.status, first.body.id]).toEqual([200, id]);
    const second = await api.post(`/v1/tasks/${id}/claim`, { worker: 'bob' });
    expect(second.status).toBe(409);
    expect(second.body).toMatchObject({
      code: 'already_claimed',
      worker: 'ada',
      lease_expires_at: first.body.lease_expires_at,
    });
  });

  test('is refused for a task that is not due, whose queue is paused, or that has ended', async ({
    api,
    database,
  }) => {
    const id = await enqueue(database, { queue: 'people', delay: '1h' });
    const claim = async () => {
      const { status, body } = await api.post(`/v1/tasks/${id}/claim`, {});
      return [status, body.code];
    };
    expect(await claim()).toEqual([409, 'not_claimable']);
    await makeDue(database, id);
    await api.send('PATCH', '/v1/queues/people', { paused: true });
    expect(await claim()).toEqual([409, 'not_claimable']);
    await api.post(`/v1/tasks/${id}/cancel`);
    expect(await claim()).toEqual([409, 'already_settled']);
  });
});

describe('settling', () => {
  test('a completed task keeps its output, and saying so again is the same', async ({ api, database }) => {
    await enqueue(database);
    const { id, token } = await claimOne(database);
    const body = { token, output: { sum: 42 }, exit_code: 0, run_ms: 17 };
    const first = await api.post(`/v1/tasks/${id}/complete`, body);
    expect([first.status, first.body]).toEqual([
      200,
      { id, state: 'completed', repeated: false, next_try_at: null },
    ]);
    expect((await api.post(`/v1/tasks/${id}/complete`, body)).body).toMatchObject({
      state: 'completed',
      repeated: true,
    });
    expect((await api.get(`/v1/tasks/${id}`)).body).toMatchObject({
      output: { sum: 42 },
      exit_code: 0,
      run_ms: 17,
    });
    const late = await api.post(`/v1/tasks/${id}/fail`, { token, error: 'no' });
    expect(late.status).toBe(409);
    expect(late.body).toMatchObject({ code: 'already_settled', state: 'completed' });
  });

  test('a failure is a text, or a code with details, and follows the retry policy', async ({
    api,
    database,
  }) => {
    const id = await enqueue(database, { retry: { attempts: 3, delay: '1h', jitter: false } });
    const first = await claimOne(database);
    const failed = await api.post(`/v1/tasks/${id}/fail`, { token: first.token, error: 'mailbox full' });
    expect(failed.body).toMatchObject({ state: 'active', repeated: false, next_try_at: expect.any(String) });
    expect((await api.get(`/v1/tasks/${id}`)).body).toMatchObject({
      state: 'scheduled',
      attempt: 2,
      last_error: { code: 'failed', message: 'mailbox full' },
    });
    await makeDue(database, id);
    const second = await claimOne(database);
    const error = { code: 'smtp', message: 'refused', details: { status: 550 } };
    await api.post(`/v1/tasks/${id}/fail`, { token: second.token, error, retry: false });
    expect((await api.get(`/v1/tasks/${id}`)).body).toMatchObject({ state: 'failed', error, success: false });
  });

  test('a released task is back, uncounted', async ({ api, database }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    const released = await api.post(`/v1/tasks/${id}/release`, { token: task.token, delay: '1h' });
    expect(released.body).toMatchObject({ state: 'active', next_try_at: expect.any(String) });
    expect((await api.get(`/v1/tasks/${id}`)).body).toMatchObject({ state: 'scheduled', attempt: 1 });
  });

  test('the word of a worker whose claim went to another changes nothing', async ({ api, database }) => {
    const id = await enqueue(database);
    const stale = await claimOne(database);
    await api.post(`/v1/tasks/${id}/release`, { token: stale.token });
    const holder = await claimOne(database);
    const { token } = stale;
    for (const [path, body] of [
      ['complete', { token, output: 1 }],
      ['fail', { token, error: 'no' }],
      ['release', { token }],
      ['heartbeat', { token }],
    ] as const) {
      const answer = await api.post(`/v1/tasks/${id}/${path}`, body);
      expect([path, answer.status, answer.body.code]).toEqual([path, 409, 'lease_lost']);
    }
    expect((await api.post(`/v1/tasks/${id}/complete`, { token: holder.token })).status).toBe(200);
  });

  test('a result that comes after the lease ended but before anybody noticed counts', async ({
    api,
    database,
  }) => {
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    await expireLease(database, id);
    expect((await api.post(`/v1/tasks/${id}/complete`, { token })).body.state).toBe('completed');
  });

  test('a token of another task is told from one that is none', async ({ api, database }) => {
    const [one, other] = [await enqueue(database), await enqueue(database)];
    const claimed = await database.queue.claim({
      queues: ['default'],
      limit: 2,
      worker: 'w',
      leaseMs: 30_000,
      waitMs: 0,
    });
    const token = claimed.find((task) => task.id === other)?.token;
    const mismatch = await api.post(`/v1/tasks/${one}/complete`, { token });
    expect([mismatch.status, mismatch.body.code]).toEqual([409, 'token_mismatch']);
    const none = await api.post(`/v1/tasks/${one}/complete`, { token: 'mine' });
    expect([none.status, none.body.problems[0].pointer]).toEqual([400, '/token']);
  });

  test('outputs and errors have their limits', async ({ api, database }) => {
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    const tooLarge = [
      [`complete`, { token, output: 'x'.repeat(1024 * 1024) }, '/output'],
      [`fail`, { token, error: 'x'.repeat(64 * 1024 + 1) }, '/error'],
      [`fail`, { token, error: { message: 'x', details: 'x'.repeat(64 * 1024) } }, '/error/details'],
    ] as const;
    for (const [path, body, pointer] of tooLarge) {
      const answer = await api.post(`/v1/tasks/${id}/${path}`, body);
      expect([answer.status, answer.body.problems[0].pointer]).toEqual([400, pointer]);
    }
    const fits = 'x'.repeat(1024 * 1024 - 2);
    expect((await api.post(`/v1/tasks/${id}/complete`, { token, output: fits })).status).toBe(200);
  });
});

describe('settling many', () => {
  test('each is judged alone, in order, and the next are claimed in the same answer', async ({
    api,
    database,
  }) => {
    for (let count = 0; count < 6; count += 1) await enqueue(database);
    const held = await database.queue.claim({
      queues: ['default'],
      limit: 5,
      worker: 'w',
      leaseMs: 30_000,
      waitMs: 0,
    });
    const [a, b, c, d, e] = held.map(({ id, token }) => ({ id, token }));
    const unknown = newId();
    const { status, body } = await api.post('/v1/tasks/settle', {
      settlements: [
        { ...a, outcome: 'completed', output: 1, exit_code: 0, run_ms: 5 },
        { ...b, outcome: 'failed', error: { code: 'x', message: 'y' }, retry: false },
        { ...c, outcome: 'completed', output: '\u0000' },
        { ...a, id: b?.id, outcome: 'completed' },
        'nonsense',
        { id: unknown, token: a?.token, outcome: 'completed' },
        { ...d, outcome: 'timed_out', error: 'too slow' },
        { ...e, outcome: 'released' },
        { ...c, outcome: 'completed', colour: 'red' },
        { ...c, outcome: 'exploded' },
      ],
      claim: { queues: ['default'], limit: 2, worker: 'w' },
    });
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { id: a?.id, status: 200, state: 'completed', repeated: false, next_try_at: null },
      { id: b?.id, status: 200, state: 'failed' },
      { id: c?.id, status: 400, code: 'invalid_request', problems: [{ pointer: '/settlements/2/output' }] },
      { id: b?.id, status: 409, code: 'token_mismatch' },
      { id: null, status: 400, code: 'invalid_request' },
      { id: unknown, status: 409, code: 'token_mismatch' },
      { id: d?.id, status: 200, state: 'failed' },
      { id: e?.id, status: 200, state: 'active' },
      { id: c?.id, status: 400, problems: [{ pointer: '/settlements/8/colour' }] },
      { id: c?.id, status: 400, problems: [{ pointer: '/settlements/9/outcome' }] },
    ]);
    expect(body.claimed.map((task: { id: string }) => task.id)).toContain(e?.id);
    expect(body.claimed).toHaveLength(2);
  });

  test('a claim that is malformed refuses the whole before anything is settled', async ({
    api,
    database,
  }) => {
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    const { status, body } = await api.post('/v1/tasks/settle', {
      settlements: [{ id, token, outcome: 'completed' }],
      claim: { queues: [] },
    });
    expect([status, body.problems[0].pointer]).toEqual([400, '/claim/queues']);
    expect((await api.get(`/v1/tasks/${id}`)).body.state).toBe('running');
  });

  test('a task that its worker stopped on request ends cancelled', async ({ api, database }) => {
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    await api.post(`/v1/tasks/${id}/cancel`);
    const { body } = await api.post('/v1/tasks/settle', {
      settlements: [{ id, token, outcome: 'cancelled' }],
    });
    expect(body.results).toMatchObject([{ id, status: 200, state: 'cancelled' }]);
  });
});

describe('heartbeats', () => {
  test('one extends its lease', async ({ api, database }) => {
    const id = await enqueue(database);
    const { token, lease_expires_at } = await claimOne(database);
    const { status, body } = await api.post(`/v1/tasks/${id}/heartbeat`, { token, lease: '10m' });
    expect([status, body.status]).toEqual([200, 'extended']);
    expect(Date.parse(body.lease_expires_at)).toBeGreaterThan(Date.parse(lease_expires_at));
  });

  test('many are answered each for itself, in order', async ({ api, database }) => {
    for (let count = 0; count < 3; count += 1) await enqueue(database);
    const held = await database.queue.claim({
      queues: ['default'],
      limit: 3,
      worker: 'w',
      leaseMs: 30_000,
      waitMs: 0,
    });
    const [a, b, c] = held.map(({ id, token }) => ({ id, token }));
    await api.post(`/v1/tasks/${b?.id}/cancel`);
    await api.post(`/v1/tasks/${c?.id}/complete`, { token: c?.token });
    const { status, body } = await api.post('/v1/tasks/heartbeat', {
      leases: [{ ...a, started: true }, b, c, { ...a, token: 'mine' }, null],
      lease: '30s',
      timeout_grace: '10s',
    });
    expect(status).toBe(200);
    expect(body.results).toMatchObject([
      { id: a?.id, status: 'extended', lease_expires_at: expect.any(String) },
      { id: b?.id, status: 'stop', reason: 'cancelled' },
      { id: c?.id, status: 'gone' },
      { id: a?.id, status: 400, code: 'invalid_request' },
      { id: null, status: 400, code: 'invalid_request' },
    ]);
  });

  test('an item that is locked by another for the moment is busy, not lost', async ({ api, database }) => {
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    const stranger = await database.connect();
    await stranger.query('begin');
    await stranger.query('select from skipjack.queue_items where task_id = $1 for update', [id]);
    const { status, body } = await api.post(`/v1/tasks/${id}/heartbeat`, { token });
    expect([status, body]).toEqual([200, { status: 'busy' }]);
    await stranger.query('rollback');
  });
});
