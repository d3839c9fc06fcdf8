import type { Plan } from './plan.ts';

/** For each task how many lie before it on the longest way. */
export function levelsOf(plan: Pick<Plan, 'tasks'>): number[] {
  const levels = plan.tasks.map(() => 0);
  const unmet = plan.tasks.map((task) => task.needs.length);
  const ready = plan.tasks.flatMap((task, index) => (task.needs.length === 0 ? [index] : []));
  // What becomes ready is added on the way and still visited.
  for (const index of ready) {
    for (const ordinal of plan.tasks[index]?.dependents ?? []) {
      const dependent = ordinal - 1;
      levels[dependent] = Math.max(levels[dependent] ?? 0, (levels[index] ?? 0) + 1);
      unmet[dependent] = (unmet[dependent] ?? 0) - 1;
      if (unmet[dependent] === 0) ready.push(dependent);
    }
  }
  return levels;
}
