/** How often each thing occurred, over a run. */

export interface Tally {
  count(what: string, times?: number): void;
  get(what: string): number;
  table(wanted: string[]): string;
}

export function createTally(): Tally {
  const counts = new Map<string, number>();
  return {
    count(what, times = 1) {
      counts.set(what, (counts.get(what) ?? 0) + times);
    },
    get: (what) => counts.get(what) ?? 0,
    table(wanted) {
      const rest = [...counts.keys()].filter((what) => !wanted.includes(what)).sort();
      return [...wanted, ...rest]
        .map((what) => `${String(counts.get(what) ?? 0).padStart(8)}  ${what}`)
        .join('\n');
    },
  };
}
