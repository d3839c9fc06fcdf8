/** What becomes of a definition once it is published: more versions, no more starts, others that name it. */
import { describe, expect } from 'vitest';
import { test } from './support/api.ts';
import { loan, yaml } from './support/definitions.ts';

const path = '/v1/definitions/loan';
const open = { tasks: [{ name: 'A' }] };

describe('an inactive definition', () => {
  test('is started by no way in, whatever the version; what runs goes on', async ({ api, database }) => {
    await api.send('PUT', path, loan, yaml);
    const running = await api.post('/v1/processes', { definition: 'loan' });
    const answer = await api.send('PATCH', path, { active: false, by: 'Ada' });
    expect(answer.status).toBe(200);
    expect(answer.body).toMatchObject({
      name: 'loan',
      version: 1,
      active: false,
      inactive_since: expect.any(String),
      inactive_by: 'Ada',
    });
    for (const body of [{ definition: 'loan' }, { definition: 'loan', version: 1 }]) {
      const refused = await api.post('/v1/processes', body);
      expect([refused.status, refused.body.code]).toEqual([409, 'definition_inactive']);
      expect(refused.body.detail).toContain('"loan"');
    }
    await expect(database.sql(`select skipjack.start_process('loan')`)).rejects.toThrow(/inactive/);
    const moved = await api.post(`/v1/processes/${running.body.id}/tasks/1/complete`, {});
    expect([moved.status, moved.body.process?.state ?? moved.body.state]).toEqual([200, 'running']);
    // A text in hand is not started by the name.
    expect((await api.post('/v1/processes', `name: loan\n${loan}`, yaml)).status).toBe(201);
  });

  test('answers what an idempotency key had started before', async ({ api }) => {
    await api.send('PUT', path, loan, yaml);
    const start = { definition: 'loan', idempotency_key: 'k' };
    const first = await api.post('/v1/processes', start);
    await api.send('PATCH', path, { active: false });
    const again = await api.post('/v1/processes', start);
    expect([again.status, again.body.id]).toEqual([200, first.body.id]);
  });

  test('stays so when it is published anew, and is started again when it is active', async ({ api }) => {
    await api.send('PUT', path, loan, yaml);
    expect((await api.get(path)).body).toMatchObject({
      active: true,
      inactive_since: null,
      inactive_by: null,
    });
    const first = await api.send('PATCH', path, { active: false, by: 'Ada' });
    // Asked again, who said it first stays on record.
    expect((await api.send('PATCH', path, { active: false, by: 'Bob' })).body).toEqual(first.body);
    const published = await api.send('PUT', path, `${loan}# 2`, yaml);
    expect([published.status, published.body.version, published.body.active]).toEqual([201, 2, false]);
    for (const [where, list] of [
      ['/v1/definitions', 'definitions'],
      [`${path}/versions`, 'versions'],
    ])
      for (const each of (await api.get(where ?? '')).body[list ?? ''])
        expect(each).toMatchObject({ active: false, inactive_by: 'Ada' });
    for (let times = 0; times < 2; times += 1) {
      expect((await api.send('PATCH', path, { active: true })).body).toMatchObject({
        version: 2,
        active: true,
        inactive_since: null,
      });
    }
    expect((await api.post('/v1/processes', { definition: 'loan' })).status).toBe(201);
  });

  test('must be there, and the change must be said', async ({ api, database }) => {
    const missing = await api.send('PATCH', path, { active: false });
    expect([missing.status, missing.body.code]).toEqual([404, 'not_found']);
    expect(await database.sql('select from skipjack.inactive_definitions')).toEqual([]);
    await api.send('PUT', path, loan, yaml);
    for (const body of [{}, { active: 'no' }, { active: false, name: 'other' }, { active: true, by: '' }])
      expect((await api.send('PATCH', path, body)).status).toBe(400);
  });
});

describe('a comparison of two versions', () => {
  const first = `input:
  amount: { type: integer, default: 1000 }
tasks:
  - name: Open
  - name: Score
    needs: [Open]
    run: ./score
    retry: { attempts: 3 }
  - name: Check
    needs: [Open]
`;
  const second = `# Scored by the new program.
fail_fast: false
input:
  amount: { type: integer, default: 2000 }
tasks:
  - name: Score
    needs: [Look, Open]
    run: ./score2
    retry: { attempts: 5 }
    labels: { team: risk }
  - name: Open
  - name: Look
`;

  test('says by task and key what their texts mean differently', async ({ api }) => {
    for (const text of [first, second]) await api.send('PUT', path, text, yaml);
    const { status, body } = await api.get(`${path}/diff`);
    expect(status).toBe(200);
    expect(body).toMatchObject({
      name: 'loan',
      from: 1,
      to: 2,
      definition: [
        { pointer: '/input/amount/default', before: 1000, after: 2000 },
        { pointer: '/fail_fast', before: true, after: false },
      ],
      tasks: [
        {
          name: 'Score',
          change: 'changed',
          changes: expect.arrayContaining([
            { pointer: '/needs', before: ['Open'], after: ['Look', 'Open'] },
            { pointer: '/spec/run', before: './score', after: './score2' },
            { pointer: '/retry/attempts', before: 3, after: 5 },
            { pointer: '/labels', before: null, after: { team: 'risk' } },
          ]),
        },
        { name: 'Look', change: 'added', changes: [{ pointer: '', after: { needs: [] } }] },
        { name: 'Check', change: 'removed', changes: [{ pointer: '', before: { needs: ['Open'] } }] },
      ],
      tasks_left_out: 0,
    });
    expect(body.tasks[0].changes).toHaveLength(4);
    const back = (await api.get(`${path}/diff?from=2&to=1`)).body;
    expect(back.tasks.map((task: { name: string; change: string }) => [task.name, task.change])).toEqual([
      ['Score', 'changed'],
      ['Check', 'added'],
      ['Look', 'removed'],
    ]);
  });

  test('passes over comments, layout and the order of tasks', async ({ api }) => {
    await api.send('PUT', path, 'tasks: [{ name: A }, { name: B, needs: [A] }]', yaml);
    await api.send('PUT', path, '# new\ntasks:\n  - name: B\n    needs: A\n  - name: A\n', yaml);
    expect((await api.get(`${path}/diff`)).body).toMatchObject({ definition: [], tasks: [] });
  });

  test('takes the versions that are named, and says which there are not', async ({ api }) => {
    await api.send('PUT', path, open);
    const only = await api.get(`${path}/diff`);
    expect([only.status, only.body.detail]).toEqual([
      404,
      '"loan" has one version only: there is nothing to compare it with.',
    ]);
    expect((await api.get(`${path}/diff?to=1`)).body.detail).toBe(
      'There is no version before the first of "loan". Name the other one with "from".',
    );
    expect((await api.get(`${path}/diff?from=1`)).body).toMatchObject({ from: 1, to: 1, tasks: [] });
    for (const name of ['B', 'C']) await api.send('PUT', path, { tasks: [{ name }] });
    expect((await api.get(`${path}/diff`)).body).toMatchObject({ from: 2, to: 3 });
    expect((await api.get(`${path}/diff?from=1`)).body).toMatchObject({ from: 1, to: 3 });
    expect((await api.get(`${path}/diff?to=2`)).body).toMatchObject({ from: 1, to: 2 });
    expect((await api.get(`${path}/diff?to=4`)).status).toBe(404);
    expect((await api.get('/v1/definitions/nothing/diff')).status).toBe(404);
    expect((await api.get(`${path}/diff?from=0`)).status).toBe(400);
  });

  test('shows a thousand tasks, and how many more there are', async ({ api }) => {
    await api.send('PUT', path, open);
    const tasks = Array.from({ length: 1_005 }, (_, index) => ({ name: `T${index}` }));
    await api.send('PUT', path, { tasks });
    const { body } = await api.get(`${path}/diff`);
    expect([body.tasks.length, body.tasks_left_out]).toEqual([1_000, 6]);
  });
});

describe('a definition that names others', () => {
  const parent = (definition: string, version?: number) =>
    `tasks:\n  - name: Pay\n    process:\n      definition: ${definition}\n${version === undefined ? '' : `      version: ${version}\n`}`;

  test('is published when they are', async ({ api }) => {
    const refused = await api.send('PUT', path, parent('payout'), yaml);
    expect([refused.status, refused.body.code]).toEqual([422, 'invalid_definition']);
    expect(refused.body.problems).toMatchObject([
      {
        pointer: '/tasks/0/process/definition',
        line: 4,
        column: 19,
        code: 'unknown_definition',
        message: 'there is no definition "payout": publish it first',
        excerpt: '      definition: payout',
      },
    ]);
    await api.send('PUT', '/v1/definitions/payout', open);
    expect((await api.send('PUT', path, parent('payout'), yaml)).status).toBe(201);
    expect((await api.send('PUT', path, parent('payout', 1), yaml)).status).toBe(201);
    const version = await api.send('PUT', path, parent('payout', 2), yaml);
    expect(version.body.problems).toMatchObject([
      {
        code: 'unknown_definition',
        message: 'the definition "payout" has no version 2; its newest is 1',
      },
    ]);
    const meant = await api.send('PUT', path, `${parent('payuot')}on_failure: lown\n`, yaml);
    expect(meant.body.problems).toMatchObject([
      { line: 4, suggestion: 'payout' },
      { pointer: '/on_failure', line: 5, column: 13, suggestion: 'loan' },
    ]);
    // It may be active again by the time it is started.
    await api.send('PATCH', '/v1/definitions/payout', { active: false });
    expect((await api.send('PUT', path, `${parent('payout')}# 2`, yaml)).status).toBe(201);
  });

  test('may name itself', async ({ api }) => {
    expect((await api.send('PUT', path, parent('loan'), yaml)).status).toBe(201);
    expect((await api.send('PUT', '/v1/definitions/new', parent('new', 1), yaml)).status).toBe(201);
    expect((await api.send('PUT', '/v1/definitions/other', parent('other', 2), yaml)).status).toBe(422);
  });

  test('is checked, and started in hand, against what is published too', async ({ api }) => {
    const validate = async (text: string) => (await api.post('/v1/definitions/validate', text, yaml)).body;
    expect(await validate(parent('payout'))).toMatchObject({
      valid: false,
      problems: [{ code: 'unknown_definition', line: 4 }],
    });
    expect(await validate(`name: payout\n${parent('payout')}`)).toMatchObject({ valid: true });
    const inline = { name: 'payout', tasks: [{ name: 'Pay', process: { definition: 'payout' } }] };
    const refused = await api.post('/v1/processes', { definition: inline });
    expect([refused.status, refused.body.code]).toEqual([422, 'invalid_definition']);
    expect(refused.body.problems).toMatchObject([
      { pointer: '/definition/tasks/0/process/definition', code: 'unknown_definition' },
    ]);
    await api.send('PUT', '/v1/definitions/payout', open);
    expect(await validate(parent('payout'))).toMatchObject({ valid: true });
  });

  test('has a hundred of its mistakes shown', async ({ api }) => {
    const tasks = Array.from({ length: 150 }, (_, index) => ({
      name: `T${index}`,
      process: { definition: `no ${index}` },
    }));
    const { body } = await api.send('PUT', path, { tasks });
    expect(body.problems).toHaveLength(101);
    expect(body.problems.at(-1)).toMatchObject({ code: 'more_problems', message: 'and 50 more' });
  });
});
