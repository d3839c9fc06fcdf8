/** Which task needs which: names become ordinals, and what cannot be is a problem. */
import type { Json } from '../core/json.ts';
import { planLimits } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import type { Check } from './check.ts';
import { findCycles } from './cycles.ts';
import { type Path, quote } from './problem.ts';

/** A task as the graph sees it; one that has no usable name has null. */
export interface GraphTask {
  name: string | null;
  needs: { name: string; path: Path }[];
}

/** `needs` of one task: a list of names, or one name. */
export function readNeeds(value: Json | undefined, path: Path, { report }: Check): GraphTask['needs'] {
  if (value === undefined) return [];
  if (typeof value === 'string') return [{ name: value, path }];
  if (!Array.isArray(value)) {
    const message = `needs must be a list of names of tasks, not ${nameKind(value)}`;
    report({ path, code: 'wrong_type', message });
    return [];
  }
  return value.flatMap((name, index) => {
    if (typeof name === 'string') return [{ name, path: [...path, index] }];
    const message = `needs[${index}] must be the name of a task, not ${nameKind(name)}`;
    report({ path: [...path, index], code: 'wrong_type', message });
    return [];
  });
}

/**
 * For each task the ordinals of what it needs, ascending. Reports duplicate names, needs that are unknown, named
 * twice or the task itself, and cycles.
 */
export function linkNeeds(tasks: GraphTask[], checks: Check): number[][] {
  const { report } = checks;
  const ordinals = nameOrdinals(tasks, checks);
  let count = 0;
  const edges = tasks.map(({ name: own, needs }, index) => {
    const found = new Map<number, Path>();
    if (count > planLimits.needsMax) return found;
    count += needs.length;
    if (count > planLimits.needsMax) {
      const message = `the tasks have more than ${planLimits.needsMax} needs together`;
      report({ path: ['tasks', index, 'needs'], code: 'too_many_needs', message });
      return found;
    }
    const named = new Set<string>();
    for (const { name, path } of needs) {
      const ordinal = ordinals.get(name);
      if (named.has(name)) {
        report({ path, code: 'duplicate_need', message: `${quote(name)} is named twice` });
      } else if (name === own) {
        report({ path, code: 'needs_itself', message: `task ${quote(name)} needs itself` });
      } else if (ordinal === undefined) {
        report({
          path,
          code: 'unknown_need',
          message: `there is no task ${quote(name)}`,
          suggest: () =>
            checks.suggester.nearest(
              name,
              [...ordinals.keys()].filter((other) => other !== own),
            ),
        });
      } else {
        found.set(ordinal, path);
      }
      named.add(name);
    }
    return found;
  });
  const linked = edges.map((found) => [...found.keys()].sort((a, b) => a - b));
  reportCycles(linked, { tasks, edges, checks });
  return linked;
}

/** From 1, in the order of the text; of a name that is there twice, the first. */
function nameOrdinals(tasks: GraphTask[], { report }: Check): Map<string, number> {
  const ordinals = new Map<string, number>();
  for (const [index, { name }] of tasks.entries()) {
    if (name === null) continue;
    const first = ordinals.get(name);
    if (first === undefined) {
      ordinals.set(name, index + 1);
      continue;
    }
    report({
      path: ['tasks', index, 'name'],
      code: 'duplicate_name',
      message: `there are two tasks ${quote(name)}`,
      related: [{ path: ['tasks', first - 1, 'name'], message: 'the first is here' }],
    });
  }
  return ordinals;
}

const relatedMax = 10;

function reportCycles(
  linked: number[][],
  { tasks, edges, checks }: { tasks: GraphTask[]; edges: Map<number, Path>[]; checks: Check },
): void {
  const nameOf = (ordinal: number) => tasks[ordinal - 1]?.name ?? '';
  for (const cycle of findCycles(linked)) {
    const steps = cycle.map((ordinal, index) => {
      const next = cycle[(index + 1) % cycle.length] ?? ordinal;
      return { ordinal, next, path: edges[ordinal - 1]?.get(next) ?? [] };
    });
    const [first, ...others] = steps;
    checks.report({
      path: first?.path ?? [],
      code: 'cycle',
      message: `these tasks need each other in a circle: ${toRoute(cycle.map(nameOf))}`,
      related: others.slice(0, relatedMax).map(({ ordinal, next, path }) => ({
        path,
        message: `${quote(nameOf(ordinal))} needs ${quote(nameOf(next))}`,
      })),
    });
  }
}

const shownMax = 12;

/** `A -> B -> A`, each needing the next; a long one without its middle. */
function toRoute(names: string[]): string {
  const cut = names.map((name) => (name.length > 80 ? `${name.slice(0, 80)}…` : name));
  const shown =
    cut.length > shownMax
      ? [...cut.slice(0, shownMax / 2), `… ${cut.length - shownMax} more …`, ...cut.slice(-shownMax / 2)]
      : cut;
  return [...shown, cut[0]].join(' -> ');
}
