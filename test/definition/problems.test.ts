/** Every problem there can be, each with its place. ▸ stands before what is wrong. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { planLimits } from '../../src/core/plan.ts';
import { placesOf, problemsOf, unmark } from './support/parse.ts';

type Case = [code: string, marked: string, said: string | RegExp, suggestion?: string];

const syntax: Case[] = [
  ['invalid_yaml', 'tasks:\n  - name: ▸@A', 'cannot start with reserved character @'],
  ['invalid_yaml', 'tasks:\n▸\t- name: A', 'Tabs are not allowed as indentation'],
  ['invalid_yaml', 'tasks: ▸A: B', 'text with ": " in it needs quotes'],
  ['invalid_yaml', '{"tasks": [{"name": "A"}]▸', 'must end with a }'],
  ['invalid_yaml', '{"tasks": [{"name": "▸\\q"}]}', 'Invalid escape sequence \\q'],
  ['invalid_yaml', 'tasks:\n  - name: A\n▸B', /implicit|Implicit/i],
  ['invalid_yaml', '▸[a, b]: 1', /keys/],
  ['unsupported_yaml', '▸%YAML 1.1\n---\ntasks: []', 'directives other than %YAML 1.2'],
  ['unsupported_yaml', '▸%TAG ! tag:example.com,2000:\n---\ntasks: []', 'directives'],
  ['unsupported_yaml', 'tasks: [{ name: A }]\n▸---\ntasks: [{ name: B }]', 'a second document'],
  ['unsupported_yaml', 'tasks: [{ name: !person ▸A }]', 'the tag "!person" is not accepted'],
  ['unsupported_yaml', 'tasks: [{ name: A, input: !!binary ▸aGk= }]', 'tag:yaml.org,2002:binary'],
  ['unsupported_yaml', 'defaults: &d {}\ntasks:\n  - name: A\n    ▸<<: *d', 'use "defaults"'],
  ['duplicate_key', 'tasks:\n  - name: A\n    ▸name: B', 'the key "name" is there twice'],
  ['unknown_alias', 'tasks: [{ name: A, input: ▸*x }]', 'there is no anchor "x" above'],
  ['unknown_alias', 'tasks: [{ name: A, input: &x { me: ▸*x } }]', 'stands within itself'],
  ['unstorable_value', 'tasks: [{ name: ▸"A\\0" }]', 'the character \\u0000'],
  ['unstorable_value', 'tasks: [{ name: A, input: { deep: [▸"\\ud800"] } }]', 'half of a surrogate pair'],
  ['unstorable_value', 'tasks: [{ name: A, input: { ▸"\\ud800": 1 } }]', 'this key has half of a surrogate'],
  ['unstorable_value', 'tasks: [{ name: A, input: { ▸__proto__: 1 } }]', 'the key "__proto__"'],
  ['unstorable_value', 'input:\n  ▸__proto__: { type: string }\ntasks: [{ name: A }]', '"__proto__"'],
  ['unstorable_value', 'tasks: [{ name: A, input: ▸.inf }]', '.inf is not a number that JSON can hold'],
  ['unstorable_value', 'tasks: [{ name: A, input: ▸-.INF }]', '-.INF is not a number'],
  ['unstorable_value', 'tasks: [{ name: A, input: ▸.nan }]', '.nan is not a number'],
  ['unstorable_value', 'tasks: [{ name: A, priority: ▸1e999 }]', '1e999 is not a number'],
  ['inexact_number', 'tasks: [{ name: A, input: ▸9007199254740993 }]', 'would be rounded'],
  ['inexact_number', '{"tasks": [{"name": "A", "input": [▸-12345678901234567890]}]}', 'write it in quotes'],
  ['inexact_number', 'tasks: [{ name: A, input: ▸0xffffffffffffffff }]', 'would be rounded'],
  ['inexact_number', 'tasks: [{ name: A, input: ▸9007199254740993.5 }]', 'would be rounded'],
  ['inexact_number', 'tasks: [{ name: A, input: ▸900719925474099.3e1 }]', 'would be rounded'],
];

const keys: Case[] = [
  ['wrong_type', '▸- name: A', 'a definition is a map with tasks, but this is a list'],
  ['wrong_type', '▸just words', 'but this is text'],
  ['wrong_type', 'tasks: ▸{ A: { run: x } }', 'tasks must be a list, not a map'],
  ['wrong_type', 'tasks: [▸A]', 'a task is a map with a name, not text'],
  ['wrong_type', 'tasks: [{ name: ▸5 }]', 'name must be text, not a number: write it in quotes'],
  ['wrong_type', 'tasks: [{ name: ▸~ }]', 'name must be text, but there is nothing'],
  ['wrong_type', 'name: ▸[x]\ntasks: [{ name: A }]', 'name must be text, not a list'],
  ['wrong_type', 'fail_fast: ▸no\ntasks: [{ name: A }]', 'fail_fast must be true or false, not text'],
  ['wrong_type', 'tasks: [{ name: A, priority: ▸high }]', 'priority must be a number, not text'],
  ['wrong_type', 'tasks: [{ name: A, priority: ▸1.5 }]', 'priority must be a whole number'],
  ['wrong_type', 'tasks: [{ name: A, retry: ▸3 }]', 'retry must be a map, not a number'],
  [
    'wrong_type',
    'tasks: [{ name: A, retry: { on: { exit_codes: ▸75 } } }]',
    'retry.on.exit_codes must be a list, not a number',
  ],
  [
    'wrong_type',
    'tasks: [{ name: A, needs: ▸{ B: 1 } }]',
    'needs must be a list of names of tasks, not a map',
  ],
  ['wrong_type', 'tasks: [{ name: A, needs: [▸1] }]', 'needs[0] must be the name of a task, not a number'],
  [
    'wrong_type',
    'tasks: [{ name: A, command: x, args: [a, ▸1] }]',
    'args[1] must be text, not a number: write it in quotes',
  ],
  [
    'wrong_type',
    'tasks: [{ name: A, run: x, env: { PORT: ▸80 } }]',
    'env.PORT must be text, not a number: write it in quotes',
  ],
  [
    'wrong_type',
    'tasks: [{ name: A, labels: { "my own": ▸true } }]',
    'labels["my own"] must be text, not a boolean',
  ],
  ['wrong_type', 'input: ▸[a]\ntasks: [{ name: A }]', 'input must be a map, not a list'],
  ['wrong_type', 'input: { a: ▸string }\ntasks: [{ name: A }]', 'a map such as { type: string }, not text'],
  ['wrong_type', 'defaults: ▸5\ntasks: [{ name: A }]', 'defaults must be a map, not a number'],
  ['missing_key', '▸name: x', 'tasks is missing'],
  ['missing_key', 'tasks:\n  - ▸queue: people', 'name is missing'],
  ['missing_key', 'tasks: [▸{}]', 'name is missing'],
  ['invalid_value', 'tasks: [{ name: ▸"" }]', 'name must not be empty'],
  ['invalid_value', `tasks: [{ name: ▸${'a'.repeat(300)} }]`, 'name is longer than 200 letters'],
  ['invalid_value', 'tasks: [{ name: A, priority: ▸10 }]', 'priority must be at most 9'],
  ['invalid_value', 'tasks: [{ name: A, priority: ▸-1 }]', 'priority must be at least 0'],
  ['invalid_value', 'tasks: [{ name: A, timeout: ▸soon }]', 'timeout is not a duration: write 500ms'],
  ['invalid_value', 'tasks: [{ name: A, timeout: ▸0s }]', 'timeout must be longer than 0'],
  ['invalid_value', 'tasks: [{ name: A, timeout: ▸9999d }]', 'timeout is longer than 3650d'],
  ['invalid_value', 'tasks: [{ name: A, queue: ▸$engine }]', 'queue begins with "$"'],
  ['invalid_value', 'tasks: [{ name: A, retry: { attempts: ▸0 } }]', 'retry.attempts must be at least 1'],
  [
    'invalid_value',
    'tasks: [{ name: A, retry: { on: ▸{} } }]',
    'retry.on names no failure: give it exit_codes, codes or both',
  ],
  [
    'invalid_value',
    'tasks: [{ name: A, retry: { on: { codes: ▸[] } } }]',
    'retry.on.codes must not be empty',
  ],
  [
    'invalid_value',
    'tasks: [{ name: A, retry: { on: { exit_codes: [75, ▸256] } } }]',
    'retry.on.exit_codes[1] must be at most 255',
  ],
  [
    'invalid_value',
    'defaults: { retry: { within: ▸367d } }\ntasks: [{ name: A }]',
    'defaults.retry.within is longer than 366d',
  ],
  [
    'invalid_value',
    'tasks: [{ name: A, retry: { backoff: ▸exponental } }]',
    'retry.backoff must be one of fixed, linear, exponential',
    'exponential',
  ],
  [
    'invalid_value',
    'tasks: [{ name: A, run: x, env: { ▸1A: b } }]',
    'is not a name for an environment variable',
  ],
  ['invalid_value', `tasks: [{ name: A, labels: { ▸${'a'.repeat(64)}: b } }]`, 'is longer than 63 letters'],
  [
    'invalid_value',
    'tasks: [{ name: A, command: x, run: ▸y }]',
    'one of "command", "run", "handler" and "image"',
  ],
  ['invalid_value', 'tasks: [{ name: A, type: ▸run }]', 'type is "run", but there is no "run"'],
  ['invalid_value', 'tasks: [{ name: A, args: ▸[x] }]', 'args goes with "command"'],
  [
    'invalid_value',
    'tasks: [{ name: A, handler: h, env: ▸{ B: c } }]',
    'env goes with "command", "run" or "image"',
  ],
  ['invalid_value', 'input: { ▸"": {} }\ntasks: [{ name: A }]', 'the name of an input has 1 to 200 letters'],
  [
    'invalid_value',
    'input: { a: { type: ▸text } }\ntasks: [{ name: A }]',
    'input.a.type must be one of string,',
  ],
  ['invalid_value', 'input: { a: { enum: ▸[] } }\ntasks: [{ name: A }]', 'input.a.enum must not be empty'],
  ['unknown_key', '▸taks: []\ntasks: [{ name: A }]', 'unknown key "taks"', 'tasks'],
  ['unknown_key', 'tasks: [{ name: A, ▸need: [] }]', 'unknown key "need"', 'needs'],
  [
    'unknown_key',
    'tasks: [{ name: A, ▸continueOnError: true }]',
    'unknown key "continueOnError"',
    'continue_on_error',
  ],
  ['unknown_key', 'tasks: [{ name: A, ▸idempotency_key: x }]', 'unknown key "idempotency_key"'],
  ['unknown_key', 'tasks: [{ name: A, ▸constructor: x }]', 'unknown key "constructor"'],
  ['unknown_key', 'tasks: [{ name: A, retry: { ▸attempt: 3 } }]', 'unknown key "attempt"', 'attempts'],
  [
    'unknown_key',
    'tasks: [{ name: A, retry: { on: { ▸exit_code: [3] } } }]',
    'unknown key "exit_code"',
    'exit_codes',
  ],
  ['unknown_key', 'defaults: { ▸labels: {} }\ntasks: [{ name: A }]', 'unknown key "labels"'],
  ['unknown_key', 'input: { a: { ▸typ: string } }\ntasks: [{ name: A }]', 'unknown key "typ"', 'type'],
  [
    'required_with_default',
    'input: { a: { required: true, default: ▸1 } }\ntasks: [{ name: A }]',
    'an input that is required never takes its default',
  ],
  [
    'invalid_default',
    'input: { a: { type: integer, default: ▸1.5 } }\ntasks: [{ name: A }]',
    'input.a.default is a number, which is not of type integer',
  ],
  [
    'invalid_default',
    'input: { a: { type: string, default: ▸~ } }\ntasks: [{ name: A }]',
    'input.a.default is nothing, which is not of type string',
  ],
  [
    'invalid_default',
    'input: { a: { enum: [x, { y: 1, z: 2 }], default: ▸z } }\ntasks: [{ name: A }]',
    'the default is none of the values of "enum"',
  ],
  [
    'invalid_enum',
    'input: { a: { type: boolean, enum: [true, ▸yes] } }\ntasks: [{ name: A }]',
    'input.a.enum[1] is text, which is not of type boolean',
  ],
];

const expression = '"${{ input.a }}"';
const plain: Case[] = [
  [
    'template_in_script',
    `tasks: [{ name: A, image: x, run: ▸${expression} }]`,
    'a script is never a template',
  ],
  [
    'template_in_script',
    `tasks: [{ name: A, image: x, post: [{ image: y, run: ▸${expression} }] }]`,
    'a script is never a template',
  ],
  ...(
    [
      [`command: ▸${expression}`, 'hand values over in "args" and "env"'],
      [`handler: ▸${expression}`, 'hand values over in "input"'],
      [`queue: ▸${expression}`, 'write a task for each queue, each with an "if"'],
      [`labels: { a: ▸${expression} }`, 'hand values over in "env", "args" or "input"'],
      [`input: { ▸${expression}: 1 }`, 'a key is no template'],
      [`image: ▸${expression}`, 'can stand in "env", "cmd"'],
      [`priority: ▸${expression}`, 'priority is no template: it must be a number'],
      [`timeout: ▸${expression}`, 'timeout is no template: write 500ms, 30s, 10m, 2h or 7d'],
      [`retry: { attempts: ▸${expression} }`, 'retry.attempts is no template: it must be a number'],
      [`retry: { backoff: ▸${expression} }`, 'it must be one of fixed, linear, exponential'],
      [`continue_on_error: ▸${expression}`, 'it must be true or false'],
      [`each: [1], concurrency: ▸${expression}`, 'it must be a number'],
    ] as const
  ).map(([keys, message]): Case => ['misplaced_expression', `tasks: [{ name: A, ${keys} }]`, message]),
  [
    'misplaced_expression',
    `defaults: { queue: ▸${expression} }\ntasks: [{ name: A }]`,
    'queue is no template',
  ],
  [
    'wrong_type',
    'tasks: [{ name: A, run: x, timeout: ▸30 }]',
    'must be a duration such as 30s, not a number',
  ],
  ['invalid_value', 'tasks: [{ name: A, handler: ▸$x }]', 'say which "queue" it waits on'],
  ['template_in_script', `tasks: [{ name: A, run: x, stdin: ▸${expression} }]`, 'stdin is no template'],
  ['template_in_script', `tasks: [{ name: A, run: ▸${expression} }]`, 'a script is never a template'],
  ['template_in_script', 'tasks:\n  - name: A\n    run: ▸|\n      echo ${{ x }}\n', '$SKIPJACK_INPUT'],
  ['misplaced_expression', `tasks: [{ name: A, delay: ▸${expression} }]`, '"run_at" is one'],
];

/** Of task B, which needs A, which needs C; D needs nothing. Inputs are n, a number, and who, a text. */
const inExpression = (written: string) =>
  `input: { n: { type: number }, who: { type: string, default: x } }
tasks:
  - { name: C, run: x }
  - { name: D, run: x }
  - { name: A, run: x, needs: [C] }
  - name: B
    needs: [A]
    command: x
    args:
      - ${written}`;

const expressions: Case[] = [
  [
    'invalid_expression',
    inExpression('"${{ ▸ }}"').replace('▸ }}', '}}').replace('"${{', '"${{▸'),
    'the expression is empty',
  ],
  ['invalid_expression', inExpression('"a ${{ input.n +▸ }} b"'), 'it ends too early'],
  ['invalid_expression', inExpression('a ▸${{ input.n'), 'has no }}'],
  ['invalid_expression', inExpression("'${{ input.n ▸@ 2 }}'"), 'Unexpected character: @'],
  ['invalid_expression', inExpression('${{ 1 }} and ${{ ▸) }}'), 'Unexpected token: RPAREN'],
  [
    'invalid_expression',
    inExpression('|\n        first line\n        ${{ input.n + ▸"a" }}\n'),
    'a number and text',
  ],
  [
    'invalid_expression',
    inExpression('>-\n        ${{ upper(▸1) }}\n        more'),
    'upper takes text, not a number',
  ],
  ['invalid_expression', inExpression('${{ input.who + ▸input.n }}'), 'string(…) makes a text'],
  ['invalid_expression', inExpression('${{ input.n == ▸input.who }}'), 'are never the same'],
  ['invalid_expression', inExpression('${{ ▸input.who.matches("(a+)+$") }}'), 'some take for ever'],
  ['invalid_expression', inExpression('${{ ▸upper() }}'), 'upper takes 1 value, not 0'],
  ['invalid_expression', inExpression('${{ [1].map(▸input, 1) }}'), 'the name "input" is taken'],
  ['invalid_expression', inExpression('${{ tasks[▸input.who].output }}'), 'the name of a task, in quotes'],
  [
    'invalid_expression',
    inExpression('${{ tasks["A"]▸ }}').replace('"]▸ }}', '"]▸}}'),
    'say what of the task',
  ],
  ['invalid_expression', inExpression('${{ ▸9007199254740993 }}'), 'would be rounded'],
  ['unknown_name', inExpression('${{ ▸inputs.n }}'), 'there is no "inputs" here', 'input'],
  ['unknown_name', inExpression('${{ input.who.▸uper() }}'), 'there is no function "uper"', 'upper'],
  ['unknown_name', inExpression('${{ tasks.A.▸ouput }}'), 'a task has no "ouput"', 'output'],
  ['unknown_name', inExpression('${{ process.▸nam }}'), 'the process has no "nam"'],
  ['unknown_input', inExpression('${{ input.▸whom }}'), 'takes no input "whom"', 'who'],
  ['unknown_input', inExpression('"${{ default(input[▸\'m\'], 1) }}"'), 'takes no input "m"'],
  ['unknown_task', inExpression('${{ tasks[▸"AA"].output }}'), 'there is no task "AA"', 'A'],
  [
    'unknown_task',
    inExpression('"${{ 1 }} ${{ tasks[\\"C\\"].output + tasks[▸\\"AA\\"].output }}"'),
    '"AA"',
    'A',
  ],
  ['unknown_task', inExpression("'${{ tasks[''C''].output + tasks[▸''AA''].output }}'"), '"AA"', 'A'],
  [
    'unknown_task',
    '{"tasks": [{"name": "A", "input": "${{ tasks[▸\\"B\\"].state }}"}]}',
    'there is no task "B"',
  ],
  [
    'unknown_name',
    inExpression('"${{ a }} ${{ a }}"').replace('"${{ a }} ${{ a', '"${{ 1 }} ${{ 1 }} ${{ ▸a'),
    'no "a"',
  ],
  ['unknown_name', inExpression('▸"\\x24{{ a }}"'), 'there is no "a"'],
  ['not_an_ancestor', inExpression('${{ tasks[▸"D"].output }}'), 'name it in "needs"'],
  ['not_an_ancestor', inExpression('${{ tasks.▸B.state }}'), 'cannot ask for what it does itself'],
  ['misplaced_secret', inExpression('${{ ▸secrets.A + "x" }}'), 'a secret stands alone'],
  ['misplaced_secret', inExpression('${{ upper(▸secrets["A"]) }}'), 'a secret stands alone'],
  [
    'misplaced_secret',
    'tasks: [{ name: A, input: { b: "x ▸${{ secrets.B }}" } }]',
    'cannot stand in "input"',
  ],
  ['too_large', inExpression(`\${{ ▸${'1 + '.repeat(1_200)}1 }}`), 'more than 4000 letters'],
  ['too_large', inExpression(`\${{ ${'('.repeat(60)}▸(1${')'.repeat(61)} }}`), 'nested 60 deep'],
  [
    'unknown_task',
    'defaults: { env: { B: "${{ tasks.▸X.output }}" } }\ntasks: [{ name: A, run: x }, { name: B, run: y }]',
    'there is no task "X"',
  ],
  [
    'invalid_expression',
    'defaults: { registry: { username: u, password: "${{▸ }}" } }\ntasks: [{ name: A, image: x }]',
    'the expression is empty',
  ],
  [
    'unknown_input',
    'input: {}\ntasks: [{ name: A, image: x, pre: [{ image: y, cmd: [a, "${{ input.▸b }}"] }] }]',
    'takes no input "b"',
  ],
  [
    'unknown_input',
    'input: {}\ntasks: [{ name: A, input: { "k y": [{ z: "${{ input.▸b }}" }] } }]',
    'takes no input "b"',
  ],
  [
    'too_many_expressions',
    `tasks: [{ name: A, command: x, args: &a [${Array.from({ length: 1_000 }, () => '"${{ 1 }}"').join()}] }${Array.from(
      { length: 20 },
      (_, index) => `, { name: t${index}, command: x, args: ${index === 19 ? '*a' : '*a'} }`,
    ).join('')}]`.replace('&a [', '&a [▸'),
    'more than 20000 expressions',
  ],
];

/** Of task B, which needs A; D needs nothing. */
const withTask = (written: string) =>
  `input: { n: { type: number }, list: { type: array }, flag: { type: boolean } }
tasks:
  - { name: D, run: x }
  - { name: A, run: x }
  - name: B
    needs: [A]
    ${written}`;

const conditions: Case[] = [
  ['wrong_type', withTask('if: ▸5'), 'if must be an expression, not a number'],
  ['wrong_type', withTask('if: ▸[true]'), 'if must be an expression, not a list'],
  ['wrong_type', withTask('if:▸'), 'if must be an expression, not nothing'],
  ['invalid_expression', withTask('if: ▸""'), 'the expression is empty'],
  ['invalid_expression', withTask('if: ▸"${{ }}"'), 'the expression is empty'],
  ['invalid_expression', withTask('if: input.n >▸'), 'it ends too early'],
  ['invalid_expression', withTask('if: ▸input.n'), 'if takes a boolean, not a number'],
  ['invalid_expression', withTask(`if: "▸'yes' + 'no'"`), 'not text'],
  ['invalid_expression', withTask('if: "${{ ▸[input.flag] }}"'), 'if takes a boolean, not a list'],
  ['invalid_expression', withTask('if: "▸${{ input.n }} > 5"'), 'around the whole of it'],
  ['invalid_expression', withTask('if: "input.flag && ▸${{ input.n > 5 }}"'), 'around the whole of it'],
  ['invalid_expression', withTask('if: "▸${{ input.flag"'), 'this ${{ has no }}'],
  ['invalid_expression', withTask('if: input.n > ▸"a"'), 'a number and text'],
  ['invalid_expression', withTask('if: ▸failure(1)'), 'failure() takes no values'],
  ['invalid_expression', withTask('if: ▸tasks.A.output.matches("(a+)+$")'), 'take for ever'],
  ['unknown_name', withTask('if: ▸canceled()'), 'there is no function "canceled"', 'cancelled'],
  ['unknown_name', withTask('if: ▸yes'), 'there is no "yes" here'],
  ['unknown_name', withTask('if: ▸always'), 'there is no "always" here', 'always()'],
  ['invalid_expression', withTask('if: ▸""'), 'the expression is empty'],
  ['unknown_name', withTask('each: [1]\n    if: ▸item > 1'), 'decided before there are items'],
  ['unknown_input', withTask('if: input.▸m'), 'takes no input "m"'],
  ['unknown_task', withTask('if: tasks.▸X.output'), 'there is no task "X"'],
  ['not_an_ancestor', withTask('if: tasks.A.output && tasks[▸"D"].output'), 'name it in "needs"'],
  ['misplaced_secret', withTask('if: ▸secrets.A == "x"'), 'no expression sees it'],
  ['misplaced_secret', withTask('if: "${{ ▸secrets.A }}"'), 'no expression sees it'],
  ['unsupported_yaml', withTask('if: !failure()▸'), 'the tag "!failure()" is not accepted: an expression'],
  ['too_large', withTask(`if: ▸${'true && '.repeat(1_000)}true`), 'more than 4000 letters'],
  ['too_large', withTask(`if: ${'('.repeat(60)}▸(true${')'.repeat(61)}`), 'nested 60 deep'],
  [
    'unknown_name',
    'tasks: [{ name: A, run: x, env: { B: "${{ ▸always() }}" } }]',
    'always() says how other tasks have ended, and stands in "if" only',
  ],
  ['unknown_name', withTask('input: { a: ["${{ 1 }} ${{ ▸failure() }}"] }'), 'in "if" only'],
];

const items: Case[] = [
  ['wrong_type', withTask('each: ▸5'), 'each must be a list, or an expression that yields one, not a number'],
  ['wrong_type', withTask('each: ▸{ a: 1 }'), 'not a map'],
  ['invalid_expression', withTask('each: "[1, 2]▸, b"'), 'cannot be read'],
  ['invalid_expression', withTask('each: ▸input.n'), 'each takes a list, not a number'],
  ['invalid_expression', withTask('each: "▸${{ input.list }} + x"'), 'around the whole'],
  [
    'invalid_expression',
    withTask("each: ▸input.list // it's all"),
    'each cannot be read: leave out its comment',
  ],
  ['invalid_expression', withTask('each: ["${{ 1 +▸ }}"]'), 'it ends too early'],
  ['unknown_name', withTask('each: ["${{ ▸index }}"]'), 'in "each", which is decided before'],
  ['unknown_name', withTask('matrix: { a: ["${{ ▸item }}"] }'), 'in "matrix", which is decided before'],
  ['unknown_name', withTask('each: ▸item.all'), 'in "each", which is decided before'],
  ['unknown_name', withTask('each: [1]\n    run_at: "${{ ▸item }}"'), 'in "run_at"'],
  [
    'unknown_name',
    'tasks: [{ name: A, run: x, env: { B: "${{ ▸item }}" } }]',
    'there is no "item" here: only a task with "each" or "matrix" knows it',
  ],
  ['unknown_name', 'tasks: [{ name: A, input: { a: "${{ ▸index + 1 }}" } }]', 'there is no "index" here'],
  [
    'unknown_name',
    'defaults: { env: { B: "${{ ▸item }}" } }\ntasks: [{ name: A, run: x, each: [1] }, { name: C }, { name: D, run: x }]',
    'there is no "item" here',
  ],
  ['misplaced_secret', withTask('each: ["▸${{ secrets.A }}"]'), 'cannot stand in "each"'],
  ['misplaced_secret', withTask('each: "${{ ▸secrets.A }}"'), 'no expression sees it'],
  ['not_an_ancestor', withTask('each: tasks.▸D.output'), 'name it in "needs"'],
  ['unknown_task', withTask('matrix: { a: "${{ tasks.▸X.output }}" }'), 'there is no task "X"'],
  ['invalid_value', withTask('each: [1]\n    ▸matrix: { a: [1] }'), '"each" or "matrix", not both'],
  ['invalid_value', withTask('▸concurrency: 5'), 'concurrency goes with "each" or "matrix"'],
  ['invalid_value', withTask('▸max_failures: 5'), 'max_failures goes with "each" or "matrix"'],
  ['invalid_value', withTask('each: [1]\n    concurrency: ▸0'), 'concurrency must be at least 1'],
  ['invalid_value', withTask('each: [1]\n    concurrency: ▸10001'), 'concurrency must be at most 10000'],
  ['wrong_type', withTask('each: [1]\n    max_failures: ▸1.5'), 'max_failures must be a whole number'],
  ['invalid_value', withTask('each: [1]\n    max_failures: ▸-1'), 'max_failures must be at least 0'],
  ['wrong_type', withTask('matrix: ▸[1]'), 'matrix must be a map of lists, not a list'],
  ['wrong_type', withTask('matrix: { a: [1], b: ▸5 }'), 'matrix.b must be a list, or one ${{ … }}'],
  ['wrong_type', withTask('matrix: { a: ▸input.list }'), 'matrix.a must be a list, or one ${{ … }}'],
  [
    'wrong_type',
    withTask('matrix: { a: ▸"${{ 1 }} and ${{ 2 }}" }'),
    'matrix.a must be a list, or one ${{ … }}',
  ],
  ['invalid_expression', withTask('matrix: { a: "${{ ▸input.n }}" }'), 'matrix.a takes a list, not a number'],
  ['invalid_value', withTask('matrix: ▸{}'), 'matrix must not be empty'],
  [
    'invalid_value',
    withTask(`matrix: ▸{ ${Array.from({ length: 21 }, (_, index) => `m${index}: [1]`).join(', ')} }`),
    'matrix has more than 20 names',
  ],
  ['misplaced_expression', withTask(`matrix: { ▸${expression}: [1] }`), 'a key is no template'],
  ['misplaced_expression', withTask(`each: [{ ▸${expression}: 1 }]`), 'a key is no template'],
  [
    'invalid_value',
    `tasks: [{ name: A, each: ▸[${Array.from({ length: 10_001 }, () => 1).join()}] }]`,
    'each has 10001 items, more than 10000',
  ],
  [
    'invalid_value',
    `tasks: [{ name: A, matrix: { b: [1], a: ▸[${Array.from({ length: 10_001 }, () => 1).join()}] } }]`,
    'matrix.a has 10001 items, more than 10000',
  ],
  [
    'invalid_value',
    `tasks: [{ name: A, matrix: ▸{ a: &a [${Array.from({ length: 101 }, () => 1).join()}], b: *a } }]`,
    'matrix makes 10201 items, more than 10000',
  ],
  [
    'invalid_value',
    `tasks: [{ name: A, matrix: ▸{ a: &a [${Array.from({ length: 100 }, () => 'x'.repeat(400)).join()}], b: *a } }]`,
    'matrix makes items of more than 4194304 letters together',
  ],
  ['invalid_value', `tasks: [{ name: ▸${'a'.repeat(191)}, each: [1] }]`, 'name is longer than 190 letters'],
  [
    'duplicate_name',
    'tasks: [{ name: "A[1]", each: [1] }, { name: ▸"A[1][0]" }, { name: "A[0]" }, { name: "A[1][00]" }]',
    'an item of "A[1]" is called "A[1][0]" too',
  ],
];

const engine: Case[] = [
  ...['process: x', 'sleep: 1s', 'wait_for: x'].flatMap((kind): Case[] => [
    ...['run: x', 'command: x', 'handler: x', 'image: x', 'env: { A: b }', 'stdin: x', 'type: run'].map(
      (other): Case => ['invalid_value', withTask(`${kind}\n    ▸${other}`), /does not go with|goes with/],
    ),
    ...['retry: { attempts: 2 }', 'queue: x', 'priority: 1', 'timeout: 1m', 'input: 1'].map((other): Case => {
      const [key = ''] = other.split(':');
      return [
        'invalid_value',
        withTask(`${kind}\n    ▸${other}`),
        `${key} does not go with "${kind.split(':')[0]}"`,
      ];
    }),
  ]),
  ['invalid_value', withTask('sleep: 1s\n    ▸wait_for: x'), 'wait_for does not go with "sleep"'],
  ['invalid_value', withTask('▸sleep: 1s\n    process: x'), 'sleep does not go with "process"'],
  ['invalid_value', withTask('process: x\n    ▸input: {}'), 'write it as process.input'],
  ['invalid_value', withTask('wait_for: x\n    ▸timeout: 1h'), 'write it as wait_for.timeout'],
  ['wrong_type', withTask('process: ▸[x]'), 'process must be the name of a definition, or a map such as'],
  ['invalid_value', withTask('process: ▸""'), 'process must not be empty'],
  ['invalid_value', withTask(`process: ▸${'x'.repeat(201)}`), 'process is longer than 200 letters'],
  [
    'misplaced_expression',
    withTask('process: ▸"${{ input.n }}"'),
    'process is no template: write the name of a definition',
  ],
  [
    'misplaced_expression',
    withTask('process: { definition: ▸"${{ input.n }}" }'),
    'process.definition is no template',
  ],
  ['missing_key', withTask('process: ▸{ input: {} }'), 'process.definition is missing'],
  ['unknown_key', withTask('process: { definition: x, ▸detach: true }'), 'unknown key "detach"', 'detached'],
  ['wrong_type', withTask('process: { definition: x, version: ▸"2" }'), 'process.version must be a number'],
  [
    'invalid_value',
    withTask('process: { definition: x, version: ▸0 }'),
    'process.version must be at least 1',
  ],
  ['wrong_type', withTask('process: { definition: x, detached: ▸5 }'), 'detached must be true or false'],
  [
    'wrong_type',
    withTask('process: { definition: x, input: ▸[1] }'),
    'process.input must be a map, or one ${{',
  ],
  ['wrong_type', withTask('process: { definition: x, input: ▸"a ${{ 1 }}" }'), 'process.input must be a map'],
  ['wrong_type', withTask('process: { definition: x, input: ▸"${{ 1 }} ${{ 2 }}" }'), 'must be a map'],
  [
    'invalid_expression',
    withTask('process: { definition: x, input: "${{ ▸[1] }}" }'),
    'process.input takes a map, not a list',
  ],
  [
    'unknown_task',
    withTask('process: { definition: x, input: { a: [{ b: "${{ tasks.▸X.output }}" }] } }'),
    'there is no task "X"',
  ],
  [
    'misplaced_secret',
    withTask('process: { definition: x, input: { a: "▸${{ secrets.A }}" } }'),
    'cannot stand in "process.input"',
  ],
  [
    'unknown_name',
    withTask('process: { definition: x, input: { a: "${{ ▸item }}" } }'),
    'there is no "item" here',
  ],
  ['wrong_type', withTask('sleep: ▸10'), 'sleep must be text such as 10m, not a number'],
  ['invalid_value', withTask('sleep: ▸soon'), 'sleep is not a duration: write 500ms'],
  ['invalid_value', withTask('sleep: ▸-1s'), 'sleep is not a duration'],
  ['invalid_value', withTask('sleep: ▸367d'), 'sleep is longer than 366d'],
  ['invalid_value', withTask('sleep: ▸99999999999999999999d'), 'sleep is longer than 366d'],
  ['invalid_value', withTask('sleep: { until: ▸tomorrow }'), 'sleep.until is not a time: write 2026'],
  ['invalid_value', withTask('sleep: { until: ▸2026-01-31T08:00:00 }'), 'sleep.until is not a time'],
  ['unknown_key', withTask('sleep: { ▸for: 1s, until: 2026-01-31T08:00:00Z }'), 'unknown key "for"'],
  ['missing_key', withTask('sleep: ▸{}'), 'sleep.until is missing'],
  ['invalid_expression', withTask('sleep: "${{ ▸5 }}"'), 'sleep takes text, not a number'],
  ['invalid_expression', withTask('sleep: "▸${{ input.n }"'), 'has no }}'],
  ['not_an_ancestor', withTask('sleep: { until: "${{ tasks.▸D.output }}" }'), 'name it in "needs"'],
  ['wrong_type', withTask('wait_for: ▸[x]'), 'wait_for must be the name of an event, or a map such as'],
  ['invalid_value', withTask('wait_for: ▸""'), 'wait_for.event must not be empty'],
  ['missing_key', withTask('wait_for: ▸{ key: x }'), 'wait_for.event is missing'],
  ['invalid_value', withTask(`wait_for: ▸${'x'.repeat(201)}`), 'wait_for.event is longer than 200 letters'],
  ['invalid_value', withTask(`wait_for: { event: x, key: ▸${'x'.repeat(201)} }`), 'longer than 200 letters'],
  ['wrong_type', withTask('wait_for: { event: x, key: ▸5 }'), 'wait_for.key must be text, not a number'],
  [
    'invalid_value',
    withTask('wait_for: { event: x, timeout: ▸0s }'),
    'wait_for.timeout must be longer than 0',
  ],
  [
    'invalid_value',
    withTask('wait_for: { event: x, timeout: ▸400d }'),
    'wait_for.timeout is longer than 366d',
  ],
  [
    'misplaced_expression',
    withTask('wait_for: { event: x, timeout: ▸"${{ input.n }}" }'),
    'wait_for.timeout is no template',
  ],
  ['unknown_key', withTask('wait_for: { event: x, ▸time_out: 1s }'), 'unknown key "time_out"', 'timeout'],
  ['unknown_input', withTask('wait_for: { event: x, key: "${{ input.▸m }}" }'), 'takes no input "m"'],
  ['invalid_expression', withTask('wait_for: "${{ ▸[1] }}"'), 'wait_for takes text, a number or a boolean'],
  ['invalid_value', withTask('delay: ▸soon'), 'delay is not a duration'],
  ['invalid_value', withTask('run_at: ▸soon'), 'run_at is not a time: write 2026-01-31T08:00:00Z'],
  [
    'invalid_value',
    withTask('delay: 1s\n    ▸run_at: 2026-01-31T08:00:00Z'),
    'run_at cannot go with "delay"',
  ],
  ['unknown_key', 'defaults: { ▸sleep: 1s }\ntasks: [{ name: A }]', 'unknown key "sleep"'],
  ['unknown_key', 'defaults: { ▸if: "true" }\ntasks: [{ name: A }]', 'unknown key "if"'],
];

const ends: Case[] = [
  ['unknown_task', 'output: { a: ["${{ tasks.▸B.output }}"] }\ntasks: [{ name: A }]', 'there is no task "B"'],
  ['unknown_task', 'tasks: [{ name: Build }]\noutput: "${{ tasks.▸build.output }}"', '"build"', 'Build'],
  [
    'unknown_name',
    'output: "${{ ▸item }}"\ntasks: [{ name: A, each: [1] }]',
    'there is no "item" in "output"',
  ],
  ['unknown_name', 'output: "${{ ▸success() }}"\ntasks: [{ name: A }]', 'stands in "if" only'],
  ['unknown_input', 'input: {}\noutput: "${{ input.▸a }}"\ntasks: [{ name: A }]', 'takes no input "a"'],
  ['misplaced_secret', 'output: "▸${{ secrets.A }}"\ntasks: [{ name: A }]', 'cannot stand in "output"'],
  ['invalid_expression', 'output: "${{ 1 + ▸\'a\' }}"\ntasks: [{ name: A }]', 'a number and text'],
  ['misplaced_expression', `output: { ▸${expression}: 1 }\ntasks: [{ name: A }]`, 'a key is no template'],
  [
    'invalid_value',
    `output: ▸[&a ${'x'.repeat(300_000)}, *a, *a, *a]\ntasks: [{ name: A }]`,
    'output is larger than 1048576 bytes',
  ],
  [
    'wrong_type',
    'on_failure: ▸5\ntasks: [{ name: A }]',
    'on_failure must be the name of a definition, or a map',
  ],
  ['wrong_type', 'on_failure:▸\ntasks: [{ name: A }]', 'not nothing'],
  [
    'misplaced_expression',
    'on_failure: ▸"${{ input.a }}"\ntasks: [{ name: A }]',
    'on_failure is no template',
  ],
  ['unknown_key', 'on_failure: { definition: x, ▸input: {} }\ntasks: [{ name: A }]', 'unknown key "input"'],
  ['missing_key', 'on_failure: ▸{}\ntasks: [{ name: A }]', 'on_failure.definition is missing'],
  ['wrong_type', 'deadline: ▸60\ntasks: [{ name: A }]', 'deadline must be text such as 10m'],
  ['invalid_value', 'deadline: ▸0s\ntasks: [{ name: A }]', 'deadline must be longer than 0'],
  ['invalid_value', 'deadline: ▸1y\ntasks: [{ name: A }]', 'deadline is not a duration'],
  ['invalid_value', 'deadline: ▸367d\ntasks: [{ name: A }]', 'deadline is longer than 366d'],
  ['misplaced_expression', 'deadline: ▸"${{ input.a }}"\ntasks: [{ name: A }]', 'deadline is no template'],
];

const containers: Case[] = [
  ['invalid_value', 'tasks: [{ name: A, cmd: ▸[x] }]', 'goes with "image"'],
  ['invalid_value', 'tasks: [{ name: A, image: x, handler: ▸y }]', 'a task has one of'],
  ['invalid_value', 'tasks: [{ name: A, image: x, args: ▸[y] }]', 'in a container it is "cmd"'],
  ['invalid_value', 'tasks: [{ name: A, image: ▸--privileged }]', 'is not the name of an image'],
  ['invalid_value', 'tasks: [{ name: A, image: x, run: y, cmd: ▸[z] }]', 'cannot go with "run"'],
  ['invalid_value', 'tasks: [{ name: A, image: x, volumes: [▸tmp] }]', 'is not an absolute path'],
  ['invalid_value', 'tasks: [{ name: A, image: x, volumes: [▸/a/../b] }]', 'goes up by ".."'],
  ['invalid_value', 'tasks: [{ name: A, image: x, volumes: [▸/] }]', 'is the root'],
  ['invalid_value', 'tasks: [{ name: A, image: x, networks: [▸host] }]', 'network of the machine'],
  ['invalid_value', 'tasks: [{ name: A, image: x, limits: { memory: ▸lots } }]', 'is not a size'],
  ['invalid_value', 'tasks: [{ name: A, image: x, limits: { memory: ▸1m } }]', 'is less than 6m'],
  ['invalid_value', 'tasks: [{ name: A, image: x, gpus: ▸some }]', 'is neither "all", a count'],
  ['invalid_value', 'tasks: [{ name: A, image: x, mounts: [{ type: ▸npipe }] }]', '"bind" or "tmpfs"'],
  ['unknown_key', 'tasks: [{ name: A, image: x, ▸privileged: true }]', 'unknown key "privileged"'],
  ['unknown_key', 'tasks: [{ name: A, image: x, pre: [{ image: y, ▸enviro: {} }] }]', '"enviro"', 'env'],
  ['missing_key', 'tasks: [{ name: A, image: x, pre: [▸{ cmd: [y] }] }]', 'pre[0].image is missing'],
  [
    'invalid_value',
    'tasks: [{ name: A, image: x, sidecars: [{ name: ▸Not A Host, image: y }] }]',
    'host name',
  ],
  [
    'invalid_value',
    'tasks: [{ name: A, image: x, sidecars: [{ name: db, image: y, probe: ▸{ path: /up } }] }]',
    'has one of "cmd" and "port"',
  ],
  ['wrong_type', 'defaults: { limits: ▸lots }\ntasks: [{ name: A }]', 'must be a map'],
];

const graph: Case[] = [
  ['no_tasks', 'tasks: ▸[]', 'a definition has at least one'],
  ['no_tasks', 'tasks:▸', 'a definition has at least one'],
  ['unknown_need', 'tasks: [{ name: A, needs: ▸B }]', 'there is no task "B"'],
  ['unknown_need', 'tasks: [{ name: Deploy, needs: [▸biuld] }, { name: build }]', '"biuld"', 'build'],
  ['unknown_need', 'tasks: [{ name: Deploy, needs: [▸deploy] }]', 'there is no task "deploy"'],
  ['unknown_need', 'tasks: [{ name: A, needs: [▸toString] }]', 'there is no task "toString"'],
  ['unknown_need', 'tasks: [{ name: A, needs: [▸__proto__] }]', 'there is no task "__proto__"'],
  ['duplicate_need', 'tasks: [{ name: A }, { name: B, needs: [A, ▸A] }]', '"A" is named twice'],
  ['needs_itself', 'tasks: [{ name: A, needs: [▸A] }]', 'task "A" needs itself'],
  ['duplicate_name', 'tasks:\n  - name: A\n  - name: B\n  - name: ▸A', 'there are two tasks "A"'],
  ['cycle', 'tasks: [{ name: A, needs: [▸B] }, { name: B, needs: [A] }]', 'in a circle: A -> B -> A'],
];

const listOf = (length: number, item: string) => Array.from({ length }, () => item).join(', ');
const limits: Case[] = [
  ['too_many_tasks', `tasks: ▸[${listOf(planLimits.tasksMax + 1, '{name: A}')}]`, 'there are 10001 tasks'],
  [
    'too_many_needs',
    `tasks: [${Array.from({ length: 500 }, (_, index) => `{name: t${index}}`).join()},${Array.from(
      { length: 201 },
      (_, index) =>
        `{name: u${index}, needs: ${index === 200 ? '▸' : ''}[${Array.from({ length: 500 }, (_, at) => `t${at}`)}]}`,
    ).join()}]`,
    'more than 100000 needs together',
  ],
  [
    'too_many_inputs',
    `input: ▸{ ${Array.from({ length: 201 }, (_, index) => `i${index}: {}`).join(', ')} }\ntasks: [{ name: A }]`,
    'input has 201 names, more than 200',
  ],
  ['too_deep', `tasks: ${'['.repeat(63)}▸[${']'.repeat(64)}`, 'nested deeper than 64'],
  ['too_large', `▸# ${'x'.repeat(planLimits.sourceBytesMax)}`, 'is larger than 2097152 bytes'],
  ['too_large', `tasks: [{ name: A, input: { ? ▸${'k'.repeat(1_025)} : 1 } }]`, 'more than 1024 letters'],
];

describe.each([
  ['of the syntax', syntax],
  ['of keys and values', keys],
  ['of what is no template', plain],
  ['of conditions', conditions],
  ['of items', items],
  ['of what the engine does', engine],
  ['of the end of a process', ends],
  ['of expressions', expressions],
  ['of containers', containers],
  ['of the graph', graph],
  ['of size', limits],
])('a problem %s is named where it is', (_of, cases) => {
  test.each(cases.map(([code, marked, ...rest]) => [code, marked.slice(0, 90), marked, ...rest] as const))(
    '%s: %s',
    (code, _shown, marked, said, suggestion) => {
      const { source, line, column } = unmark(marked);
      const problems = problemsOf(source);
      expect(problems.map(({ line, column, code }) => ({ line, column, code }))).toContainEqual({
        line,
        column,
        code,
      });
      // A mistake of syntax may bring others after it; any other is told once.
      if (code !== 'invalid_yaml') expect(problems).toHaveLength(1);
      const problem = problems.find((each) => each.line === line && each.column === column);
      expect(problem?.message).toMatch(said);
      expect(problem?.suggestion).toBe(suggestion);
    },
  );
});

test('bytes that are no text, and too many aliases, are problems too', () => {
  expect(placesOf(Buffer.from([0x74, 0xff, 0xfe]))).toEqual(['1:1 not_utf8']);
  const aliases = `tasks:\n  - { name: A, input: &a x }\n  - { name: B, input: [${listOf(1_001, '*a')}] }`;
  expect(problemsOf(aliases).map(({ code }) => code)).toEqual(['too_many_aliases']);
});

test('problems of the syntax, of values and of the graph are told together, in the order of the text', () => {
  expect(
    placesOf(`name: 5
tasks:
  - name: A
    needs: [Z]
    priority: 11
  - name: B
    needs: [C]
    name: again
  - name: C
    needs: B
    if: allways()
    retry: { tries: 2 }
`),
  ).toEqual([
    '1:7 wrong_type',
    '4:13 unknown_need',
    '5:15 invalid_value',
    '7:13 cycle',
    '8:5 duplicate_key',
    '11:9 unknown_name',
    '12:14 unknown_key',
  ]);
});

test('a hundred problems are told, and how many more there are', () => {
  const tasks = Array.from({ length: 250 }, (_, index) => `  - { name: t${index}, priority: x }\n`);
  const problems = problemsOf(`tasks:\n${tasks.join('')}`);
  expect(problems).toHaveLength(101);
  expect(problems.at(-1)).toMatchObject({ code: 'more_problems', message: 'and 150 more' });
  const syntax = problemsOf(`tasks: [${','.repeat(100_000)}]`);
  expect(syntax).toHaveLength(101);
  expect(syntax.at(-1)).toMatchObject({
    code: 'more_problems',
    message: 'and perhaps more: the rest was not read',
  });
});

test('what an alias repeats is one problem', () => {
  expect(placesOf('tasks:\n  - { name: A, retry: &r { attempts: 0 } }\n  - { name: B, retry: *r }')).toEqual([
    '2:38 invalid_value',
  ]);
});

test('a wrong default is told once, not for every task', () => {
  expect(
    placesOf(
      'defaults: { priority: 12, retry: { delay: x } }\ntasks: [{ name: A }, { name: B }, { name: C }]',
    ),
  ).toEqual(['1:23 invalid_value', '1:43 invalid_value']);
});

test('of two tasks or keys of the same name, the first is shown too', () => {
  const [duplicate] = problemsOf('tasks:\n  - name: A\n  - name: A');
  expect(duplicate?.related).toEqual([
    { line: 2, column: 11, message: 'the first is here', excerpt: '  - name: A' },
  ]);
  const [key] = problemsOf('name: x\ntasks: [{ name: A }]\nname: y');
  expect(key?.related).toEqual([{ line: 1, column: 1, message: 'the first is here', excerpt: 'name: x' }]);
});

test('a pointer escapes what RFC 6901 wants escaped', () => {
  expect(problemsOf('tasks: [{ name: A, input: { "a/b~c": .inf } }]')[0]?.pointer).toBe(
    '/tasks/0/input/a~1b~0c',
  );
});

test('the README lists every code, and this test has each', () => {
  const readme = readFileSync(join(import.meta.dirname, '../../src/definition/README.md'), 'utf8');
  const listed = [...readme.matchAll(/^\| `([a-z0-9_]+)` \|/gm)].map((match) => match[1]);
  const tested = [
    ...syntax,
    ...keys,
    ...plain,
    ...conditions,
    ...items,
    ...engine,
    ...ends,
    ...expressions,
    ...graph,
    ...limits,
  ].map(([code]) => code);
  expect([...new Set(listed)].sort()).toEqual(
    [...new Set([...tested, 'not_utf8', 'too_many_aliases', 'more_problems'])].sort(),
  );
});
