import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readInput } from '../../src/cli/process-input.ts';
import type { InputType, Plan } from '../../src/core/plan.ts';
import { makeDirectory } from '../database/fixtures/embedded-scene.ts';

function rulesOf(types: Record<string, InputType>): Plan['input'] {
  return Object.fromEntries(Object.entries(types).map(([name, type]) => [name, { type, required: false }]));
}

describe('--input name=value', () => {
  test.each([
    ['n=5', { n: 5 }],
    ['n=lots', { n: 'lots' }],
    ['i=7', { i: 7 }],
    ['b=true', { b: true }],
    ['o={"a":[1]}', { o: { a: [1] } }],
    ['a=[1,"x"]', { a: [1, 'x'] }],
    ['s=5', { s: '5' }],
    ['s=', { s: '' }],
    ['s=a=b', { s: 'a=b' }],
    ['any=5', { any: '5' }],
    ['unknown=5', { unknown: '5' }],
    ['constructor=5', { constructor: '5' }],
  ])('%s is read by its type', async (text, input) => {
    const rules = rulesOf({
      n: 'number',
      i: 'integer',
      b: 'boolean',
      o: 'object',
      a: 'array',
      s: 'string',
      any: 'any',
    });
    expect(await readInput([text], rules)).toEqual(input);
  });

  test('without rules every value is text', async () => {
    expect(await readInput(['n=5', 'b=true'], null)).toEqual({ n: '5', b: 'true' });
  });
});

test('several make one input, and later ones win', async () => {
  const file = join(await makeDirectory(), 'a=b.json');
  await writeFile(file, '{"amount": 1, "applicant": "Ann"}');
  const input = await readInput([file, 'applicant=Bob', '{"term": 12}'], null);
  expect(input).toEqual({ amount: 1, applicant: 'Bob', term: 12 });
  expect(await readInput(undefined, null)).toEqual({});
});

test.each([
  ['nowhere.json', 'usage', 'nowhere.json cannot be read: there is no such file'],
  ['=5', 'usage', 'has no name'],
  ['{"a":', 'invalid_json', '--input is not JSON'],
])('%s is refused', async (text, code, message) => {
  await expect(readInput([text], null)).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message),
  });
});

test('a file that holds no object is refused', async () => {
  const file = join(await makeDirectory(), 'list.json');
  await writeFile(file, '[1]');
  await expect(readInput([file], null)).rejects.toMatchObject({ code: 'invalid_input' });
});
