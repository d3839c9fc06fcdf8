/** Conditions, items, sub-processes, waits and ends: what they become in a plan. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { PlannedTask } from '../../src/core/plan.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import { planOf } from './support/parse.ts';

const here = import.meta.dirname;

/** What a task's keys become, without what every task has. */
function plannedOf(keys: string): Partial<PlannedTask> {
  const source = `tasks:\n  - { name: before, run: x }\n  - name: A\n    needs: [before]\n    ${keys.replaceAll('\n', '\n    ')}`;
  const {
    name: _name,
    queue: _queue,
    priority: _priority,
    spec: _spec,
    input: _input,
    labels: _labels,
    retry: _retry,
    timeout_ms: _timeoutMs,
    continue_on_error: _continue,
    needs: _needs,
    dependents: _dependents,
    ...rest
  } = planOf(source).tasks[1] as PlannedTask;
  return rest;
}

test('the loan application of the design is a plan', () => {
  const plan = planOf(readFileSync(join(here, '../examples/loan-application.yaml'), 'utf8'));
  const common = { priority: 5, input: null, labels: null, continue_on_error: false };
  const retry = {
    attempts: 3,
    backoff: 'exponential',
    delay_ms: 1_000,
    max_delay_ms: 3_600_000,
    jitter: true,
  };
  expect(plan).toEqual({
    name: 'loan-application',
    fail_fast: true,
    input: {
      applicant: { type: 'string', required: true },
      amount: { type: 'number', required: false, default: 1000 },
    },
    thinks: true,
    output: '${{ tasks["Pay Out"].output }}',
    on_failure: { definition: 'loan-cleanup' },
    tasks: [
      {
        ...common,
        name: 'Open Loan Application',
        queue: 'people',
        spec: null,
        retry,
        timeout_ms: 600_000,
        needs: [],
        dependents: [2],
      },
      {
        ...common,
        name: 'Review Credit',
        queue: 'default',
        spec: {
          type: 'run',
          run: './score "$APPLICANT"',
          env: { APPLICANT: '${{ input.applicant }}' },
        },
        retry: { attempts: 5, backoff: 'exponential', delay_ms: 2_000, max_delay_ms: 60_000, jitter: true },
        timeout_ms: 30_000,
        needs: [1],
        dependents: [3],
      },
      {
        ...common,
        name: 'Ask for Papers',
        queue: 'default',
        spec: { type: 'run', run: './mail "$PAPER"', env: { PAPER: '${{ item }}' } },
        retry,
        timeout_ms: 600_000,
        needs: [2],
        dependents: [4],
        thinks: true,
        if: 'tasks["Review Credit"].output.score < 600',
        each: '${{ tasks["Review Credit"].output.missing }}',
        concurrency: 5,
      },
      {
        ...common,
        name: 'Pay Out',
        queue: 'engine',
        spec: null,
        retry: null,
        timeout_ms: null,
        needs: [3],
        dependents: [],
        thinks: true,
        if: '!failure()',
        runs_on_failure: true,
        process: { definition: 'payout', input: { amount: '${{ input.amount }}' } },
      },
    ],
  });
});

describe('a condition', () => {
  test.each([
    ['if: tasks.before.output > 5', 'tasks.before.output > 5'],
    ['if: "${{ tasks.before.output > 5 }}"', 'tasks.before.output > 5'],
    ['if: >-\n  1 < 2 &&\n  2 < 3', '1 < 2 && 2 < 3'],
    ['if: true', 'true'],
    ['if: false', 'false'],
  ])('%s stands in the plan bare', (keys, bare) =>
    expect(plannedOf(keys)).toEqual({ thinks: true, if: bare }),
  );

  test.each<[string, Partial<PlannedTask>]>([
    ['always()', { runs_on_failure: true, runs_on_cancel: true }],
    ['failure()', { runs_on_failure: true }],
    ['"!failure() || input.x"', { runs_on_failure: true }],
    ['cancelled()', { runs_on_cancel: true }],
    ['failure() || cancelled()', { runs_on_failure: true, runs_on_cancel: true }],
    ['success()', {}],
    ['tasks.before.state == "always()"', {}],
    ['"[1].exists(failure, failure > 0)"', {}],
  ])('%s says what its task is spared of', (condition, spared) => {
    const { if: _if, ...rest } = plannedOf(`if: ${condition}`);
    expect(rest).toEqual({ thinks: true, ...spared });
  });
});

describe('items', () => {
  test.each<[string, Partial<PlannedTask>]>([
    ['each: tasks.before.output', { each: '${{ tasks.before.output }}' }],
    ['each: "${{tasks.before.output}}"', { each: '${{ tasks.before.output }}' }],
    ["each: \"{'a': {'b': [1]}}.a.b\"", { each: "${{ {'a': {'b': [1]}}.a.b }}" }],
    ['each: []', { each: [] }],
    [
      'each: [a, "${{ input.b }}-c", { d: [1, null] }]\nconcurrency: 2\nmax_failures: 0\nrun: x',
      { each: ['a', '${{ input.b }}-c', { d: [1, null] }], concurrency: 2, max_failures: 0 },
    ],
    [
      'matrix: { os: [linux, mac], node: "${{ input.versions }}", "k y": [{ a: 1 }] }\ncommand: x\nargs: ["${{ item.os }}", "${{ index }}"]',
      { matrix: { os: ['linux', 'mac'], node: '${{ input.versions }}', 'k y': [{ a: 1 }] } },
    ],
    [
      'each: [1]\nprocess: { definition: x, input: { n: "${{ item }}" } }',
      { each: [1], process: { definition: 'x', input: { n: '${{ item }}' } } },
    ],
    ['each: [1s]\nsleep: "${{ item }}"', { each: ['1s'], sleep: { for: '${{ item }}' } }],
    [
      'each: [1]\nwait_for: { event: paid, key: "${{ item }}-${{ index }}" }',
      { each: [1], wait_for: { event: 'paid', key: '${{ item }}-${{ index }}' } },
    ],
    ['each: [1]\ndelay: 1m', { each: [1], delay_ms: 60_000 }],
  ])('%s', (keys, planned) => expect(plannedOf(keys)).toEqual({ thinks: true, ...planned }));

  test('of as many as there may be, with a name as long as it may be', () => {
    const name = 'a'.repeat(190);
    const each = Array.from({ length: 10_000 }, (_, index) => index);
    expect(planOf(JSON.stringify({ tasks: [{ name, each }] })).tasks[0]?.each).toEqual(each);
    const hundred = each.slice(0, 100);
    expect(
      planOf(JSON.stringify({ tasks: [{ name, matrix: { a: hundred, b: hundred } }] })).tasks[0]?.matrix,
    ).toEqual({ a: hundred, b: hundred });
  });

  test('in the environment of the defaults "item" stands where each task has some', () => {
    const plan = planOf(
      'defaults: { env: { I: "${{ item }}" } }\ntasks: [{ name: A, run: x, each: [1] }, { name: B, handler: h }, { name: C, run: x, env: { I: i } }]',
    );
    expect(plan.tasks.map(({ spec }) => (spec as { env?: unknown })?.env)).toEqual([
      { I: '${{ item }}' },
      undefined,
      { I: 'i' },
    ]);
  });

  test('names that no item will have are names like others', () => {
    const names = ['A[01]', 'A[-1]', 'A[x]', 'A[]', 'A [0]', '[0]', 'B[0]'];
    const tasks = [{ name: 'A', each: [1] }, { name: 'B' }, ...names.map((name) => ({ name }))];
    expect(planOf(JSON.stringify({ tasks })).tasks).toHaveLength(9);
  });
});

describe('what the engine does itself', () => {
  test.each<[string, Partial<PlannedTask>]>([
    ['process: payout', { process: { definition: 'payout' } }],
    [
      'process: { definition: payout, version: 3, input: "${{ tasks.before.output }}", detached: true }',
      {
        process: { definition: 'payout', version: 3, input: '${{ tasks.before.output }}', detached: true },
      },
    ],
    ['process: { definition: payout, detached: false }', { process: { definition: 'payout' } }],
    ['sleep: 10m', { sleep: { for: '10m' } }],
    ['sleep: 0s', { sleep: { for: '0s' } }],
    ['sleep: 366d', { sleep: { for: '366d' } }],
    ['sleep: "${{ input.minutes }}m"', { sleep: { for: '${{ input.minutes }}m' } }],
    ['sleep: { until: 2026-01-31T08:00:00+02:00 }', { sleep: { until: '2026-01-31T08:00:00+02:00' } }],
    [
      'sleep: { until: "${{ add_time(now(), \'2h\') }}" }',
      { sleep: { until: "${{ add_time(now(), '2h') }}" } },
    ],
    ['wait_for: paid', { wait_for: { event: 'paid' } }],
    [
      'wait_for: { event: "paid ${{ input.kind }}", key: "${{ input.n }}", timeout: 3d }',
      { wait_for: { event: 'paid ${{ input.kind }}', key: '${{ input.n }}', timeout_ms: 259_200_000 } },
    ],
    ['wait_for: { event: paid, key: "" }', { wait_for: { event: 'paid', key: '' } }],
    ['delay: 5m\nrun: x', { delay_ms: 300_000 }],
    ['delay: 0s', { delay_ms: 0 }],
    ['run_at: 2026-01-31T08:00:00Z', { run_at: '2026-01-31T08:00:00Z' }],
    ['run_at: "${{ input.when }}"\nhandler: h', { run_at: '${{ input.when }}' }],
    ['delay: 5m\nprocess: payout', { delay_ms: 300_000, process: { definition: 'payout' } }],
  ])('%s', (keys, planned) => expect(plannedOf(keys)).toEqual({ thinks: true, ...planned }));

  test('takes of the defaults only whether what follows minds its failure', () => {
    const plan = planOf(`
defaults: { queue: q, priority: 9, retry: { attempts: 5 }, timeout: 1m, continue_on_error: true, env: { A: b } }
tasks:
  - { name: A, sleep: 1s, labels: { team: x } }
  - { name: B, process: x, continue_on_error: false }
  - { name: C, run: x, each: [1] }
`);
    expect(
      plan.tasks.map(({ queue, priority, retry, timeout_ms, continue_on_error, spec, labels }) => [
        queue,
        priority,
        retry?.attempts,
        timeout_ms,
        continue_on_error,
        spec,
        labels,
      ]),
    ).toEqual([
      ['engine', 5, undefined, null, true, null, { team: 'x' }],
      ['engine', 5, undefined, null, false, null, null],
      ['q', 9, 5, 60_000, true, { type: 'run', run: 'x', env: { A: 'b' } }, null],
    ]);
  });
});

describe('the end of a process', () => {
  test('is in the plan as it was said', () => {
    const { tasks: _tasks, ...plan } = planOf(`
tasks: [{ name: A, run: x }, { name: B, run: y, each: [1] }]
output: { a: "\${{ tasks.A.output }}", b: ["\${{ tasks.B.output }} of \${{ process.id }}", 1, null] }
on_failure: { definition: clean-up, version: 2 }
deadline: 2h
`);
    expect(plan).toEqual({
      name: null,
      fail_fast: true,
      input: null,
      thinks: true,
      output: { a: '${{ tasks.A.output }}', b: ['${{ tasks.B.output }} of ${{ process.id }}', 1, null] },
      on_failure: { definition: 'clean-up', version: 2 },
      deadline_ms: 7_200_000,
    });
  });

  test.each(['output: ~', 'output: false', 'on_failure: x', 'deadline: 1s'])(
    '%s alone is thought about',
    (key) =>
      expect(planOf(`${key}\ntasks: [{ name: A }]`)).toMatchObject({ thinks: true, tasks: [{ name: 'A' }] }),
  );
});

test('a definition that says none of it has a plan without any of it', () => {
  const plan = planOf('tasks: [{ name: A, run: x, needs: [B] }, { name: B }]');
  expect(JSON.stringify(plan)).toBe(
    '{"name":null,"fail_fast":true,"input":null,"tasks":[' +
      '{"name":"A","queue":"default","priority":5,"spec":{"type":"run","run":"x"},"input":null,"labels":null,' +
      '"retry":null,"timeout_ms":null,"continue_on_error":false,"needs":[2],"dependents":[]},' +
      '{"name":"B","queue":"people","priority":5,"spec":null,"input":null,"labels":null,' +
      '"retry":null,"timeout_ms":null,"continue_on_error":false,"needs":[],"dependents":[1]}]}',
  );
});

test('which definitions are started is said with their places', () => {
  const parsed = parseDefinition(`on_failure: clean-up
tasks:
  - { name: A, process: { input: {}, definition: "pay\\u0020out", version: 2 } }
  - name: B
    process: audit
    each: [1]
`);
  expect(parsed.kind === 'valid' && parsed.refers.map((each) => ({ ...each }))).toEqual([
    {
      definition: 'pay out',
      version: 2,
      pointer: '/tasks/0/process/definition',
      line: 3,
      column: 50,
      excerpt: '  - { name: A, process: { input: {}, definition: "pay\\u0020out", version: 2 } }',
    },
    { definition: 'audit', pointer: '/tasks/1/process', line: 5, column: 14, excerpt: '    process: audit' },
    { definition: 'clean-up', pointer: '/on_failure', line: 1, column: 13, excerpt: 'on_failure: clean-up' },
  ]);
});

test('the examples of the READMEs are definitions', () => {
  for (const room of ['definition', 'expression']) {
    const readme = readFileSync(join(here, '../../src', room, 'README.md'), 'utf8');
    const examples = [...readme.matchAll(/^```yaml\n(.*?)^```$/gms)].map(([, source = '']) => source);
    expect(examples.length, room).toBeGreaterThan(0);
    for (const example of examples)
      expect(parseDefinition(example), example).toMatchObject({ kind: 'valid' });
  }
});
