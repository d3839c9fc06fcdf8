import { describe, expect } from 'vitest';
import { startServer } from '../../src/api/server.ts';
import { Engine } from '../../src/engine/engine.ts';
import { claimOne, enqueue } from '../support/tasks.ts';
import { startTestApi, test } from './support/api.ts';

const task = { command: 'true' };

/** The first status line and the problem's code of what a socket got. */
function readRaw(answer: string): [number, string | undefined] {
  const [head = '', body = ''] = answer.split('\r\n\r\n');
  const status = Number(/^HTTP\/1\.1 (\d+)/.exec(head)?.[1]);
  if (status >= 400) {
    expect(head.toLowerCase()).toContain('content-type: application/problem+json');
    expect(head.toLowerCase()).toContain('x-request-id: ');
  }
  return [status, /"code":"(\w+)"/.exec(body)?.[1]];
}

describe('who may ask', () => {
  test.override({ settings: { apiKeys: ['first-key', 'second-key'] } });

  test('any of the keys opens', async ({ api }) => {
    for (const key of ['first-key', 'second-key']) {
      expect((await api.post('/v1/tasks', task, { authorization: `Bearer ${key}` })).status).toBe(201);
    }
    expect((await api.get('/v1/tasks', { authorization: 'bearer first-key' })).body.tasks).toHaveLength(2);
  });

  test.for(['', 'Bearer', 'Bearer ', 'Bearer third-key', 'Bearer first-ke', 'Basic first-key', 'first-key'])(
    'the authorization %j does not',
    async (authorization, { api }) => {
      for (const path of ['/v1/tasks', '/openapi.json', '/nowhere', '/v1/stats']) {
        const { status, body, headers } = await api.get(path, { authorization });
        expect([path, status, body.code]).toEqual([path, 401, 'unauthorized']);
        expect(headers.get('www-authenticate')).toBe('Bearer realm="skipjack"');
      }
    },
  );

  test('the two health routes alone need none', async ({ api }) => {
    expect((await api.get('/health')).status).toBe(200);
    expect((await api.get('/health/live')).status).toBe(200);
    expect((await api.send('HEAD', '/health')).status).toBe(200);
    expect((await api.post('/health')).status).toBe(401);
    expect((await api.get('/health/')).status).toBe(401);
  });

  test('an empty key is no key to set', async ({ database }) => {
    const starting = startServer(new Engine({ queue: database.queue }), { port: 0, apiKeys: ['  '] });
    await expect(starting).rejects.toMatchObject({ code: 'usage' });
  });
});

describe('web pages', () => {
  const ask = (headers: string) =>
    `POST /v1/tasks HTTP/1.1\r\n${headers}\r\ncontent-type: application/json\r\ncontent-length: 18\r\nconnection: close\r\n\r\n{"command":"true"}`;

  test('reach the server under no name but its own', async ({ api }) => {
    const { port } = api.server;
    for (const host of [
      'localhost',
      '127.0.0.1',
      '127.0.0.1:80',
      `LOCALHOST:${port}`,
      '[::1]',
      `[::1]:${port}`,
    ]) {
      expect([host, ...readRaw(await api.talk(ask(`host: ${host}`)))]).toEqual([host, 201, undefined]);
    }
    for (const host of [
      'evil.example',
      `evil.example:${port}`,
      'localhost.evil.example',
      '10.0.0.1',
      '0.0.0.0',
    ]) {
      expect([host, ...readRaw(await api.talk(ask(`host: ${host}`)))]).toEqual([
        host,
        403,
        'host_not_allowed',
      ]);
    }
  });

  test('cannot post from another origin', async ({ api }) => {
    const { port } = api.server;
    const own = `host: 127.0.0.1:${port}\r\norigin: http://127.0.0.1:${port}`;
    expect(readRaw(await api.talk(ask(own)))).toEqual([201, undefined]);
    for (const origin of ['https://evil.example', 'null', `http://127.0.0.1:${port + 1}`]) {
      const answer = await api.talk(ask(`host: 127.0.0.1:${port}\r\norigin: ${origin}`));
      expect([origin, ...readRaw(answer)]).toEqual([origin, 403, 'origin_not_allowed']);
    }
    const read = `GET /health/live HTTP/1.1\r\nhost: 127.0.0.1\r\norigin: https://evil.example\r\nconnection: close\r\n\r\n`;
    expect(readRaw(await api.talk(read))[0]).toBe(200);
  });

  test('have names of their own where they are allowed', async ({ database }) => {
    const api = await startTestApi(database, { allowedHosts: ['Tasks.example', 'other.example:8080'] });
    for (const [host, status] of [
      ['tasks.example', 201],
      ['tasks.example:443', 201],
      ['other.example:8080', 201],
      ['other.example:8081', 403],
    ]) {
      expect([host, readRaw(await api.talk(ask(`host: ${host}`)))[0]]).toEqual([host, status]);
    }
    await api.server.close();
  });

  test.for([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/jsonp',
    'application/json; charset=latin1',
    'nonsense',
  ])('cannot post bodies of the type %s', async (type, { api }) => {
    for (const path of [
      '/v1/tasks',
      '/task',
      '/v1/tasks/claim',
      '/v1/dead-letters/0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60/replay',
    ]) {
      const { status, body, headers } = await api.post(path, JSON.stringify(task), { 'content-type': type });
      expect([path, status, body.code]).toEqual([path, 415, 'unsupported_media_type']);
      expect(body.detail).toContain('content-type: application/json');
      expect(headers.get('accept')).toBe('application/json');
    }
    expect((await api.get('/v1/tasks')).body.tasks).toEqual([]);
  });
});

describe('bodies', () => {
  test('a body without a content type is told which to send', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks', new TextEncoder().encode('{}'), {
      'content-type': '',
    });
    expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
    expect(body.detail).toContain('content-type: application/json');
  });

  test('JSON in UTF-8 is JSON, however its type is written', async ({ api }) => {
    for (const type of [
      'application/json',
      'Application/JSON; charset=UTF-8',
      'application/json;charset="utf-8"',
    ]) {
      expect((await api.post('/v1/tasks', task, { 'content-type': type })).status).toBe(201);
    }
  });

  test.for([
    ['{"command": "true",}', { line: 1, column: 20 }],
    ['{\n  "command": "true"\n  "args": []\n}', { line: 3, column: 3 }],
    ['{"command": "true"', { line: 1, column: 19 }],
    ['', {}],
    ['nonsense', {}],
    ['NaN', {}],
    ["{'command': 'true'}", { line: 1, column: 2 }],
  ] as const)('the malformed JSON %j is refused with its place', async ([text, place], { api }) => {
    const { status, body } = await api.post('/v1/tasks', text);
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'invalid_json', ...place });
  });

  test('bytes that are not UTF-8 are refused, not replaced', async ({ api }) => {
    const bytes = Buffer.concat([Buffer.from('{"command":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const { status, body } = await api.post('/v1/tasks', bytes);
    expect([status, body.code]).toEqual([400, 'invalid_json']);
  });

  test.for([
    ['{"command":"true","input":{"a":[{"__proto__":1}]}}', '/input/a/0'],
    ['{"command":"true","__proto__":{"args":[]}}', ''],
    ['{"command":"true","input":"\\u0000"}', '/input'],
    ['{"command":"true","input":{"\\u0000":1}}', '/input'],
    ['{"command":"true","input":"\\ud800"}', '/input'],
    ['{"command":"true","input":[1,1e999]}', '/input/1'],
    [`{"command":"true","input":${'['.repeat(100)}${']'.repeat(100)}}`, `/input${'/0'.repeat(63)}`],
  ] as const)(
    'what could not be stored as it is is refused where it stands: %j',
    async ([text, pointer], { api }) => {
      const { status, body } = await api.post('/v1/tasks', text);
      expect(status).toBe(400);
      expect(body.code).toBe('invalid_request');
      expect(body.problems[0].pointer).toBe(pointer);
    },
  );

  test('depth and number have bounds, and the stack is not theirs', async ({ api }) => {
    const deep = 2_000_000;
    for (const input of [
      '['.repeat(deep) + ']'.repeat(deep),
      `${'{"a":'.repeat(deep / 4)}1${'}'.repeat(deep / 4)}`,
      `[${'0,'.repeat(deep)}0]`,
    ]) {
      const { status, body } = await api.post('/v1/tasks', `{"command":"true","input":${input}}`);
      expect([status, body.code]).toEqual([400, 'invalid_request']);
    }
    const open = await api.post('/v1/tasks', '['.repeat(deep));
    expect([open.status, open.body.code]).toEqual([400, 'invalid_request']);
  });

  test('a problem is shorter than what it is about', async ({ api }) => {
    const keys = Object.fromEntries(Array.from({ length: 50_000 }, (_, index) => [`key${index}`, 0]));
    const { status, body } = await api.post('/v1/tasks', { ...keys, [`${'x'.repeat(1_000_000)}`]: 1 });
    expect(status).toBe(400);
    expect(JSON.stringify(body).length).toBeLessThan(50_000);
  });

  test('an encoded body is not read', async ({ api }) => {
    const { status, body } = await api.post('/v1/tasks', task, { 'content-encoding': 'gzip' });
    expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
  });

  test('routes without a body take none but an empty object', async ({ api, database }) => {
    const id = await enqueue(database);
    await claimOne(database);
    expect((await api.post(`/v1/tasks/${id}/cancel`, { now: true })).status).toBe(400);
    expect((await api.post(`/v1/tasks/${id}/cancel`, {})).status).toBe(202);
  });
});

describe('bodies that are too large', () => {
  test.override({ settings: { bodyBytesMax: 1_000 } });
  const head = 'POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n';

  test('are refused by what they say of themselves', async ({ api }) => {
    const { status, body, headers } = await api.post('/v1/tasks', { command: 'x'.repeat(1_000) });
    expect([status, body.code, headers.get('connection')]).toEqual([413, 'body_too_large', 'close']);
    expect(readRaw(await api.talk(`${head}content-length: 1000000000000\r\n\r\n{`))).toEqual([
      413,
      'body_too_large',
    ]);
  });

  test('are refused while they come in chunks', async ({ api }) => {
    const chunk = `200\r\n${' '.repeat(512)}\r\n`;
    const answer = await api.talk(`${head}transfer-encoding: chunked\r\n\r\n${chunk.repeat(4)}0\r\n\r\n`);
    expect(readRaw(answer)).toEqual([413, 'body_too_large']);
  });

  test('small ones in chunks are read', async ({ api }) => {
    const answer = await api.talk(
      `${head}transfer-encoding: chunked\r\nconnection: close\r\n\r\n9\r\n{"command\r\n9\r\n":"true"}\r\n0\r\n\r\n`,
    );
    expect(readRaw(answer)).toEqual([201, undefined]);
  });

  test('one that is longer than it says is cut off there', async ({ api }) => {
    const answer = await api.talk(`${head}content-length: 5\r\n\r\n{"command":"true"}`);
    expect(readRaw(answer)[0]).toBe(400);
  });

  test('one that is shorter than it says enqueues nothing', async ({ api }) => {
    await api.talk(`${head}content-length: 500\r\n\r\n{"command":"true"}`, { hangUp: true });
    expect((await api.get('/v1/tasks')).body.tasks).toEqual([]);
  });
});

describe('requests that are none', () => {
  test.for([
    ['nonsense\r\n\r\n', 400, 'invalid_request'],
    ['GET / HTTP/9.9\r\n\r\n', 400, 'invalid_request'],
    ['GARBAGE /v1/tasks HTTP/1.1\r\nhost: localhost\r\n\r\n', 400, 'invalid_request'],
    ['GET /v1/tasks HTTP/1.1\r\n\r\n', 400, 'invalid_request'],
    ['GET /v1/tasks HTTP/1.1\r\nhost: [\r\nconnection: close\r\n\r\n', 400, 'invalid_request'],
    ['GET /v1\\tasks HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n', 404, 'not_found'],
    ['GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n', 400, 'invalid_request'],
    [
      `GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [`GET /${'x'.repeat(20_000)} HTTP/1.1\r\nhost: localhost\r\n\r\n`, 431, 'headers_too_large'],
    ['POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n', 400, 'invalid_request'],
    [
      'POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n',
      400,
      'invalid_request',
    ],
    [
      'POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      400,
      'invalid_request',
    ],
  ] as const)('%j is answered with a problem', async ([bytes, status, code], { api }) => {
    const [gotStatus, gotCode] = readRaw(await api.talk(bytes));
    if (status === 404) return expect(gotStatus).toBeOneOf([400, 404]);
    expect([gotStatus, gotCode]).toEqual([status, code]);
  });

  test('an expectation that we do not know is no reason to refuse', async ({ api }) => {
    const ask =
      'GET /health/live HTTP/1.1\r\nhost: localhost\r\nexpect: the-unexpected\r\nconnection: close\r\n\r\n';
    expect(readRaw(await api.talk(ask))[0]).toBe(200);
  });
});

describe('paths', () => {
  test('what is not there is 404, what is asked wrongly is 405 with what is allowed', async ({ api }) => {
    const lost = await api.get('/v1/nothing');
    expect([lost.status, lost.body.code, lost.body.instance]).toEqual([404, 'not_found', '/v1/nothing']);
    const wrong = await api.send('DELETE', '/v1/tasks');
    expect([wrong.status, wrong.body.code, wrong.headers.get('allow')]).toEqual([
      405,
      'method_not_allowed',
      'GET, HEAD, POST',
    ]);
    expect((await api.send('OPTIONS', '/health')).headers.get('allow')).toBe('GET, HEAD');
    expect((await api.get('/v1/tasks/claim')).status).toBe(404);
  });

  test.for([
    '/v1/tasks/%E0%A4%A',
    '/v1/tasks/%',
    '/v1/tasks?name=%E0%A4%A',
    '/v1/tasks?%ff',
    '/v1/tasks/%00',
    '/v1/tasks?name=%00',
    '/v1/queues/%00',
    '/v1/workers/%ed%a0%80',
  ])('the path %s is a mistake of the caller', async (path, { api }) => {
    const method = path.startsWith('/v1/queues')
      ? 'PATCH'
      : path.startsWith('/v1/workers')
        ? 'DELETE'
        : 'GET';
    const { status, body } = await api.send(method, path, method === 'PATCH' ? { paused: true } : undefined);
    expect([status, body.code]).toEqual([400, 'invalid_request']);
  });

  test('HEAD answers what GET would, without the body', async ({ api, database }) => {
    const id = await enqueue(database);
    expect(await api.send('HEAD', `/v1/tasks/${id}`)).toMatchObject({ status: 200, body: null });
    expect(await api.send('HEAD', '/v1/tasks/nonsense')).toMatchObject({ status: 404, body: null });
  });

  test('a sane request id is taken over, another is made for one that is not', async ({ api }) => {
    const idOf = async (id: string) =>
      (await api.get('/health/live', { 'x-request-id': id })).headers.get('x-request-id');
    expect(await idOf('trace-42.a:b')).toBe('trace-42.a:b');
    expect(await idOf('a b')).toMatch(/^[0-9a-f-]{36}$/);
    expect(await idOf('x'.repeat(200))).toMatch(/^[0-9a-f-]{36}$/);
  });
});

describe('faults of ours', () => {
  test('are logged under the request id, and tell the caller nothing else', async ({ database }) => {
    const logged: [object, string][] = [];
    const silent = () => {};
    const queue = {
      ...database.queue,
      claim: () => Promise.reject(new Error('the password is swordfish')),
    };
    const api = await startTestApi(
      { queue },
      { logger: { debug: silent, warn: silent, error: (about, message) => logged.push([about, message]) } },
    );
    const { status, body, headers } = await api.post(
      '/v1/tasks/claim',
      { queues: ['a'] },
      { 'x-request-id': 'mine' },
    );
    expect([status, body.code, headers.get('x-request-id')]).toEqual([500, 'internal', 'mine']);
    expect(JSON.stringify(body)).not.toContain('swordfish');
    expect(logged).toMatchObject([
      [{ request_id: 'mine', err: { message: 'the password is swordfish' } }, expect.any(String)],
    ]);
    await api.server.close();
  });
});
