/**
 * A process's input against the rules of its definition: one table, through the library and through
 * `skipjack.start_process` in SQL, with the same verdict.
 */
import { expect } from 'vitest';
import type { SkipjackError } from '../../src/core/errors.ts';
import type { Json } from '../../src/core/json.ts';
import { type InputType, inputTypes } from '../../src/core/plan.ts';
import type { Engine } from '../../src/engine/engine.ts';
import type { TestDatabase } from '../support/database.ts';
import { test } from './support/engine.ts';

/** The input that the process got, or what was wrong with what it was given. */
type Verdict = { input: Json } | { problems: { pointer: string; code: string; message: string }[] };

async function byLibrary(engine: Engine, name: string, input: Json): Promise<Verdict> {
  try {
    const process = await engine.startProcess(name, { input });
    return { input: (await process.read()).input };
  } catch (error) {
    const { code, problems } = error as SkipjackError;
    if (code !== 'invalid_input') throw error;
    return { problems: problems.map((each) => ({ ...each, pointer: each.pointer?.slice(6) })) as never };
  }
}

async function bySql({ sql }: TestDatabase, name: string, input: Json): Promise<Verdict> {
  try {
    const [row] = await sql<{ input: Json }>(
      `with started as materialized (select skipjack.start_process($1, $2) as id)
       select id from started`,
      [name, JSON.stringify(input)],
    );
    const [given] = await sql<{ input: Json }>(
      'select input from skipjack.process_inputs where process_id = $1',
      [(row as unknown as { id: string }).id],
    );
    return { input: given?.input ?? {} };
  } catch (error) {
    const { code, message, detail } = error as { code: string; message: string; detail: string };
    expect({ code, message }).toEqual({ code: '22023', message: expect.stringMatching(/^invalid_input: /) });
    return { problems: JSON.parse(detail) };
  }
}

/** Asks both, which must agree. */
async function judge(
  { database, engine }: { database: TestDatabase; engine: Engine },
  name: string,
  input: Json,
) {
  const [library, sql] = [await byLibrary(engine, name, input), await bySql(database, name, input)];
  expect(sql, JSON.stringify(input)).toEqual(library);
  return library;
}

const values: Record<string, { value: Json; fits: InputType[] }> = {
  'a text': { value: 'x', fits: ['string'] },
  'an empty text': { value: '', fits: ['string'] },
  'a text of digits': { value: '7', fits: ['string'] },
  'a whole number': { value: 7, fits: ['number', 'integer'] },
  zero: { value: 0, fits: ['number', 'integer'] },
  'a number below zero': { value: -3, fits: ['number', 'integer'] },
  'a fraction': { value: 1.5, fits: ['number'] },
  'a large number': { value: 1e300, fits: ['number', 'integer'] },
  'a small number': { value: 5e-324, fits: ['number'] },
  true: { value: true, fits: ['boolean'] },
  false: { value: false, fits: ['boolean'] },
  null: { value: null, fits: [] },
  'an object': { value: { a: 1 }, fits: ['object'] },
  'an empty object': { value: {}, fits: ['object'] },
  'a list': { value: [1, 'x', null], fits: ['array'] },
  'an empty list': { value: [], fits: ['array'] },
  'something deep': { value: { a: [{ b: [[{}]] }] }, fits: ['object'] },
};

test('every value is of its types and of "any", and of no other', async ({ database, engine }) => {
  for (const type of inputTypes) {
    await engine.publish({ definition: { input: { v: { type } }, tasks: [{ name: 'A' }] } }, { name: type });
    for (const [title, { value, fits }] of Object.entries(values)) {
      const verdict = await judge({ database, engine }, type, { v: value });
      if (type === 'any' || fits.includes(type))
        expect(verdict, `${title} as ${type}`).toEqual({ input: { v: value } });
      else
        expect(verdict, `${title} as ${type}`).toMatchObject({
          problems: [{ pointer: '/v', code: 'wrong_type', message: expect.stringContaining(type) }],
        });
    }
  }
});

const rules = {
  who: { type: 'string', required: true },
  amount: { type: 'number', default: 1000 },
  nothing: { default: null },
  options: { type: 'object', default: { deep: [1, { er: true }] } },
  colour: { type: 'string', enum: ['red', 'blue'] },
  size: { type: 'number', enum: [1, 2.5], default: 1 },
  shape: { enum: [null, ['a'], { b: 1, a: 2 }] },
  'a/b~c': { type: 'integer' },
} as const;
const defaults = { amount: 1000, nothing: null, options: { deep: [1, { er: true }] }, size: 1 };

const table: [title: string, input: Json, verdict: Json[] | { input: Json }][] = [
  ['only what is required', { who: 'Ann' }, { input: { ...defaults, who: 'Ann' } }],
  ['nothing', {}, ['/who missing_input']],
  ['null', null, ['/who missing_input']],
  ['required, but null', { who: null }, ['/who wrong_type']],
  [
    'what has a default, given',
    { who: '', amount: 0, nothing: [], options: {} },
    { input: { ...defaults, who: '', amount: 0, nothing: [], options: {} } },
  ],
  ['null in place of a default', { who: 'Ann', amount: null }, ['/amount wrong_type']],
  ['null where anything goes', { who: 'Ann', nothing: null }, { input: { ...defaults, who: 'Ann' } }],
  [
    'a value of an enum',
    { who: 'Ann', colour: 'red' },
    { input: { ...defaults, who: 'Ann', colour: 'red' } },
  ],
  ['none of an enum', { who: 'Ann', colour: 'Red' }, ['/colour not_in_enum']],
  ['a wrong type is one problem, not two', { who: 'Ann', colour: 1 }, ['/colour wrong_type']],
  ['a number of an enum', { who: 'Ann', size: 2.5 }, { input: { ...defaults, who: 'Ann', size: 2.5 } }],
  [
    'an object of an enum, in another order',
    { who: 'Ann', shape: { a: 2, b: 1 } },
    { input: { ...defaults, who: 'Ann', shape: { a: 2, b: 1 } } },
  ],
  ['null of an enum', { who: 'Ann', shape: null }, { input: { ...defaults, who: 'Ann', shape: null } }],
  ['a list longer than that of an enum', { who: 'Ann', shape: ['a', 'a'] }, ['/shape not_in_enum']],
  ['a name with slashes', { who: 'Ann', 'a/b~c': 'x' }, ['/a~1b~0c wrong_type']],
  ['a name in another case', { who: 'Ann', Amount: 1 }, ['/Amount unknown_input']],
  [
    'everything wrong',
    { amount: '7', more: 1, options: [], 'a/b~c': 0.5 },
    [
      '/a~1b~0c wrong_type',
      '/amount wrong_type',
      '/more unknown_input',
      '/options wrong_type',
      '/who missing_input',
    ],
  ],
  ['a list', [], [' wrong_type']],
  ['a text', 'who', [' wrong_type']],
  ['a number', 7, [' wrong_type']],
  ['a boolean', false, [' wrong_type']],
];

test('defaults are filled in, and everything that is wrong is named at once', async ({
  database,
  engine,
}) => {
  await engine.publish({ definition: { input: rules, tasks: [{ name: 'A' }] } as never }, { name: 'd' });
  for (const [title, input, wanted] of table) {
    const verdict = await judge({ database, engine }, 'd', input);
    const brief =
      'input' in verdict ? verdict : verdict.problems.map(({ pointer, code }) => `${pointer} ${code}`);
    expect(brief, title).toEqual(wanted);
  }
});

test('a definition without rules takes any object, one with none takes none', async ({
  database,
  engine,
}) => {
  await engine.publish({ definition: { tasks: [{ name: 'A' }] } }, { name: 'any' });
  await engine.publish({ definition: { input: {}, tasks: [{ name: 'A' }] } }, { name: 'none' });
  for (const input of [{}, { a: { b: [null] } }, { '': 1 }])
    expect(await judge({ database, engine }, 'any', input)).toEqual({ input });
  expect(await judge({ database, engine }, 'none', {})).toEqual({ input: {} });
  expect(await judge({ database, engine }, 'none', { a: 1 })).toMatchObject({
    problems: [
      { pointer: '/a', code: 'unknown_input', message: expect.stringContaining('the definition takes none') },
    ],
  });
  for (const name of ['any', 'none'])
    for (const input of [[], 'x', 7, true])
      expect(await judge({ database, engine }, name, input)).toMatchObject({
        problems: [{ code: 'wrong_type' }],
      });
});

test('a problem is a sentence behind its pointer', async ({ engine }) => {
  await engine.publish({ definition: { input: rules, tasks: [{ name: 'A' }] } as never }, { name: 'd' });
  const start = engine.startProcess('d', { input: { amount: 'much', more: 1 } });
  await expect(start).rejects.toMatchObject({
    code: 'invalid_input',
    message: '/input/amount: is string, not number (and 2 more)',
    problems: [
      { pointer: '/input/amount', code: 'wrong_type' },
      {
        pointer: '/input/more',
        code: 'unknown_input',
        message: expect.stringMatching(/^there is no input "more"; known are /),
      },
      { pointer: '/input/who', code: 'missing_input', message: 'the input "who" is required' },
    ],
  });
});
