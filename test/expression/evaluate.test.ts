/** What expressions come to: every operator and function, and every way to fail. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { functionRules } from '../../src/expression/functions.ts';
import { resultOf, scopeOf } from './support/evaluate.ts';

const input: Json = {
  n: 7,
  half: 0.5,
  text: 'Über uns 🎣',
  empty: '',
  nothing: null,
  yes: true,
  list: [3, 1, 2],
  words: ['b', 'a', 'B'],
  map: { b: 1, a: { c: [10, 20] } },
  people: [
    { name: 'Ann', age: 30, admin: true },
    { name: 'Bob', age: 20, admin: false },
  ],
  constructor: { toString: 1 },
};

const values: [expression: string, value: Json][] = [
  ['1', 1],
  ['-1.5e3', -1500],
  ['0x1f', 31],
  ["'it\\'s'.size()", 4],
  ['"a\\tb\\u00e9\\U0001F3A3"', 'a\tbé🎣'],
  ['r"a\\d"', 'a\\d'],
  ['"""a\nb"""', 'a\nb'],
  ['[1, "a", null, [true]]', [1, 'a', null, [true]]],
  ['{"a": 1, b: {"c d": [2]}}', { a: 1, b: { 'c d': [2] } }],
  ['input.n // the rest of a line', 7],
  ['input.n + 1', 8],
  ['1 + input.half', 1.5],
  ['7 / 2', 3.5],
  ['input.n / 2', 3.5],
  ['input.n % 4 - 2 * 3', -3],
  ['-input.n', -7],
  ['input.text + "!"', 'Über uns 🎣!'],
  ['[1] + input.list', [1, 3, 1, 2]],
  ['1 == 1.0', true],
  ['input.map == {"a": {"c": [10, 20]}, "b": 1}', true],
  ['input.list != [3, 1, 2]', false],
  ['input.nothing == null', true],
  ['input.n == null', false],
  ['1 < 2 && "a" < "b" && !(2 >= 3)', true],
  ['2 in input.list', true],
  ['{"a": [1]} in [{"a": [1]}]', true],
  ['"a" in input.map', true],
  ['"constructor" in input.map', false],
  ['input.n > 5 ? "large" : "small"', 'large'],
  ['true || input.nope', true],
  ['input.nope || true', true],
  ['input.nope && false', false],
  ['input.map.a.c[1]', 20],
  ['input["map"]["a"]["c"][input.map.b]', 20],
  ['input.constructor.toString', 1],
  ['tasks["Build"].output.n + tasks.Build.attempts', 7],
  ['tasks.Build.state + process.id', 'completedp1'],
  ['tasks.Build.error == null', true],
  ['process', { id: 'p1', definition: 'loan', version: 3 }],

  ['input.text.upper()', 'ÜBER UNS 🎣'],
  ['lower("ÄB")', 'äb'],
  ['"a".upperAscii() + "B".lowerAscii()', 'Ab'],
  ['trim("  a b\\n")', 'a b'],
  ['input.text.contains("uns")', true],
  ['startsWith(input.text, "Üb")', true],
  ['"abc".endsWith("c")', true],
  ['"🎣x".indexOf("x")', 1],
  ['"abc".indexOf("z")', -1],
  ['"a🎣c".substring(1)', '🎣c'],
  ['"a🎣c".substring(1, 2)', '🎣'],
  ['"a.b.c".replace(".", "$&")', 'a$&b$&c'],
  ['"a,b,,c".split(",")', ['a', 'b', '', 'c']],
  ['"a🎣".split("")', ['a', '🎣']],
  ['["a", 1, true].join("-")', 'a-1-true'],
  ['input.words.join()', 'baB'],
  ['string(1.5) + string("a") + string(null) + string([1])', '1.5anull[1]'],
  ['to_json({"a": "x\\"y"})', '{"a":"x\\"y"}'],
  ['json("{\\"a\\": [1, null]}").a[0]', 1],
  [
    '[type(1), type("a"), type(true), type(null), type([]), type({})]',
    ['number', 'string', 'boolean', 'null', 'array', 'object'],
  ],
  ['number(" 1.5e2 ") + double("1") + number(true)', 152],
  ['[int("-3.9"), int(3.9), int(true)]', [-3, 3, 1]],
  ['[abs(-2), floor(1.9), ceil(1.1), round(2.5), round(-2.5)]', [2, 1, 2, 3, -3]],
  ['random_int(1, 10)', 6],
  ['[size(input.list), size(input.map), size("a🎣"), size([])]', [3, 2, 2, 0]],
  ['input.people.map(p, p.name)', ['Ann', 'Bob']],
  ['input.people.map(p, p.admin, p.age * 2)', [60]],
  ['input.people.filter(p, p.age < 25).map(p, p.name)', ['Bob']],
  ['input.map.map(k, k)', ['b', 'a']],
  [
    'input.list.map(a, input.list.map(b, a * b))',
    [
      [9, 3, 6],
      [3, 1, 2],
      [6, 2, 4],
    ],
  ],
  [
    '[input.list.all(x, x > 0), input.list.exists(x, x > 2), input.list.exists_one(x, x > 1)]',
    [true, true, false],
  ],
  ['[[].all(x, x), [].exists(x, x)]', [true, false]],
  ['input.people.exists(p, p.nope || p.admin)', true],
  ['input.list.sort()', [1, 2, 3]],
  ['input.words.sort()', ['B', 'a', 'b']],
  ['input.list.sum() + [].sum()', 6],
  ['[min(input.list), max(input.words), min(2, 1), max("a", "b")]', [1, 'b', 1, 'b']],
  ['[1, [2, [3]], []].flatten()', [1, 2, [3]]],
  [
    '[1, 1.0, "1", {"a": 1, "b": 2}, {"b": 2, "a": 1}, [1], "[1]", null, null].unique()',
    [1, '1', { a: 1, b: 2 }, [1], '[1]', null],
  ],
  ['range(3) + range(5, 7) + range(0) + range(3, 1)', [0, 1, 2, 5, 6]],
  ['keys(input.map) + values({"x": 1})', ['b', 'a', 1]],
  ['now()', '2026-01-31T08:00:00.123Z'],
  ['parse_time("2026-01-31T10:00:00+02:00") < now()', true],
  ['parse_time("2026-02-28")', '2026-02-28T00:00:00.000Z'],
  ['parse_time(0)', '1970-01-01T00:00:00.000Z'],
  ['add_time(now(), "2h")', '2026-01-31T10:00:00.123Z'],
  ['now().add_time("-1.5d")', '2026-01-29T20:00:00.123Z'],
  ['now().format_time("DD.MM.YYYY HH:mm:ss.SSS")', '31.01.2026 08:00:00.123'],
  ['epoch_ms("1970-01-01T00:00:01Z")', 1000],
  ['default(input.nope, "x")', 'x'],
  ['default(input.nothing, "x")', 'x'],
  ['default(input.nothing.deep.er, "x")', 'x'],
  ['input.list[9].default(0)', 0],
  ['default(input.empty, "x")', ''],
  ['default([].min(), 0)', 0],
  [
    '[has(input.n), has(input.nope), has(input.nope.deep), has(input.nothing), has(input["n"]), has(input.list[3])]',
    [true, false, false, true, true, false],
  ],
];

test.each(values)('%s', (expression, value) => expect(resultOf(expression, input)).toEqual(value));

const failures: [expression: string, said: string | RegExp][] = [
  ['input.nope', 'there is no "nope"; default(…, …) says what to take instead'],
  ['input.nothing.deep', 'null has no "deep"'],
  ['input.text.size.deep', 'text has no "size"'],
  ['input.list["a"]', 'a list has no "a"'],
  ['input.list[0.5]', 'a place in a list is a whole number, not 0.5'],
  ['input.list[-1]', 'there is no [-1] in a list of 3'],
  ['input.map[0]', 'a map has no [0]'],
  ['input.map.constructor', 'there is no "constructor"'],
  ['input.map["__proto__"]', 'there is no "__proto__"'],
  ['input.map.hasOwnProperty', 'there is no "hasOwnProperty"'],
  ['input.list.length', 'a list has no "length"'],
  ['input.n + input.text', '+ takes two numbers, texts or lists, not a number and text; string(…) makes'],
  ['input.n - input.text', '- takes numbers, not text'],
  ['-input.text', '- takes numbers, not text'],
  ['input.n < input.text', '< takes two numbers or two texts, not a number and text'],
  ['input.n / 0', '7 / 0 has no answer'],
  ['input.n % (input.n - 7)', '7 % 0 has no answer'],
  ['1e308 * 10', 'too large for JSON'],
  ['!input.n', '! takes true or false, not a number'],
  ['input.n && true', '&& takes true or false'],
  ['input.n ? 1 : 2', 'takes true or false'],
  ['default(input.n + input.text, 1)', '+ takes'],
  ['1 in input.text', 'in takes a list or a map, not text; of a text use contains'],
  ['1 in input.map', 'the keys of a map are texts'],
  ['{input.text: 1, input.n: 2}', 'the keys of a map are texts, not a number'],
  ['{"__pro" + "to__": 1}', 'the key "__proto__" is not accepted'],
  ['upper(input.n)', 'upper takes text, not a number'],
  ['size(input.n)', 'size takes a list, a map or text, not a number'],
  ['input.n.map(x, x)', 'map takes a list or a map, not a number'],
  ['input.list.filter(x, x)', 'the condition of filter takes true or false'],
  ['input.list.all(x, input.nope)', 'there is no "nope"'],
  ['[1, "a"].sort()', 'sort takes two numbers or two texts'],
  ['[true].sort()', 'sort takes two numbers or two texts, not a boolean'],
  ['["a"].sum()', 'sum takes numbers, not text'],
  ['[].min()', 'min of an empty list'],
  ['min(1)', 'min takes a list, or two values'],
  ['[[1]].join()', 'join takes texts, numbers and booleans, not a list'],
  ['"abc".substring(2, 9)', 'is not within a text of 3 letters'],
  ['"abc".replace("", "x")', 'says nothing to be replaced'],
  ['json("{")', 'a text that is not JSON'],
  ['json("{\\"__proto__\\": 1}")', 'the key "__proto__" is not accepted'],
  ['number("1x")', '"1x" is not a number'],
  ['int("Infinity")', '"Infinity" is not a number'],
  ['number("1e999")', 'is not a number'],
  ['random_int(2, 1)', 'takes two whole numbers, the smaller first'],
  ['range(0.5)', 'range(0, 0.5) takes whole numbers'],
  ['range(100001)', 'more than 100000 numbers'],
  ['parse_time("tomorrow")', '"tomorrow" is not a time'],
  ['parse_time("2026-02-30")', 'is not a time'],
  ['parse_time("2026-01-31T08:00:00")', 'is not a time'],
  ['add_time(now(), "soon")', '"soon" is not a duration'],
  ['add_time("9999-12-31", "7d")', 'between the years 1 and 9999'],
  ['"x".replace("x", "yyyyyyyyyy").split("").map(x, range(100000)).size()', /takes more than \d+ steps/],
];

test.each(failures)('%s fails', (expression, said) =>
  expect(() => resultOf(expression, input)).toThrow(said),
);

test('every function is tested and stands in the README', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../src/expression/README.md'), 'utf8');
  for (const name of functionRules.keys()) {
    expect(readme, name).toMatch(new RegExp(`[\`.]${name}[(\`]`));
    const used = values.some(([expression]) => new RegExp(`\\b${name}\\(`).test(expression));
    expect(used, name).toBe(true);
  }
});

describe('nothing of JavaScript is reached', () => {
  test.each([
    'input.constructor.constructor("return process")()',
    'input.map.constructor.prototype',
    'input["constructor"]["prototype"]',
    '"a".constructor',
    '(1).toString()',
    'input.list.map(x, x.__proto__)',
    'input.list.push(1)',
    'this.process',
    'globalThis',
    'process.env',
    'process.mainModule',
    'default(input.list.__proto__.polluted, {}).x',
  ])('%s', (expression) => {
    expect(() => resultOf(expression, { map: {}, list: [1] })).toThrow();
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('and what the scope holds is never changed', () => {
    const frozen = deepFreeze({ list: [3, 1, 2], map: { a: [1] } }) as Json;
    for (const expression of [
      'input.list.sort()',
      'input.list + [1]',
      'input.list.unique()',
      'input.map',
      'process',
    ])
      expect(() => resultOf(expression, frozen)).not.toThrow();
    expect(frozen).toEqual({ list: [3, 1, 2], map: { a: [1] } });
    expect(scopeOf(frozen).process.id).toBe('p1');
  });
});

function deepFreeze(value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    for (const each of Object.values(value)) deepFreeze(each);
    Object.freeze(value);
  }
  return value;
}
