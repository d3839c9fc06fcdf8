/** Which tasks come before which. Built when the first question is asked: most definitions ask none. */

/** For each task, by its index, the ordinals of what it needs. */
export function createAncestors(needs: number[][]): { isBefore(ordinal: number, task: number): boolean } {
  let sets: (Uint32Array | null)[] | null = null;
  return {
    /** Whether the task with this ordinal has ended whenever `task` can run. Behind a circle, which is a problem of its own, everything is. */
    isBefore(ordinal, task) {
      if (needs[task - 1]?.includes(ordinal)) return true;
      sets ??= collect(needs);
      const words = sets[task - 1] ?? null;
      return words === null || ((words[ordinal >> 5] ?? 0) & (1 << (ordinal & 31))) !== 0;
    },
  };
}

/** A bit for each pair: ten thousand tasks with a hundred thousand needs take 12 MB and some 50 ms. */
function collect(needs: number[][]): (Uint32Array | null)[] {
  const length = (needs.length >> 5) + 1;
  const sets = needs.map(() => new Uint32Array(length));
  const dependents: number[][] = needs.map(() => []);
  const left = needs.map((own, index) => {
    for (const need of own) dependents[need - 1]?.push(index);
    return own.length;
  });
  const ready = left.flatMap((count, index) => (count === 0 ? [index] : []));
  for (let index = ready.pop(); index !== undefined; index = ready.pop()) {
    const own = sets[index] as Uint32Array;
    for (const need of needs[index] ?? []) {
      const before = sets[need - 1] as Uint32Array;
      for (let word = 0; word < length; word += 1)
        own[word] = (own[word] as number) | (before[word] as number);
      own[need >> 5] = (own[need >> 5] as number) | (1 << (need & 31));
    }
    for (const dependent of dependents[index] ?? []) {
      left[dependent] = (left[dependent] ?? 0) - 1;
      if (left[dependent] === 0) ready.push(dependent);
    }
  }
  return sets.map((set, index) => (left[index] === 0 ? set : null));
}
