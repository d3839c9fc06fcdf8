/** `if`, and the values that an engine fills in: within one budget, and with a failure that says where. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { compileCondition, evaluateCondition } from '../../src/expression/condition.ts';
import type { Scope } from '../../src/expression/evaluate.ts';
import { FillFailure } from '../../src/expression/fill-failure.ts';
import { compileValue, fillValue } from '../../src/expression/value-template.ts';
import { now, resultOf, scopeOf } from './support/evaluate.ts';

const status = { success: false, failure: true, cancelled: false };

function holds(text: string, input: Json = {}, more: Partial<Scope> = {}): boolean {
  return evaluateCondition(compileCondition(text), { ...scopeOf(input), ...more }, { now });
}

function failureOf(run: () => unknown): FillFailure {
  try {
    run();
  } catch (error) {
    if (error instanceof FillFailure) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('a condition', () => {
  test.each([
    ['input.n > 5', true],
    ['${{ input.n > 5 }}', true],
    ['  ${{input.n < 5}}\n', false],
    ['${{ {"a": {"b": true}}.a.b }}', true],
    ['"${{" + "}}" == "${{}}"', true],
    ['true', true],
    ['always()', true],
    ['always() && failure()', true],
    ['success() || cancelled()', false],
    ['!failure() || tasks.Build.state == "completed"', true],
  ])('%s is %s', (text, is) => expect(holds(text, { n: 7 }, { status })).toBe(is));

  test.each([
    ['input.n', 'takes true or false, not a number'],
    ['null', 'takes true or false, not null'],
    ['input.nope', 'there is no "nope"'],
    ['failure()', 'failure() says something in "if" only'],
    ['item == 1', 'there is no item here'],
    ['range(100000).all(a, range(100000).all(b, true))', 'more than 600000 steps'],
    ['input.n >', 'it ends too early'],
    ['${{ input.n }} > 3', 'cannot be read'],
    ['', 'the expression is empty'],
  ])('%s fails, and says where', (text, said) => {
    const failure = failureOf(() => holds(text, { n: 7 }));
    expect(failure.message).toContain(said);
    expect(failure.details).toMatchObject({ place: 'if', expression: text });
  });

  test('says which values it saw', () => {
    const failure = failureOf(() => holds('input.n && tasks["Build"].state == "completed"', { n: 7 }));
    expect(failure.details.values).toEqual({ 'input.n': '7', 'tasks["Build"].state': '"completed"' });
  });

  test('says what it asks of other tasks, and which functions it calls', () => {
    const { asks, calls, text } = compileCondition(
      '${{ always() || [1].exists(failure, failure > tasks["A b"].attempts) && tasks.C.state == tasks.C.output }}',
    );
    expect(text).toMatch(/^always\(\).*output$/);
    expect(asks).toEqual(
      new Map([
        ['A b', new Set(['attempts'])],
        ['C', new Set(['state', 'output'])],
      ]),
    );
    expect(calls).toEqual({ always: true, failure: false, success: false, cancelled: false });
    expect(compileCondition('!failure() && !cancelled() && success()').calls).toEqual({
      always: false,
      failure: true,
      success: true,
      cancelled: true,
    });
  });
});

function fill(value: Json, more: Partial<Scope> = {}, lettersMax?: number): Json {
  const bound = lettersMax === undefined ? {} : { lettersMax };
  return fillValue(compileValue(value, 'output'), { ...scopeOf({ n: 7 }), ...more }, { now, ...bound });
}

describe('a value', () => {
  test('keeps what is no template, and the types of those that are one expression', () => {
    const value = { a: ['${{ input }}', 'n=${{ input.n }}', 1, null], 'k y': { b: '${{ input.n * 2 }}' } };
    expect(fill(value)).toEqual({ a: [{ n: 7 }, 'n=7', 1, null], 'k y': { b: 14 } });
    expect(fill('${{ [input.n] }}')).toEqual([7]);
    expect(fill(null)).toBeNull();
  });

  test('says what it asks of other tasks', () => {
    expect(compileValue(['${{ tasks.A.output }}', { b: 'x ${{ tasks.A.error }}' }], 'each').asks).toEqual(
      new Map([['A', new Set(['output', 'error'])]]),
    );
    expect(compileValue([1, 'a'], 'each').asks).toEqual(new Map());
  });

  test('says where in it an expression failed', () => {
    const { details, message } = failureOf(() => fill({ a: [0, { 'k y': '${{ input.nope }}' }] }));
    expect(details).toEqual({
      place: 'output.a[1]["k y"]',
      expression: 'input.nope',
      values: { 'input.nope': '(not there)' },
    });
    expect(message).toMatch(/^output\.a\[1\]\["k y"\]: \$\{\{ input\.nope \}\}: there is no "nope"/);
    expect(failureOf(() => fill(['fine', '${{ input. }}'])).details.place).toBe('output[1]');
  });

  test('has one budget for all its expressions', () => {
    const some = '${{ range(100000).size() }}';
    expect(fill([some, some])).toEqual([100_000, 100_000]);
    expect(failureOf(() => fill(Array.from({ length: 40 }, () => some))).message).toContain('600000 steps');
  });

  test('has bounds, which may be wider', () => {
    const text =
      '${{ ["x"].map(x, range(15000).map(i, "01234567890123456789012345678901234567890123456789")) }}';
    expect(failureOf(() => fill([text, text])).message).toContain('more than 1048576 letters of JSON');
    expect(JSON.stringify(fill([text, text], {}, 4_194_304))).toHaveLength(1_590_009);
    expect(failureOf(() => fill([text, text, text], {}, 2_000_000)).message).toContain(
      'output: ${{ … }}: makes a value of more than 2000000 letters',
    );
  });
});

test('an item and its index, also in what people see of a failure', () => {
  const item = { value: { id: 'a' }, index: 3 };
  expect(fill({ file: '${{ item.id }}-${{ index }}', all: '${{ item }}' }, { item })).toEqual({
    file: 'a-3',
    all: { id: 'a' },
  });
  const failure = failureOf(() => fill('${{ item.nope + index }}', { item }));
  expect(failure.details.values).toEqual({ 'item.nope': '(not there)', index: '3' });
  expect(resultOf('[1, 2].map(item, item * 2) + [3].map(index, index)')).toEqual([2, 4, 3]);
});
