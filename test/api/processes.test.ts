import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { claimOne, complete } from '../support/tasks.ts';
import { type TestApi, test } from './support/api.ts';
import { loan, startInline, taskPath, wrongLoan, yaml } from './support/definitions.ts';

const definition = { tasks: [{ name: 'A' }, { name: 'B', needs: ['A'] }] };

async function publish(api: TestApi, name = 'loan-application', text = loan): Promise<void> {
  await api.send('PUT', `/v1/definitions/${name}`, text, yaml);
}

describe('starting', () => {
  test('a process of a published definition says where it is and what it does', async ({ api }) => {
    await publish(api);
    const { status, headers, body } = await api.post('/v1/processes', {
      definition: 'loan-application',
      input: { amount: 7 },
    });
    expect(status).toBe(201);
    expect(headers.get('location')).toBe(`/v1/processes/${body.id}`);
    expect(headers.get('etag')).toBe(`"${body.revision}"`);
    expect(body).toMatchObject({
      definition: 'loan-application',
      version: 1,
      state: 'running',
      tasks: 4,
      unfinished: 4,
      percent: 0,
      input: { amount: 7 },
      output: null,
      counts: { ready: 1, pending: 3, completed: 0 },
      active: ['Open Loan Application'],
      last_error: null,
    });
    const read = await api.get(headers.get('location') ?? '');
    expect([read.status, read.body, read.headers.get('etag')]).toEqual([200, body, headers.get('etag')]);
  });

  test('an older version runs when it is asked for; defaults are filled in', async ({ api }) => {
    await publish(api);
    await publish(api, 'loan-application', 'tasks: [{name: Only}]');
    const start = { definition: 'loan-application' };
    expect((await api.post('/v1/processes', start)).body).toMatchObject({ version: 2, tasks: 1, input: {} });
    expect((await api.post('/v1/processes', { ...start, version: 1 })).body).toMatchObject({
      version: 1,
      input: { amount: 1000 },
    });
    const lost = await api.post('/v1/processes', { ...start, version: 3 });
    expect([lost.status, lost.body.code]).toEqual([404, 'not_found']);
  });

  test('a definition in hand runs as an object, as text, and as a body in YAML', async ({ api }) => {
    const inHand = await api.post('/v1/processes', { definition });
    const asText = await api.post('/v1/processes', { source: loan, input: { amount: 7 } });
    expect([inHand.status, asText.status]).toEqual([201, 201]);
    expect(inHand.body).toMatchObject({ definition: null, version: null, tasks: 2 });
    expect(asText.body.input).toEqual({ amount: 7 });
    for (const type of ['application/yaml', 'text/yaml', 'application/x-yaml']) {
      const asYaml = await api.post('/v1/processes', loan, { 'content-type': type });
      expect([asYaml.status, asYaml.body.input]).toEqual([201, { amount: 1000 }]);
      expect(asYaml.body.definition_id).toBe(asText.body.definition_id);
    }
  });

  test('what a YAML body has no room for stands in the query', async ({ api }) => {
    const path = '/v1/processes?idempotency_key=once&input=';
    const first = await api.post(`${path}${encodeURIComponent('{"amount": 8}')}`, loan, yaml);
    const second = await api.post(`${path}${encodeURIComponent('{ "amount": 8 }')}`, loan, yaml);
    expect([first.status, second.status, first.body.input]).toEqual([201, 200, { amount: 8 }]);
    expect(second.body.id).toBe(first.body.id);
    for (const input of ['{', '{"a":"\\u0000"}', '[['.repeat(50) + ']]'.repeat(50)]) {
      const bad = await api.post(`/v1/processes?input=${encodeURIComponent(input)}`, loan, yaml);
      expect([bad.status, bad.body.problems[0].pointer]).toEqual([400, 'input']);
    }
    for (const parameter of ['input=1', 'idempotency_key=x']) {
      const inJson = await api.post(`/v1/processes?${parameter}`, { definition });
      expect([inJson.status, inJson.body.problems[0].pointer]).toEqual([400, parameter.split('=')[0]]);
    }
  });

  test('the same key and the same request answer the same process, another request conflicts', async ({
    api,
  }) => {
    await publish(api);
    const start = { definition: 'loan-application', idempotency_key: 'application 4711' };
    const first = await api.post('/v1/processes', start);
    const second = await api.post('/v1/processes', start);
    expect([first.status, first.headers.get('idempotency-replayed')]).toEqual([201, null]);
    expect([second.status, second.headers.get('idempotency-replayed')]).toEqual([200, 'true']);
    expect([second.body.id, second.headers.get('location')]).toEqual([
      first.body.id,
      first.headers.get('location'),
    ]);
    const other = await api.post('/v1/processes', { ...start, input: { amount: 1 } });
    expect([other.status, other.body]).toMatchObject([
      409,
      { code: 'idempotency_conflict', existing_id: first.body.id },
    ]);
    const waiting = await api.post('/v1/processes?wait=1ms', start);
    expect([waiting.status, waiting.body.id]).toEqual([202, first.body.id]);
  });

  test('a definition that is not there is 404 and says what there is', async ({ api }) => {
    await publish(api);
    const { status, body } = await api.post('/v1/processes', { definition: 'loan' });
    expect([status, body.code]).toEqual([404, 'not_found']);
    expect(body.detail).toContain('"loan-application"');
  });

  test('an input that breaks the rules is refused where it does', async ({ api }) => {
    await publish(api);
    const start = (input: unknown) => api.post('/v1/processes', { definition: 'loan-application', input });
    for (const [input, pointer] of [
      [{ amount: 'much' }, '/input/amount'],
      [{ colour: 'red' }, '/input/colour'],
      [[1], '/input'],
      ['text', '/input'],
    ]) {
      const { status, body } = await start(input);
      expect([status, body.code, body.problems[0].pointer]).toEqual([422, 'invalid_input', pointer]);
    }
    const large = await start({ text: 'x'.repeat(1024 * 1024) });
    expect([large.status, large.body.problems[0].pointer]).toEqual([400, '/input']);
    expect((await api.get('/v1/processes')).body.processes).toEqual([]);
  });

  test('mistakes of a definition point into the body, or into its text', async ({ api }) => {
    const inHand = await api.post('/v1/processes', { definition: { tasks: [{ name: 'A', needs: ['B'] }] } });
    expect([inHand.status, inHand.body.code]).toEqual([422, 'invalid_definition']);
    expect(inHand.body.problems).toMatchObject([
      { pointer: '/definition/tasks/0/needs/0', code: 'unknown_need' },
    ]);
    expect(inHand.body.problems[0].line).toBeUndefined();
    for (const answer of [
      await api.post('/v1/processes', { source: wrongLoan }),
      await api.post('/v1/processes', wrongLoan, yaml),
    ]) {
      expect([answer.status, answer.body.code]).toEqual([422, 'invalid_definition']);
      expect(answer.body.problems).toMatchObject([{ line: 5, column: 13 }, { line: 9 }]);
    }
  });

  test.for([
    [{}, '/definition'],
    [[], ''],
    ['text', ''],
    [{ definition: 5 }, '/definition'],
    [{ definition: '' }, '/definition'],
    [{ definition: [] }, '/definition'],
    [{ definition: 'a', source: 'tasks: []' }, '/source'],
    [{ source: 'tasks: []', version: 1 }, '/version'],
    [{ definition, version: 1 }, '/version'],
    [{ definition: 'a', version: 0 }, '/version'],
    [{ definition: 'a', version: 2 ** 40 }, '/version'],
    [{ definition: 'a', idempotency_key: '' }, '/idempotency_key'],
    [{ definition: 'a', idempotency_key: 'x'.repeat(201) }, '/idempotency_key'],
    [{ definition: 'a', colour: 'red' }, '/colour'],
    [definition, '/tasks'],
  ] as const)('the start %j is refused at %j', async ([start, pointer], { api }) => {
    const { status, body } = await api.post('/v1/processes', JSON.stringify(start));
    expect([status, body.code, body.problems[0].pointer]).toEqual([400, 'invalid_request', pointer]);
  });

  test.for([
    ['{"definition": {"__proto__": {}, "tasks": [{"name": "A"}]}}', '/definition'],
    ['{"__proto__": {"definition": "a"}, "definition": {"tasks": []}}', ''],
    ['{"definition": {"tasks": [{"name": "\\u0000"}]}}', '/definition/tasks/0/name'],
    ['{"definition": "a", "input": {"a": "\\ud800"}}', '/input/a'],
    ['{"source": "tasks: [{name: A}] # \\u0000"}', '/source'],
    [
      `{"definition": {"tasks": ${'['.repeat(900)}${']'.repeat(900)}}}`,
      `/definition/tasks${'/0'.repeat(63)}`,
    ],
  ] as const)(
    'what could not be stored as it is is refused where it stands',
    async ([text, pointer], { api }) => {
      const { status, body } = await api.post('/v1/processes', text);
      expect([status, body.code, body.problems[0].pointer]).toEqual([400, 'invalid_request', pointer]);
      const malformed = await api.post('/v1/processes', text.slice(0, -1));
      expect([malformed.status, malformed.body.code]).toEqual([400, 'invalid_json']);
    },
  );

  test('what is nested without end is refused before it is read, with its line and column', async ({
    api,
  }) => {
    const text = `{"definition":\n {"tasks": ${'['.repeat(1_000_000)}${']'.repeat(1_000_000)}}}`;
    for (const sent of [text, text.slice(0, -1)]) {
      const { status, body } = await api.post('/v1/processes', sent);
      expect([status, body.code, body.line, body.column]).toEqual([400, 'invalid_request', 2, 1_010]);
    }
  });

  test('a large definition in hand is bounded as definitions are, not as other bodies', async ({ api }) => {
    const args = Array.from({ length: 20 }, () => '');
    const tasks = Array.from({ length: 5_000 }, (_, index) => ({ name: `${index}`, command: 'x', args }));
    const { status, body } = await api.post('/v1/processes', { definition: { tasks } });
    expect([status, body.tasks]).toEqual([201, 5_000]);
    const larger = tasks.flatMap((task) => [
      task,
      { ...task, name: `${task.name} again`, description: 'x'.repeat(500) },
    ]);
    const refused = await api.post('/v1/processes', { definition: { tasks: larger } });
    expect(refused.status).toBeOneOf([400, 422]);
    expect(refused.body.detail).toContain('is larger than');
    const input = await api.post('/v1/processes', { definition, input: { tasks } });
    expect([input.status, input.body.code]).toEqual([400, 'invalid_request']);
  }, 180_000);

  test('other types are told which header to send', async ({ api }) => {
    const { status, body } = await api.post('/v1/processes', loan, { 'content-type': 'text/plain' });
    expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
    expect(body.detail).toContain('"content-type: application/yaml"');
    expect((await api.get('/v1/processes')).body.processes).toEqual([]);
  });
});

describe('waiting', () => {
  test('who starts and waits gets the ended process', async ({ api, database }) => {
    const asked = api.post('/v1/processes?wait=60s', { definition: { tasks: [{ name: 'A' }] } });
    const task = await claimOne(database, { queues: ['people'], waitMs: 60_000 });
    await complete(database, task, 'done');
    const { status, body, headers } = await asked;
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'completed', percent: 100, output: { A: 'done' }, active: [] });
    expect([headers.get('etag'), headers.get('location')]).toEqual([
      `"${body.revision}"`,
      `/v1/processes/${body.id}`,
    ]);
  });

  test('who waits in vain gets the process as it is, and 202', async ({ api }) => {
    const { status, body } = await api.post('/v1/processes?wait=1ms', { definition });
    expect([status, body.state]).toEqual([202, 'running']);
    const again = await api.get(`/v1/processes/${body.id}?wait=0s`);
    expect([again.status, again.body.state, again.headers.get('etag')]).toEqual([
      202,
      'running',
      `"${body.revision}"`,
    ]);
  });

  test('who looks and waits gets the ended process', async ({ api }) => {
    const path = await startInline(api, { tasks: [{ name: 'A' }] });
    const asked = api.get(`${path}?wait=60s`);
    await api.post(taskPath(path, 'A', 'fail'), { error: 'no' });
    const { status, body } = await asked;
    expect([status, body.state]).toEqual([200, 'failed']);
    expect(body.last_error).toMatchObject({ task: 'A', code: 'failed', message: 'no' });
  });
});

describe('looking', () => {
  test.for(['nonsense', '1', newId()])(
    'an id of nothing (%s) is 404 wherever it stands',
    async (id, { api }) => {
      const path = `/v1/processes/${id}`;
      const etag = { 'if-match': '"1", "2"' };
      const answers = [
        await api.get(path),
        await api.get(`${path}?wait=1s`),
        await api.get(`${path}/tasks`),
        await api.get(`${path}/events`),
        await api.post(`${path}/cancel`),
        await api.post(`${path}/cancel`, {}, etag),
        await api.post(`${path}/retry`),
        await api.post(`${path}/pause`),
        await api.post(`${path}/resume`),
        await api.post(`${path}/tasks/A/complete`),
        await api.post(`${path}/tasks/A/fail`, { error: 'no' }),
        await api.send('DELETE', path),
      ];
      for (const { status, body } of answers) expect([status, body.code]).toEqual([404, 'not_found']);
    },
  );

  test('lists go newest first, in pages and by filters, without payloads', async ({ api, database }) => {
    await publish(api);
    const ids: string[] = [];
    for (const start of [
      { definition: 'loan-application' },
      { definition },
      { definition: 'loan-application' },
    ]) {
      ids.unshift((await api.post('/v1/processes', start)).body.id);
    }
    await api.post(`/v1/processes/${ids[1]}/cancel`);
    const list = async (query: string) => (await api.get(`/v1/processes?${query}`)).body;
    const idsOf = async (query: string) =>
      (await list(query)).processes.map((process: { id: string }) => process.id);
    const first = await list('limit=2');
    expect(first.processes.map(({ id }: { id: string }) => id)).toEqual(ids.slice(0, 2));
    expect(first.next_cursor).toEqual(expect.any(String));
    expect(await list(`limit=2&cursor=${first.next_cursor}`)).toMatchObject({
      processes: [{ id: ids[2], definition: 'loan-application', version: 1, percent: 0 }],
      next_cursor: null,
    });
    expect(await idsOf('state=live')).toEqual([ids[0], ids[2]]);
    expect(await idsOf('state=running')).toEqual([ids[0], ids[2]]);
    expect(await idsOf('state=cancelled')).toEqual([ids[1]]);
    expect(await idsOf('definition=loan-application')).toEqual([ids[0], ids[2]]);
    expect(await idsOf('created_after=2999-01-01T00:00:00Z')).toEqual([]);
    expect(await idsOf('created_before=2999-01-01T00:00:00Z')).toEqual(ids);
    expect((await database.sql('select from skipjack.processes')).length).toBe(3);
  });

  test.for(['state=happy', 'limit=0', 'cursor=x', 'definition=', 'created_after=now', 'name=x'])(
    'the query %s is refused by the name of its parameter',
    async (query, { api }) => {
      const { status, body } = await api.get(`/v1/processes?${query}`);
      expect([status, body.problems[0].pointer]).toEqual([400, query.split('=')[0]]);
    },
  );

  test('its tasks come in the order of the definition', async ({ api }) => {
    const names = ['D', 'C', 'B', 'A'];
    const path = await startInline(api, { tasks: names.map((name) => ({ name })) });
    const first = await api.get(`${path}/tasks?limit=3`);
    expect(first.body.tasks).toMatchObject([
      { name: 'D', ordinal: 1, state: 'ready', queue: 'people', process_id: path.split('/').at(-1) },
      { name: 'C', ordinal: 2 },
      { name: 'B', ordinal: 3 },
    ]);
    const second = await api.get(`${path}/tasks?limit=3&cursor=${first.body.next_cursor}`);
    expect([second.body.tasks.map(({ name }: { name: string }) => name), second.body.next_cursor]).toEqual([
      ['A'],
      null,
    ]);
  });

  test('what happened is told in order, page by page', async ({ api }) => {
    const path = await startInline(api, definition);
    await api.post(`${path}/pause`, { by: 'ada' });
    await api.post(`${path}/resume`, { by: 'ada' });
    await api.post(taskPath(path, 'A', 'complete'), { output: 1, by: 'bob' });
    await api.post(`${path}/cancel`);
    const { body } = await api.get(`${path}/events`);
    const happened = body.events.map(({ event }: { event: string }) => event);
    expect(happened).toContain('task_completed_by_name');
    expect(happened.filter((event: string) => event !== 'task_completed_by_name')).toEqual([
      'process_started',
      'process_paused',
      'process_resumed',
      'task_started',
      'task_completed',
      'process_cancel_requested',
      'task_cancelled',
      'process_cancelled',
    ]);
    expect(body.events[1]).toMatchObject({ by: 'ada', task: null });
    expect(body.events.find(({ event }: { event: string }) => event === 'task_completed')).toMatchObject({
      by: 'bob',
      task: 'A',
    });
    expect(body.next_cursor).toBeNull();
    const seen = [];
    for (let cursor = ''; cursor !== null; ) {
      const page = (await api.get(`${path}/events?limit=3${cursor ? `&cursor=${cursor}` : ''}`)).body;
      seen.push(...page.events);
      cursor = page.next_cursor;
    }
    expect(seen).toEqual(body.events);
  });

  test.for([
    '["2026-01-01 00:00:00+00","x","0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60"]',
    '["now","1"]',
    '["a"]',
    '{}',
  ])('the forged cursor %s is refused', async (text, { api }) => {
    const path = await startInline(api, definition);
    const cursor = Buffer.from(text).toString('base64url');
    for (const list of ['events', 'tasks']) {
      const { status, body } = await api.get(`${path}/${list}?cursor=${cursor}`);
      expect([status, body.problems[0].pointer]).toEqual([400, 'cursor']);
    }
  });
});
