/** Which clean-up tasks of stopping processes are due: those behind which nothing is left to wait for. Pure. */
import type { LiveTask } from '../../queue/processes/read-standing.ts';
import type { Ancestors } from './thoughts.ts';

/** Of the live tasks of one process. Answers ids. */
export function dueCleanups(live: LiveTask[], ancestors: Ancestors): string[] {
  const waiting = live.filter(
    ({ state, spared, item_of }) => state === 'pending' && spared && item_of === null,
  );
  const unended = [...new Set(live.map(({ ordinal, item_of }) => item_of ?? ordinal))];
  return waiting
    .filter(
      (task) =>
        !unended.some((ordinal) => ordinal !== task.ordinal && ancestors.isBefore(ordinal, task.ordinal)),
    )
    .map(({ id }) => id);
}
