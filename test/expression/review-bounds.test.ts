/** Values within their bounds that are too large together, and how much is told of a failure. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { FillFailure } from '../../src/expression/fill-failure.ts';
import { expressionLimits } from '../../src/expression/limits.ts';
import { compileTask, fillTask } from '../../src/expression/task-template.ts';
import { compileValue, fillValue } from '../../src/expression/value-template.ts';

const scopeOf = (input: Json) => ({
  input,
  process: { id: '', definition: null, version: null },
  task: () => null,
});

function failureOf(fill: () => unknown): FillFailure {
  try {
    fill();
  } catch (error) {
    if (error instanceof FillFailure) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

describe('many large values', () => {
  const large = 'x'.repeat(1_000_000);

  test('fail where they are too large together, before gigabytes of them are written', () => {
    const items = compileValue(
      Array.from({ length: 5_000 }, () => '${{ input.large }}'),
      'each',
    );
    const lettersMax = expressionLimits.itemsLettersMax;
    const { message } = failureOf(() => fillValue(items, scopeOf({ large }), { now: 0, lettersMax }));
    expect(message).toBe(
      `each[16]: \${{ input.large }}: makes the whole far exceed ${lettersMax} letters of JSON`,
    );
  });

  test('fit as long as the whole does', () => {
    const items = compileValue(
      ['${{ input.large }}', { a: '${{ input.large }}' }, '${{ input.large }}'],
      'each',
    );
    const lettersMax = expressionLimits.itemsLettersMax;
    expect(fillValue(items, scopeOf({ large }), { now: 0, lettersMax })).toEqual([
      large,
      { a: large },
      large,
    ]);
    expect(failureOf(() => fillValue(items, scopeOf({ large }), { now: 0 })).message).toContain(
      'makes a value of more than 1048576 letters',
    );
  });
});

test('of a place with long keys the beginning is told', () => {
  const task = compileTask({ spec: null, input: { ['key '.repeat(50_000)]: '${{ input.missing }}' } });
  const { message, details } = failureOf(() => fillTask(task, scopeOf({}), { now: 0 }));
  expect(message.length).toBeLessThan(1_000);
  expect(JSON.stringify(details).length).toBeLessThan(1_000);
  expect(details.place).toMatch(/^input\["key key .*…$/);
});
