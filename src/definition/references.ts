/** What expressions ask of other tasks: each must come before the task that asks. */
import { createAncestors } from './ancestors.ts';
import type { Check } from './check.ts';
import type { GraphTask } from './needs.ts';
import { quote } from './problem.ts';
import type { TaskReference } from './templates.ts';

/** `references` and `needs` are in the order of the tasks. */
export function checkReferences(
  references: TaskReference[][],
  { graph, needs, checks }: { graph: GraphTask[]; needs: number[][]; checks: Check },
): void {
  if (references.every((own) => own.length === 0)) return;
  const ordinals = new Map(graph.map(({ name }, index) => [name, index + 1]));
  const ancestors = createAncestors(needs);
  for (const [index, own] of references.entries()) {
    // Where a need is wrong it may be the very one that is missed here.
    const isSound = graph[index]?.needs.length === needs[index]?.length;
    for (const { name, path, within } of own) {
      const ordinal = ordinals.get(name);
      if (ordinal === undefined) {
        checks.report({
          path,
          within,
          code: 'unknown_task',
          message: `there is no task ${quote(name)}`,
          suggest: () =>
            checks.suggester.nearest(
              name,
              graph.flatMap((task) => task.name ?? []),
            ),
        });
      } else if (isSound && !ancestors.isBefore(ordinal, index + 1)) {
        const asking = graph[index]?.name ?? null;
        const of = asking === null ? 'this task' : quote(asking);
        const message =
          ordinal === index + 1
            ? `${of} cannot ask for what it does itself`
            : `${quote(name)} need not have ended before ${of} runs: name it in "needs"`;
        checks.report({ path, within, code: 'not_an_ancestor', message });
      }
    }
  }
}
