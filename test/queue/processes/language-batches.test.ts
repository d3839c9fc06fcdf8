/**
 * Outcomes of one process that needs an engine, in one batch, mean what the same outcomes mean one after the other:
 * every pair and every triple of them, over several shapes of processes in every state. So do the ends that an engine
 * says of parked tasks.
 */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Outcome, SettleResult } from '../../../src/core/task-source.ts';
import { inTransaction } from '../../../src/database/connection.ts';
import { type EngineEnd, endTasks } from '../../../src/queue/processes/end-tasks.ts';
import { lockProcesses } from '../../../src/queue/processes/lock.ts';
import { type ClaimOutcome, settleTasks } from '../../../src/queue/settle.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { failure } from '../../support/processes.ts';
import { type Act, differences, type Layout, layOut, type Shape, standings } from './language-cases.ts';

const outcomes: Record<string, Act & { says: Outcome | { kind: 'lost' } }> = {
  completed: { says: { kind: 'completed', output: 'done' } },
  'failed for good': { says: { kind: 'failed', error: failure, retry: false } },
  'failed, to be retried': { says: { kind: 'failed', error: failure }, attempts: 3 },
  released: { says: { kind: 'released' } },
  lost: { says: { kind: 'lost' }, expired: true },
  'lost too often': { says: { kind: 'lost' }, expired: true, losses: 4 },
  cancelled: { says: { kind: 'cancelled' } },
  'failed, to be continued': { says: { kind: 'failed', error: failure, retry: false }, coe: true },
  'timed out': { says: { kind: 'timed_out', error: failure } },
};

const ends: Record<string, Act & { says: Omit<EngineEnd, 'taskId' | 'processId'> }> = {
  completed: { says: { state: 'completed', output: [1] }, is: 'engine' },
  'completed by its process': { says: { state: 'completed', output: 'handed up' }, is: 'process' },
  'failed for good': { says: { state: 'failed', error: failure }, is: 'engine' },
  'failed by its process': { says: { state: 'failed', error: failure }, is: 'process' },
  'failed, to be continued': { says: { state: 'failed', error: failure }, is: 'event', coe: true },
  skipped: { says: { state: 'skipped' }, is: 'engine' },
};

const claimed = { is: 'claimed' } as const;
const both = { onFailure: true, onCancel: true, thinks: true } as const;

/** a, b and c will end; the rest is what that moves. */
const shapes: Record<string, Shape> = {
  'what must be thought about': {
    tasks: {
      a: claimed,
      b: claimed,
      c: claimed,
      x: { needs: ['a'], thinks: true },
      y: { needs: ['b'] },
      j: { needs: ['a', 'b', 'c'], thinks: true },
      k: { needs: ['c', 'x'] },
      l: { needs: ['j', 'y'] },
      o: claimed,
      w: {},
      p: { is: 'engine' },
      s: { is: 'time' },
      v: { is: 'event' },
      q: { is: 'process' },
      m: { needs: ['a', 'q'] },
    },
  },
  'clean-ups': {
    tasks: {
      a: claimed,
      b: claimed,
      c: claimed,
      f: { needs: ['a'], thinks: true, onFailure: true },
      g: { needs: ['b'], thinks: true, onCancel: true },
      h: { needs: ['a', 'b', 'c'], ...both },
      i: { needs: ['a', 'b'], thinks: true, onFailure: true },
      d: { needs: ['f'] },
      e: { needs: ['h', 'd'], ...both },
      n: { needs: ['c'] },
      u: { is: 'time', ...both },
    },
    finishes: true,
  },
  'clean-ups that run': {
    tasks: {
      a: { ...claimed, ...both },
      b: { ...claimed, thinks: true, onFailure: true },
      c: claimed,
      d: { needs: ['a'], ...both },
      e: { needs: ['b'], thinks: true },
      f: { needs: ['b', 'c'], thinks: true, onFailure: true },
    },
  },
  'the last tasks': { tasks: { a: claimed, b: claimed, c: claimed }, finishes: true },
  'items, none of which may fail': {
    tasks: {
      a: { ...claimed, itemOf: 'each' },
      b: { ...claimed, itemOf: 'each' },
      c: { ...claimed, itemOf: 'each' },
      '3rd': { itemOf: 'each', needs: ['turn'], thinks: true },
      '4th': { itemOf: 'each', needs: ['turn'], thinks: true },
      '5th': { itemOf: 'each', needs: ['turn'], thinks: true },
      each: { is: 'items' },
      z: { needs: ['each'] },
    },
  },
  'items, one of which may fail': {
    failuresMax: 1,
    finishes: true,
    tasks: {
      a: { ...claimed, itemOf: 'each' },
      b: { ...claimed, itemOf: 'each' },
      c: { ...claimed, itemOf: 'each' },
      '3rd': { itemOf: 'each', needs: ['turn'] },
      each: { is: 'items' },
      z: { needs: ['each'], thinks: true },
    },
  },
  'the last items, and a task beside them': {
    failuresMax: 1,
    tasks: {
      a: { ...claimed, itemOf: 'each' },
      b: { ...claimed, itemOf: 'each' },
      c: claimed,
      each: { is: 'items' },
      z: { needs: ['each', 'c'], thinks: true },
      h: { needs: ['each'], ...both },
    },
  },
  'items of a clean-up, and a task beside them': {
    tasks: {
      a: claimed,
      b: { ...claimed, itemOf: 'each', ...both },
      c: { ...claimed, itemOf: 'each', ...both },
      '3rd': { itemOf: 'each', needs: ['turn'], ...both },
      '4th': { itemOf: 'each', needs: ['turn'], ...both },
      each: { is: 'items', ...both },
      z: { needs: ['each', 'a'], ...both },
    },
  },
};

interface Case {
  name: string;
  acts: string[];
  /** In one batch, and one by one. */
  twins: [Layout, Layout];
}

function everyCase(kinds: Record<string, Act>, length: 2 | 3, shapeNames: string[]): Case[] {
  const names = Object.keys(kinds);
  const pairs = names.flatMap((one) => names.map((other) => [one, other]));
  const acts = length === 2 ? pairs : pairs.flatMap((pair) => names.map((third) => [...pair, third]));
  return acts.flatMap((each, number) =>
    shapeNames.flatMap((shape) =>
      standings.map((standing, index): Case => {
        const where = `${standing.state}${standing.failFast ? ', fail_fast' : ''}`;
        const name = `${each.join(' + ')} (${shape}, ${where})`;
        const twin = (which: number): Layout => {
          const ids = each.map(() => newId());
          return {
            id: newId(),
            name: `${name} #${which}`,
            shape: shapes[shape] as Shape,
            standing,
            acts: each.map((kind) => kinds[kind] as Act),
            // The order of the ids, in which rows are locked, is not always that of the outcomes.
            taskIds: (number + index) % 2 === 0 ? ids : ids.toReversed(),
          };
        };
        return { name, acts: each, twins: [twin(0), twin(1)] };
      }),
    ),
  );
}

/** Cases go together into a call; each of them ends as a batch, and one by one. */
async function compare(
  database: TestDatabase,
  cases: Case[],
  /** Of each of the cases the acts, from one on and before another. */
  end: (cases: Case[], which: 0 | 1, from: number, to: number) => Promise<unknown[]>,
) {
  await layOut(
    database,
    cases.flatMap(({ twins }) => twins),
  );
  const wrong: unknown[] = [];
  const settleGroup = async (group: Case[]) => {
    const length = group[0]?.acts.length ?? 0;
    const together = await end(group, 0, 0, length);
    const steps: unknown[][] = [];
    for (let step = 0; step < length; step += 1) steps.push(await end(group, 1, step, step + 1));
    for (const [index, { name }] of group.entries()) {
      const batched = together.slice(index * length, (index + 1) * length);
      const apart = steps.map((step) => step[index]);
      if (JSON.stringify(batched) !== JSON.stringify(apart)) wrong.push({ name, batched, apart });
    }
  };
  const groups = Array.from({ length: Math.ceil(cases.length / casesToACall) }, (_, index) =>
    cases.slice(index * casesToACall, (index + 1) * casesToACall),
  ).values();
  await Promise.all(
    Array.from({ length: 3 }, async () => {
      for (const group of groups) await settleGroup(group);
    }),
  );
  wrong.push(...(await database.sql(differences)));
  expect(wrong.slice(0, 3)).toEqual([]);
}

const casesToACall = 60;

function settling(database: TestDatabase) {
  return async (cases: Case[], which: 0 | 1, from: number, to: number) => {
    const batch = cases.flatMap(({ acts, twins }) =>
      acts.slice(from, to).map((kind, index): ClaimOutcome => {
        const { id, taskIds } = twins[which];
        const { says } = outcomes[kind] as (typeof outcomes)[string];
        return { taskId: taskIds[from + index] as string, claimNo: 9, processId: id, ...says };
      }),
    );
    return (await settleTasks(database.db, batch)).map(answered);
  };
}

/** What is answered, but for times. */
function answered(result: SettleResult) {
  if (result.kind !== 'settled') return result;
  return { ...result, nextTryAt: result.nextTryAt !== null };
}

function ending(database: TestDatabase) {
  return async (cases: Case[], which: 0 | 1, from: number, to: number) => {
    const batch = cases.flatMap(({ acts, twins }) =>
      acts.slice(from, to).map((kind, index): EngineEnd => {
        const { id, taskIds } = twins[which];
        const { says } = ends[kind] as (typeof ends)[string];
        return { taskId: taskIds[from + index] as string, processId: id, ...says };
      }),
    );
    await inTransaction(database.db, async (tx) => {
      await lockProcesses(
        tx,
        batch.map(({ processId }) => processId),
      );
      await endTasks(tx, batch);
    });
    return batch.map(() => 'done');
  };
}

test('every pair of outcomes in one batch equals the same two one after the other', async ({ database }) => {
  const cases = everyCase(outcomes, 2, Object.keys(shapes));
  expect(cases).toHaveLength(9 ** 2 * 8 * 5);
  await compare(database, cases, settling(database));
}, 180_000);

test('every triple of outcomes in one batch equals the same three one after the other', async ({
  database,
}) => {
  const telling = ['completed', 'failed for good', 'failed, to be continued', 'released', 'lost too often'];
  const kinds = Object.fromEntries(Object.entries(outcomes).filter(([kind]) => telling.includes(kind)));
  const cases = everyCase(kinds, 3, ['clean-ups that run', 'the last items, and a task beside them']);
  expect(cases).toHaveLength(5 ** 3 * 2 * 5);
  await compare(database, cases, settling(database));
}, 180_000);

test('every pair and triple of ends that an engine says at once equals the same one after the other', async ({
  database,
}) => {
  const cases = [
    ...everyCase(ends, 2, Object.keys(shapes)),
    ...everyCase(ends, 3, ['what must be thought about', 'items of a clean-up, and a task beside them']),
  ];
  await compare(database, cases, ending(database));
}, 180_000);
