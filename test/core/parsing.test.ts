import { describe, expect, test } from 'vitest';
import { formatDuration, parseDuration } from '../../src/core/durations.ts';
import { SkipjackError } from '../../src/core/errors.ts';
import { newId } from '../../src/core/ids.ts';
import { findJsonProblem } from '../../src/core/json.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { decodeToken, encodeToken } from '../../src/core/token.ts';
import fc from '../support/fast-check.ts';

describe('durations', () => {
  test('are read as people write them', () => {
    expect(['500ms', '30s', '10m', '2h', '7d', '1.5s', '0s'].map(parseDuration)).toEqual([
      500, 30_000, 600_000, 7_200_000, 604_800_000, 1_500, 0,
    ]);
  });

  test('what is not one, or longer than ten years, is null', () => {
    for (const text of ['', '30', 's', '-1s', '1e3s', '1 s', '3651d', '99999999999999s', '１s']) {
      expect(parseDuration(text), text).toBeNull();
    }
  });

  test('written and read again, every duration is the same', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 315_360_000_000 }),
        (ms) => parseDuration(formatDuration(ms)) === ms,
      ),
    );
  });
});

describe('tokens', () => {
  test('give back their claim for their own task only', () => {
    const taskId = newId();
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 2_147_483_647 }), (claimNo) => {
        for (const processId of [null, newId()]) {
          const token = encodeToken({ taskId, claimNo, processId });
          expect(decodeToken(token, taskId)).toEqual({ taskId, claimNo, processId });
          expect(decodeToken(token, newId())).toBeNull();
        }
      }),
    );
  });

  test('any other text is no token', () => {
    fc.assert(fc.property(fc.string(), (text) => decodeToken(text, newId()) === null));
  });
});

describe('JSON from outside', () => {
  test('every JSON value without the refused things passes', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 10, noUnicodeString: false } as never), (value) => {
        const text = JSON.stringify(value);
        fc.pre(!text.includes('__proto__') && !text.includes('\\u0000') && !/\\ud[89a-f]/i.test(text));
        expect(findJsonProblem(JSON.parse(text))).toBeNull();
      }),
    );
  });

  test.each([
    ['{"a":{"__proto__":1}}', '/a'],
    ['{"a":["x\\u0000"]}', '/a/0'],
    ['{"a/b":"\\ud800"}', '/a~1b'],
    ['{"n":1e999}', '/n'],
    [`${'['.repeat(65)}${']'.repeat(65)}`, '/0'.repeat(64)],
  ])('%s is refused with a pointer', (text, pointer) => {
    expect(findJsonProblem(JSON.parse(text))?.pointer).toBe(pointer);
  });

  test('a million values deep or wide is a problem, not a crash', () => {
    let deep: unknown = 1;
    for (let depth = 0; depth < 1_000_000; depth += 1) deep = [deep];
    expect(findJsonProblem(deep)?.message).toContain('deeper');
    expect(findJsonProblem(Array(1_000_000).fill(0))?.message).toContain('more than');
  });
});

describe('a task as people write it', () => {
  const problemsOf = (body: unknown) => {
    try {
      parseTaskInput(body);
      return [];
    } catch (error) {
      return (error as SkipjackError).problems.map((problem) => problem.pointer);
    }
  };

  test('goes to the queue of its kind unless told otherwise', () => {
    expect(parseTaskInput({ command: 'echo' }).queue).toBe('default');
    expect(parseTaskInput({ run: 'echo' }).queue).toBe('default');
    expect(parseTaskInput({ handler: 'send-email' }).queue).toBe('send-email');
    expect(parseTaskInput({ name: 'review' }).queue).toBe('people');
    expect(parseTaskInput({ command: 'echo', queue: 'mine' }).queue).toBe('mine');
  });

  test('every problem is pointed at, all at once', () => {
    expect(
      problemsOf({ command: 'x', priority: 12, retry: { attempts: 0, tries: 1 }, args: [1] }).sort(),
    ).toEqual(['/args/0', '/priority', '/retry/attempts', '/retry/tries']);
  });

  test('an expression in a task on its own is refused by name', () => {
    expect(() => parseTaskInput({ command: 'x', args: ['${{ input.a }}'] })).toThrow(
      /no process whose values/,
    );
  });

  test('anything at all is either a task or a problem with a code', () => {
    fc.assert(
      fc.property(fc.anything(), (body) => {
        try {
          expect(parseTaskInput(body).id).toBeTypeOf('string');
        } catch (error) {
          expect(error).toBeInstanceOf(SkipjackError);
          expect((error as SkipjackError).status).toBeLessThan(500);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
