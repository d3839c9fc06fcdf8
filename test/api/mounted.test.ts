/** The API inside servers of other people's: Express 5, another app of Hono, a bare server of Node's. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, request, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { gzipSync } from 'node:zlib';
import { createAdaptorServer } from '@hono/node-server';
import type { OpenAPIHono } from '@hono/zod-openapi';
import express from 'express';
import { Hono } from 'hono';
import { describe, expect, onTestFinished } from 'vitest';
import { type ApiOptions, createApi } from '../../src/api/api.ts';
import { toNodeHandler } from '../../src/api/node-handler.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Queue } from '../../src/queue/queue.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimOne, enqueue } from '../support/tasks.ts';
import { loan } from './support/definitions.ts';

interface Mount {
  base: string;
  serve: (api: OpenAPIHono) => Server;
}

const mounts: Record<string, Mount> = {
  Express: {
    base: '/engine',
    serve: (api) => createServer(express().use('/engine', toNodeHandler(api))),
  },
  'Express behind its body parsers': {
    base: '/engine',
    serve: (api) =>
      createServer(
        express()
          .use(express.json({ limit: '10mb' }), express.urlencoded())
          .use(express.text({ type: ['application/yaml', 'text/yaml'] }))
          .use(express.raw({ type: 'application/x-yaml' }))
          .use('/engine', toNodeHandler(api)),
      ),
  },
  'routers of Express': {
    base: '/a%20b/c/engine',
    serve: (api) =>
      createServer(
        express().use(
          '/:tenant',
          express.Router().use('/c', express.Router().use('/engine', toNodeHandler(api))),
        ),
      ),
  },
  Hono: {
    base: '/engine',
    serve: (api) => createAdaptorServer(new Hono().route('/engine', api)) as Server,
  },
  'bases of Hono': {
    base: '/outer/42/engine',
    serve: (api) =>
      createAdaptorServer(
        new Hono().route('/outer', new Hono().basePath('/:tenant').route('/engine', api)),
      ) as Server,
  },
  'Hono within Express': {
    base: '/outer/engine',
    serve: (api) => createServer(express().use('/outer', toNodeHandler(new Hono().route('/engine', api)))),
  },
  'a bare server of Node': { base: '', serve: (api) => createServer(toNodeHandler(api)) },
};

async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function mount(
  { base, serve }: Mount,
  { queue }: Pick<TestDatabase, 'queue'>,
  options: ApiOptions = {},
) {
  const origin = await listen(serve(createApi(new Engine({ queue }), options)));
  async function send(path: string, init: RequestInit = {}) {
    const response = await fetch(path.startsWith(`${base}/`) ? origin + path : origin + base + path, init);
    const text = await response.text();
    // biome-ignore lint/suspicious/noExplicitAny: what a test expects of a body stands in the test.
    const body: any = text === '' ? null : JSON.parse(text);
    return { status: response.status, headers: response.headers, body };
  }
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    send(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: typeof body === 'string' || body instanceof Uint8Array ? body : JSON.stringify(body),
    });
  return { url: origin + base, origin, send, post };
}

describe.for(Object.entries(mounts))('in %s', ([, where]) => {
  const { base } = where;

  test('what is made is found where the answer says', async ({ database }) => {
    const { send, post } = await mount(where, database);
    const task = await post('/v1/tasks', { command: 'echo', args: ['hi'] });
    expect([task.status, task.headers.get('location')]).toEqual([201, `${base}/v1/tasks/${task.body.id}`]);
    expect((await send(task.headers.get('location') ?? '')).body.id).toBe(task.body.id);
    const process = await post('/v1/processes', { definition: { tasks: [{ name: 'A b/c' }] } });
    expect(process.headers.get('location')).toBe(`${base}/v1/processes/${process.body.id}`);
    const done = await post(`${process.headers.get('location')}/tasks/A%20b%2Fc/complete`, { output: 1 });
    expect([done.status, done.body.state]).toEqual([200, 'completed']);
    const tork = await post('/task', { name: 'hello', run: 'true' });
    expect(tork.headers.get('location')).toBe(`${base}/task/${tork.body.id}`);
  });

  test.for(['application/yaml', 'text/yaml', 'application/x-yaml', 'application/json'])(
    'a definition in %s is published',
    async (type, { database }) => {
      const { send } = await mount(where, database);
      const text = type === 'application/json' ? '{"tasks":[{"name":"A"}]}' : loan;
      const put = await send('/v1/definitions/loan', {
        method: 'PUT',
        headers: { 'content-type': type },
        body: text,
      });
      expect([put.status, put.headers.get('location')]).toEqual([
        201,
        `${base}/v1/definitions/loan/versions/1`,
      ]);
      expect((await send(put.headers.get('location') ?? '')).body.source).toBe(text);
    },
  );

  test('errors are problems that name the whole path', async ({ database }) => {
    const { send, post } = await mount(where, database);
    const lost = await send('/v1/nowhere');
    expect([lost.status, lost.headers.get('content-type')]).toEqual([404, 'application/problem+json']);
    expect(lost.body).toMatchObject({ code: 'not_found', instance: `${base}/v1/nowhere` });
    expect(lost.body.detail).toContain(`See ${base}/openapi.json`);
    expect((await send('/')).body).toMatchObject({ code: 'not_found' });
    const wrong = await send('/v1/tasks', { method: 'DELETE' });
    expect([wrong.status, wrong.headers.get('allow'), wrong.body.code]).toEqual([
      405,
      'GET, HEAD, POST',
      'method_not_allowed',
    ]);
    const bad = await post('/v1/tasks', { command: 'x', priority: 12 });
    expect([bad.status, bad.body.problems[0].pointer]).toEqual([400, '/priority']);
    const form = await post('/v1/tasks', 'command=true', {
      'content-type': 'application/x-www-form-urlencoded',
    });
    expect([form.status, form.body.code]).toEqual([415, 'unsupported_media_type']);
    const proto = await post('/v1/tasks', '{"command":"true","input":{"__proto__":1}}');
    expect([proto.status, proto.body.problems?.[0].pointer]).toEqual([400, '/input']);
    expect((await send('/v1/tasks', { method: 'HEAD' })).status).toBe(200);
  });

  test('without keys it is asked for by names of this machine alone', async ({ database }) => {
    const { send, url } = await mount(where, database);
    expect((await send('/v1/tasks')).status).toBe(200);
    const [status, text] = await new Promise<[number | undefined, string]>((resolve, reject) => {
      const asked = request(`${url}/v1/tasks`, { headers: { host: 'evil.example' } }, (answer) => {
        let said = '';
        answer.on('data', (chunk) => {
          said += chunk;
        });
        answer.on('end', () => resolve([answer.statusCode, said]));
      });
      asked.on('error', reject).end();
    });
    expect([status, JSON.parse(text).code]).toEqual([403, 'host_not_allowed']);
    const foreign = await send('/v1/tasks', { method: 'POST', headers: { origin: 'https://evil.example' } });
    expect([foreign.status, foreign.body.code]).toEqual([403, 'origin_not_allowed']);
  });

  test('with keys the health routes alone are open', async ({ database }) => {
    const { send } = await mount(where, database, { apiKeys: ['key'] });
    expect((await send('/health')).status).toBe(200);
    expect((await send('/health/live')).status).toBe(200);
    for (const path of ['/v1/tasks', '/openapi.json', '/nowhere', '/health/x']) {
      const { status, body } = await send(path);
      expect([path, status, body.code]).toEqual([path, 401, 'unauthorized']);
    }
    expect((await send('/v1/tasks', { headers: { authorization: 'Bearer key' } })).status).toBe(200);
  });

  test('its description says where it is', async ({ database }) => {
    const { send } = await mount(where, database);
    expect((await send('/openapi.json')).body.servers).toEqual([{ url: base || '/' }]);
  });

  test('who waits is answered when something comes', async ({ database }) => {
    const { post, send } = await mount(where, database);
    const waiting = post('/v1/tasks/claim', { queues: ['default'], wait: '60s', worker: 'ada' });
    const id = await enqueue(database);
    const [task] = (await waiting).body.tasks;
    expect(task.id).toBe(id);
    const looking = send(`/v1/tasks/${id}?wait=60s`);
    await post(`/v1/tasks/${id}/complete`, { token: task.token, output: 'done' });
    expect((await looking).body).toMatchObject({ state: 'completed', output: 'done' });
  });

  test('who hangs up waits no longer, and gives back what was not delivered', async ({ database }) => {
    let begin: (signal: AbortSignal | undefined) => void = () => {};
    const began = new Promise<AbortSignal | undefined>((resolve) => {
      begin = resolve;
    });
    const claim: Queue['claim'] = async (wanted) => {
      begin(wanted.signal);
      // Whatever is claimed, nobody is there to take it.
      await new Promise((resolve) => wanted.signal?.addEventListener('abort', resolve));
      return database.queue.claim({ ...wanted, waitMs: 0, signal: new AbortController().signal });
    };
    const { url } = await mount(where, { queue: { ...database.queue, claim } });
    const id = await enqueue(database);
    const gone = new AbortController();
    const asked = fetch(`${url}/v1/tasks/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ queues: ['default'], wait: '60s' }),
      signal: gone.signal,
    });
    const signal = await began;
    expect(signal?.aborted).toBe(false);
    gone.abort();
    await expect(asked).rejects.toThrow();
    await expect
      .poll(async () => (await database.sql('select claim_no, worker from skipjack.queue_items'))[0], {
        timeout: 30_000,
      })
      .toEqual({ claim_no: 1, worker: null });
    expect(signal?.aborted).toBe(true);
    expect((await claimOne(database)).id).toBe(id);
  });

  test('outputs that are too large to come along are found where the claim says', async ({ database }) => {
    const { post, send } = await mount(where, database);
    const tasks = [{ name: 'A' }, { name: 'B', needs: ['A'] }, { name: 'C', needs: ['A', 'B'], queue: 'c' }];
    const { body } = await post('/v1/processes', { definition: { tasks } });
    for (const name of ['A', 'B']) {
      // Noise: what compresses well is not large.
      const output = randomBytes(600_000).toString('base64');
      expect((await post(`/v1/processes/${body.id}/tasks/${name}/complete`, { output })).status).toBe(200);
    }
    const claimed = (await post('/v1/tasks/claim', { queues: ['c'] })).body.tasks[0];
    const links = Object.values<string>(claimed.needs_links);
    expect(links.length).toBeGreaterThan(0);
    for (const link of links) {
      expect(link.startsWith(`${base}/v1/tasks/`)).toBe(true);
      expect((await send(link)).body.output).toHaveLength(800_000);
    }
  });
});

describe('bodies that Express has read', () => {
  const where = mounts['Express behind its body parsers'] as Mount;

  test('may have been encoded on their way', async ({ database }) => {
    const { post } = await mount(where, database);
    const bytes = gzipSync('{"command": "true", "name": "packed"}');
    const { status, body } = await post('/v1/tasks', bytes, { 'content-encoding': 'gzip' });
    expect([status, body.name]).toEqual([201, 'packed']);
  });

  test('are bounded as others are', async ({ database }) => {
    const { post } = await mount(where, database, { bodyBytesMax: 1_000 });
    const { status, body } = await post('/v1/tasks', { command: 'x'.repeat(1_000) });
    expect([status, body.code]).toEqual([413, 'body_too_large']);
  });

  test('may be empty, or none', async ({ database }) => {
    const { post, send } = await mount(where, database);
    const none = await post('/v1/tasks', '');
    expect([none.status, none.body.detail]).toEqual([400, 'There is no body; a JSON object is expected.']);
    const id = await enqueue(database);
    expect((await send(`/v1/tasks/${id}/cancel`, { method: 'POST' })).status).toBe(200);
    expect((await post(`/v1/tasks/${id}/cancel`, {})).status).toBe(200);
    expect((await send(`/v1/tasks/${id}`, { method: 'DELETE' })).status).toBe(204);
  });
});

test('the routes of the other app stay its own', async ({ database }) => {
  const api = createApi(new Engine({ queue: database.queue }), { apiKeys: ['key'] });
  const hono = new Hono()
    .get('/before', (c) => c.text('mine'))
    .route('/engine', api)
    .get('/after', (c) => c.text('mine'))
    .get('/engineer', (c) => c.text('mine'))
    .notFound((c) => c.text('not mine', 404));
  for (const path of ['/before', '/after', '/engineer']) {
    expect(await (await hono.request(path)).text()).toBe('mine');
  }
  expect(await (await hono.request('/nowhere')).text()).toBe('not mine');

  const app = express()
    .use('/engine', toNodeHandler(api))
    .get('/after', (_request, response) => void response.send('mine'));
  const origin = await listen(createServer(app));
  expect(await (await fetch(`${origin}/after`)).text()).toBe('mine');
  expect((await fetch(`${origin}/nowhere`)).headers.get('content-type')).toContain('text/html');
});

test('what is no request of ours is a problem too', async ({ database }) => {
  const api = createApi(new Engine({ queue: database.queue }));
  const url = await listen(createServer({ requireHostHeader: false }, toNodeHandler(api)));
  const [status, text] = await new Promise<[number | undefined, string]>((resolve, reject) => {
    const asked = request(url, { setHost: false }, (answer) => {
      let said = '';
      answer.on('data', (chunk) => {
        said += chunk;
      });
      answer.on('end', () => resolve([answer.statusCode, said]));
    });
    asked.on('error', reject).end();
  });
  expect([status, JSON.parse(text).code]).toEqual([400, 'invalid_request']);
});
