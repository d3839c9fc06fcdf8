import { describe, expect } from 'vitest';
import { startServer } from '../../src/api/server.ts';
import { Engine } from '../../src/engine/engine.ts';
import { claimOne, complete, enqueue, untilBlocked } from '../support/tasks.ts';
import { startTestApi, test } from './support/api.ts';

/** `call`, and when it was called first. */
function watched<Given extends unknown[], Result>(call: (...given: Given) => Promise<Result>) {
  let begin = () => {};
  const began = new Promise<void>((resolve) => {
    begin = resolve;
  });
  return {
    began,
    call(...given: Given) {
      begin();
      return call(...given);
    },
  };
}

describe('listening', () => {
  test.for(['0.0.0.0', '::', '192.0.2.1', 'example.com'])(
    'on %s is refused without API keys',
    async (host, { database }) => {
      const starting = startServer(new Engine({ queue: database.queue }), { host, port: 0 });
      await expect(starting).rejects.toMatchObject({
        code: 'usage',
        message: expect.stringContaining('SKIPJACK_API_KEYS'),
      });
    },
  );

  test('on every address is possible with keys', async ({ database }) => {
    const server = await startServer(new Engine({ queue: database.queue }), {
      host: '0.0.0.0',
      port: 0,
      apiKeys: ['key'],
    });
    const answer = await fetch(`http://127.0.0.1:${server.port}/v1/tasks`, {
      headers: { authorization: 'Bearer key' },
    });
    expect(answer.status).toBe(200);
    await answer.text();
    await server.close();
  });

  test('on a port that another program has says so', async ({ api, database }) => {
    const starting = startServer(new Engine({ queue: database.queue }), { port: api.server.port });
    await expect(starting).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('another program'),
    });
  });
});

describe('closing', () => {
  test('answers those who wait at once, and empty', async ({ database }) => {
    const id = await enqueue(database, { queue: 'elsewhere' });
    const { queue } = database;
    const claims = watched(queue.claim);
    const waits = watched(queue.waitForEnd);
    const api = await startTestApi({ queue: { ...queue, claim: claims.call, waitForEnd: waits.call } });
    const claiming = api.post('/v1/tasks/claim', { queues: ['default'], wait: '60s' });
    const looking = api.get(`/v1/tasks/${id}?wait=60s`);
    await Promise.all([claims.began, waits.began]);
    await api.server.close();
    const [claimed, task] = [await claiming, await looking];
    expect([claimed.status, claimed.body]).toEqual([200, { tasks: [] }]);
    expect([task.status, task.body.state]).toEqual([202, 'ready']);
    await expect(fetch(`${api.url}/health/live`)).rejects.toThrow();
  });

  test('lets what is in flight end', async ({ database }) => {
    const api = await startTestApi(database);
    const id = await enqueue(database);
    const { token } = await claimOne(database);
    const stranger = await database.connect();
    await stranger.query('begin');
    await stranger.query('select from skipjack.queue_items where task_id = $1 for update', [id]);
    const settling = api.post(`/v1/tasks/${id}/complete`, { token });
    await untilBlocked(database);
    const closing = api.server.close();
    await stranger.query('commit');
    expect((await settling).body.state).toBe('completed');
    await closing;
  });

  test('is bounded in time, whatever hangs', async ({ database }) => {
    const claims = watched<[], never>(() => new Promise(() => {}));
    const api = await startTestApi({ queue: { ...database.queue, claim: claims.call } }, { closeMs: 50 });
    const asked = api.post('/v1/tasks/claim', { queues: ['default'] }).catch((error: Error) => error);
    await claims.began;
    await api.server.close();
    expect(await asked).toBeInstanceOf(Error);
  });

  test('twice is once', async ({ database }) => {
    const api = await startTestApi(database);
    await Promise.all([api.server.close(), api.server.close()]);
    await enqueue(database);
    await complete(database, await claimOne(database));
  });
});
