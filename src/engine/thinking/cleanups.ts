/** Which clean-up tasks of stopping processes are due: those behind which nothing is left to wait for. Pure. */
import type { PlannedTask } from '../../core/plan.ts';
import type { LiveTask } from '../../queue/processes/read-standing.ts';

/** Of the live tasks of one process. Answers ids. Each need of the plan is looked at once, however many are live. */
export function dueCleanups(live: LiveTask[], planned: Pick<PlannedTask, 'dependents'>[]): string[] {
  const unended = new Set(live.map(({ ordinal, item_of }) => item_of ?? ordinal));
  const behind = new Set<number>();
  const next = [...unended];
  for (let ordinal = next.pop(); ordinal !== undefined; ordinal = next.pop()) {
    for (const dependent of planned[ordinal - 1]?.dependents ?? []) {
      // From an unended one the walk begins anyway.
      if (!behind.has(dependent) && !unended.has(dependent)) next.push(dependent);
      behind.add(dependent);
    }
  }
  return live
    .filter(
      ({ ordinal, item_of, state, spared }) =>
        state === 'pending' && spared && item_of === null && !behind.has(ordinal),
    )
    .map(({ id }) => id);
}
