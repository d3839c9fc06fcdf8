/** The plans of the model as definitions, in the words of the product. */
import type { Asked, Condition, LanguagePlan, LanguageTask, ListPlan, Value } from './language-plan.ts';

export interface Names {
  queue: string;
  /** Of the event for which all wait, by keys. */
  event: string;
  definitionOf: (plan: number | 'nobody') => string;
}

export const usualInput = { yes: true, no: false, three: 3, list: ['k0', 'k1', 'k0'] };

export function toDefinition(plan: LanguagePlan, names: Names): { [key: string]: Value } {
  const first = { three: '${{ input.three }}', first: '${{ tasks.t1.output }}' };
  return {
    fail_fast: plan.failFast,
    ...(plan.output && { output: plan.output === 'fine' ? first : { wrong: '${{ input.three.more }}' } }),
    ...(plan.onFailure !== null && { on_failure: names.definitionOf(plan.onFailure) }),
    ...(plan.hasDeadline && { deadline: '1h' }),
    tasks: plan.tasks.map((task) => toTask(task, names)),
  };
}

function toTask(task: LanguageTask, names: Names): { [key: string]: Value } {
  const { name, needs, condition, list, child } = task;
  return {
    name,
    needs: needs.map((need) => `t${need}`),
    continue_on_error: task.continueOnError,
    ...(task.kind === 'run' && { queue: names.queue }),
    ...(task.attemptsMax > 1 && { retry: { attempts: task.attemptsMax, delay: '0s', jitter: false } }),
    ...(task.isDelayed && { delay: '1h' }),
    ...(condition && { if: textOf(condition) }),
    ...(list && toList(list)),
    ...(child && {
      process: {
        definition: names.definitionOf(child.plan ?? 'nobody'),
        input: usualInput,
        ...(child.isDetached && { detached: true }),
      },
    }),
    ...(task.kind === 'sleep' && { sleep: '1h' }),
    ...(task.kind === 'event' && {
      wait_for: {
        event: names.event,
        key: task.key ?? '${{ item }}',
        ...(task.hasTimeout && { timeout: '1h' }),
      },
    }),
  };
}

const statuses = {
  always: 'always()',
  failure: 'failure()',
  success: 'success()',
  cancelled: 'cancelled()',
  'not failure': '!failure()',
  'failure or cancelled': '(failure() || cancelled())',
};

function textOf({ status, and }: Condition): string {
  const asked = and && (and.of === 'output' ? `${expressionOf(and)} == true` : expressionOf(and));
  return [status && statuses[status], asked].filter(Boolean).join(' && ');
}

function expressionOf(asked: Asked): string {
  return asked.of === 'input' ? `input.${asked.member}` : `tasks.t${asked.ordinal}.output`;
}

function toList({ from, isMatrix, concurrency, failuresMax }: ListPlan): { [key: string]: Value } {
  const bounds = {
    ...(concurrency !== null && { concurrency }),
    ...(failuresMax > 0 && { max_failures: failuresMax }),
  };
  if (isMatrix && from.of === 'text') {
    const values = (name: string) => [
      ...new Set(from.items.map((item) => (item as { [key: string]: Value })[name] as Value)),
    ];
    return { matrix: { a: values('a'), b: values('b') }, ...bounds };
  }
  return { each: from.of === 'text' ? from.items : expressionOf(from), ...bounds };
}
