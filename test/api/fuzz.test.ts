/**
 * Bad input is the caller's fault: always 4xx with a code, never 5xx, and never anybody else's.
 *
 * fast-check prints the seed and the smallest example of a failure; `fc.assert(…, { seed, path })` repeats it.
 */
import { expect, vi } from 'vitest';
import { createApi } from '../../src/api/api.ts';
import { Engine } from '../../src/engine/engine.ts';
import type { Queue } from '../../src/queue/queue.ts';
import fc from '../support/fast-check.ts';
import { type TestApi, test } from './support/api.ts';

// A bound for what hangs, not a promise of speed: hundreds of requests, and what fails is then made smaller.
vi.setConfig({ testTimeout: 240_000 });

const runs = 300;

interface Route {
  method: string;
  path: string;
  query: string[];
  example: unknown;
}

function exampleOf(route: { request?: { body?: { content: Record<string, object | undefined> } } }): unknown {
  return (route.request?.body?.content['application/json'] as { example?: unknown } | undefined)?.example;
}

const routes: Route[] = createApi(
  new Engine({ queue: { onSettled: () => () => {} } as unknown as Queue }),
).openAPIRegistry.definitions.flatMap((definition) =>
  definition.type === 'route'
    ? [
        {
          method: definition.route.method.toUpperCase(),
          path: definition.route.path,
          query: Object.keys(
            (definition.route.request?.query as { shape?: object } | undefined)?.shape ?? {},
          ),
          // Nobody waits for half a minute here.
          example: JSON.parse(
            JSON.stringify(exampleOf(definition.route) ?? {}).replaceAll('"wait":"30s"', '"wait":"1ms"'),
          ),
        },
      ]
    : [],
);

/** Written as it is: JSON.stringify would make it null. */
const hugeNumber = '@@1e999@@';

const nastyText = fc.constantFrom(
  '',
  ' ',
  '\u0000',
  'a\u0000b',
  '\ud800',
  '\udfffx',
  '\ufffe',
  '🐟'.repeat(50),
  'x'.repeat(70_000),
  "'; drop table skipjack.tasks; --",
  '${{ input }}',
  '$engine',
  '../../etc/passwd',
  '__proto__',
  'constructor',
  'nan',
  'infinity',
  '9999999999d',
  '0s',
  '2026-13-45T99:99:99Z',
  '0000-01-01T00:00:00Z',
  '9999-12-31T23:59:59.999999999+14:00',
  'AAAAAAAAAAAAAAAAAAAAAAAAAAA',
  '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  'ffffffff-ffff-ffff-ffff-ffffffffffff',
);

const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  nastyText,
  fc.constantFrom(null, true, -1, 0, -0, 1.5, 2 ** 31, 2 ** 53, 1e308, -1e308, 5e-324, hugeNumber),
  fc.constant([]),
  fc.constant({}),
  fc.constant(JSON.parse('{"__proto__": {"polluted": true}}')),
  fc.constant(JSON.parse(`${'['.repeat(200)}${']'.repeat(200)}`)),
  fc.constant(Array.from({ length: 3_000 }, () => ({}))),
  fc.constant(Object.fromEntries(Array.from({ length: 3_000 }, (_, key) => [`k${key}`, 'v']))),
  fc.constant({ '\u0000': 1 }),
  fc.jsonValue(),
);

/** `value` with something nasty somewhere in it. */
function mutated(value: unknown): fc.Arbitrary<unknown> {
  if (typeof value !== 'object' || value === null) return nastyValue;
  const entries = Object.entries(value);
  const inside = entries.map(([key, member]) =>
    mutated(member).map((changed) =>
      Array.isArray(value) ? value.with(Number(key), changed) : { ...value, [key]: changed },
    ),
  );
  const without = entries.map(([key]) =>
    fc.constant(Object.fromEntries(entries.filter(([other]) => other !== key))),
  );
  const beside = fc.tuple(nastyText, nastyValue).map(([key, added]) => ({ ...value, [key]: added }));
  return fc.oneof(
    { weight: 1, arbitrary: nastyValue },
    { weight: 8, arbitrary: fc.oneof(beside, ...without, ...inside) },
  );
}

const toText = (value: unknown) => JSON.stringify(value).replaceAll(`"${hugeNumber}"`, '1e999');

const bodyText = (example: unknown): fc.Arbitrary<string> =>
  fc.oneof(
    { weight: 6, arbitrary: mutated(example).map(toText) },
    { weight: 1, arbitrary: fc.jsonValue().map(toText) },
    { weight: 1, arbitrary: fc.string({ unit: 'binary' }) },
    {
      weight: 1,
      arbitrary: fc
        .tuple(fc.constant(toText(example)), fc.nat(), fc.string())
        .map(([text, at, garbage]) => text.slice(0, at % (text.length + 1)) + garbage),
    },
  );

/** Percent-encoded, or broken. */
const urlPart = fc.oneof(
  nastyText.map((text) => encodeURIComponent(text.toWellFormed()).slice(0, 3_000)),
  fc.constantFrom(
    '%00',
    '%',
    '%E0%A4%A',
    '%ff',
    '%ed%a0%80',
    '..',
    '%2e%2e',
    '%2F',
    'a%2Fb',
    '~',
    ';',
    '0',
    '-1',
    '501',
    'true',
  ),
  fc.webFragments().map((text) => text.replaceAll('#', '%23').slice(0, 500)),
);

const routeArbitrary = fc.constantFrom(...routes);

async function expectNoFault(api: TestApi, answer: { status: number; body: unknown }) {
  expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(500);
  if (answer.status >= 400) expect(answer.body).toMatchObject({ code: expect.stringMatching(/^[a-z_]+$/) });
  if (answer.status >= 400) expect(answer.body).not.toMatchObject({ code: 'internal' });
  return api;
}

async function expectWell(api: TestApi) {
  expect((await api.get('/health')).status).toBe(200);
  const made = await api.post('/v1/tasks', { name: 'still here', queue: 'well' });
  expect(made.status).toBe(201);
  await api.send('PATCH', '/v1/queues/well', { paused: false });
  const { body } = await api.post('/v1/tasks/claim', { queues: ['well'], limit: 1_000 });
  expect(body.tasks.map((task: { id: string }) => task.id)).toContain(made.body.id);
}

test('whatever the body, the answer is no fault of ours', async ({ api }) => {
  const asked = routeArbitrary
    .filter((route) => route.method !== 'GET')
    .chain((route) => fc.tuple(fc.constant(route), urlPart, bodyText(route.example)));
  await fc.assert(
    fc.asyncProperty(asked, async ([route, part, body]) => {
      const path = route.path.replaceAll(
        /\{\w+\}/g,
        part.includes('/') || part === '..' || part === '' ? 'x' : part,
      );
      await expectNoFault(api, await api.send(route.method, path, Buffer.from(body)));
    }),
    { numRuns: runs * 2 },
  );
  await expectWell(api);
});

test('whatever is said of tasks that are there, the answer is no fault of ours', async ({ api }) => {
  const lively = routes.filter(
    (route) => route.method !== 'GET' && /tasks\/(\{id\}|settle|heartbeat)/.test(route.path),
  );
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...lively).chain((route) => fc.tuple(fc.constant(route), mutated(route.example))),
      async ([route, body]) => {
        const { id } = (
          await api.post('/v1/tasks', { command: 'true', queue: 'lively', retry: { attempts: 2 } })
        ).body;
        const { token } = (await api.post(`/v1/tasks/${id}/claim`, {})).body;
        // The example's id and token are those of this task.
        const text = toText(body)
          .replaceAll('0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60', id)
          .replaceAll('AZmixF97fD6dSiscPU5fYAAAAAE', token);
        await expectNoFault(api, await api.send(route.method, route.path.replace('{id}', id), text));
        expect((await api.get(`/v1/tasks/${id}`)).status).toBeOneOf([200, 404]);
      },
    ),
    { numRuns: runs },
  );
  await expectWell(api);
});

test('whatever is said of processes that are there, the answer is no fault of ours', async ({ api }) => {
  const lively = routes.filter((route) => route.path.startsWith('/v1/processes/{id}'));
  const text = fc.oneof(fc.constantFrom('A', '1', 'B', '0', '99999999999'), urlPart);
  const query = fc.oneof(
    fc.constant(''),
    fc.tuple(fc.constantFrom('wait=0s', 'limit=2', 'cursor='), urlPart),
  );
  const ifMatch = fc.oneof(
    { weight: 3, arbitrary: fc.constantFrom('*', '"0"', '"0", "1", "2", "3"') },
    { weight: 1, arbitrary: fc.constantFrom('W/"1"', '""', '"99999999999999999999"', 'x', '"\xff"', '*,*') },
  );
  const definition = { tasks: [{ name: 'A' }, { name: 'B' }, { name: 'C', needs: ['A', 'B'] }] };
  let { id } = (await api.post('/v1/processes', { definition })).body;
  await fc.assert(
    fc.asyncProperty(
      fc
        .constantFrom(...lively)
        .chain((route) => fc.tuple(fc.constant(route), mutated(route.example), text, query, ifMatch)),
      async ([route, body, name, parameters, tag]) => {
        const path = route.path
          .replace('{id}', id)
          .replace('{name}', name.includes('/') || ['', '..', '.', '%2e%2e'].includes(name) ? 'A' : name);
        const asked = `${path}${parameters === '' ? '' : `?${parameters[0]}${parameters[1]}`}`;
        const sent = route.method === 'GET' ? undefined : toText(body);
        await expectNoFault(api, await api.send(route.method, asked, sent, { 'if-match': tag }));
        const { status, body: view } = await api.get(`/v1/processes/${id}`);
        expect(status).toBeOneOf([200, 404]);
        if (status === 404 || ['completed', 'cancelled'].includes(view.state)) {
          id = (await api.post('/v1/processes', { definition })).body.id;
        }
      },
    ),
    { numRuns: runs },
  );
  await expectWell(api);
});

test('whatever a definition says, the answer is no fault of ours', async ({ api }) => {
  const example = {
    name: 'x',
    description: 'a text',
    input: { a: { type: 'string', required: true }, b: { type: 'number', default: 1, enum: [1, 2] } },
    defaults: { retry: { attempts: 2 }, timeout: '1m', env: { A: '1' } },
    fail_fast: false,
    tasks: [
      { name: 'A', run: 'true', labels: { a: 'b' }, retry: { delay: '1s' } },
      { name: 'B', needs: ['A'], command: 'echo', args: ['x'], env: { B: '2' }, continue_on_error: true },
      { name: 'C', needs: ['A', 'B'], queue: 'people', input: { n: [1] }, priority: 9 },
    ],
  };
  const yaml =
    'name: &n x\ntasks:\n  - name: A\n  - {name: B, needs: [A]}\n  - name: *n\n    run: |\n      true\n';
  const change = fc.tuple(fc.nat(), fc.nat({ max: 6 }), fc.oneof(fc.string({ maxLength: 6 }), nastyText));
  const mangled = fc
    .tuple(fc.constantFrom(yaml, toText(example)), fc.array(change, { minLength: 1, maxLength: 4 }))
    .map(([text, changes]) => {
      let changed = text;
      for (const [at, gone, put] of changes) {
        const place = at % (changed.length + 1);
        changed = changed.slice(0, place) + put + changed.slice(place + gone);
      }
      return changed.toWellFormed();
    });
  const source = fc.oneof(mutated(example).map(toText), mangled, fc.string({ unit: 'binary' }));
  await fc.assert(
    fc.asyncProperty(source, fc.constantFrom('application/json', 'application/yaml'), async (text, type) => {
      const header = { 'content-type': type };
      const bytes = Buffer.from(text);
      const checked = await api.post('/v1/definitions/validate', bytes, header);
      await expectNoFault(api, checked);
      const published = await api.send('PUT', '/v1/definitions/x', bytes, header);
      await expectNoFault(api, published);
      // What is found good can be published and started, and nothing else.
      const isGood = checked.body?.valid === true && [null, 'x'].includes(checked.body.name);
      expect([text, isGood]).toEqual([text, published.status < 300]);
      const started = await api.post('/v1/processes', { source: text });
      await expectNoFault(api, started);
      expect([text, started.status !== 201 && started.body.code !== 'invalid_input']).toEqual([
        text,
        checked.body?.valid !== true,
      ]);
    }),
    { numRuns: runs },
  );
  await expectWell(api);
});

test('whatever the path, the query and the headers, the answer is no fault of ours', async ({ api }) => {
  const header = fc.tuple(
    fc.constantFrom(
      'content-type',
      'authorization',
      'x-request-id',
      'origin',
      'content-encoding',
      'accept',
      'cookie',
      'x-nonsense',
      'if-match',
      'if-none-match',
      'range',
    ),
    fc.oneof(
      fc.string({ unit: fc.constantFrom(...'abc019 ,;="/*:\xe9\t') }).map((text) => text.trim()),
      fc.constantFrom('application/json', 'text/yaml', 'gzip', 'null', 'bytes=0-', '"1"', 'W/"1", "a"', '*'),
    ),
  );
  const asked = routeArbitrary.chain((route) =>
    fc.tuple(
      fc.constant(route),
      fc.constantFrom(
        'GET',
        'HEAD',
        'POST',
        'PUT',
        'PATCH',
        'DELETE',
        'OPTIONS',
        route.method,
        route.method,
        route.method,
      ),
      urlPart,
      fc.array(fc.tuple(fc.constantFrom(...route.query, 'nonsense', 'definition', ''), urlPart), {
        maxLength: 4,
      }),
      fc.array(header, { maxLength: 4 }),
    ),
  );
  await fc.assert(
    fc.asyncProperty(asked, async ([route, method, part, query, headers]) => {
      const text = query.map(([name, value]) => `${name}=${value}`).join('&');
      const path = `${route.path.replaceAll(/\{\w+\}/g, part)}${text ? `?${text}` : ''}`;
      const response = await fetch(api.url + path, { method, headers });
      const answer = await response.text();
      expect(response.status, `${method} ${path}: ${answer}`).toBeLessThan(500);
      if (response.status >= 400 && method !== 'HEAD')
        expect(JSON.parse(answer)).toMatchObject({ code: expect.any(String) });
    }),
    { numRuns: runs * 2 },
  );
  await expectWell(api);
});

test('whatever comes over the wire, the answer is HTTP and no fault of ours', async ({ api }) => {
  const body = '{"command":"true","queue":"wire"}';
  const valid = `POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
  const chunked = `POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
  const change = fc.tuple(fc.nat(), fc.nat({ max: 6 }), fc.uint8Array({ maxLength: 6 }));
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 300 }).map((array) => Buffer.from(array)),
    fc
      .tuple(fc.constantFrom(valid, chunked, valid + valid), fc.array(change, { minLength: 1, maxLength: 4 }))
      .map(([request, changes]) => {
        let mangled = Buffer.from(request);
        for (const [at, gone, put] of changes) {
          const place = at % (mangled.length + 1);
          mangled = Buffer.concat([mangled.subarray(0, place), put, mangled.subarray(place + gone)]);
        }
        return mangled;
      }),
  );
  await fc.assert(
    fc.asyncProperty(bytes, async (sent) => {
      const answer = await api.talk(sent, { hangUp: true });
      if (answer === '') return;
      const [head = '', text = ''] = answer.split('\r\n\r\n');
      const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1]);
      expect(status, answer).toBeGreaterThanOrEqual(200);
      expect(status, answer).toBeLessThan(500);
      if (status >= 400) expect(text).toMatch(/"code":"[a-z_]+"/);
    }),
    { numRuns: runs },
  );
  await expectWell(api);
});

test('the good tasks of a batch are enqueued, whatever the bad ones are', async ({ api, database }) => {
  const good = (index: number) => ({ command: 'true', name: `good ${index}`, queue: 'good' });
  const item = fc.oneof(
    fc.constant('good' as const),
    mutated({
      command: 'true',
      args: ['a'],
      env: { A: '1' },
      input: { a: [1] },
      labels: { a: 'b' },
      retry: { attempts: 2, delay: '1s' },
      timeout: '1s',
      run_at: '2026-01-31T12:00:00Z',
      queue: 'bad',
    }),
  );
  let expected = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(item, { minLength: 1, maxLength: 12 }), async (items) => {
      const tasks = items.map((each, index) => (each === 'good' ? good(index) : each));
      const { status, body } = await api.post('/v1/tasks/batch', toText({ tasks }));
      expect(status).toBe(200);
      expect(body.results).toHaveLength(items.length);
      for (const [index, result] of body.results.entries()) {
        if (items[index] === 'good') expect(result).toMatchObject({ status: 201, id: expect.any(String) });
        else expect(result.status).toBeLessThan(500);
        if (result.status >= 400)
          expect(result).toMatchObject({ code: expect.any(String), detail: expect.any(String) });
      }
      expected += items.filter((each) => each === 'good').length;
    }),
    { numRuns: runs },
  );
  const [row] = await database.sql(
    `select count(*)::integer as count from skipjack.tasks where name like 'good %' and queue = 'good'`,
  );
  expect(row?.count).toBe(expected);
  await expectWell(api);
});

test('the good ones of a batch of settlements and of heartbeats count, whatever the bad ones are', async ({
  api,
  database,
}) => {
  const bad = mutated({
    id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    token: 'AZmixF97fD6dSiscPU5fYAAAAAE',
    outcome: 'failed',
    error: { code: 'a', message: 'b' },
    output: 1,
    exit_code: 1,
    run_ms: 1,
  });
  let expected = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(bad, { minLength: 1, maxLength: 8 }), fc.nat(), async (items, at) => {
      const { id } = (await api.post('/v1/tasks', { command: 'true', queue: 'settled' })).body;
      const { token } = (await api.post(`/v1/tasks/${id}/claim`, {})).body;
      const place = at % (items.length + 1);
      const among = (mine: object) => [...items.slice(0, place), mine, ...items.slice(place)];
      const beaten = await api.post('/v1/tasks/heartbeat', toText({ leases: among({ id, token }) }));
      expect([beaten.status, beaten.body.results[place].status]).toEqual([200, 'extended']);
      const settled = await api.post(
        '/v1/tasks/settle',
        toText({ settlements: among({ id, token, outcome: 'completed', output: 42 }) }),
      );
      expect([settled.status, settled.body.results[place].status]).toEqual([200, 200]);
      expect(settled.body.results).toHaveLength(items.length + 1);
      expected += 1;
    }),
    { numRuns: runs / 2 },
  );
  const [row] = await database.sql(
    `select count(*)::integer as count from skipjack.tasks where queue = 'settled' and state = 'completed'`,
  );
  expect(row?.count).toBe(expected);
  await expectWell(api);
});
