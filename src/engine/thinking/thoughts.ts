/** What an engine must think about a task of a plan: compiled when the first of them is thought about, kept with it. */
import type { Json } from '../../core/json.ts';
import type { Plan, PlannedTask } from '../../core/plan.ts';
import { createAncestors } from '../../definition/ancestors.ts';
import type { Asks } from '../../expression/compile.ts';
import { type Condition, compileCondition } from '../../expression/condition.ts';
import { compileValue, type ValueTemplate } from '../../expression/value-template.ts';
import type { Asked } from '../../queue/processes/read-outputs.ts';

export type Ancestors = ReturnType<typeof createAncestors>;

export interface Thought {
  planned: PlannedTask;
  ordinal: number;
  condition: Condition | null;
  /** No function of its condition says how what the task follows from may have ended: all must have ended well. */
  impliesSuccess: boolean;
  each: ValueTemplate | null;
  matrix: { name: string; values: ValueTemplate }[] | null;
  process: ValueTemplate | null;
  sleep: ValueTemplate | null;
  event: ValueTemplate | null;
  runAt: ValueTemplate | null;
  asks: Asked[];
  /** There is something to evaluate: otherwise it is plain, and thought about for what it needs. */
  hasExpressions: boolean;
}

/** What is known of a plan beyond its text; a plan that is no longer kept takes it along. */
interface Known {
  ordinals: Map<string, number>;
  thoughts: Map<number, Thought | null>;
  ancestors: Ancestors | null;
  /** By ordinal: the one task that needs it; null where several do. */
  dependents: Map<number, number | null> | null;
  output: { template: ValueTemplate; asks: Asked[] } | null;
}

const knownOf = new WeakMap<Plan, Known>();

/** Null: there is no such task in the plan. */
export function thoughtOf(plan: Plan, ordinal: number): Thought | null {
  const { thoughts } = know(plan);
  const kept = thoughts.get(ordinal);
  if (kept !== undefined) return kept;
  const planned = plan.tasks[ordinal - 1];
  const thought = planned ? compile(plan, planned, ordinal) : null;
  thoughts.set(ordinal, thought);
  return thought;
}

/** Whether a task has ended whenever another can run. */
export function ancestorsOf(plan: Plan): Ancestors {
  const known = know(plan);
  known.ancestors ??= createAncestors(plan.tasks.map(({ needs }) => needs));
  return known.ancestors;
}

/** The task that needs it, if one alone does. */
export function onlyDependentOf(plan: Plan, ordinal: number): number | null {
  const known = know(plan);
  if (known.dependents === null) {
    known.dependents = new Map();
    for (const [index, { needs }] of plan.tasks.entries())
      for (const need of needs) known.dependents.set(need, known.dependents.has(need) ? null : index + 1);
  }
  return known.dependents.get(ordinal) ?? null;
}

export function outputOf(plan: Plan): { template: ValueTemplate; asks: Asked[] } | null {
  const known = know(plan);
  if (known.output === null && plan.output !== undefined) {
    const template = compileValue(plan.output, 'output');
    known.output = { template, asks: resolve(plan, [template.asks]) };
  }
  return known.output;
}

function know(plan: Plan): Known {
  const kept = knownOf.get(plan);
  if (kept) return kept;
  const known: Known = {
    ordinals: new Map(plan.tasks.map(({ name }, index) => [name, index + 1])),
    thoughts: new Map(),
    ancestors: null,
    dependents: null,
    output: null,
  };
  knownOf.set(plan, known);
  return known;
}

function compile(plan: Plan, planned: PlannedTask, ordinal: number): Thought {
  const condition = planned.if === undefined ? null : compileCondition(planned.if);
  const calls = condition?.calls;
  const value = (json: Json | undefined, place: string) =>
    json === undefined ? null : compileValue(json, place);
  const compiled = {
    each: value(planned.each, 'each'),
    matrix:
      planned.matrix === undefined
        ? null
        : Object.entries(planned.matrix).map(([name, values]) => ({
            name,
            values: compileValue(values, `matrix.${name}`),
          })),
    process: value(planned.process && { input: {}, ...planned.process }, 'process'),
    sleep: value(planned.sleep, 'sleep'),
    event: value(
      planned.wait_for && { event: planned.wait_for.event, key: planned.wait_for.key ?? '' },
      'wait_for',
    ),
    runAt: value(planned.run_at, 'run_at'),
  };
  const { matrix, ...values } = compiled;
  const templates = [...Object.values(values), ...(matrix ?? []).map((each) => each.values)];
  return {
    planned,
    ordinal,
    condition,
    impliesSuccess: !(calls?.always || calls?.failure || calls?.success || calls?.cancelled),
    ...compiled,
    hasExpressions:
      condition !== null || matrix !== null || Object.values(values).some((each) => each !== null),
    asks: resolve(plan, [condition?.asks, ...templates.map((template) => template?.asks)]),
  };
}

function resolve(plan: Plan, asked: (Asks | undefined)[]): Asked[] {
  const { ordinals } = know(plan);
  const resolved = new Map<string, Asked>();
  for (const [name, members] of asked.flatMap((asks) => [...(asks ?? [])])) {
    const ordinal = ordinals.get(name);
    if (ordinal === undefined) continue;
    const known = resolved.get(name)?.members ?? [];
    resolved.set(name, { name, ordinal, members: new Set([...known, ...members]) });
  }
  return [...resolved.values()];
}
