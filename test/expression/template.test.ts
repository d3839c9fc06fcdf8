/** Texts taken apart, and put together again with values. */
import { describe, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { compileTask, fillTask } from '../../src/expression/task-template.ts';
import { parseTemplate } from '../../src/expression/template.ts';
import fc from '../support/fast-check.ts';
import { now, scopeOf } from './support/evaluate.ts';

/** Literals as they are, expressions as {is}, secrets as {secret}. */
function partsOf(text: string) {
  const { parts, problems } = parseTemplate(text);
  if (problems.length > 0) return problems.map(({ code, at }) => `${code} ${at}`);
  return parts.map((part) => (typeof part === 'object' && 'text' in part ? { is: part.text } : part));
}

test.each<[string, unknown[]]>([
  ['plain', ['plain']],
  ['', []],
  ['$' + '{ x } $$ {{ }}', ['${ x } $$ {{ }}']],
  ['${{ input.a }}', [{ is: 'input.a' }]],
  ['${{input.a}}', [{ is: 'input.a' }]],
  ['a ${{ 1 }}${{ 2 }} b', ['a ', { is: '1' }, { is: '2' }, ' b']],
  ['${{ secrets.A }}', [{ secret: 'A' }]],
  ['Bearer ${{ secrets.T }} for ${{ input.u }}', ['Bearer ', { secret: 'T' }, ' for ', { is: 'input.u' }]],
  ['${{ {"a": {"b": 1}} }}', [{ is: '{"a": {"b": 1}}' }]],
  ['${{ {"a": {"b": 1}}}}', [{ is: '{"a": {"b": 1}}' }]],
  ['${{ "}}" + \'}}\' }} }}', [{ is: '"}}" + \'}}\'' }, ' }}']],
  ['${{ "\\"}}" }}', [{ is: '"\\"}}"' }]],
  ['${{ """a"}}""" }}', [{ is: '"""a"}}"""' }]],
  ['${{ "${{ input.a }}" }}', [{ is: '"${{ input.a }}"' }]],
  ['${{', ['invalid_expression 0']],
  ['a ${{ "}}', ['invalid_expression 2']],
  ['${{ }} ${{ ) }}', ['invalid_expression 3', 'invalid_expression 11']],
  ['${{ secrets.A.b }}', ['misplaced_secret 4']],
  ['${{ secrets.1 }}', ['invalid_expression 12']],
])('%s', (text, parts) => expect(partsOf(text)).toEqual(parts));

test('of one text a thousand expressions are read, and twenty problems told', () => {
  const many = parseTemplate('${{ 1 }}'.repeat(1_001));
  expect(many.problems).toMatchObject([{ code: 'too_large', at: 8_000 }]);
  expect(parseTemplate('${{ 1 }}'.repeat(1_000)).problems).toEqual([]);
  expect(parseTemplate('${{ ) }}'.repeat(50)).problems).toHaveLength(20);
});

function fill(texts: string[], input: Json) {
  const template = compileTask({ spec: { type: 'command', command: 'x', args: texts }, input: texts });
  const filled = fillTask(template, scopeOf(input), { now });
  return { args: (filled.spec as { args: unknown[] }).args, input: filled.input };
}

describe('filled', () => {
  test('a text has texts, an input values', () => {
    const texts = [
      '${{ input }}',
      '${{ null }}',
      'a${{ null }}b',
      '${{ [1, "x"] }}',
      '${{ secrets.A }}',
      'p',
    ];
    const { args } = fill(texts, { a: 1 });
    expect(args).toEqual(['{"a":1}', '', 'ab', '[1,"x"]', [{ secret: 'A' }], 'p']);
    expect(fill(texts.slice(0, 4), { a: 1 }).input).toEqual([{ a: 1 }, null, 'ab', [1, 'x']]);
  });

  test.each<[string, RegExp]>([
    ['${{ input.big }}', /^args\[1\]: .*more than 130000 bytes/],
    ['${{ "\\u0000" }}', /^args\[1\]: .*\\u0000/],
    ['${{ input.big + input.big }}', /^args\[1\]: .*more than 1048576 letters/],
    ['${{ [input.big, input.big] }}', /^args\[1\]: .*more than 1048576 letters of JSON/],
  ])('%s fails with its place', (text, said) => {
    expect(() => fill(['fine', text], { big: 'x'.repeat(900_000) })).toThrow(said);
  });

  test('texts and input have bounds as a whole', () => {
    const big = 'x'.repeat(120_000);
    expect(() =>
      fill(
        Array.from({ length: 10 }, () => '${{ input.big }}'),
        { big },
      ),
    ).toThrow('texts of this task exceed 1048576 bytes');
    const input = Array.from({ length: 10 }, () => '${{ input.big }}');
    const template = compileTask({ spec: null, input });
    expect(() => fillTask(template, scopeOf({ big }), { now })).toThrow('larger than 1048576 bytes');
  });

  test('what a value says is never taken for a template', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom('$', '{', '}', ' ', 'secrets.A', 'input.a', '"', 'x') }),
        (said) => {
          const { args, input } = fill(['${{ input.a }}', '${{ secrets.S }}${{ input.a }}'].slice(0, 1), {
            a: said,
          });
          expect([args, input]).toEqual([[said], [said]]);
          const mixed = compileTask({
            spec: { type: 'run', run: 'x', env: { A: '${{ secrets.S }}:${{ input.a }}' } },
            input: null,
          });
          const { spec } = fillTask(mixed, scopeOf({ a: said }), { now });
          expect(spec).toEqual({ type: 'run', run: 'x', env: { A: [{ secret: 'S' }, `:${said}`] } });
        },
      ),
    );
  });

  test('any JSON comes through as it is', () => {
    fc.assert(
      fc.property(fc.jsonValue({ maxDepth: 4 }), (value) => {
        const given = JSON.parse(
          JSON.stringify(value).replaceAll('__proto__', 'proto').replaceAll('\\u0000', ''),
        ) as Json;
        if (!JSON.stringify(given).isWellFormed()) return;
        const template = compileTask({
          spec: null,
          input: { v: '${{ input.v }}', again: ['${{ [input.v] }}'] },
        });
        const { input } = fillTask(template, scopeOf({ v: given }), { now });
        expect(input).toEqual({ v: given, again: [[given]] });
      }),
    );
  });
});
