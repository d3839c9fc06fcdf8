/** Which clean-ups are due, said twice: by the walk through the plan, and by all pairs of tasks. */
import { expect, test } from 'vitest';
import { createAncestors } from '../../../src/definition/ancestors.ts';
import { dueCleanups } from '../../../src/engine/thinking/cleanups.ts';
import type { LiveTask } from '../../../src/queue/processes/read-standing.ts';

/** The same numbers in every run. */
function createRandom(seed: number) {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

function live(ordinal: number, more: Partial<LiveTask> = {}): LiveTask {
  const own = { process_id: 'p', id: `${ordinal}`, ordinal, item_of: null, spared: true };
  return { ...own, state: 'pending', ...more };
}

test('they are those behind which nothing is live, items included', () => {
  const random = createRandom(7);
  for (let round = 0; round < 300; round += 1) {
    const size = 1 + Math.floor(random() * 12);
    const needs = Array.from({ length: size }, (_, index) =>
      Array.from({ length: index }, (_none, need) => need + 1).filter(() => random() < 0.25),
    );
    const planned = needs.map((_, index) => ({
      dependents: needs.flatMap((own, other) => (own.includes(index + 1) ? [other + 1] : [])),
    }));
    const tasks = needs.flatMap((_, index) => {
      if (random() < 0.4) return [];
      const state = random() < 0.5 ? 'pending' : 'active';
      return random() < 0.2
        ? [live(100 + index, { item_of: index + 1, state })]
        : [live(index + 1, { state, spared: random() < 0.7 })];
    });
    const unended = tasks.map(({ ordinal, item_of }) => item_of ?? ordinal);
    const ancestors = createAncestors(needs);
    const due = tasks
      .filter(({ state, spared, item_of }) => state === 'pending' && spared && item_of === null)
      .filter((task) => !unended.some((ordinal) => ancestors.isBefore(ordinal, task.ordinal)));
    expect(dueCleanups(tasks, planned)).toEqual(due.map(({ id }) => id));
  }
});

test('each task of the plan is looked at once, where each of thousands has a clean-up', () => {
  const pairs = 5_000;
  let looks = 0;
  const planned = Array.from({ length: 2 * pairs }, (_, index) => ({
    get dependents() {
      looks += 1;
      return index < pairs ? [index + 1 + pairs] : [];
    },
  }));
  const tasks = planned.map((_, index) =>
    index < pairs ? live(index + 1, { state: 'active', spared: false }) : live(index + 1),
  );
  expect(dueCleanups(tasks, planned)).toEqual([]);
  expect(looks).toBeLessThanOrEqual(2 * pairs);
});
