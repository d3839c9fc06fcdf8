/** Publish: versions, names, two at once, and what a text must be. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect } from 'vitest';
import { Engine } from '../../src/engine/engine.ts';
import { listDefinitions, listVersions, readDefinition } from '../../src/engine/read-definitions.ts';
import { untilBlocked } from '../support/tasks.ts';
import { loan, oneTask, refusalOf, test } from './support/engine.ts';

const text = (task: string) => ({ source: `name: d\ntasks: [{ name: ${task} }]\n` });

describe('a version', () => {
  test('is made by each new text, and counts from 1; the same text again is the same version', async ({
    engine,
  }) => {
    const first = await engine.publish(text('A'));
    expect(first).toEqual({ id: first.id, name: 'd', version: 1, created: true });
    expect(await engine.publish(text('A'))).toEqual({ ...first, created: false });
    expect(await engine.publish(text('B'))).toMatchObject({ name: 'd', version: 2, created: true });
  });

  test('is also made by an earlier text: A, B, A are three, for the last one published is what the name means', async ({
    engine,
  }) => {
    for (const task of ['A', 'B', 'A']) await engine.publish(text(task));
    const versions = await listVersions(engine.db, 'd', { limit: 10 });
    expect(versions.map(({ version }) => version)).toEqual([3, 2, 1]);
    const process = await engine.startProcess('d');
    expect(await process.read()).toMatchObject({ version: 3, active: ['A'] });
  });

  test('is one when two sessions publish the same text at once, and two when they do not', async ({
    database,
    engine,
  }) => {
    const other = new Engine({ url: database.url, listenUrl: null });
    const blocker = await database.connect();
    for (const [name, sources, versions] of [
      ['same', [oneTask, oneTask], [1, 1]],
      ['other', [oneTask, loan.replace('name: loan', '')], [1, 2]],
    ] as const) {
      await blocker.query('begin; lock table skipjack.definitions');
      const both = sources.map((source, index) =>
        (index === 0 ? engine : other).publish({ source }, { name }),
      );
      await untilBlocked(database, 2);
      await blocker.query('commit');
      const published = await Promise.all(both);
      expect(published.map(({ version }) => version).sort()).toEqual(versions);
      expect(published.filter(({ created }) => created)).toHaveLength(new Set(versions).size);
    }
    await other.close();
  });

  test('keeps its text as it was, and its plan under the name it was published by', async ({ engine }) => {
    const source = `# Ours.\r\n${oneTask}`;
    await engine.publish({ source }, { name: 'named' });
    expect(await readDefinition(engine.db, 'named')).toMatchObject({
      version: 1,
      source,
      tasks: 1,
      plan: { name: 'named', tasks: [{ name: 'A' }] },
    });
    expect(await readDefinition(engine.db, 'named', 2)).toBeNull();
    expect(await readDefinition(engine.db, 'unnamed')).toBeNull();
  });
});

describe('a name', () => {
  test('stands in the text, or beside it, or in both if they are equal', async ({ engine }) => {
    expect(await engine.publish({ source: loan })).toMatchObject({ name: 'loan' });
    expect(await engine.publish({ source: loan }, { name: 'loan' })).toMatchObject({
      name: 'loan',
      created: false,
    });
    expect(await engine.publish({ source: oneTask }, { name: 'beside' })).toMatchObject({ name: 'beside' });
    expect(await refusalOf(engine.publish({ source: loan }, { name: 'other' }))).toMatchObject({
      code: 'invalid_definition',
      message:
        'The definition calls itself "loan", but is to be published as "other". Leave its name out, or make them equal.',
    });
    expect(await refusalOf(engine.publish({ source: oneTask }))).toMatchObject({
      code: 'invalid_definition',
      message: 'A definition is published under a name, and it has none.',
    });
  });

  test('has 1 to 200 letters that Postgres can store', async ({ engine }) => {
    for (const name of ['', 'n'.repeat(201), 'a\u0000b', '\ud800'])
      expect(await refusalOf(engine.publish({ source: oneTask }, { name }))).toMatchObject({
        code: 'invalid_request',
        problems: [{ pointer: '/name' }],
      });
    await engine.publish({ source: oneTask }, { name: 'n'.repeat(200) });
  });

  test('is listed once, with its newest version, page by page as the whole', async ({ engine }) => {
    for (const name of ['c', 'a', 'Ä', 'b', 'a b/c'])
      for (const source of [oneTask, `${oneTask}# 2`]) await engine.publish({ source }, { name });
    const whole = await listDefinitions(engine.db, { limit: 100 });
    expect(whole.map(({ version }) => version)).toEqual([2, 2, 2, 2, 2]);
    expect(whole.map(({ name }) => name).sort()).toEqual(['a', 'a b/c', 'b', 'c', 'Ä'].sort());
    const paged = [];
    for (let after: string | undefined; ; ) {
      const page = await listDefinitions(engine.db, { limit: 2, ...(after === undefined ? {} : { after }) });
      paged.push(...page);
      after = page.at(-1)?.name;
      if (after === undefined) break;
    }
    expect(paged).toEqual(whole);
  });
});

describe('a text', () => {
  test('that is invalid is refused with each problem, its line and its column', async ({ engine }) => {
    const source = 'name: d\ntasks:\n  - name: Open\n  - name: Review\n    needs: [Opne]\n  - nme: x\n';
    const refusal = await refusalOf(engine.publish({ source }));
    expect(refusal).toMatchObject({
      code: 'invalid_definition',
      message: 'definition:5:13: there is no task "Opne" (did you mean "Open"?) (and 2 more)',
      problems: [
        { line: 5, column: 13, code: 'unknown_need', suggestion: 'Open', pointer: '/tasks/1/needs/0' },
        { line: 6, column: 5 },
        { line: 6, column: 5 },
      ],
    });
    expect(await listDefinitions(engine.db, { limit: 1 })).toEqual([]);
  });

  test('may be an object, or a file; the name of the file stands in the sentence', async ({ engine }) => {
    const definition = { name: 'object', tasks: [{ name: 'A' }] };
    expect(await engine.publish({ definition })).toMatchObject({ version: 1 });
    expect(await engine.publish({ definition: structuredClone(definition) })).toMatchObject({
      created: false,
    });

    const folder = await mkdtemp(path.join(tmpdir(), 'skipjack-engine-'));
    const file = path.join(folder, 'loan.yaml');
    await writeFile(file, loan);
    expect(await engine.publish({ file })).toMatchObject({ name: 'loan' });
    await writeFile(file, 'tasks: 7');
    expect((await refusalOf(engine.publish({ file }, { name: 'f' }))).message).toBe(
      `${file}:1:8: tasks must be a list, not a number`,
    );
    await writeFile(file, Buffer.from([0x74, 0xff, 0x0a]));
    expect(await refusalOf(engine.publish({ file }))).toMatchObject({
      code: 'invalid_definition',
      problems: [{ code: 'not_utf8' }],
    });
    await writeFile(file, 'ö'.repeat(3_000_000));
    expect(await refusalOf(engine.publish({ file }))).toMatchObject({
      code: 'invalid_definition',
      problems: [{ code: 'too_large' }],
    });
    expect(await refusalOf(engine.publish({ file: `${file}.missing` }))).toMatchObject({
      code: 'usage',
      message: expect.stringMatching(/^Cannot read .*loan\.yaml\.missing: ENOENT/),
    });
  });

  test('that Postgres cannot store is refused with its place, in a comment too', async ({ engine }) => {
    for (const bad of ['\u0000', '\ud800'])
      expect(
        await refusalOf(engine.publish({ source: `${oneTask}# Bad: ${bad}` }, { name: 'd' })),
      ).toMatchObject({
        code: 'invalid_definition',
        problems: [{ line: 2, column: 8, code: 'unstorable_value' }],
      });
  });

  test('that is no text at all is refused, whatever JavaScript hands over', async ({ engine }) => {
    const circle: { self?: unknown } = {};
    circle.self = circle;
    for (const [given, pointer] of [
      [undefined, '/definition'],
      [null, '/definition'],
      [{}, '/definition'],
      [{ source: 7 }, '/definition'],
      [{ definition: 'loan' }, '/definition'],
      [{ definition: circle }, `/definition${'/self'.repeat(64)}`],
      [{ definition: { tasks: [{ name: 'A', input: new Date() }] } }, '/definition/tasks/0/input'],
      [{ definition: { tasks: [{ name: undefined }] } }, '/definition/tasks/0/name'],
    ] as const)
      expect(await refusalOf(engine.publish(given as never, { name: 'd' }))).toMatchObject({
        code: 'invalid_request',
        problems: [{ pointer }],
      });
  });
});
