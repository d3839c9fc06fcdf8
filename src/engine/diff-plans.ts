/**
 * What is different between two plans, by task and key. Tasks are the same by their names; what a plan derives from
 * the rest (places, dependents, what must be thought about) is left out, and the order of the text does not count.
 */
import { isDeepStrictEqual } from 'node:util';
import { escapePointer, type Json } from '../core/json.ts';
import type { Plan, PlannedTask } from '../core/plan.ts';

type JsonMap = { [key: string]: Json };

export interface Change {
  /** JSON pointer into the task, or into the definition beside its tasks; empty: the whole. */
  pointer: string;
  /** Left out: it was not there. */
  before?: Json;
  /** Left out: it is not there any more. */
  after?: Json;
}

export interface TaskDiff {
  name: string;
  change: 'added' | 'removed' | 'changed';
  changes: Change[];
}

export interface PlanDiff {
  /** Outside its tasks. */
  definition: Change[];
  /** In the order of the newer text; those removed at the end. */
  tasks: TaskDiff[];
  /** Tasks that are different too, and not shown. */
  tasks_left_out: number;
}

/** More is another definition. */
const tasksShownMax = 1_000;

export function diffPlans(before: Plan, after: Plan): PlanDiff {
  const [old, now] = [comparableTasks(before), comparableTasks(after)];
  const tasks: TaskDiff[] = [];
  for (const [name, task] of now) {
    const was = old.get(name);
    if (was === undefined) tasks.push({ name, change: 'added', changes: [{ pointer: '', after: task }] });
    else {
      const changes = diffValues(was, task);
      if (changes.length > 0) tasks.push({ name, change: 'changed', changes });
    }
  }
  for (const [name, task] of old) {
    if (!now.has(name)) tasks.push({ name, change: 'removed', changes: [{ pointer: '', before: task }] });
  }
  return {
    definition: diffValues(comparableRest(before), comparableRest(after)),
    tasks: tasks.slice(0, tasksShownMax),
    tasks_left_out: Math.max(0, tasks.length - tasksShownMax),
  };
}

function comparableTasks({ tasks }: Plan): Map<string, JsonMap> {
  return new Map(tasks.map((task) => [task.name, comparableTask(task, tasks)]));
}

function comparableTask(task: PlannedTask, tasks: PlannedTask[]): JsonMap {
  const {
    name: _name,
    dependents: _dependents,
    thinks: _thinks,
    runs_on_failure: _onFailure,
    runs_on_cancel: _onCancel,
    ...said
  } = task;
  const needs = task.needs.map((ordinal) => tasks[ordinal - 1]?.name ?? '').sort();
  return { ...said, needs } as JsonMap;
}

function comparableRest({ name: _name, tasks: _tasks, thinks: _thinks, ...said }: Plan): JsonMap {
  return said as JsonMap;
}

/** Maps member by member, everything else as a whole. */
function diffValues(before: Json | undefined, after: Json | undefined, pointer = ''): Change[] {
  if (isMap(before) && isMap(after)) {
    const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
    return [...keys].flatMap((key) =>
      diffValues(own(before, key), own(after, key), `${pointer}/${escapePointer(key)}`),
    );
  }
  if (isDeepStrictEqual(before, after)) return [];
  return [
    {
      pointer,
      ...(before === undefined ? {} : { before }),
      ...(after === undefined ? {} : { after }),
    },
  ];
}

function own(map: JsonMap, key: string): Json | undefined {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function isMap(value: Json | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
