/** Start: what may be started and how, what a key and a lost answer mean, and what a batch owes to each of its starts. */
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { Engine, type StartOptions, type ToStart } from '../../src/engine/engine.ts';
import type { TestDatabase } from '../support/database.ts';
import { untilBlocked } from '../support/tasks.ts';
import { loan, oneTask, refusalOf, test } from './support/engine.ts';

const withInput = `name: d
input:
  n: { type: integer, required: true }
tasks: [{ name: A }]
`;

describe('a process is started', () => {
  test('by a name, of its newest version or of the one that is named', async ({ engine }) => {
    await engine.publish({ source: loan });
    await engine.publish({ source: `${loan}# 2` });
    expect(await (await engine.startProcess('loan')).read()).toMatchObject({
      definition: 'loan',
      version: 2,
    });
    expect(await (await engine.startProcess('loan', { version: 1 })).read()).toMatchObject({
      version: 1,
      input: {},
      active: ['Open Loan Application'],
    });
  });

  test('by a definition in hand: a text, an object, a file; the same text is kept once', async ({
    database,
    engine,
  }) => {
    const folder = await mkdtemp(path.join(tmpdir(), 'skipjack-engine-'));
    const file = path.join(folder, 'loan.yaml');
    await writeFile(file, loan);
    const given: ToStart[] = [
      { source: loan },
      { file },
      { source: loan },
      { definition: { tasks: [{ name: 'A' }] } },
    ];
    const processes = await Promise.all(given.map((each) => engine.startProcess(each)));
    const views = await Promise.all(processes.map((process) => process.read()));
    expect(views.map(({ definition, version }) => [definition, version])).toEqual([
      ['loan', null],
      ['loan', null],
      ['loan', null],
      [null, null],
    ]);
    expect(await database.sql('select from skipjack.definitions')).toHaveLength(2);
    // Kept for the processes that run by it; not published.
    expect((await refusalOf(engine.startProcess('loan'))).code).toBe('not_found');
  });

  test('with an input that is copied when it is given', async ({ engine }) => {
    const input = { n: [1] };
    const starting = engine.startProcess({ source: oneTask }, { input });
    input.n.push(2);
    expect((await (await starting).read()).input).toEqual({ n: [1] });
  });

  test('without an input or with null as with an empty one', async ({ engine }) => {
    for (const input of [undefined, null, {}]) {
      const options = input === undefined ? {} : { input };
      expect((await (await engine.startProcess({ source: oneTask }, options)).read()).input).toEqual({});
    }
  });
});

describe('a key', () => {
  test('answers the same process to the same request, and refuses another with the id of the first', async ({
    engine,
  }) => {
    await engine.publish({ source: withInput });
    const options = { input: { n: 1 }, idempotencyKey: 'k' };
    const first = await engine.start('d', options);
    const again = await engine.start('d', options);
    expect([first.created, again.created]).toEqual([true, false]);
    expect(again.process.id).toBe(first.process.id);
    expect(await refusalOf(engine.start('d', { ...options, input: { n: 2 } }))).toMatchObject({
      code: 'idempotency_conflict',
      message: `The idempotency key "k" started process ${first.process.id} by another request. Use a new key for a new request.`,
      extra: { existing_id: first.process.id },
    });
    // By a text in hand it is another request, though it would run the same.
    expect((await refusalOf(engine.start({ source: withInput }, options))).code).toBe('idempotency_conflict');
  });

  test('goes with a definition in hand: by its text it is the same request', async ({ database, engine }) => {
    const [first, again] = [
      await engine.start({ source: oneTask }, { idempotencyKey: 'k' }),
      await engine.start({ source: oneTask }, { idempotencyKey: 'k' }),
    ];
    expect(again).toMatchObject({ created: false, process: { id: first.process.id } });
    expect(await database.sql('select from skipjack.processes')).toHaveLength(1);
  });

  test('that a stranger holds holds up nobody who starts without one', async ({ database, engine }) => {
    await engine.publish({ source: loan });
    const stranger = await database.connect();
    await stranger.query(`begin; select skipjack.start_process('loan', idempotency_key => 'k')`);
    /** A server says after two seconds that somebody else has the key. */
    const startKeyed = (): ReturnType<Engine['start']> =>
      engine.start('loan', { idempotencyKey: 'k' }).catch((error) => {
        if (error.code !== 'idempotency_key_busy') throw error;
        return startKeyed();
      });
    const keyed = startKeyed();
    await untilBlocked(database);
    expect((await engine.start('loan')).created).toBe(true);
    await stranger.query('rollback');
    expect((await keyed).created).toBe(true);
  });
});

/** The engine's database loses its answer, once what was asked for has been committed. */
function losing(
  { db, queue }: TestDatabase,
  { times, onLoss }: { times: number; onLoss?: () => Promise<void> },
) {
  let left = times;
  const lose = async () => {
    if (left === 0) return;
    left -= 1;
    await onLoss?.();
    throw Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' });
  };
  const ask =
    (connection: { query: (text: string, values?: unknown[]) => Promise<unknown> }, last: string) =>
    async (text: string, values?: unknown[]) => {
      const answer = await connection.query(text, values);
      if (text.includes(last)) await lose();
      return answer;
    };
  const replaced = <Target extends object>(target: Target, replacement: Record<string, unknown>) =>
    new Proxy(target, {
      get(from, name) {
        const value = replacement[String(name)] ?? Reflect.get(from, name);
        return typeof value === 'function' ? value.bind(from) : value;
      },
    });
  const pool = replaced(db.pool, {
    query: ask(db.pool, 'start_processes'),
    connect: async () => {
      const client = await db.pool.connect();
      return replaced(client, { query: ask(client, 'commit') });
    },
  });
  return { engine: new Engine({ queue: { ...queue, db: { ...db, pool } } }), left: () => left };
}

describe('an answer that was lost after the commit', () => {
  for (const options of [{}, { idempotencyKey: 'k' }] as StartOptions[])
    test(`is asked for again, and nothing is started twice${options.idempotencyKey ? ', with a key' : ''}`, async ({
      database,
      engine,
    }) => {
      await engine.publish({ source: loan });
      const { engine: losingOne, left } = losing(database, { times: 2 });
      const { process, created } = await losingOne.start('loan', options);
      expect(created).toBe(true);
      expect(left()).toBe(0);
      const rows = await database.sql('select id from skipjack.processes');
      expect(rows).toEqual([{ id: process.id }]);
      expect(await database.sql('select from skipjack.tasks')).toHaveLength(4);
      expect(database.queue.repeated.connectionsLost).toBeGreaterThan(0);
    });

  test('is that of the first time, though a newer version would refuse it by now', async ({
    database,
    engine,
  }) => {
    await engine.publish({ source: `name: d\n${oneTask}` });
    const losingOne = losing(database, {
      times: 1,
      onLoss: async () => {
        await engine.publish({ source: withInput });
      },
    });
    const { process, created } = await losingOne.engine.start('d');
    expect(created).toBe(true);
    expect(await process.read()).toMatchObject({ version: 1, state: 'running' });
  });
});

describe('starts that travel together', () => {
  test('do each other no harm: an unknown name, a bad input and what Postgres refuses are answers to their own', async ({
    database,
    engine,
  }) => {
    await engine.publish({ source: withInput });
    await database.sql(
      `alter table skipjack.process_inputs add constraint unlucky check (input ->> 'n' <> '13')`,
    );
    const said = await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        engine
          .startProcess(n % 10 === 7 ? 'e' : 'd', { input: n % 10 === 5 ? { n: 'x' } : { n } })
          .then(() => 'started')
          .catch(({ code, message }) => `${code} ${message}`),
      ),
    );
    for (const [n, each] of said.entries()) {
      if (n % 10 === 7) expect(each).toBe('not_found There is no definition "e". Published are "d".');
      else if (n % 10 === 5) expect(each).toBe('invalid_input /input/n: is string, not integer');
      else if (n === 13) expect(each).toMatch(/^invalid_input \/input: Postgres does not take it: .*unlucky/);
      else expect(each).toBe('started');
    }
    expect(await database.sql('select from skipjack.processes')).toHaveLength(39);
  });
});

test('starts with keys that travel together are each answered for themselves', async ({ engine }) => {
  await engine.publish({ source: withInput });
  const start = (idempotencyKey: string, n: Json = 1) =>
    engine.start('d', { input: { n }, idempotencyKey }).then(
      ({ created }) => created,
      ({ code }) => code,
    );
  await start('known');
  // The first call is on its way alone; those behind it go together.
  const said = [
    start('a'),
    start('b'),
    start('known'),
    start('known', 2),
    start('c', 'x'),
    start('b'),
    start('b', 2),
  ];
  expect(await Promise.all(said)).toEqual([
    true,
    true,
    false,
    'idempotency_conflict',
    'invalid_input',
    false,
    'idempotency_conflict',
  ]);
});

describe('what cannot be started is refused in a sentence:', () => {
  test('a name that is not published, with what is', async ({ engine }) => {
    expect((await refusalOf(engine.startProcess('loan'))).message).toBe(
      'There is no definition "loan". None is published yet.',
    );
    await engine.publish({ source: loan });
    await engine.publish({ source: withInput });
    expect((await refusalOf(engine.startProcess('laon'))).message).toBe(
      'There is no definition "laon". Did you mean "loan"?',
    );
    expect((await refusalOf(engine.startProcess('something else'))).message).toBe(
      'There is no definition "something else". Published are "d", "loan".',
    );
    expect(await refusalOf(engine.startProcess('loan', { version: 2 }))).toMatchObject({
      code: 'not_found',
      message: 'The definition "loan" has no version 2; its newest is 1.',
    });
    expect((await refusalOf(engine.startProcess('./flows/loan.yaml'))).message).toBe(
      'There is no definition "./flows/loan.yaml". A file is started by { file: "./flows/loan.yaml" }.',
    );
  });

  test('a key, a version, a name that cannot be one', async ({ engine }) => {
    await engine.publish({ source: loan });
    const refused: [unknown, unknown, string, string][] = [
      ['loan', { idempotencyKey: '' }, '/idempotency_key', 'has fewer than 1 or more than 200 letters'],
      [
        'loan',
        { idempotencyKey: 'k'.repeat(201) },
        '/idempotency_key',
        'has fewer than 1 or more than 200 letters',
      ],
      ['loan', { idempotencyKey: 7 }, '/idempotency_key', 'is not a text'],
      [
        'loan',
        { idempotencyKey: 'a\u0000' },
        '/idempotency_key',
        'has the character \\u0000, which Postgres cannot store',
      ],
      ['loan', { version: 0 }, '/version', 'is not the number of a version'],
      ['loan', { version: 1.5 }, '/version', 'is not the number of a version'],
      ['loan', { version: 1e12 }, '/version', 'is not the number of a version'],
      ['loan', { version: '1' }, '/version', 'is not the number of a version'],
      [{ source: loan }, { version: 1 }, '/version', 'goes with the name of a published definition'],
      ['', {}, '/definition', 'has fewer than 1 or more than 200 letters'],
      ['\ud800', {}, '/definition', 'has half of a surrogate pair, which is not valid Unicode'],
      [undefined, {}, '/definition', 'is missing: hand over { source }, { definition } or { file }'],
      [7, {}, '/definition', 'is missing: hand over { source }, { definition } or { file }'],
    ];
    for (const [toStart, options, pointer, message] of refused)
      expect(
        await refusalOf(engine.startProcess(toStart as ToStart, options as StartOptions)),
        JSON.stringify([toStart, options]),
      ).toMatchObject({
        code: 'invalid_request',
        message: `${pointer}: ${message}`,
        problems: [{ pointer, message }],
      });
  });

  test('an input that is not plain JSON, too large, or nothing that Postgres can store', async ({
    database,
    engine,
  }) => {
    class Account {
      balance = 1;
    }
    const refused: [unknown, string][] = [
      [{ a: undefined }, '/input/a: undefined is not a JSON value'],
      [{ a: () => 1 }, '/input/a: function is not a JSON value'],
      [{ a: 1n }, '/input/a: bigint is not a JSON value'],
      [{ a: [new Date(0)] }, '/input/a/0: is of the class Date, not plain JSON'],
      [new Date(0), '/input: is of the class Date, not plain JSON'],
      [new Map([['a', 1]]), '/input: is of the class Map, not plain JSON'],
      [{ 'a/b': new Account() }, '/input/a~1b: is of the class Account, not plain JSON'],
      [{ a: Buffer.alloc(10_000_000) }, '/input/a: is of the class Buffer, not plain JSON'],
      [{ a: 'a\u0000b' }, '/input/a: the character \\u0000, which Postgres cannot store'],
      [{ a: '\ud800' }, '/input/a: half of a surrogate pair, which is not valid Unicode'],
      [
        { a: 'x'.repeat(1024 * 1024) },
        '/input: is larger than 1048576 bytes; keep it elsewhere and hand over where it is',
      ],
      [
        { a: 'ö'.repeat(600_000) },
        '/input: is larger than 1048576 bytes; keep it elsewhere and hand over where it is',
      ],
      [{ a: Array.from({ length: 100_001 }, () => 0) }, '/input/a/99998: more than 100000 values'],
      [JSON.parse('{"__proto__": {"a": 1}}'), '/input: the key "__proto__" is not accepted'],
    ];
    for (const [input, message] of refused)
      expect(
        await refusalOf(engine.startProcess({ source: oneTask }, { input: input as never })),
      ).toMatchObject({
        code: 'invalid_input',
        message,
      });
    for (const a of [Number.NaN, Number.POSITIVE_INFINITY])
      expect((await refusalOf(engine.startProcess({ source: oneTask }, { input: { a } }))).code).toBe(
        'invalid_input',
      );
    const circle: Record<string, unknown> = {};
    circle.self = { circle };
    expect(
      (await refusalOf(engine.startProcess({ source: oneTask }, { input: circle as never }))).message,
    ).toMatch(/^\/input\/self\/circle.*: nested deeper than 64$/);
    expect(await database.sql('select from skipjack.processes')).toEqual([]);

    const largest = { a: 'x'.repeat(1024 * 1024 - 8) };
    const process = await engine.startProcess({ source: oneTask }, { input: largest });
    expect((await process.read()).input).toEqual(largest);
  });

  test('a definition in hand with problems', async ({ engine }) => {
    expect(
      await refusalOf(engine.startProcess({ source: 'tasks:\n  - name: A\n    needs: [B]\n' })),
    ).toMatchObject({
      code: 'invalid_definition',
      message: 'definition:3:13: there is no task "B"',
      problems: [{ line: 3, column: 13 }],
    });
  });
});

describe('closing', () => {
  test('an engine over its own database answers what was asked, and may be said twice', async ({
    database,
  }) => {
    const engine = new Engine({ url: database.url });
    const starting = engine.startProcess({ source: oneTask });
    await starting;
    const another = engine.startProcess({ source: oneTask });
    await Promise.all([another, engine.close()]).catch(() => {});
    await engine.close();
    await expect(engine.startProcess({ source: oneTask })).rejects.toThrow();
  });

  test('an engine over a queue leaves the queue open', async ({ database }) => {
    const engine = new Engine({ queue: database.queue });
    await engine.close();
    await engine.close();
    expect((await new Engine({ queue: database.queue }).startProcess({ source: oneTask })).id).toMatch(/-7/);
  });
});
