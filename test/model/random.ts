/** Chance that can be had again: the same seed draws the same. */

export interface Random {
  /** From 0 up to, not including, 1. */
  next(): number;
  /** From `min` to `max`, both included. */
  whole(min: number, max: number): number;
  chance(probability: number): boolean;
  pick<Item>(items: readonly Item[]): Item;
  /** One of the keys, by its weight. At least one weight is above 0. */
  weighted<Key extends string>(weights: Partial<Record<Key, number>>): Key;
  shuffled<Item>(items: readonly Item[]): Item[];
}

/** Mulberry32: 32 bits of state are plenty for one case. */
export function createRandom(seed: number): Random {
  let state = seed >>> 0;

  function next() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  const whole = (min: number, max: number) => min + Math.floor(next() * (max - min + 1));

  return {
    next,
    whole,
    chance: (probability) => next() < probability,
    pick<Item>(items: readonly Item[]): Item {
      return items[whole(0, items.length - 1)] as Item;
    },
    weighted<Key extends string>(weights: Partial<Record<Key, number>>): Key {
      const entries = Object.entries(weights) as [Key, number][];
      let left = next() * entries.reduce((sum, [, weight]) => sum + weight, 0);
      for (const [key, weight] of entries) {
        left -= weight;
        if (left < 0) return key;
      }
      return (entries.findLast(([, weight]) => weight > 0) as [Key, number])[0];
    },
    shuffled<Item>(items: readonly Item[]): Item[] {
      const drawn = [...items];
      for (let last = drawn.length - 1; last > 0; last -= 1) {
        const other = whole(0, last);
        [drawn[last], drawn[other]] = [drawn[other] as Item, drawn[last] as Item];
      }
      return drawn;
    },
  };
}

/** Another seed for each of many: neighbours have nothing in common. */
export function seedOf(seed: number, number: number): number {
  return Math.floor(createRandom(seed ^ Math.imul(number + 1, 0x9e3779b1)).next() * 2 ** 32);
}
