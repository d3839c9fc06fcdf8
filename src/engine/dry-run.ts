/** What a process would do: its plan in the order of execution, without a database and without running any of it. */
import { formatDuration } from '../core/durations.ts';
import type { Json } from '../core/json.ts';
import type { Plan, PlannedTask } from '../core/plan.ts';
import { levelsOf } from '../core/plan-levels.ts';
import type { Spec } from '../core/spec.ts';
import type { RetryOn } from '../core/task.ts';
import { checkInput } from './check-input.ts';
import { refused } from './values.ts';

export interface DryRun {
  /** The name in its text. */
  definition: string | null;
  /** With its defaults. */
  input: { [name: string]: Json };
  /** Each may run when all of the steps before have ended; those of one step at the same time. */
  steps: DryTask[][];
  output: Json;
  on_failure: Plan['on_failure'] | null;
  deadline: string | null;
}

/** A task as it is written: expressions are evaluated only when a process runs. */
export interface DryTask {
  name: string;
  ordinal: number;
  /** Null: the engine does it itself. */
  queue: string | null;
  /** What a worker runs; null: somebody completes it, or the engine does it itself. */
  spec: Spec | null;
  input: Json;
  /** Names of the tasks that must have ended. */
  needs: string[];
  if: string | null;
  /** Once for each of these. */
  each: Json;
  matrix: { [name: string]: Json } | null;
  concurrency: number | null;
  max_failures: number | null;
  process: NonNullable<PlannedTask['process']> | null;
  sleep: NonNullable<PlannedTask['sleep']> | null;
  wait_for: { event: string; key: string | null; timeout: string | null } | null;
  delay: string | null;
  run_at: string | null;
  /** Tries in all. */
  attempts: number;
  /** The failures that are tried again; null: all. */
  retry_on: RetryOn | null;
  retry_within: string | null;
  timeout: string | null;
  continue_on_error: boolean;
}

/** @throws SkipjackError `invalid_input` with every problem, as a start would. */
export function planRun(plan: Plan, given: { [name: string]: Json }): DryRun {
  const { input, problems } = checkInput(plan.input, given);
  if (problems.length > 0) {
    throw refused(
      'invalid_input',
      problems.map((problem) => ({ ...problem, pointer: `/input${problem.pointer}` })),
    );
  }
  const steps: DryTask[][] = [];
  for (const [index, level] of levelsOf(plan).entries()) {
    const task = plan.tasks[index];
    if (!task) continue;
    const step = steps[level] ?? [];
    steps[level] = step;
    step.push(toDryTask(task, index + 1, plan));
  }
  return {
    definition: plan.name,
    input,
    steps,
    output: plan.output ?? null,
    on_failure: plan.on_failure ?? null,
    deadline: plan.deadline_ms === undefined ? null : formatDuration(plan.deadline_ms),
  };
}

function toDryTask(task: PlannedTask, ordinal: number, plan: Plan): DryTask {
  const isEngines = task.process !== undefined || task.sleep !== undefined || task.wait_for !== undefined;
  const { wait_for } = task;
  return {
    name: task.name,
    ordinal,
    queue: isEngines ? null : task.queue,
    spec: task.spec,
    input: task.input,
    needs: task.needs.map((need) => plan.tasks[need - 1]?.name ?? ''),
    if: task.if ?? null,
    each: task.each ?? null,
    matrix: task.matrix ?? null,
    concurrency: task.concurrency ?? null,
    max_failures: task.max_failures ?? null,
    process: task.process ?? null,
    sleep: task.sleep ?? null,
    wait_for: wait_for
      ? { event: wait_for.event, key: wait_for.key ?? null, timeout: durationOf(wait_for.timeout_ms) }
      : null,
    delay: durationOf(task.delay_ms),
    run_at: task.run_at ?? null,
    attempts: task.retry?.attempts ?? 1,
    retry_on: task.retry?.on ?? null,
    retry_within: durationOf(task.retry?.within_ms),
    timeout: durationOf(task.timeout_ms ?? undefined),
    continue_on_error: task.continue_on_error,
  };
}

function durationOf(ms: number | undefined): string | null {
  return ms === undefined ? null : formatDuration(ms);
}
