/** What the SQL functions that people call answer to what they do not take: as HTTP, and never with a row or a constraint. */
import pg from 'pg';
import { describe, expect, inject } from 'vitest';
import type { SkipjackError } from '../../src/core/errors.ts';
import type { Json } from '../../src/core/json.ts';
import { inputBytesMax, parseTaskInput } from '../../src/core/task-input.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { Engine } from '../../src/engine/engine.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { databaseUrl } from '../support/global-setup.ts';

interface Refusal {
  code: string;
  message: string;
  hint?: string;
  detail?: string;
}

/** What a call was refused with; null: it was not. */
async function refusalOf(
  { sql }: TestDatabase,
  call: string,
  values: unknown[] = [],
): Promise<Refusal | null> {
  return sql(`select skipjack.${call}`, values).then(
    () => null,
    (error) => error,
  );
}

const enqueue = (database: TestDatabase, body: unknown) =>
  refusalOf(database, 'enqueue($1)', [JSON.stringify(body)]);

function refusalOverHttp(body: unknown): SkipjackError | null {
  try {
    parseTaskInput(body);
    return null;
  } catch (error) {
    return error as SkipjackError;
  }
}

const image = 'alpine';
const template = '${{ input.a }}';
const secret = '${{ secrets.A }}';

describe('"${{" where it cannot stand', () => {
  const misplaced: object[] = [
    { command: secret },
    { command: 'x', args: ['a', template] },
    { command: 'x', args: ['${{ secrets.A }} ${{ secrets.B }'] },
    { command: 'x', env: { A: 'a', B_2: template } },
    { run: 'x', env: { A: template } },
    { image: `a${secret}` },
    { image, networks: ['a', secret] },
    { image, volumes: [`/${secret}`] },
    { image, mounts: [{ type: 'tmpfs', target: `/${secret}` }] },
    { image, mounts: [{ type: 'bind', source: `/${secret}`, target: '/a' }] },
    { image, registry: { username: template, password: 'p' } },
    { image, registry: { username: 'u', password: template } },
    { image, pre: [{ image }, { image, name: secret }] },
    { image, sidecars: [{ name: 'db', image, probe: { cmd: ['x', secret] } }] },
    { image, sidecars: [{ name: 'db', image, probe: { port: 80, path: `/${secret}` } }] },
    ...[{ cmd: [template] }, { entrypoint: ['x', template] }, { env: { A: template } }].flatMap(inEachPart),
    ...[{ image: secret }, { workdir: `/${secret}` }, { user: secret }].flatMap(inEachPart),
  ];
  const otherwise: object[] = [
    { run: template },
    { image, run: secret },
    { image, files: { a: template } },
    { image, files: { [secret]: 'a' } },
    { image, sidecars: [{ name: secret, image }] },
    { command: 'x', [template]: 1 },
    { command: 'x', delay: template },
  ];
  const fine: object[] = [
    { command: 'x', args: [secret], env: { A: `a ${secret}` }, stdin: template, input: { a: template } },
    { handler: template, labels: { a: template }, name: template, queue: 'q' },
    { image, registry: { username: secret, password: secret }, pre: [{ image, cmd: [secret] }] },
  ];

  function inEachPart(part: object) {
    return [
      { image, ...part },
      { image, pre: [{ image, ...part }] },
      { image, post: [{ image }, { image, ...part }] },
      { image, sidecars: [{ name: 'db', image, ...part }] },
    ];
  }

  test('is misplaced_expression where HTTP says so, with the place and what can stand there', async ({
    database,
  }) => {
    for (const body of misplaced) {
      const [over, refusal] = [refusalOverHttp(body), await enqueue(database, body)];
      const place = over?.problems[0]?.pointer?.slice(1).replaceAll('/', '.');
      expect(over?.code, JSON.stringify(body)).toBe('misplaced_expression');
      expect(refusal, JSON.stringify(body)).toMatchObject({
        code: '0A000',
        message: expect.stringMatching(
          /^misplaced_expression: ".*" (is no template|has "\$\{\{" that is no reference)/,
        ),
        hint: expect.stringContaining('${{ secrets.NAME }}'),
      });
      expect(refusal?.message).toContain(`"${place}"`);
    }
    expect(await database.sql('select from skipjack.tasks')).toEqual([]);
  });

  test('is something else where HTTP says something else, and taken where HTTP takes it', async ({
    database,
  }) => {
    for (const body of otherwise) {
      expect(refusalOverHttp(body)?.code, JSON.stringify(body)).toBe('invalid_request');
      expect((await enqueue(database, body))?.code, JSON.stringify(body)).toBe('22023');
    }
    for (const body of fine) {
      expect(refusalOverHttp(body), JSON.stringify(body)).toBeNull();
      expect(await enqueue(database, body), JSON.stringify(body)).toBeNull();
    }
  });

  test('is said in no function to be supported later', async ({ database }) => {
    expect(
      await database.sql(
        `select proname from pg_proc
         where pronamespace = 'skipjack'::regnamespace and prosrc like '%not\\_supported\\_yet%'`,
      ),
    ).toEqual([]);
  });
});

describe('one mebibyte of JSON, written without blanks', () => {
  /** A value of so many bytes, from what is repeated and what fills the rest. */
  function ofBytes(make: (filler: string) => Json, bytes: number): Json {
    return make('x'.repeat(bytes - Buffer.byteLength(JSON.stringify(make('')))));
  }
  const repeated = <Item>(count: number, item: Item) => Array.from({ length: count }, () => item);
  const shapes: Record<string, (filler: string) => Json> = {
    'one text': (filler) => filler,
    'texts with all that could be taken for their ends': (filler) => [
      `${', " : \\" \\'.repeat(20_000)}${filler}\\`,
      `${'ü'.repeat(1_000)}☃\u0001\n\u2028😀`,
      ', : "',
    ],
    'lists and objects': (filler) => [
      ...repeated(10_000, [[], -1_234_567_890.5]),
      ...repeated(10_000, { a: 1, 'b, "c": ': null }),
      filler,
    ],
  };

  test('is what the library takes of an event, an input of a task and of a process, and so does SQL; no byte more', async ({
    database,
  }) => {
    const engine = new Engine({ queue: database.queue });
    await engine.publish({ definition: { name: 'd', tasks: [{ name: 'A' }] } });
    const given = (made: Json) => JSON.stringify(made);
    for (const [title, make] of Object.entries(shapes)) {
      for (const over of [0, 1]) {
        const payload = ofBytes(make, inputBytesMax + over);
        // An object, as the input of a process has to be.
        const input = ofBytes((filler) => ({ a: make(filler) }), inputBytesMax + over);
        const said = {
          'an event': await engine.sendEvent({ name: 'e', payload }).then(() => null, codeOf),
          'an event from SQL': await refusalOf(database, `send_event('e', payload => $1)`, [given(payload)]),
          'a task': refusalOverHttp({ handler: 'x', input: payload })?.code ?? null,
          'a task from SQL': await enqueue(database, { handler: 'x', input: payload }),
          'a process': await engine.start('d', { input: input as never }).then(() => null, codeOf),
          'a process from SQL': await refusalOf(database, `start_process('d', $1)`, [given(input)]),
        };
        const sqlSays = (message: string) => ({
          code: '22023',
          message,
          hint: expect.stringContaining('elsewhere'),
        });
        if (over === 0) {
          expect(Object.values(said), title).toEqual([null, null, null, null, null, null]);
        } else {
          expect(said, title).toMatchObject({
            'an event': 'invalid_request',
            'an event from SQL': sqlSays('"payload" is larger than 1048576 bytes'),
            'a task': 'invalid_request',
            'a task from SQL': sqlSays('"input" is larger than 1048576 bytes'),
            'a process': 'invalid_input',
            'a process from SQL': sqlSays('invalid_input: the input is larger than 1048576 bytes'),
          });
        }
      }
    }
    const huge = await refusalOf(database, `send_event('e', payload => to_jsonb(repeat('x', 20000000)))`);
    expect(huge?.message).toBe('"payload" is larger than 1048576 bytes');
  });

  test('and 64 levels: what is deeper is refused on each way', async ({ database }) => {
    const engine = new Engine({ queue: database.queue });
    await engine.publish({ definition: { name: 'd', tasks: [{ name: 'A' }] } });
    for (const levels of [62, 64, 5_000]) {
      // The innermost value is a level of its own.
      const tooDeep = levels >= 64;
      // Not by JSON.stringify, which cannot write the deepest of them.
      const given = `${'[{"a":'.repeat(levels / 2)}1${'}]'.repeat(levels / 2)}`;
      const payload = JSON.parse(given) as Json;
      const said = [
        await engine.sendEvent({ name: 'e', payload }).then(() => null, codeOf),
        refusalOverHttp({ handler: 'x', input: payload })?.code ?? null,
        (await refusalOf(database, `send_event('e', payload => $1)`, [given]))?.message ?? null,
        (await refusalOf(database, 'enqueue($1)', [`{"handler": "x", "input": ${given}}`]))?.message ?? null,
        (await refusalOf(database, `start_process('d', $1)`, [`{"a": ${given}}`]))?.message ?? null,
      ];
      expect(said).toEqual(
        tooDeep
          ? [
              'invalid_request',
              'invalid_request',
              '"payload" is nested deeper than 64',
              '"input" is nested deeper than 64',
              'invalid_input: the input is nested deeper than 64',
            ]
          : [null, null, null, null, null],
      );
    }
  });

  test('and 100,000 values: more are refused on each way', async ({ database }) => {
    const engine = new Engine({ queue: database.queue });
    await engine.publish({ definition: { name: 'd', tasks: [{ name: 'A' }] } });
    for (const values of [100_000, 100_001]) {
      // The list is a value itself, and around it is that of the input.
      const payload = Array.from({ length: values - 1 }, () => 1);
      const list = JSON.stringify(payload.slice(1));
      const said = [
        await engine.sendEvent({ name: 'e', payload }).then(() => null, codeOf),
        (await refusalOf(database, `send_event('e', payload => $1)`, [JSON.stringify(payload)]))?.message ??
          null,
        (await refusalOf(database, 'enqueue($1)', [`{"handler": "x", "input": {"a": ${list}}}`]))?.message ??
          null,
        (await refusalOf(database, `start_process('d', $1)`, [`{"a": ${list}}`]))?.message ?? null,
      ];
      expect(said).toEqual(
        values > 100_000
          ? [
              'invalid_request',
              '"payload" has more than 100000 values',
              '"input" has more than 100000 values',
              'invalid_input: the input has more than 100000 values',
            ]
          : // The definition knows no "a".
            [null, null, null, expect.not.stringContaining('values')],
      );
    }
  });

  function codeOf(error: SkipjackError) {
    return error.code;
  }
});

describe('bad input', () => {
  const refused: [body: object, message: RegExp, hint?: RegExp][] = [
    [{ handler: '$x' }, /^"handler" begins with "\$", as no queue may$/, /Say which "queue" it waits on/],
    ...[
      '2031-02-30T00:00:00Z',
      '2031-13-01T00:00:00Z',
      '2031-01-02T24:00:00Z',
      '2031-01-02T03:60:00Z',
      '2031-01-02T03:04:61Z',
      '2031-01-02T03:04:05+23:59',
      '2031-01-02T03:04:05+24:00',
      '0000-01-01T00:00:00Z',
      `2031-01-02T03:04:05.${'1'.repeat(500)}Z`,
    ].map((run_at): [object, RegExp, RegExp] => [
      { command: 'x', run_at },
      /^"run_at" is not a time$/,
      /2031/,
    ]),
  ];

  test('of a task is answered in a sentence that says where and what to do', async ({ database }) => {
    for (const [body, message, hint] of refused) {
      const refusal = await enqueue(database, body);
      expect(refusal, JSON.stringify(body)).toMatchObject({
        code: '22023',
        message: expect.stringMatching(message),
        ...(hint ? { hint: expect.stringMatching(hint) } : {}),
      });
    }
    expect(await database.sql('select from skipjack.tasks')).toEqual([]);
    expect(await enqueue(database, { handler: '$x', queue: 'people' })).toBeNull();
    expect(await enqueue(database, { command: 'x', run_at: '2032-02-29T03:04:05.5+05:30' })).toBeNull();
  });

  test('is told from good input alike where the collation is one of ICU, which knows more digits', async () => {
    const admin = new pg.Client({ connectionString: inject('adminUrl') });
    await admin.connect();
    const name = `skipjack_test_icu_${process.pid}`;
    await admin.query(`drop database if exists ${name} with (force)`);
    await admin.query(
      `create database ${name} template template0 locale_provider icu icu_locale 'en-US' locale 'C'`,
    );
    const url = databaseUrl(inject('adminUrl'), name);
    const client = new pg.Client({ connectionString: url });
    try {
      await migrateDatabase(url);
      await client.connect();
      for (const [key, value] of [
        ['delay', '６s'],
        ['run_at', '２031-01-02T03:04:05Z'],
      ] as const) {
        const body = JSON.stringify({ command: 'x', [key]: value });
        await expect(client.query('select skipjack.enqueue($1)', [body])).rejects.toMatchObject({
          code: '22023',
          message: expect.stringContaining('is not a'),
        });
      }
    } finally {
      await client.end();
      await admin.query(`drop database ${name} with (force)`);
      await admin.end();
    }
  });
});
