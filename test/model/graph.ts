/** Shapes of processes: who needs whom. */
import type { Random } from './random.ts';

export const shapes = ['single', 'chain', 'fan', 'join', 'diamond', 'layers', 'branches', 'random'] as const;
/** Those in which many tasks can run at once. */
export const wideShapes = ['fan', 'join', 'diamond', 'layers', 'branches', 'random'] as const;
export type Shape = (typeof shapes)[number];

/**
 * For each task, counted from 1, what it needs. The order of the text is not the order of running: which task
 * stands where is drawn too.
 */
export function drawNeeds(random: Random, shape: Shape, size: number): number[][] {
  const needs = inOrder(random, shape, shape === 'single' ? 1 : size);
  if (random.chance(0.5)) return needs.map((each) => each.map((place) => place + 1));
  const moved = random.shuffled(needs.map((_, place) => place));
  const drawn: number[][] = needs.map(() => []);
  for (const [place, each] of needs.entries())
    drawn[moved[place] as number] = each.map((need) => (moved[need] as number) + 1).sort((a, b) => a - b);
  return drawn;
}

/** Counted from 0; nothing needs what comes after it. */
function inOrder(random: Random, shape: Shape, size: number): number[][] {
  const places = Array.from({ length: size }, (_, place) => place);
  const last = size - 1;
  switch (shape) {
    case 'single':
      return [[]];
    case 'chain':
      return places.map((place) => (place === 0 ? [] : [place - 1]));
    case 'fan':
      return places.map((place) => (place === 0 ? [] : [0]));
    case 'join':
      return places.map((place) => (place === last && size > 1 ? places.slice(0, -1) : []));
    case 'diamond':
      return places.map((place) => {
        if (place === 0) return [];
        return place === last && size > 2 ? places.slice(1, -1) : [0];
      });
    case 'layers': {
      const width = random.whole(2, 6);
      return places.map((place) => {
        const layer = Math.floor(place / width);
        const before = places.filter((other) => Math.floor(other / width) === layer - 1);
        return before.filter(() => random.chance(0.6));
      });
    }
    case 'branches': {
      const branches = random.whole(2, 8);
      return places.map((place) => (place < branches ? [] : [place - branches]));
    }
    case 'random':
      return places.map((place) => {
        const wanted = random.weighted({ 0: 2, 1: 4, 2: 3, 3: 1 });
        const found = new Set<number>();
        for (let count = 0; count < Number(wanted) && place > 0; count += 1)
          found.add(random.whole(Math.max(0, place - 12), place - 1));
        return [...found].sort((a, b) => a - b);
      });
  }
}
