import { describe, expect, test } from 'vitest';
import { planLimits } from '../../src/core/plan.ts';
import { findCycles } from '../../src/definition/cycles.ts';
import fc from '../support/fast-check.ts';
import { planOf, problemsOf } from './support/parse.ts';

/** Tasks t1, t2 … whose needs are given by their numbers. */
function toSource(needs: number[][]): string {
  return JSON.stringify({
    tasks: needs.map((ordinals, index) => ({
      name: `t${index + 1}`,
      needs: ordinals.map((each) => `t${each}`),
    })),
  });
}

function cyclesOf(needs: number[][]): string[] {
  return problemsOf(toSource(needs))
    .filter(({ code }) => code === 'cycle')
    .map(({ message }) => message.replace(/^.*circle: /, ''));
}

/** Graphs of 1 to 30 tasks; `mayTurn`: also with edges back. */
const graphs = ({ mayTurn }: { mayTurn: boolean }) =>
  fc.integer({ min: 1, max: 30 }).chain((count) =>
    fc.tuple(
      ...Array.from({ length: count }, (_, index) => {
        const others = Array.from({ length: mayTurn ? count : index }, (_, at) => at + 1);
        return fc.subarray(others.filter((other) => other !== index + 1));
      }),
    ),
  ) as fc.Arbitrary<number[][]>;

describe('a plan of any graph without cycles', () => {
  test('has the needs that were written, in whatever order the tasks are, and dependents that mirror them', () => {
    fc.assert(
      fc.property(graphs({ mayTurn: false }), fc.infiniteStream(fc.nat()), (needs, random) => {
        const order = needs
          .map((_, index) => ({ index, at: random.next().value }))
          .sort((a, b) => a.at - b.at)
          .map(({ index }) => index);
        const tasks = order.map((index) => ({
          name: `t${index + 1}`,
          needs: needs[index]?.map((each) => `t${each}`).reverse(),
        }));
        const plan = planOf(JSON.stringify({ tasks }));
        for (const [index, task] of plan.tasks.entries()) {
          const written = (tasks[index]?.needs ?? []).toSorted();
          expect(task.needs.map((ordinal) => plan.tasks[ordinal - 1]?.name).sort()).toEqual(written);
          expect(task.needs).toEqual([...new Set(task.needs)].sort((a, b) => a - b));
          const mirrored = plan.tasks.flatMap((other, at) =>
            other.needs.includes(index + 1) ? [at + 1] : [],
          );
          expect(task.dependents).toEqual(mirrored);
        }
      }),
      { numRuns: 100 },
    );
  });
});

describe('cycles', () => {
  test.each([
    ['two', [[2], [1]], ['t1 -> t2 -> t1']],
    ['three', [[2], [3], [1]], ['t1 -> t2 -> t3 -> t1']],
    ['a short one within a long one', [[2], [3], [4, 2], [1]], ['t2 -> t3 -> t2']],
    ['two apart', [[2], [1], [4], [3]], ['t1 -> t2 -> t1', 't3 -> t4 -> t3']],
    ['two that share a task', [[2, 3], [1], [1]], ['t1 -> t2 -> t1', 't1 -> t3 -> t1']],
    ['one behind a chain', [[2], [3], [4], [3]], ['t3 -> t4 -> t3']],
    ['none in a diamond', [[], [1], [1], [2, 3]], []],
  ])('%s', (_name, needs, expected) => {
    expect(cyclesOf(needs)).toEqual(expected);
  });

  test('the needs that close a cycle are shown, each with its line', () => {
    const [problem] = problemsOf(
      'tasks:\n- { name: A, needs: [B] }\n- { name: B, needs: C }\n- { name: C, needs: A }',
    );
    expect(problem).toMatchObject({ pointer: '/tasks/0/needs/0', line: 2, column: 22 });
    expect(problem?.related).toEqual([
      { line: 3, column: 21, message: '"B" needs "C"', excerpt: '- { name: B, needs: C }' },
      { line: 4, column: 21, message: '"C" needs "A"', excerpt: '- { name: C, needs: A }' },
    ]);
  });

  test('are found in every graph that has one, are real, and have no edge in common', () => {
    fc.assert(
      fc.property(graphs({ mayTurn: true }), (needs) => {
        const cycles = findCycles(needs);
        const edges = cycles.flatMap((cycle) =>
          cycle.map((node, index) => `${node} ${cycle[(index + 1) % cycle.length]}`),
        );
        for (const edge of edges) {
          const [from, to] = edge.split(' ').map(Number);
          expect(needs[Number(from) - 1]).toContain(to);
        }
        expect(new Set(edges).size).toBe(edges.length);
        for (const cycle of cycles) expect(new Set(cycle).size).toBe(cycle.length);
        expect(cycles.length === 0).toBe(hasOrder(needs));
      }),
      { numRuns: 200 },
    );
  });

  test('of which there are thousands, twenty are told', () => {
    const all = Array.from({ length: 100 }, (_, index) => index + 1);
    expect(cyclesOf(all.map((own) => all.filter((other) => other !== own)))).toHaveLength(20);
  });
});

/** Whether the tasks can be put in an order, by taking away what needs nothing that is left. */
function hasOrder(needs: number[][]): boolean {
  const done = new Set<number>();
  for (let before = -1; before !== done.size; ) {
    before = done.size;
    for (const [index, ordinals] of needs.entries()) {
      if (ordinals.every((each) => done.has(each))) done.add(index + 1);
    }
  }
  return done.size === needs.length;
}

describe('large graphs', () => {
  const count = 5_000;
  const range = Array.from({ length: count }, (_, index) => index + 1);

  test('a chain of 5,000', () => {
    const { tasks } = planOf(toSource(range.map((own) => (own === 1 ? [] : [own - 1]))));
    expect(tasks.at(-1)).toMatchObject({ needs: [count - 1], dependents: [] });
    expect(tasks[0]).toMatchObject({ needs: [], dependents: [2] });
  });

  test('a fork into 5,000 and a join of them', () => {
    const { tasks } = planOf(toSource([[], ...range.map(() => [1]), range.map((each) => each + 1)]));
    expect(tasks.at(-1)?.needs).toHaveLength(count);
    expect(tasks[0]?.dependents).toHaveLength(count);
  });

  test('a circle of 5,000 is told without its middle', () => {
    const [cycle] = cyclesOf(range.map((own) => [(own % count) + 1]));
    expect(cycle).toBe(
      't1 -> t2 -> t3 -> t4 -> t5 -> t6 -> … 4988 more … -> t4995 -> t4996 -> t4997 -> t4998 -> t4999 -> t5000 -> t1',
    );
  });

  test('ten thousand tasks with a hundred thousand needs', () => {
    const start = process.cpuUsage();
    const each = planLimits.needsMax / planLimits.tasksMax;
    const needs = Array.from({ length: planLimits.tasksMax }, (_, index) =>
      index < 2 * each ? [] : Array.from({ length: each }, (_, at) => index - at - each + 1),
    );
    const { tasks } = planOf(toSource(needs));
    expect(tasks).toHaveLength(planLimits.tasksMax);
    expect(tasks.at(-1)?.needs).toEqual(needs.at(-1)?.toSorted((a, b) => a - b));
    // A second on an idle machine; what is quadratic takes minutes.
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
  });

  test('five hundred unknown names among four thousand long ones are refused in bounded time', () => {
    const start = process.cpuUsage();
    const name = (index: number) => `${'x'.repeat(80)}${index}${'y'.repeat(80)}`;
    const tasks = Array.from({ length: 4_000 }, (_, index) => ({
      name: name(index),
      needs: index < 500 ? [`a${name(index)}b`] : [],
    }));
    const problems = problemsOf(JSON.stringify({ tasks }));
    expect(problems).toHaveLength(101);
    expect(process.cpuUsage(start).user / 1e6).toBeLessThan(20);
  });
});
