import { describe, expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Spec } from '../../../src/core/spec.ts';
import { encodeToken } from '../../../src/core/token.ts';
import { readAttempts, readDeadLetter } from '../../../src/queue/dead-letters.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { reapExpiredClaims } from '../../../src/queue/reap.ts';
import { replayDeadLetter, replayDeadLetters } from '../../../src/queue/replay.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  claimNamed,
  lettersOf,
  processOf,
  run,
  settlementOf,
  start,
  stateOf,
  statesOf,
  taskIdOf,
} from '../../support/processes.ts';
import { claimNoOf, claimOf, complete, expireLease } from '../../support/tasks.ts';

async function loseFiveTimes(database: TestDatabase, id: string, name: string) {
  for (let losses = 0; losses < 5; losses += 1) {
    const task = await claimNamed(database, id, name);
    await expireLease(database, task.id);
    await reapExpiredClaims(database.db);
  }
}

describe('retry', () => {
  test('goes on from what failed, with a new budget, its attempts kept, and can fail and be retried again', async ({
    database,
  }) => {
    const id = await start(database, {
      a: [],
      b: ['a'],
      c: { needs: ['a'], attempts: 2 },
      d: ['b', 'c'],
      e: { continueOnError: true },
    });
    for (const [name, saying] of [
      ['e', 'fails'],
      ['a', 'completes'],
    ] as const)
      await run(database, id, name, saying);
    expect(await retryProcess(database.db, id)).toEqual({ kind: 'not_failed', state: 'running' });
    const b = await claimNamed(database, id, 'b');
    await run(database, id, 'c', 'fails');
    await database.queue.settle(settlementOf(b, { kind: 'cancelled' }));
    expect(await stateOf(database, id)).toBe('failed');
    for (let round = 1; round <= 2; round += 1) {
      expect(await lettersOf(database, id)).toEqual(['c']);
      expect(await retryProcess(database.db, id, { by: 'Ann' })).toEqual({ kind: 'retried', tasks: ['c'] });
      expect(await processOf(database, id)).toMatchObject({ state: 'running', unfinished: 3 });
      expect(await statesOf(database, id)).toEqual({
        a: 'completed',
        b: 'waiting',
        c: 'waiting',
        d: 'pending',
        e: 'failed',
      });
      expect(await lettersOf(database, id)).toEqual([]);
      const again = await claimNamed(database, id, 'c');
      expect([again.attempt, claimNoOf(again)]).toEqual([1, round + 1]);
      await database.queue.settle(settlementOf(again, 'fails'));
      expect(await stateOf(database, id)).toBe('failed');
    }
    const c = await taskIdOf(database, id, 'c');
    expect(await readAttempts(database.db, c)).toHaveLength(3);
    expect(await readDeadLetter(database.db, c)).toMatchObject({ replayed_at: null, replays: 2 });
    expect(await retryProcess(database.db, newId())).toEqual({ kind: 'not_found' });
  });

  test('lets no token of the earlier life, and none with the id of another process, change anything', async ({
    database,
  }) => {
    const id = await start(database, { a: [], b: [] });
    const other = await start(database, { a: [] });
    const [a, b] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'b')];
    await database.queue.settle(settlementOf(a, 'fails'));
    await database.queue.settle(settlementOf(b, { kind: 'cancelled' }));
    await retryProcess(database.db, id);
    const untouched = { a: 'waiting', b: 'waiting' };
    for (const stale of [a, b]) expect(await complete(database, stale)).toEqual({ kind: 'lease_lost' });
    expect(await statesOf(database, id)).toEqual(untouched);
    const held = await claimNamed(database, id, 'a');
    for (const stale of [a, b]) expect(await complete(database, stale)).toEqual({ kind: 'lease_lost' });
    for (const processId of [other, newId(), null]) {
      const token = encodeToken({ ...claimOf(held), processId });
      expect(await complete(database, { ...held, token })).toEqual({ kind: 'lease_lost' });
    }
    expect(await statesOf(database, id)).toEqual({ ...untouched, a: 'running' });
    expect(await complete(database, held)).toMatchObject({ kind: 'settled', repeated: false });
    expect(await statesOf(database, other)).toEqual({ a: 'waiting' });
  });

  test('is what replaying the dead letter of a task of a process means, one or many', async ({
    database,
  }) => {
    const ids: string[] = [];
    for (let count = 0; count < 3; count += 1) {
      const id = await start(database, { a: [], b: [], c: ['a'] }, { failFast: false });
      for (const name of ['a', 'b']) await run(database, id, name, 'fails');
      ids.push(id);
    }
    const [first, ...others] = ids as [string, ...string[]];
    const letter = await taskIdOf(database, first, 'a');
    expect(await replayDeadLetter(database.db, letter)).toEqual({ kind: 'replayed' });
    expect(await statesOf(database, first)).toEqual({ a: 'waiting', b: 'waiting', c: 'pending' });
    expect((await replayDeadLetter(database.db, letter)).kind).toBe('already_replayed');
    const dry = await replayDeadLetters(database.db, {}, { limit: 10, dryRun: true });
    expect(dry).toHaveLength(4);
    expect(await replayDeadLetters(database.db, {}, { limit: 10, dryRun: false })).toEqual(dry);
    for (const id of others) expect(await stateOf(database, id)).toBe('running');
    await run(database, first, 'a', 'fails');
    expect(await replayDeadLetter(database.db, letter)).toMatchObject({
      kind: 'process_not_failed',
      state: 'failing',
    });
  });

  test('after too many losses gives a new budget of losses', async ({ database }) => {
    const id = await start(database, { a: [], b: ['a'] });
    await loseFiveTimes(database, id, 'a');
    expect(await readDeadLetter(database.db, await taskIdOf(database, id, 'a'))).toMatchObject({
      reason: 'lost_too_often',
    });
    expect(await stateOf(database, id)).toBe('failed');
    await retryProcess(database.db, id);
    await loseFiveTimes(database, id, 'a');
    expect(await stateOf(database, id)).toBe('failed');
  });
});

describe('dead letters of tasks of processes', () => {
  test('show what the task was to run', async ({ database }) => {
    const spec: Spec = { type: 'command', command: 'false', args: ['x'] };
    const id = await start(database, { a: { spec, input: { n: 1 } } });
    await run(database, id, 'a', 'fails');
    expect(await readDeadLetter(database.db, await taskIdOf(database, id, 'a'))).toMatchObject({
      spec,
      input: { n: 1 },
    });
  });

  test('are not said to be replayed when nothing of them is', async ({ database }) => {
    const id = await start(database, { a: { continueOnError: true }, b: ['a'] });
    await loseFiveTimes(database, id, 'a');
    await run(database, id, 'b', 'fails');
    const letter = await taskIdOf(database, id, 'a');
    const result = await replayDeadLetter(database.db, letter);
    const { replayed_at } = (await readDeadLetter(database.db, letter)) ?? {};
    expect(result.kind === 'replayed').toBe(replayed_at !== null);
  });
});
