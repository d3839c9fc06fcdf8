/** What expressions ask of other tasks: each must come before the task that asks. */
import { createAncestors } from './ancestors.ts';
import type { Check } from './check.ts';
import type { GraphTask } from './needs.ts';
import { type Finding, quote } from './problem.ts';
import type { Reference } from './templates.ts';

/** `references` and `needs` are in the order of the tasks. */
export function checkReferences(
  references: Reference[][],
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
        checks.report(toUnknown({ name, path, within }, { graph, checks }));
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

/** What the output of the process asks for: any task, for all have ended then. */
export function checkOutputReferences(
  references: Reference[],
  { graph, checks }: { graph: GraphTask[]; checks: Check },
): void {
  if (references.length === 0) return;
  const names = new Set(graph.map(({ name }) => name));
  for (const each of references) {
    if (!names.has(each.name)) checks.report(toUnknown(each, { graph, checks }));
  }
}

function toUnknown(
  { name, path, within }: Reference,
  { graph, checks }: { graph: GraphTask[]; checks: Check },
): Finding {
  return {
    path,
    within,
    code: 'unknown_task',
    message: `there is no task ${quote(name)}`,
    suggest: () =>
      checks.suggester.nearest(
        name,
        graph.flatMap((task) => task.name ?? []),
      ),
  };
}
