/** What a definition becomes. */
import { describe, expect, test } from 'vitest';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { planOf } from './support/parse.ts';

test('everything that can be said arrives in the plan', () => {
  const plan = planOf(`
name: loan-application
description: What happens to a loan.
input:
  applicant: { type: string, required: true, description: Their name }
  amount: { type: number, default: 1000 }
  kind: { enum: [new, old], default: new }
  papers: { type: array }
defaults:
  queue: loans
  priority: 7
  retry: { attempts: 3, delay: 2s, on: { exit_codes: [75] }, within: 10m }
  timeout: 10m
  continue_on_error: true
  env: { LANG: C, TZ: UTC }
fail_fast: false
tasks:
  - name: Score
    description: Asks the agency.
    command: ./score
    args: [--fast, ""]
    env: { TZ: CET, "EMPTY": "" }
    input: { a: [1, null, 1.5, true, "x"], date: 2024-01-31 }
    labels: { team: credit }
  - name: Mail
    needs: Score
    handler: send-mail
    queue: mail
    priority: 0
    retry: { attempts: 5, backoff: fixed, max_delay: 1m, jitter: false, on: { codes: [timed_out] } }
    timeout: 1.5s
    continue_on_error: false
`);
  expect(plan).toEqual({
    name: 'loan-application',
    fail_fast: false,
    input: {
      applicant: { type: 'string', required: true, description: 'Their name' },
      amount: { type: 'number', required: false, default: 1000 },
      kind: { type: 'any', required: false, enum: ['new', 'old'], default: 'new' },
      papers: { type: 'array', required: false },
    },
    tasks: [
      {
        name: 'Score',
        queue: 'loans',
        priority: 7,
        spec: {
          type: 'command',
          command: './score',
          args: ['--fast', ''],
          env: { LANG: 'C', TZ: 'CET', EMPTY: '' },
        },
        input: { a: [1, null, 1.5, true, 'x'], date: '2024-01-31' },
        labels: { team: 'credit' },
        retry: {
          attempts: 3,
          backoff: 'exponential',
          delay_ms: 2_000,
          max_delay_ms: 3_600_000,
          jitter: true,
          on: { exit_codes: [75] },
          within_ms: 600_000,
        },
        timeout_ms: 600_000,
        continue_on_error: true,
        needs: [],
        dependents: [2],
      },
      {
        name: 'Mail',
        queue: 'mail',
        priority: 0,
        spec: { type: 'handler', handler: 'send-mail' },
        input: null,
        labels: null,
        // Key by key: its own `on`, as one value, and the default's `within`.
        retry: {
          attempts: 5,
          backoff: 'fixed',
          delay_ms: 2_000,
          max_delay_ms: 60_000,
          jitter: false,
          on: { codes: ['timed_out'] },
          within_ms: 600_000,
        },
        timeout_ms: 1_500,
        continue_on_error: false,
        needs: [1],
        dependents: [],
      },
    ],
  });
});

describe('a task in a definition is the task that it is alone', () => {
  test.each([
    { command: 'echo' },
    { command: 'echo', args: ['a', ''], env: { A: 'b' }, type: 'command' },
    { run: 'exit 1\n', retry: { attempts: 2 } },
    { run: 'x', retry: {} },
    { handler: 'send-mail', input: { to: 'ada' } },
    { handler: 'send-mail', queue: 'mine', priority: 9 },
    {},
    { queue: 'people', labels: {}, input: 'text', timeout: '500ms' },
  ])('%j', (keys) => {
    const {
      id: _id,
      delay_ms: _delay,
      run_at: _runAt,
      idempotency_key: _key,
      ...alone
    } = parseTaskInput({ name: 'A', ...keys });
    const { continue_on_error, needs, dependents, ...planned } = planOf(
      JSON.stringify({ tasks: [{ name: 'A', ...keys }] }),
    ).tasks[0] as (typeof plan)['tasks'][number];
    expect(planned).toEqual(alone);
    expect({ continue_on_error, needs, dependents }).toEqual({
      continue_on_error: false,
      needs: [],
      dependents: [],
    });
  });
  const plan = planOf('tasks: [{ name: A }]');
});

test('the environment of the defaults goes only where there is something to run in it', () => {
  const { tasks } = planOf(
    'defaults: { env: { A: b } }\ntasks: [{ name: run, run: x }, { name: handler, handler: h }, { name: nothing }]',
  );
  expect(tasks.map(({ spec }) => spec)).toEqual([
    { type: 'run', run: 'x', env: { A: 'b' } },
    { type: 'handler', handler: 'h' },
    null,
  ]);
});

test('the defaults of containers go only into containers, limits key by key', () => {
  const plan = planOf(`
defaults:
  limits: { cpus: 1, memory: 512m }
  pull: never
  networks: [none]
  registry: { username: me, password: "\${{ secrets.REGISTRY }}" }
  env: { A: b }
tasks:
  - { name: here, run: x }
  - { name: contained, image: y, limits: { memory: 1g }, networks: [] }
`);
  expect(plan.tasks.map(({ spec, queue }) => [queue, spec])).toEqual([
    ['default', { type: 'run', run: 'x', env: { A: 'b' } }],
    [
      'containers',
      {
        type: 'container',
        image: 'y',
        env: { A: 'b' },
        networks: [],
        limits: { cpus: 1, memory: '1g' },
        registry: { username: 'me', password: '${{ secrets.REGISTRY }}' },
        pull: 'never',
      },
    ],
  ]);
});

test('a definition that says nothing of its input takes any; one that says it has none takes none', () => {
  expect(planOf('tasks: [{ name: A }]').input).toBeNull();
  expect(planOf('input: {}\ntasks: [{ name: A }]').input).toEqual({});
});

test('defaults of inputs fit their types, whatever those are', () => {
  const { input } = planOf(`
input:
  a: { type: string, default: "" }
  b: { type: integer, default: -3, enum: [-3, 4] }
  c: { type: boolean, default: false }
  d: { type: object, default: { x: 1, y: 2 }, enum: [{ y: 2, x: 1 }] }
  e: { type: array, default: [] }
  f: { default: ~ }
tasks: [{ name: A }]
`);
  expect(Object.values(input ?? {}).map((rule) => rule.default)).toEqual([
    '',
    -3,
    false,
    { x: 1, y: 2 },
    [],
    null,
  ]);
});

test('names that JavaScript has a meaning for are names like others', () => {
  const names = ['constructor', 'toString', 'hasOwnProperty', '__proto__', 'length', '0'];
  const tasks = names.map((name, index) => ({ name, needs: names.slice(0, index).reverse() }));
  const input = { constructor: { type: 'string' }, toString: {}, length: { default: 1 } };
  const labels = { constructor: 'x', toString: 'y' };
  const plan = planOf(JSON.stringify({ input, tasks: tasks.map((task) => ({ ...task, labels })) }));
  expect(plan.tasks.map((task) => task.name)).toEqual(names);
  expect(plan.tasks.map((task) => task.needs)).toEqual([
    [],
    [1],
    [1, 2],
    [1, 2, 3],
    [1, 2, 3, 4],
    [1, 2, 3, 4, 5],
  ]);
  expect(Object.keys(plan.input ?? {})).toEqual(['constructor', 'toString', 'length']);
  expect(plan.tasks[0]?.labels).toEqual(labels);
});

test('a name may be anything that is text: quotes, emoji, lines, 200 letters', () => {
  const names = [
    `it's "quoted"`,
    '👩‍👩‍👧 日本語',
    'two\nlines',
    'a'.repeat(200),
    '${{ x }}',
    '- a: b #c',
    ' ',
  ];
  const tasks = names.map((name, index) => ({ name, needs: names.slice(0, index) }));
  expect(planOf(JSON.stringify({ tasks })).tasks.map((task) => task.name)).toEqual(names);
});

test('expressions stand in the plan as they were written; a task may ask whatever came before it', () => {
  const plan = planOf(`
input: { who: { type: string } }
defaults: { env: { WHO: "\${{ input.who }}", FAR: "\${{ tasks.First.state }}" } }
tasks:
  - { name: First, run: x, env: { FAR: none } }
  - { name: beside }
  - { name: between, needs: [First] }
  - name: last
    needs: [beside, between]
    command: x
    args: ['\${{ tasks["First"].output + tasks.beside.output }}', 'Bearer \${{ secrets.T }} for \${{ input.who }}']
    input: [{ all: "\${{ input }}", error: "\${{ tasks.between.error }}" }]
`);
  const [first, , , last] = plan.tasks;
  expect(first?.spec).toEqual({ type: 'run', run: 'x', env: { WHO: '${{ input.who }}', FAR: 'none' } });
  expect(last?.spec).toEqual({
    type: 'command',
    command: 'x',
    args: [
      '${{ tasks["First"].output + tasks.beside.output }}',
      'Bearer ${{ secrets.T }} for ${{ input.who }}',
    ],
    env: { WHO: '${{ input.who }}', FAR: '${{ tasks.First.state }}' },
  });
  expect(last?.input).toEqual([{ all: '${{ input }}', error: '${{ tasks.between.error }}' }]);
});

test('without declared inputs any may be asked for', () => {
  const [task] = planOf('tasks: [{ name: A, input: "${{ input.whatever.there + 1 }}" }]').tasks;
  expect(task?.input).toBe('${{ input.whatever.there + 1 }}');
});
