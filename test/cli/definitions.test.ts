/** The commands of definitions and events: one `dev` over the test's database serves them. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { makeDirectory } from '../database/fixtures/embedded-scene.ts';
import { test as databaseTest } from '../support/database.ts';
import { type Ended, skipjack, startSkipjack, urlOf } from './support/cli.ts';

const test = databaseTest.extend<{
  ask: (args: string[], input?: string) => Promise<Ended>;
  askJson: (...args: string[]) => Promise<{ code: number | null; data: never }>;
}>({
  ask: async ({ database }, use) => {
    const dev = startSkipjack(['dev', '--port', '0'], { env: { DATABASE_URL: database.url } });
    const env = { SKIPJACK_URL: await urlOf(dev) };
    await use((args, input = '') => skipjack(args, { env, input }));
  },
  askJson: async ({ ask }, use) => {
    await use(async (...args) => {
      const { code, stdout } = await ask([...args, '-o', 'json']);
      return { code, data: JSON.parse(stdout) as never };
    });
  },
});

async function file(text: string, name = 'loan.yaml'): Promise<string> {
  const path = join(await makeDirectory(), name);
  await writeFile(path, text);
  return path;
}

test('definitions shows versions, and what is different between two', async ({ ask, askJson }) => {
  const first = 'name: loan\ntasks:\n  - name: Score\n    retry: { attempts: 3 }\n  - name: Old\n';
  await ask(['publish', await file(first)]);
  expect(await ask(['definitions', 'diff', 'loan'])).toMatchObject({ code: 3, stdout: '' });
  await ask([
    'publish',
    await file(first.replace('3', '5').replace('Old', 'New').concat('fail_fast: false\n')),
  ]);
  expect(await askJson('definitions', 'versions', 'loan')).toMatchObject({
    code: 0,
    data: [{ version: 2 }, { version: 1 }],
  });
  expect((await ask(['definitions', 'versions', 'loan'])).stdout).toMatch(/^2 +2 +\S+Z +[0-9a-f]{12}$/m);
  expect(await ask(['definitions', 'diff', 'loan'])).toEqual({
    code: 0,
    stdout: `loan, version 1 to 2
~ fail_fast: true -> false
~ task Score
    retry/attempts: 3 -> 5
+ task New
- task Old
`,
    stderr: '',
  });
  expect(await askJson('definitions', 'diff', 'loan', '--from', '2', '--to', '1')).toMatchObject({
    data: { from: 2, to: 1, tasks: [{ name: 'Score' }, { name: 'Old' }, { name: 'New' }] },
  });
  expect((await ask(['definitions', 'diff', 'loan', '--from', '2'])).stdout).toContain('They mean the same');
  expect(await ask(['definitions', 'diff', 'laon'])).toMatchObject({ code: 3, stdout: '' });
  expect(await ask(['definitions', 'diff', 'loan', '--from', 'x'])).toMatchObject({ code: 2 });
});

test('deactivate lets nothing more be started by a name, until it is activated', async ({ ask, askJson }) => {
  const text = 'name: loan\ntasks: [{ name: A }]\n';
  await ask(['publish', await file(text)]);
  expect((await ask(['definitions', 'deactivate', 'loan', '--by', 'Ada'])).stdout).toMatch(
    /^loan is inactive since \S+Z, by Ada\.$/m,
  );
  const refused = await ask(['start', 'loan']);
  expect(refused).toMatchObject({ code: 4, stdout: '' });
  expect(refused.stderr).toContain('it is inactive');
  expect((await ask(['publish', await file(`${text}# 2`)])).stdout).toBe(
    'loan, version 2, inactive as before\n',
  );
  for (const list of [
    ['definitions', 'list'],
    ['list', 'definitions'],
  ])
    expect((await ask(list)).stdout).toMatch(/^loan +2 +1 +\S+ +inactive since \S+Z, by Ada$/m);
  expect((await ask(['definitions', 'versions', 'loan'])).stderr).toContain('loan is inactive since');
  expect(await askJson('definitions', 'activate', 'loan')).toMatchObject({
    code: 0,
    data: { name: 'loan', version: 2, active: true },
  });
  expect(await ask(['start', 'loan'])).toMatchObject({ code: 0 });
  expect(await ask(['definitions', 'activate', 'nothing'])).toMatchObject({ code: 3 });
});

test('publish begins with what the others start, and says what it has published before it is refused', async ({
  ask,
}) => {
  const one = await file('name: one\ntasks: [{ name: A, process: two }]\non_failure: three\n', 'one.yaml');
  const two = await file('name: two\ntasks: [{ name: A, process: three }]\n', 'two.yaml');
  const three = await file('name: three\ntasks: [{ name: A }]\n', 'three.yaml');
  const lost = await file('name: lost\ntasks: [{ name: A, process: nothing }]\n', 'lost.yaml');
  const published = 'three, version 1\ntwo, version 1\none, version 1\n';
  expect(await ask(['publish', one, two, three])).toEqual({ code: 0, stdout: published, stderr: '' });
  const refused = await ask(['publish', three, lost]);
  expect(refused).toMatchObject({ code: 5, stdout: 'three, version 1 as before\n' });
  expect(refused.stderr).toContain(`${lost}:2:29: there is no definition "nothing": publish it first`);
  expect(refused.stderr).toContain(`skipjack: ${lost} has a problem.`);
});

test('publish refuses a definition that names one which is not there, with its place', async ({ ask }) => {
  const path = await file('name: loan\ntasks:\n  - name: Pay\n    process: { definition: payout }\n');
  const refused = await ask(['publish', path]);
  expect(refused).toMatchObject({ code: 5, stdout: '' });
  expect(refused.stderr).toContain(`${path}:4:28: `);
  expect(refused.stderr).toContain('there is no definition "payout"');
  // Without a database nothing is said of it.
  expect(await ask(['validate', path])).toMatchObject({ code: 0 });
});

test('send takes its payload from the command line, a file or stdin', async ({ ask, askJson, database }) => {
  const sent = await ask(['send', 'paid', '--key', 'order 7', '--payload', '{"n": 1}']);
  expect(sent).toMatchObject({ code: 0, stderr: '' });
  expect(sent.stdout).toMatch(/^[0-9a-f-]{36}: kept, for nobody waited\n$/);
  await ask(['send', 'paid', '--payload', `@${await file('[2]', 'payload.json')}`]);
  await ask(['send', 'paid', '--payload', '-'], '"drei"\n');
  expect(await askJson('send', 'paid')).toMatchObject({
    code: 0,
    data: { name: 'paid', key: null, woken: 0, kept: true },
  });
  expect(await database.sql('select key, payload from skipjack.events order by created_at, id')).toEqual([
    { key: 'order 7', payload: { n: 1 } },
    { key: '', payload: [2] },
    { key: '', payload: 'drei' },
    { key: '', payload: null },
  ]);
});

test('send once with an idempotency key, and not what it cannot read', async ({ ask }) => {
  const keyed = ['send', 'paid', '--idempotency-key', 'k'];
  const first = await ask(keyed);
  expect(await ask(keyed)).toEqual(first);
  expect(await ask([...keyed, '--payload', '1'])).toMatchObject({ code: 4, stdout: '' });
  for (const [payload, code] of [
    ['hello', 5],
    ['@/nowhere.json', 3],
    [`@${await file('{', 'broken.json')}`, 5],
  ] as const)
    expect(await ask(['send', 'paid', '--payload', payload])).toMatchObject({ code, stdout: '' });
  expect(await ask(['send', ''])).toMatchObject({ code: 5 });
});

test('names that would rule the terminal do not, in answers and in refusals', async ({ ask }) => {
  const published = await ask(['publish', await file('name: "\\e[31mred"\ntasks: [{ name: A }]\n')]);
  expect(published).toMatchObject({ code: 0, stdout: '\ufffd[31mred, version 1\n' });
  expect((await ask(['start', 'rd'])).stderr).toContain('"\ufffd[31mred"');
});

test('list says what there are lists of', async ({ ask }) => {
  const { code, stderr } = await ask(['list', 'definition']);
  expect([code, stderr]).toEqual([2, expect.stringContaining('list tasks, processes or definitions')]);
});
