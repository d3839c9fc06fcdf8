/** Text in all its forms: YAML and JSON, line ends, marks, and what is meant to do harm. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { planLimits } from '../../src/core/plan.ts';
import { formatProblem } from '../../src/definition/format-problem.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import fc from '../support/fast-check.ts';
import { placesOf, planOf, problemsOf } from './support/parse.ts';

const inputOf = (value: string): Json | undefined =>
  planOf(`tasks: [{ name: A, input: ${value} }]`).tasks[0]?.input;

describe('JSON', () => {
  test.each(['', '  ', '\t'])('indented with %j is read as JSON.parse reads it', (indent) => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 5, stringUnit: 'binary' }), (input) => {
        const text = JSON.stringify({ tasks: [{ name: 'A', input }] }, null, indent);
        fc.pre(!/__proto__|\\u0000|\\u[dD][89a-fA-F]/.test(text));
        expect(planOf(text).tasks[0]?.input).toEqual(JSON.parse(text).tasks[0].input);
      }),
      { numRuns: 150 },
    );
  });

  test('escapes mean what they mean in JSON', () => {
    const text = '"\\u00e9 \\ud83d\\ude00 \\/ \\\\ \\" \\b\\f\\n\\r\\t \\u2028"';
    expect(inputOf(text)).toBe(JSON.parse(text));
  });

  test('has places too', () => {
    expect(placesOf('{\n\t"tasks": [\n\t\t{ "name": "A", "needs": ["B"] }\n\t]\n}\n')).toEqual([
      '3:28 unknown_need',
    ]);
  });
});

describe('YAML 1.2', () => {
  test.each([
    ['yes', 'yes'],
    ['no', 'no'],
    ['2024-01-31', '2024-01-31'],
    ['12:30:45', '12:30:45'],
    ['1_000', '1_000'],
    ['0o17', 15],
    ['0x1F', 31],
    ['1e3', 1000],
    ['9007199254740991', 9007199254740991],
    ['"9007199254740993"', '9007199254740993'],
    ['100000000000000000000000', 1e23],
    ['-1.25E+30', -1.25e30],
    ['0x8000000000000000', 2 ** 63],
    ['0.1234567890123456789', 0.12345678901234568],
    ['~', null],
    ['!!str 5', '5'],
    ['{ 1: a, null: b, true: c }', { 1: 'a', null: 'b', true: 'c' }],
    ['{ "<<": 1 }', { '<<': 1 }],
  ])('%s', (text, value) => {
    expect(inputOf(text)).toEqual(value);
  });

  test('aliases stand for what they name', () => {
    const { tasks } = planOf(`
tasks:
  - { name: A, retry: &often { attempts: 5 }, input: &a [1] }
  - { name: B, retry: *often, input: { a: *a, again: *a } }
`);
    expect(tasks[1]?.retry?.attempts).toBe(5);
    expect(tasks[1]?.input).toEqual({ a: [1], again: [1] });
  });

  test('a problem behind an alias is shown where it is written', () => {
    expect(placesOf('tasks:\n  - { name: A, needs: &n [\n      X] }\n  - { name: B, needs: *n }')).toEqual([
      '3:7 unknown_need',
    ]);
  });

  test('%YAML 1.2, a document start and comments are nothing special', () => {
    expect(planOf('%YAML 1.2\n---\n# loans\ntasks: [{ name: A }] # one\n...\n').tasks).toHaveLength(1);
  });
});

describe('places', () => {
  test('lines may end as they do on Windows', () => {
    const source = 'name: x\r\ntasks:\r\n  - name: A\r\n    needs: [B]\r\n';
    expect(problemsOf(source)).toMatchObject([{ line: 4, column: 13, excerpt: '    needs: [B]' }]);
    expect(planOf(source.replace('[B]', '[]')).tasks[0]?.name).toBe('A');
  });

  test('a byte order mark is no character', () => {
    expect(placesOf('\ufefftasks: []')).toEqual(['1:8 no_tasks']);
    expect(placesOf(Buffer.from('\ufefftasks: []'))).toEqual(['1:8 no_tasks']);
  });

  test.each([
    ['é', 1],
    ['e\u0301', 1],
    ['日本', 2],
    ['😀', 1],
    ['👩‍👩‍👧', 1],
    ['🇩🇪', 1],
  ])('%s counts as the %i characters that people see', (text, characters) => {
    expect(placesOf(`tasks: [{ name: A${text}, needs: [B] }]`)).toEqual([
      `1:${28 + characters} unknown_need`,
    ]);
  });

  test('an empty text has one too', () => {
    expect(placesOf('')).toEqual(['1:1 wrong_type']);
    expect(placesOf('\n\n# nothing\n')).toEqual(['1:1 wrong_type']);
  });
});

describe('whatever the text is', () => {
  const fragments = fc.constantFrom(
    ...[
      'tasks',
      'name',
      'needs',
      'input',
      'run',
      'retry',
      'A',
      '- ',
      ': ',
      '\n',
      '\n  ',
      '\n    ',
      '[',
      ']',
      '{',
      '}',
    ],
    ...[
      ',',
      '"',
      "'",
      '|',
      '>',
      '#',
      '&a',
      '*a',
      '!t',
      '? ',
      '%',
      '---',
      '...',
      '\t',
      '\r\n',
      '${{',
      '\\u0000',
      '~',
    ],
    ...[
      '.inf',
      '1e999',
      '0x',
      '\ud800',
      '\u0000',
      '\ufeff',
      '😀',
      '__proto__',
      '<<',
      'tasks: [{ name: A, needs: [',
    ],
  );
  const texts = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 200 }),
    fc.array(fragments, { maxLength: 40 }).map((parts) => parts.join('')),
    fc.array(fragments, { maxLength: 10 }).map((parts) => `tasks:\n  - name: A\n    ${parts.join('')}`),
  );

  test('the answer is a plan or problems that can be shown, never a throw', () => {
    fc.assert(
      fc.property(texts, (text) => {
        const parsed = parseDefinition(text);
        if (parsed.kind === 'valid') {
          expect(parsed.plan.tasks.length).toBeGreaterThan(0);
          return;
        }
        expect(parsed.problems.length).toBeGreaterThan(0);
        const lines = text.split('\n').length;
        for (const problem of parsed.problems) {
          expect(problem.line).toBeGreaterThanOrEqual(1);
          expect(problem.line).toBeLessThanOrEqual(lines);
          expect(problem.column).toBeGreaterThanOrEqual(1);
          expect(formatProblem(problem, { file: 'x' })).not.toMatch(/undefined|NaN|\[object/);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  test('the same text gives the same answer', () => {
    fc.assert(
      fc.property(texts, (text) => {
        expect(parseDefinition(text)).toEqual(parseDefinition(text));
      }),
    );
  });
});

describe('what is meant to do harm is refused in bounded time', () => {
  const size = planLimits.sourceBytesMax - 1_000;
  const fill = (pattern: string, length = size) => pattern.repeat(Math.floor(length / pattern.length));
  const bomb = (width: number) => {
    const lines = ['a0: &a0 [x]'];
    for (let level = 1; level < 30; level += 1) {
      lines.push(`a${level}: &a${level} [${Array.from({ length: width }, () => `*a${level - 1}`)}]`);
    }
    return lines.join('\n');
  };

  test.each([
    ['nested lists', '['.repeat(100_000), 'too_deep'],
    ['nested maps', '{a: '.repeat(100_000), 'too_deep'],
    ['nested block lists', '- '.repeat(100_000), 'too_deep'],
    ['nested keys', '? '.repeat(100_000), 'too_deep'],
    ['aliases of aliases', bomb(2), 'too_large'],
    ['many aliases of aliases', bomb(9), 'too_large'],
    [
      'aliases of much',
      `a: &a "${'x'.repeat(1_000_000)}"\nb: [${Array.from({ length: 100 }, () => '*a')}]`,
      'too_large',
    ],
    ['nothing but commas', `tasks: [${fill(',', 200_000)}`, 'more_problems'],
    ['nothing but numbers', `tasks: [${fill('0,')}]`, 'too_large'],
    ['one key again and again', fill('a: b\n', 100_000), 'more_problems'],
    [
      'defaults that multiply',
      `defaults: { env: { A: "${'x'.repeat(30_000)}" } }\ntasks:\n${fill('- { name: A, run: x }\n', 100_000)}`,
      'too_large',
    ],
  ])('%s', (_name, source, code) => {
    const start = process.cpuUsage();
    const problems = problemsOf(source);
    const { user } = process.cpuUsage(start);
    expect(problems.map((problem) => problem.code)).toContain(code);
    expect(problems.length).toBeLessThanOrEqual(101);
    expect(Buffer.byteLength(JSON.stringify(problems))).toBeLessThan(100_000);
    // Two seconds on an idle machine; what the bounds keep out takes minutes.
    expect(user / 1e6).toBeLessThan(20);
  });

  test('a megabyte in one text is only large', () => {
    const text = 'é"\\ '.repeat(100_000);
    expect(inputOf(JSON.stringify(text))).toBe(text);
    expect(placesOf(`tasks: [{ name: A, input: ${JSON.stringify('x'.repeat(1_048_577))} }]`)).toEqual([
      '1:27 invalid_value',
    ]);
  });
});
