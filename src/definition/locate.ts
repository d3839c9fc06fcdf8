/** A path → the offset in the source. */
import { isMap, isScalar, isSeq, type Node, type Pair } from 'yaml';
import type { Part, Path, Within } from './problem.ts';

/**
 * Where the value at `path` begins, its key, or the map that lacks it. Where the path leads nowhere, the last thing
 * on the way there is; through an alias it leads to what the alias stands for.
 */
export function locate(
  root: Node | null,
  path: Path,
  { of = 'value', targets }: { of?: Part | undefined; targets: Map<Node, Node> },
): number {
  return walk(root, path, { of, targets }).offset;
}

/** How a text may stand in the source: as it is, in double quotes, in single quotes. */
const writings: ((text: string) => string)[] = [
  (text) => text,
  (text) => JSON.stringify(text).slice(1, -1),
  (text) => text.replaceAll("'", "''"),
];

/**
 * A place in the text value at `path`. The source may write a text otherwise than it is (other escapes, folded lines):
 * where the part in question cannot be found, the value's own place.
 */
export function locateWithin(
  root: Node | null,
  path: Path,
  { within, source, targets }: { within: Within; source: string; targets: Map<Node, Node> },
): number {
  const { offset, node } = walk(root, path, { of: 'value', targets });
  const holder = node && (targets.get(node) ?? node);
  if (!isScalar(holder) || !holder.range) return offset;
  const part = within.text.slice(within.start, within.end);
  const [from, to] = holder.range;
  for (const write of writings) {
    const found = findSame(within, { part, written: source.slice(from, to), partWritten: write(part) });
    if (found !== -1) return from + found + write(part.slice(0, within.at - within.start)).length;
  }
  return offset;
}

/** Where the part begins in what is written: of several that are the same, the one that is meant. */
function findSame(
  { text, start }: Within,
  { part, written, partWritten }: { part: string; written: string; partWritten: string },
): number {
  if (part === '') return -1;
  let found = written.indexOf(partWritten);
  for (let at = text.indexOf(part); at < start && at !== -1 && found !== -1; ) {
    at = text.indexOf(part, at + 1);
    found = written.indexOf(partWritten, found + 1);
  }
  return found;
}

function walk(
  root: Node | null,
  path: Path,
  { of, targets }: { of: Part; targets: Map<Node, Node> },
): { offset: number; node: Node | null } {
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
      if (pair === undefined) return { offset, node: null };
      offset = pair.key.range?.[0] ?? offset;
      if (of === 'key' && index === steps.length - 1) break;
      node = pair.value;
    } else {
      return { offset, node: null };
    }
    if (node === null) break;
    offset = node.range?.[0] ?? offset;
  }
  return { offset, node };
}
