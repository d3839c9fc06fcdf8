/** `run --dry-run`: a plan for people to read. */
import type { Json } from '../../core/json.ts';
import type { Spec } from '../../core/spec.ts';
import type { DryRun, DryTask } from '../../engine/dry-run.ts';
import { formatWork } from '../show-task.ts';
import { printable } from '../table.ts';

const valueLengthMax = 200;

export function showPlan({ definition, input, steps, output, on_failure, deadline }: DryRun): string {
  const count = steps.reduce((sum, step) => sum + step.length, 0);
  const head = [
    `${definition ?? 'A definition without a name'}: ${count} ${count === 1 ? 'task' : 'tasks'} in ${steps.length} ${steps.length === 1 ? 'step' : 'steps'}. Nothing was run.`,
    ...(Object.keys(input).length > 0 ? [`input     ${toValue(input)}`] : []),
    ...(deadline === null ? [] : [`deadline  ${deadline}`]),
  ];
  const body = steps.flatMap((step, index) => [
    '',
    step.length === 1 ? `Step ${index + 1}` : `Step ${index + 1}, at the same time`,
    ...step.flatMap(showTask),
  ]);
  const end = [
    ...(output === null ? [] : [`output      ${toValue(output)}`]),
    ...(on_failure ? [`on failure  starts ${referTo(on_failure)}`] : []),
  ];
  return [...head, ...body, ...(end.length > 0 ? ['', ...end] : [])].map(printable).join('\n');
}

function showTask(task: DryTask): string[] {
  const lines: [string, string | null][] = [
    ['needs', task.needs.length > 0 ? task.needs.join(', ') : null],
    ['if', task.if],
    ['each', describeItems(task)],
    ...describeWork(task),
    ['due', describeDue(task)],
    ['retry', describeRetry(task)],
    ['timeout', task.timeout],
    ['on error', task.continue_on_error ? 'the process goes on' : null],
  ];
  const known = lines.filter((line): line is [string, string] => line[1] !== null);
  return [
    `  ${task.name}`,
    ...known.flatMap(([name, text]) => {
      const [first = '', ...rest] = text.trimEnd().split('\n');
      return [`    ${name.padEnd(9)} ${first}`, ...rest.map((line) => `    ${' '.repeat(10)}${line}`)];
    }),
  ];
}

function describeItems({ each, matrix, concurrency, max_failures }: DryTask): string | null {
  if (each === null && matrix === null) return null;
  const items = matrix === null ? toValue(each) : `combination of ${toValue(matrix)}`;
  return [
    items,
    ...(concurrency === null ? [] : [`${concurrency} at the same time`]),
    ...(max_failures === null ? [] : [`${max_failures} may fail`]),
  ].join(', ');
}

function describeWork(task: DryTask): [string, string | null][] {
  const { process, sleep, wait_for, spec, queue } = task;
  if (process) {
    const input = process.input === undefined ? null : toValue(process.input);
    return [
      ['starts', `${referTo(process)}${process.detached ? ', and does not wait for it' : ''}`],
      ['input', input],
    ];
  }
  if (sleep) return [['sleeps', 'for' in sleep ? sleep.for : `until ${sleep.until}`]];
  if (wait_for) {
    const key = wait_for.key === null ? '' : ` with key ${JSON.stringify(wait_for.key)}`;
    const end = wait_for.timeout === null ? '' : `, ${wait_for.timeout} at most`;
    return [['waits for', `the event ${JSON.stringify(wait_for.event)}${key}${end}`]];
  }
  return [
    spec === null
      ? ['waits for', `somebody to complete it, on queue "${queue}"`]
      : ['runs', formatWork({ ...spec })],
    ['queue', spec === null || queue === 'default' ? null : queue],
    ['env', envOf(spec)],
    ['input', task.input === null ? null : toValue(task.input)],
  ];
}

function envOf(spec: Spec | null): string | null {
  if (spec === null || !('env' in spec) || spec.env === undefined) return null;
  return Object.entries(spec.env)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n');
}

function describeRetry({ attempts, retry_on, retry_within }: DryTask): string | null {
  if (attempts === 1) return null;
  const failures = [
    ...(retry_on?.exit_codes ?? []).map((code) => `exit code ${code}`),
    ...(retry_on?.codes ?? []),
  ];
  return [
    `${attempts} attempts`,
    ...(failures.length > 0 ? [`after ${failures.join(', ')}`] : []),
    ...(retry_within === null ? [] : [`within ${retry_within}`]),
  ].join(', ');
}

function describeDue({ delay, run_at }: DryTask): string | null {
  if (delay !== null) return `${delay} after its needs have ended`;
  return run_at;
}

function referTo({ definition, version }: { definition: string; version?: number | undefined }): string {
  return `process "${definition}"${version === undefined ? '' : `, version ${version}`}`;
}

function toValue(value: Json): string {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.length > valueLengthMax ? `${text.slice(0, valueLengthMax - 1)}…` : text;
}
