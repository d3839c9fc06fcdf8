/** Definitions made to harm: each is a plan, or refused with a problem that points, well before the test gives up. */
import { describe, expect, test } from 'vitest';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import { compileCondition } from '../../src/expression/condition.ts';
import { compileValue } from '../../src/expression/value-template.ts';
import fc from '../support/fast-check.ts';
import { placesOf } from './support/parse.ts';

const repeat = (times: number, say: (index: number) => string) =>
  Array.from({ length: times }, (_, index) => say(index)).join('');
const task = (keys: string) => `tasks: [{ name: A, ${keys} }]`;
const maps = ['a', 'b', 'c', 'd', 'e', 'f'].reduce((inner, name) => `range(100).map(${name}, ${inner})`, '1');
const aliases = ['a', 'b', 'c', 'd', 'e'];

const refused: [what: string, source: string, places: string[]][] = [
  [
    'lists 70 deep in an expression',
    task(`if: "${'['.repeat(70)}1${']'.repeat(70)} == []"`),
    ['1:85 too_large'],
  ],
  ['lists 70 deep in "each"', task(`each: ${'['.repeat(70)}1${']'.repeat(70)}`), ['1:87 too_deep']],
  [
    'aliases of aliases in "each"',
    `tasks:\n  - { name: A, each: &x [${repeat(10, () => '1,')}] }\n${aliases
      .map(
        (name, at) =>
          `  - { name: ${name}, each: &${name} [${repeat(10, () => `*${aliases[at - 1] ?? 'x'},`)}] }\n`,
      )
      .join('')}`,
    ['7:35 too_large'],
  ],
  [
    'an aliased list of expressions in "output"',
    `output: [&a [${repeat(1_000, () => '"${{ 1 }}",')}], ${repeat(400, () => '*a,')}]\ntasks: [{ name: A }]`,
    ['1:9 invalid_value', '1:14 too_many_expressions'],
  ],
  ['a condition of a megabyte', task(`if: "${'a'.repeat(1_000_000)}"`), ['1:25 too_large']],
  ['a condition of opened brackets', task(`if: "${'${{ '.repeat(250_000)}"`), ['1:25 too_large']],
  ['an "each" of quotes', task(`each: "${"'".repeat(1_000_000)}"`), ['1:27 too_large']],
  ['a long "sleep"', task(`sleep: ${'9'.repeat(1_000_000)}d`), ['1:27 invalid_value']],
  ['a long event', task(`wait_for: ${'x'.repeat(1_000_000)}`), ['1:30 invalid_value']],
  ['a long name of a definition', task(`process: ${'x'.repeat(1_000_000)}`), ['1:29 invalid_value']],
  ['a long deadline', `deadline: "${'1'.repeat(1_000_000)}"\n${task('run: x')}`, ['1:11 invalid_value']],
  [
    'a pattern that goes back and forth',
    task(`each: '"aaaa!".matches("(a+)+$")'`),
    ['1:27 invalid_expression'],
  ],
  [
    'a matrix of a million',
    task(`matrix: { ${repeat(20, (at) => `m${at}: [1, 2],`)} }`),
    ['1:28 invalid_value'],
  ],
  ['__proto__ in a matrix', task('matrix: { __proto__: [1], a: [1] }'), ['1:30 unstorable_value']],
  [
    '__proto__ as a process input',
    task('process: { definition: x, input: { __proto__: 1 } }'),
    ['1:55 unstorable_value'],
  ],
  ['__proto__ in an expression', task('each: "[{\'__proto__\': 1}]"'), ['1:29 invalid_expression']],
  ['a name of 300 letters', `tasks: [{ name: ${'x'.repeat(300)}, each: [1] }]`, ['1:17 invalid_value']],
];

const accepted: [what: string, source: string][] = [
  ['lists 59 deep in "each"', task(`each: ${'['.repeat(59)}1${']'.repeat(59)}`)],
  ['six maps, which only their evaluation stops', task(`if: "${maps}.size() == 1"`)],
  ['__proto__ asked for, which is never there', task('if: input.__proto__.polluted == 1')],
  [
    'names with quotes, emoji and brackets',
    JSON.stringify({
      tasks: [
        { name: `it's "A" 👩‍👩‍👧 [0`, each: [1] },
        { name: 'B', needs: `it's "A" 👩‍👩‍👧 [0`, if: `tasks["it's \\"A\\" 👩‍👩‍👧 [0"].output == [1]` },
      ],
    }),
  ],
  [
    'five thousand tasks, each with a condition',
    `tasks:\n${repeat(5_000, (at) => `  - { name: t${at}, run: x, if: input.n > ${at} && !failure() }\n`)}`,
  ],
  [
    'ten thousand tasks, each with items of the one before',
    `tasks:\n  - { name: t0 }\n${repeat(
      9_999,
      (at) => `  - { name: t${at + 1}, each: tasks.t${at}.output, needs: [t${at}], run: x }\n`,
    )}`,
  ],
  [
    'a hundred thousand needs, and conditions about them',
    `tasks:\n${repeat(1_000, (at) => {
      const needs = Array.from({ length: Math.min(at, 100) }, (_, back) => `t${at - 1 - back}`);
      const condition = at < 100 ? 'true' : `tasks.t${at - 100}.output == 1`;
      return `  - { name: t${at}, if: "${condition}", needs: [${needs.join()}] }\n`;
    })}`,
  ],
  [
    'ten thousand definitions on one line',
    JSON.stringify({
      tasks: Array.from({ length: 10_000 }, (_, at) => ({
        name: `t${at}`,
        process: { definition: `d${at}` },
      })),
    }),
  ],
];

describe('refused', () => {
  test.each(refused)('%s', (_what, source, places) => {
    expect(placesOf(source)).toEqual(places);
  });
});

describe('a plan', () => {
  test.each(accepted)('%s', (_what, source) => {
    expect(parseDefinition(source).kind).toBe('valid');
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });
});

/** Every key of the language with anything in it: what fits, what nearly fits, and what never does. */
const anything = fc.oneof(
  fc.constantFrom<unknown>(
    ...[
      null,
      true,
      0,
      -1,
      1.5,
      '',
      'x',
      '10m',
      '0s',
      '${{',
      '}}',
      '${{ }}',
      'payout',
      '2030-01-01T00:00:00Z',
    ],
    ...['${{ item }}', '${{ index }}', '${{ input.a }}', '${{ tasks.A.output }}', '${{ tasks.B.output }}'],
    ...['item', 'failure()', 'input.a > 1', '!always() && success()', '${{ secrets.A }}', '[1, 2] // it'],
    ...['${{ 1 }}${{ 2 }}', '{"a": {"b": [1]}}.a.b', 'x ${{ "}}" }} y', 'a'.repeat(5_000), '\u{1F3A3}\n"'],
  ),
  fc.jsonValue({ maxDepth: 3 }),
);
const someOf = (keys: string[]) => fc.dictionary(fc.constantFrom(...keys), anything, { maxKeys: 5 });
const anyTask = fc
  .tuple(
    someOf([
      ...[
        'if',
        'each',
        'matrix',
        'concurrency',
        'max_failures',
        'process',
        'sleep',
        'wait_for',
        'delay',
        'run_at',
      ],
      ...['input', 'run', 'env', 'retry', 'needs', 'type'],
    ]),
    fc.record(
      {
        process: someOf(['definition', 'version', 'input', 'detached']),
        matrix: someOf(['a', 'b', 'constructor']),
        each: fc.array(anything, { maxLength: 3 }),
        sleep: someOf(['until', 'for']),
        wait_for: someOf(['event', 'key', 'timeout']),
      },
      { requiredKeys: [] },
    ),
  )
  .map(([keys, maps]) => ({ name: 'B', ...keys, ...maps }));

test('whatever its keys hold, a definition is a plan that can be read, or has problems that point', () => {
  fc.assert(
    fc.property(
      fc.array(anyTask, { maxLength: 2 }),
      someOf(['output', 'on_failure', 'deadline']),
      (tasks, ends) => {
        const definition = {
          tasks: [{ name: 'A' }, ...tasks.map((each, at) => ({ ...each, name: `B${at}` }))],
          ...ends,
        };
        const source = JSON.stringify(definition, null, 1);
        const parsed = parseDefinition(source);
        if (parsed.kind === 'invalid') {
          const lines = source.split('\n');
          for (const { line, column, message } of parsed.problems) {
            expect(lines[line - 1], message).toBeDefined();
            expect(column).toBeLessThanOrEqual((lines[line - 1]?.length ?? 0) + 1);
          }
          return;
        }
        for (const task of parsed.plan.tasks) {
          if (task.if !== undefined) expect(compileCondition(task.if).failure).toBeNull();
          for (const value of [
            task.each,
            task.matrix,
            task.process,
            task.sleep,
            task.wait_for,
            parsed.plan.output,
          ]) {
            if (value !== undefined) expect(compileValue(value, 'x').failure).toBeNull();
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});
