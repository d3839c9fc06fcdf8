/** Hostile expressions end: with a value, or with a sentence that says why not. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { typeOfExpression } from '../../src/expression/check-types.ts';
import { evaluate } from '../../src/expression/evaluate.ts';
import { ExpressionFailure, Meter } from '../../src/expression/limits.ts';
import { parseExpression } from '../../src/expression/parse.ts';
import { parseTemplate } from '../../src/expression/template.ts';
import { toText } from '../../src/expression/values.ts';
import fc from '../support/fast-check.ts';
import { nodeOf, now, scopeOf } from './support/evaluate.ts';

const people = Array.from({ length: 20_000 }, (_, id) => ({ id, name: `name ${id}` }));
const big = 'x'.repeat(1_000_000);
const input: Json = {
  big,
  other: `${big.slice(1)}y`,
  people,
  numbers: Array.from({ length: 100_000 }, (_, index) => (index * 7_919) % 100_003),
  texts: people.map(({ name }) => `name name name name ${name}`),
  byName: Object.fromEntries(people.map((each) => [each.name, each])),
  json: JSON.stringify(people),
};

const names = ['a', 'b', 'c', 'd', 'e', 'f'];
const nested = (list: string, body: string) =>
  names.reduce((inner, name) => `${list}.map(${name}, ${inner})`, body);

const hostile = [
  nested('range(100)', '1'),
  nested('input.people', 'a.id + f.id'),
  'range(100000).all(a, range(100000).all(b, range(100000).all(c, true)))',
  'range(100000).exists(x, input.nope)',
  'range(100000).map(x, default(input.nope, x))',
  'range(100000).map(x, input.big == input.other)',
  'range(100000).map(x, input.big < input.other)',
  'range(100000).map(x, input.big.upper())',
  'range(100000).map(x, input.big + string(x))',
  'range(100000).map(x, input.big.size())',
  'range(100000).map(x, input.big.substring(5, 9))',
  'range(100000).map(x, input.big.split("x"))',
  'range(100000).map(x, input.json.split(","))',
  'range(100000).map(x, input.numbers + input.numbers)',
  'range(100000).map(x, 5 in input.numbers)',
  'range(100000).map(x, [input.numbers, input.numbers].flatten())',
  'range(100000).map(x, input.byName.size())',
  'range(100000).map(x, keys(input.byName))',
  'range(100000).map(x, json("[1, 2]"))',
  'range(100000).map(x, to_json({"a": [1, 2]}))',
  'range(100000).map(x, format_time(now(), "YYYY-MM-DD"))',
  'range(100000).map(x, x.string().number())',
  'range(100000).map(x, {"a": x, "b": string(x)})',
  'range(100000).map(x, random_int(1, 5))',
  'range(30).map(i, input.big + string(i % 7)).sort()',
  'input.texts.map(x, input.texts.map(y, x < y))',
  'input.texts.sort() + input.texts.unique()',
  'input.people.unique()',
  'json(input.json) == json(input.json)',
  'input.big.replace("x", input.json)',
  'input.big.split("").join(input.big)',
  'input.numbers.sort().map(x, input.numbers.sort())',
  names.reduce((over, name) => `${over}.map(${name}, [${Array(8).fill(name).join()}])`, '[input.big]'),
];

describe('ends within its steps', () => {
  test.each(hostile)('%s', (text) => {
    const node = nodeOf(text);
    const started = process.cpuUsage();
    const meter = new Meter();
    try {
      const value = evaluate(node, scopeOf(input), { meter, now, random: Math.random });
      toText(value, meter);
    } catch (error) {
      expect(error).toBeInstanceOf(ExpressionFailure);
      expect((error as Error).message).toMatch(/more than|makes|is a value/);
    }
    // 10 to 50 ms where nothing else runs; the tests share their cores.
    expect(process.cpuUsage(started).user / 1_000).toBeLessThan(400);
  });
});

const refused: [code: string, text: string][] = [
  ['too_large', `${'!'.repeat(3_990)}true`],
  ['too_large', `${'('.repeat(200)}1${')'.repeat(200)}`],
  ['too_large', `${'[1, '.repeat(200)}1${']'.repeat(200)}`],
  ['too_large', `${'-'.repeat(900)}1`],
  ['too_large', Array.from({ length: 900 }, () => '1').join('+')],
  ['too_large', 'a'.repeat(4_001)],
  ['invalid_expression', '"a'],
  ['invalid_expression', "'(a+)+$'.matches('(a+)+$')"],
  ['invalid_expression', 'input.?a'],
  ['invalid_expression', '1u'],
  ['invalid_expression', 'b"a"'],
  ['unknown_name', 'cel.bind(x, 1, x)'],
  ['unknown_name', 'optional.of(1)'],
  ['invalid_expression', 'map(input.a, 1)'],
  ['invalid_expression', 'input.a.map(1, 2)'],
  ['invalid_expression', 'input.a.map(x)'],
  ['invalid_expression', 'input.a.map(x, input.b.map(x, 1))'],
  ['invalid_expression', 'has(1)'],
  ['invalid_expression', 'failure(1)'],
  ['invalid_expression', 'input.a.always()'],
  ['unknown_name', 'canceled()'],
];

test.each(refused.map(([code, text]) => [code, text.slice(0, 60), text]))('%s: %s', (code, _shown, text) => {
  const parsed = parseExpression(text);
  expect(parsed).toMatchObject({ kind: 'problem', problem: { code } });
});

/** Words that make sense often enough. */
const word = fc.constantFrom(
  ...[
    'input',
    '.a',
    '.list',
    '.map(x, ',
    '.filter(y, ',
    'x',
    'y',
    '(',
    ')',
    '[',
    ']',
    '{',
    '}',
    ',',
    ':',
    '?',
  ],
  ...[
    '+',
    '-',
    '*',
    '/',
    '%',
    '==',
    '!=',
    '<',
    '>=',
    '&&',
    '||',
    '!',
    'in',
    '1',
    '2.5',
    '"t"',
    'null',
    'true',
  ],
  ...[
    'range(',
    'size(',
    '.sort()',
    '.join(",")',
    '.unique()',
    'default(',
    'has(',
    'tasks["A"].output',
    'process.id',
  ],
  ...['__proto__', 'constructor', '.prototype', 'secrets.X', "'", '"', '\\', '}}', '${{', ' ', '\n'],
);

test('whatever is written is a problem, a value or a failure; nothing is thrown, nothing polluted', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(word, { maxLength: 25 }).map((words) => words.join('')),
        fc.string({ maxLength: 80 }),
      ),
      (text) => {
        const parsed = parseExpression(text);
        parseTemplate(`a \${{ ${text} }} b`);
        if (parsed.kind === 'problem') {
          expect(parsed.problem.at).toBeGreaterThanOrEqual(0);
          expect(parsed.problem.at).toBeLessThanOrEqual(text.length);
          return;
        }
        typeOfExpression(parsed.node, new Map([['a', 'number']]));
        const meter = new Meter();
        try {
          const scope = scopeOf({ a: 5, list: [1, 'a', { b: null }] });
          const value = evaluate(parsed.node, scope, { meter, now, random: Math.random });
          expect(JSON.stringify(value)).toBeTypeOf('string');
        } catch (error) {
          expect(error).toBeInstanceOf(ExpressionFailure);
        }
        expect(Object.keys(Object.prototype)).toEqual([]);
      },
    ),
    { numRuns: 5_000 },
  );
});

test('what the types forbid fails when it is evaluated too', () => {
  fc.assert(
    fc.property(
      fc.array(word, { maxLength: 12 }).map((words) => words.join('')),
      (text) => {
        const parsed = parseExpression(text);
        if (parsed.kind === 'problem') return;
        const found = typeOfExpression(parsed.node, new Map());
        if (found.kind === 'type') return;
        if (/never the same|\?|&&|\|\||map|filter|default|has/.test(found.problem.message + text)) return;
        const run = () =>
          evaluate(parsed.node, scopeOf({ a: 5, list: [] }), { meter: new Meter(), now, random: () => 0 });
        expect(run, text).toThrow(ExpressionFailure);
      },
    ),
    { numRuns: 5_000 },
  );
});
