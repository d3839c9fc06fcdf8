/**
 * Cycles in a graph whose nodes are 1, 2, 3 …; `needs[0]` are those that node 1 points to.
 *
 * Of every knot (strongly connected component) a short cycle is found, its edges are taken away, and what is left
 * is looked at again: so each cycle that is reported has edges of its own, and none is reported twice. Everything
 * walks with stacks of its own: a chain of ten thousand tasks is a usual thing.
 */

const cyclesMax = 20;
/** Edges walked in search of a cycle shorter than the first one found. */
const walkedMax = 1_000_000;

/** Each as the nodes on it, the smallest first, in the order of its edges. At most twenty. */
export function findCycles(needs: readonly (readonly number[])[]): number[][] {
  const edges = needs.map((to) => new Set(to));
  const cycles: number[][] = [];
  while (cycles.length < cyclesMax) {
    const knots = findKnots(edges);
    if (knots.length === 0) break;
    for (const knot of knots.slice(0, cyclesMax - cycles.length)) {
      const cycle = findShortCycle(knot, edges);
      for (const [index, node] of cycle.entries()) {
        edges[node - 1]?.delete(cycle[(index + 1) % cycle.length] ?? node);
      }
      cycles.push(cycle);
    }
  }
  return cycles;
}

/** Tarjan's strongly connected components of more than one node, each ascending, in the order of their first. */
function findKnots(edges: Set<number>[]): number[][] {
  const order = new Uint32Array(edges.length + 1);
  const low = new Uint32Array(edges.length + 1);
  const isOpen = new Uint8Array(edges.length + 1);
  const open: number[] = [];
  const knots: number[][] = [];
  let counter = 0;
  const edgesOf = (node: number) => edges[node - 1]?.values() ?? [].values();
  const enter = (node: number) => {
    counter += 1;
    order[node] = counter;
    low[node] = counter;
    isOpen[node] = 1;
    open.push(node);
    return { node, rest: edgesOf(node) };
  };
  for (let root = 1; root <= edges.length; root += 1) {
    if (order[root] !== 0) continue;
    const walk = [enter(root)];
    for (let top = walk.at(-1); top !== undefined; top = walk.at(-1)) {
      const { node, rest } = top;
      const { value: next, done } = rest.next();
      if (!done) {
        if (order[next] === 0) walk.push(enter(next));
        else if (isOpen[next]) low[node] = Math.min(low[node] ?? 0, order[next] ?? 0);
        continue;
      }
      walk.pop();
      const parent = walk.at(-1)?.node;
      if (parent !== undefined) low[parent] = Math.min(low[parent] ?? 0, low[node] ?? 0);
      if (low[node] !== order[node]) continue;
      const knot = open.splice(open.lastIndexOf(node));
      for (const member of knot) isOpen[member] = 0;
      if (knot.length > 1) knots.push(knot.sort((a, b) => a - b));
    }
  }
  return knots.sort((a, b) => (a[0] ?? 0) - (b[0] ?? 0));
}

/** The shortest through any node of the knot, as far as the search may go; through the first node at least. */
function findShortCycle(knot: number[], edges: Set<number>[]): number[] {
  const members = new Set(knot);
  let shortest: number[] | undefined;
  let walked = 0;
  for (const start of knot) {
    const cameFrom = new Map<number, number>();
    const line = [start];
    search: for (let at = 0; at < line.length; at += 1) {
      const node = line[at] ?? start;
      for (const next of edges[node - 1] ?? []) {
        walked += 1;
        if (next === start) {
          const cycle = trace(node, cameFrom);
          if (shortest === undefined || cycle.length < shortest.length) shortest = cycle;
          break search;
        }
        if (!members.has(next) || cameFrom.has(next)) continue;
        cameFrom.set(next, node);
        line.push(next);
      }
    }
    if (shortest?.length === 2 || (shortest && walked > walkedMax)) break;
  }
  return turn(shortest ?? []);
}

function trace(last: number, cameFrom: Map<number, number>): number[] {
  const route = [last];
  for (let node = cameFrom.get(last); node !== undefined; node = cameFrom.get(node)) route.push(node);
  return route.reverse();
}

/** Begins with the smallest. */
function turn(cycle: number[]): number[] {
  const at = cycle.indexOf(cycle.reduce((least, node) => Math.min(least, node), Number.POSITIVE_INFINITY));
  return [...cycle.slice(at), ...cycle.slice(0, at)];
}
