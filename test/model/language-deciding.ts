/** Whether a task runs whose needs have ended, and what expressions come to. */
import { failedForGood, type Process, type Task, taskOf, type World } from './language-model.ts';
import { type Asked, ancestorsOf, type Condition, type Value } from './language-plan.ts';

/** Thinking of it, what would be done now. */
export function decide(process: Process, task: Task): 'skipped' | 'fails' | 'goes on' {
  const { plan } = task;
  const needs = plan.needs.map((need) => taskOf(process, need));
  const success = needs.every(
    ({ state, isTolerated }) => state === 'completed' || (state === 'failed' && isTolerated),
  );
  if ((plan.condition?.status ?? null) === null && !success) return 'skipped';
  if (plan.condition === null) return 'goes on';
  const before = ancestorsOf(process.plan, plan.ordinal);
  const failure =
    (process.state === 'failing' && process.failFast) ||
    process.tasks.some((each) => failedForGood(each) && before.has(each.item?.of ?? each.plan.ordinal));
  const holds = evaluate(process, plan.condition, {
    success,
    failure,
    cancelled: process.state === 'cancelling',
  });
  return holds === 'fails' ? 'fails' : holds ? 'goes on' : 'skipped';
}

function evaluate(
  process: Process,
  { status, and }: Condition,
  { success, failure, cancelled }: { success: boolean; failure: boolean; cancelled: boolean },
): boolean | 'fails' {
  const stands =
    status === null || status === 'always'
      ? true
      : {
          failure,
          success,
          cancelled,
          'not failure': !failure,
          'failure or cancelled': failure || cancelled,
        }[status];
  if (!stands || and === null) return stands;
  const value = ask(process, and);
  if (and.of === 'output') return value === true;
  return typeof value === 'boolean' ? value : 'fails';
}

const input = { yes: true, no: false, three: 3, list: ['k0', 'k1', 'k0'] };

/** Undefined: that fails. */
export function ask(process: Process, asked: Asked): Value | undefined {
  if (asked.of === 'input') return process.input === 'usual' ? input[asked.member] : undefined;
  const task = taskOf(process, asked.ordinal);
  return task.state === 'completed' ? task.output : null;
}

export function countDecision({ count }: World, condition: Condition | null, decision: string) {
  if (condition === null) return count(`no if | ${decision}`);
  const { status, and } = condition;
  if (status) count(`if ${status} | ${decision}`);
  if (and) count(`if … ${and.of} | ${decision}`);
}
