/** A path → the offset in the source. */
import { isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import type { Part, Path } from './problem.ts';

/**
 * Where the value at `path` begins, its key, or the map that lacks it. Where the path leads nowhere, the last thing
 * on the way there is; through an alias it leads to what the alias stands for.
 */
export function locate(
  root: Node | null,
  path: Path,
  { of = 'value', targets }: { of?: Part | undefined; targets: Map<Node, Node> },
): number {
  const steps = of === 'map' ? path.slice(0, -1) : path;
  let node = root;
  let offset = root?.range?.[0] ?? 0;
  for (const [index, step] of steps.entries()) {
    const holder = node && (targets.get(node) ?? node);
    if (isSeq(holder)) {
      node = (holder.items[Number(step)] as Node | undefined) ?? null;
    } else if (isMap(holder)) {
      const pair = (holder.items as Pair<Node, Node | null>[]).find(
        ({ key }) => isScalar(key) && String(key.value) === String(step),
      );
      if (pair === undefined) break;
      offset = pair.key.range?.[0] ?? offset;
      if (of === 'key' && index === steps.length - 1) break;
      node = pair.value;
    } else {
      break;
    }
    if (node === null) break;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}
