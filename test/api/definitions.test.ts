import { describe, expect } from 'vitest';
import { planLimits } from '../../src/core/plan.ts';
import { test } from './support/api.ts';
import { loan, wrongLoan, yaml } from './support/definitions.ts';

const path = '/v1/definitions/loan-application';

describe('publishing', () => {
  test('makes a version; the same text again is that version', async ({ api }) => {
    const first = await api.send('PUT', path, loan, yaml);
    expect(first.status).toBe(201);
    expect(first.headers.get('location')).toBe(`${path}/versions/1`);
    expect(first.body).toMatchObject({ name: 'loan-application', version: 1, tasks: 4, created: true });
    const again = await api.send('PUT', path, loan, yaml);
    expect([again.status, again.body]).toEqual([200, { ...first.body, created: false }]);
    const other = await api.send('PUT', path, `${loan}  - name: Rest\n`, yaml);
    expect([other.status, other.body.version, other.body.tasks]).toEqual([201, 2, 5]);
    expect((await api.get(other.headers.get('location') ?? '')).body.version).toBe(2);
  });

  test.for(['application/yaml', 'text/yaml', 'application/x-yaml; charset=utf-8', 'application/json'])(
    'reads bodies of the type %s',
    async (type, { api }) => {
      const text = '{"name": "loan-application", "tasks": [{"name": "A"}]}';
      const { status, body } = await api.send('PUT', path, text, { 'content-type': type });
      expect([status, body.tasks]).toEqual([201, 1]);
      expect((await api.get(path)).body.source).toBe(text);
    },
  );

  test('two at once of one text make one version', async ({ api }) => {
    const answers = await Promise.all([api.send('PUT', path, loan, yaml), api.send('PUT', path, loan, yaml)]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 201]);
    expect((await api.get(`${path}/versions`)).body.versions).toHaveLength(1);
  });

  test('another type is told which header to send', async ({ api }) => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/xml', '']) {
      const { status, body, headers } = await api.send('PUT', path, Buffer.from(loan), {
        'content-type': type,
      });
      expect([status, body.code]).toEqual([415, 'unsupported_media_type']);
      expect(body.detail).toContain('"content-type: application/json" or "content-type: application/yaml"');
      expect(headers.get('accept')).toBe('application/json, application/yaml, text/yaml, application/x-yaml');
    }
    expect((await api.get('/v1/definitions')).body.definitions).toEqual([]);
  });

  test('every mistake is shown where it stands in the text', async ({ api }) => {
    const { status, body } = await api.send('PUT', path, wrongLoan, yaml);
    expect([status, body.code]).toEqual([422, 'invalid_definition']);
    expect(body.problems).toMatchObject([
      {
        pointer: '/tasks/1/needs/0',
        line: 5,
        column: 13,
        code: 'unknown_need',
        suggestion: 'Open Loan Application',
        excerpt: '    needs: [Open Load Application]',
      },
      { pointer: '/tasks/2/needs/0', line: 9, column: 9, excerpt: '      - Check House' },
    ]);
    expect(body.detail).toContain('5:13');
    expect((await api.get(path)).status).toBe(404);
  });

  test('mistakes in JSON have pointers, and lines of the JSON as it was sent', async ({ api }) => {
    const text = '{\n  "tasks": [\n    {"name": "A", "needs": ["B"]},\n    {"name": "A"}\n  ]\n}';
    const { status, body } = await api.send('PUT', path, text);
    expect(status).toBe(422);
    expect(body.problems).toMatchObject([
      { pointer: '/tasks/0/needs/0', line: 3, column: 29 },
      { pointer: '/tasks/1/name', line: 4, related: [{ line: 3 }] },
    ]);
    const malformed = await api.send('PUT', path, '{"tasks": [{"name": "A"}');
    expect([malformed.status, malformed.body.code]).toEqual([422, 'invalid_definition']);
    expect(malformed.body.problems[0]).toMatchObject({ line: 1, column: expect.any(Number) });
  });

  test('a hundred mistakes are shown, and how many more there are', async ({ api }) => {
    const tasks = Array.from({ length: 150 }, (_, index) => ({ name: `T${index}`, needs: [`no ${index}`] }));
    const { body } = await api.send('PUT', path, { tasks });
    expect(body.problems).toHaveLength(101);
    expect(body.problems.at(-1).message).toBe('and 50 more');
  });

  test('a name in the text is the one in the path, or refused', async ({ api }) => {
    expect((await api.send('PUT', path, { name: 'loan-application', tasks: [{ name: 'A' }] })).status).toBe(
      201,
    );
    const other = await api.send('PUT', path, { name: 'other', tasks: [{ name: 'A' }] });
    expect([other.status, other.body.code]).toEqual([422, 'invalid_definition']);
    expect(other.body.problems).toMatchObject([{ pointer: '/name' }]);
  });

  test('names are as people write them', async ({ api }) => {
    const name = 'Kredit für Ä/Ö & 100 %';
    const published = await api.send('PUT', `/v1/definitions/${encodeURIComponent(name)}`, loan, yaml);
    expect([published.status, published.body.name]).toEqual([201, name]);
    expect((await api.get(published.headers.get('location') ?? '')).body.name).toBe(name);
    expect((await api.send('PUT', `/v1/definitions/${'x'.repeat(201)}`, loan, yaml)).status).toBe(400);
  });

  test.for([
    ['nothing', new Uint8Array(), 400],
    ['a character that Postgres cannot store', `${loan}# \u0000`, 422],
    ['bytes that are no text', Buffer.from([0x74, 0xff, 0xfe]), 400],
    ['a key that JavaScript takes for something else', '__proto__: {}\ntasks: [{name: A}]', 422],
    ['a number', '42', 422],
    ['much nesting', `tasks: ${'['.repeat(10_000)}${']'.repeat(10_000)}`, 422],
    ['many documents', '---\ntasks: [{name: A}]\n---\ntasks: [{name: B}]\n', 422],
    [
      'a text that is larger than definitions may be',
      `${loan}# ${'x'.repeat(planLimits.sourceBytesMax)}`,
      422,
    ],
    ['a body that is larger than bodies may be', `# ${'x'.repeat(9 * 1024 * 1024)}`, 413],
  ] as const)('%s is refused', async ([, text, status], { api }) => {
    for (const type of ['application/yaml', 'application/json']) {
      const answer = await api.send('PUT', path, text, { 'content-type': type });
      expect([type, answer.status]).toEqual([type, status]);
    }
    expect((await api.get('/v1/definitions')).body.definitions).toEqual([]);
  });
});

describe('checking', () => {
  test('answers the plan of a good text and publishes nothing', async ({ api }) => {
    const { status, body } = await api.post('/v1/definitions/validate', loan, yaml);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      valid: true,
      name: null,
      tasks: 4,
      plan: { fail_fast: true, tasks: [{ name: 'Open Loan Application', dependents: [2, 3] }, {}, {}, {}] },
    });
    expect((await api.get('/v1/definitions')).body.definitions).toEqual([]);
  });

  test('answers the problems of a bad one, malformed or not', async ({ api }) => {
    const { status, body } = await api.post('/v1/definitions/validate', wrongLoan, yaml);
    expect([status, body.valid, body.problems.length]).toEqual([200, false, 2]);
    for (const [text, type] of [
      ['tasks: [', 'text/yaml'],
      ['{"tasks": [', 'application/json'],
      ['[]', 'application/json'],
      ['{tasks: [{name: A}]} # \u0000', 'text/yaml'],
    ]) {
      const answer = await api.post('/v1/definitions/validate', text, { 'content-type': type ?? '' });
      expect([answer.status, answer.body.valid]).toEqual([200, false]);
      expect(answer.body.problems[0]).toMatchObject({ line: 1, column: expect.any(Number) });
    }
  });
});

describe('looking', () => {
  test('one shows its text, its plan and its figures; a version by its number', async ({ api }) => {
    await api.send('PUT', path, loan, yaml);
    await api.send('PUT', path, '{"tasks": [{"name": "A", "run": "true"}]}');
    expect((await api.get(path)).body).toMatchObject({
      version: 2,
      tasks: 1,
      plan: { name: 'loan-application', tasks: [{ spec: { type: 'run', run: 'true' } }] },
    });
    expect((await api.get(`${path}/versions/1`)).body).toMatchObject({
      version: 1,
      source: loan,
      plan: { input: { amount: { type: 'integer', default: 1000 } } },
    });
    const missing = await api.get(`${path}/versions/3`);
    expect([missing.status, missing.body.detail]).toEqual([
      404,
      'The definition "loan-application" has no version 3; its newest is 2.',
    ]);
    for (const version of ['0', 'newest', '1.5', '99999999999']) {
      expect((await api.get(`${path}/versions/${version}`)).status).toBe(400);
    }
    for (const lost of ['', '/versions', '/versions/1']) {
      expect((await api.get(`/v1/definitions/nothing${lost}`)).status).toBe(404);
    }
  });

  test('lists go by name, and versions newest first, in pages that miss nothing', async ({ api }) => {
    const names = ['b', 'a', `z${'ß'.repeat(199)}`, 'c'];
    for (const name of names)
      await api.send('PUT', `/v1/definitions/${encodeURIComponent(name)}`, loan, yaml);
    for (const count of [1, 2, 3]) await api.send('PUT', '/v1/definitions/a', `${loan}#${count}`, yaml);
    const pages = async (path: string, key: string) => {
      const seen: { name: string; version: number }[] = [];
      for (let cursor: string | null = ''; cursor !== null; ) {
        const { body }: { body: Record<string, never> } = await api.get(
          `${path}?limit=2${cursor ? `&cursor=${cursor}` : ''}`,
        );
        seen.push(...(body[key] ?? []));
        cursor = body.next_cursor ?? null;
      }
      return seen;
    };
    const definitions = await pages('/v1/definitions', 'definitions');
    expect(definitions.map(({ name }) => name).sort()).toEqual(names.sort());
    expect(definitions.find(({ name }) => name === 'a')?.version).toBe(4);
    expect(Object.keys(definitions[0] ?? {})).not.toContain('source');
    const versions = await pages('/v1/definitions/a/versions', 'versions');
    expect(versions.map(({ version }) => version)).toEqual([4, 3, 2, 1]);
  });

  test.for([
    'nonsense',
    Buffer.from('["\\u0000"]').toString('base64url'),
    Buffer.from('[1]').toString('base64url'),
  ])('the forged cursor %s is refused', async (cursor, { api }) => {
    await api.send('PUT', path, loan, yaml);
    for (const list of ['/v1/definitions', `${path}/versions`]) {
      const { status, body } = await api.get(`${list}?cursor=${cursor}`);
      expect([status, body.problems[0].pointer]).toEqual([400, 'cursor']);
    }
  });
});
