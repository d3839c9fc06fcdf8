/** Which failures are tried again (`retry.on`), and until when (`retry.within`). */
import { describe, expect } from 'vitest';
import type { TaskInput } from '../../src/core/task-input.ts';
import type { ClaimedTask, Outcome } from '../../src/core/task-source.ts';
import { readAttempts, readDeadLetter } from '../../src/queue/dead-letters.ts';
import { retryProcess } from '../../src/queue/processes/retry.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import { replayDeadLetter } from '../../src/queue/replay.ts';
import { settleTasks } from '../../src/queue/settle.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimNamed, settlementOf, start, stateOf, statesOf, taskIdOf } from '../support/processes.ts';
import {
  claim,
  claimNoOf,
  claimOne,
  complete,
  enqueue,
  expireLease,
  makeDue,
  settle,
} from '../support/tasks.ts';

type Retry = NonNullable<TaskInput['retry']>;

const prompt = { attempts: 9, backoff: 'fixed', delay: '1m', jitter: false } as const;

function failed(code: string, exitCode: number | null = null): Outcome {
  return { kind: 'failed', error: { code, message: 'it failed', details: { at: 7 } }, exitCode };
}

/** The state of a task after its first attempt under this policy. */
async function stateAfter(database: TestDatabase, retry: Retry, outcome: Outcome): Promise<string> {
  const id = await enqueue(database, { retry: { ...prompt, ...retry } });
  await settle(database, await claimOne(database), outcome);
  return (await readTask(database.db, id))?.state ?? 'gone';
}

/** Until when it is tried again, in seconds since this attempt has started; null: for ever. */
async function untilOf({ sql }: TestDatabase, since: ClaimedTask): Promise<number | null> {
  const [row] = await sql<{ after: number | null }>(
    `select extract(epoch from item.retry_until - attempt.started_at)::float8 as after
     from skipjack.queue_items as item
     left join skipjack.attempts as attempt on attempt.task_id = item.task_id and attempt.claim_no = $2
     where item.task_id = $1`,
    [since.id, claimNoOf(since)],
  );
  if (!row) throw new Error('no item');
  return row.after;
}

/** Time is moved by moving the row's times. */
async function startedBefore({ sql }: TestDatabase, { id }: ClaimedTask, seconds: number): Promise<void> {
  await sql(
    `update skipjack.queue_items set claimed_at = claimed_at - $2 * interval '1 second',
       started_at = started_at - $2 * interval '1 second', available_at = available_at - $2 * interval '1 second',
       retry_until = retry_until - $2 * interval '1 second'
     where task_id = $1`,
    [id, seconds],
  );
  await sql(
    `update skipjack.attempts set claimed_at = claimed_at - $2 * interval '1 second',
       started_at = started_at - $2 * interval '1 second', ended_at = ended_at - $2 * interval '1 second'
     where task_id = $1`,
    [id, seconds],
  );
}

describe('retry.on', () => {
  const on = { exit_codes: [75, 111], codes: ['timed_out', 'out_of_memory'] };

  test('a failure that one of the lists has is tried again', async ({ database }) => {
    expect(await stateAfter(database, { on }, failed('exit_code', 75))).toBe('scheduled');
    expect(await stateAfter(database, { on }, failed('out_of_memory', 137))).toBe('scheduled');
    expect(await stateAfter(database, { on: { exit_codes: [0] } }, failed('output_invalid', 0))).toBe(
      'scheduled',
    );
  });

  test('any other failure is final: a dead letter with the error of the attempt as it was', async ({
    database,
  }) => {
    const id = await enqueue(database, { retry: { ...prompt, on } });
    const said = await settle(database, await claimOne(database), failed('exit_code', 1));
    expect(said).toMatchObject({ kind: 'settled', state: 'failed', nextTryAt: null });
    const error = { code: 'exit_code', message: 'it failed', details: { at: 7 } };
    expect(await readTask(database.db, id)).toMatchObject({
      state: 'failed',
      failures: 1,
      exit_code: 1,
      error,
    });
    expect(await readDeadLetter(database.db, id)).toMatchObject({ reason: 'failed' });
    expect(await readAttempts(database.db, id)).toMatchObject([{ attempt: 1, outcome: 'failed', error }]);
  });

  test('without an exit code, or with a code that only looks alike, it is another failure', async ({
    database,
  }) => {
    expect(await stateAfter(database, { on: { exit_codes: [75] } }, failed('75'))).toBe('failed');
    expect(await stateAfter(database, { on: { codes: ['75'] } }, failed('exit_code', 75))).toBe('failed');
    expect(await stateAfter(database, { on: { codes: ['timed'] } }, failed('timed_out'))).toBe('failed');
    expect(await stateAfter(database, { on: { codes: ['Timed_Out'] } }, failed('timed_out'))).toBe('failed');
  });

  test('an attempt that timed out has the code timed_out, whoever ended it and whatever they call it', async ({
    database,
  }) => {
    const timedOut: Outcome = { kind: 'timed_out', error: { code: 'too_slow', message: 'x' } };
    expect(await stateAfter(database, { on: { codes: ['timed_out'] } }, timedOut)).toBe('scheduled');
    expect(await stateAfter(database, { on: { codes: ['too_slow'] } }, timedOut)).toBe('scheduled');
    expect(await stateAfter(database, { on: { codes: ['exit_code'] } }, timedOut)).toBe('failed');

    const ids: string[] = [];
    for (const code of ['timed_out', 'lost']) {
      ids.push(await enqueue(database, { timeout: '1h', retry: { ...prompt, on: { codes: [code] } } }));
      const { id } = await claimOne(database, { timeoutGraceMs: 0, leaseMs: 7_200_000 });
      await database.sql(
        `update skipjack.queue_items set lease_expires_at = past.at, deadline_at = past.at
         from (select clock_timestamp() - interval '1 second' as at) as past where task_id = $1`,
        [id],
      );
    }
    await reapExpiredClaims(database.db);
    const states = await Promise.all(ids.map(async (id) => (await readTask(database.db, id))?.state));
    expect(states).toEqual(['scheduled', 'failed']);
  });

  test('a loss is no failure: the task comes back whatever the lists say', async ({ database }) => {
    const id = await enqueue(database, { retry: { ...prompt, on } });
    await claimOne(database);
    await expireLease(database, id);
    await reapExpiredClaims(database.db);
    expect(await claimOne(database)).toMatchObject({ id, attempt: 2 });
  });

  test('says nothing against the limit of attempts, nor against a failure that is called final', async ({
    database,
  }) => {
    expect(await stateAfter(database, { on, attempts: 1 }, failed('timed_out', 75))).toBe('failed');
    expect(await stateAfter(database, { on }, { ...failed('timed_out', 75), retry: false } as Outcome)).toBe(
      'failed',
    );
  });

  test('a failure that is not tried again fails the process, each in a batch by its own policy', async ({
    database,
  }) => {
    const retry = {
      attempts: 3,
      backoff: 'fixed',
      delay_ms: 60_000,
      max_delay_ms: 60_000,
      jitter: false,
    } as const;
    const id = await start(
      database,
      {
        a: { retry: { ...retry, on: { exit_codes: [75] } } },
        b: { retry: { ...retry, on: { codes: ['exit_code'] } } },
        c: { retry: { ...retry, on: { exit_codes: [1] } }, continueOnError: true },
        d: ['c'],
        e: ['a', 'b'],
      },
      { failFast: false },
    );
    const tasks = await Promise.all(['a', 'b', 'c'].map((name) => claimNamed(database, id, name)));
    const [a, b, c] = tasks.map((task) => settlementOf(task, failed('exit_code', 75)));
    if (!a || !b || !c) throw new Error('three were claimed');
    const said = await settleTasks(database.db, [c, b, a]);
    expect(said.map((each) => 'state' in each && each.state)).toEqual(['failed', 'active', 'active']);
    expect(await statesOf(database, id)).toEqual({
      a: 'waiting',
      b: 'waiting',
      c: 'failed',
      d: 'waiting',
      e: 'pending',
    });

    await makeDue(database, await taskIdOf(database, id, 'a'));
    await database.queue.settle(settlementOf(await claimNamed(database, id, 'a'), failed('exit_code', 1)));
    expect(await statesOf(database, id)).toMatchObject({ a: 'failed', b: 'waiting', e: 'cancelled' });
    expect(await stateOf(database, id)).toBe('failing');
  });
});

describe('retry.within', () => {
  test('a retry whose pause would end later is not made', async ({ database }) => {
    const within = { ...prompt, within: '150s' };
    const id = await enqueue(database, { retry: within });
    const first = await claimOne(database);
    await settle(database, first, failed('x'));
    expect(await untilOf(database, first)).toBe(150);
    await makeDue(database, id);
    const second = await claimOne(database);
    await startedBefore(database, second, 60);
    await settle(database, second, failed('x'));
    // Nothing of the second counts.
    expect(await untilOf(database, first)).toBe(150);
    await makeDue(database, id);
    const third = await claimOne(database);
    await startedBefore(database, third, 45);
    expect(await settle(database, third, failed('y'))).toMatchObject({ state: 'failed', nextTryAt: null });
    expect(await readTask(database.db, id)).toMatchObject({
      failures: 3,
      attempts_max: 9,
      error: { code: 'y' },
    });
    expect(await readDeadLetter(database.db, id)).toMatchObject({ reason: 'failed' });
  });

  test('the first attempt counts from its start, however long it took', async ({ database }) => {
    for (const [ran, state] of [
      [30, 'active'],
      [91, 'failed'],
    ] as const) {
      await enqueue(database, { retry: { ...prompt, within: '150s' } });
      const task = await claimOne(database);
      await startedBefore(database, task, ran);
      expect(await settle(database, task, failed('x'))).toMatchObject({ state });
    }
  });

  test('with jitter, what was drawn is what is judged and what is waited', async ({ database }) => {
    const retry = { ...prompt, delay: '100s', jitter: true, within: '75s' };
    for (let each = 0; each < 100; each += 1) await enqueue(database, { retry });
    const tasks = await claim(database, { limit: 100 });
    const said = await settleTasks(
      database.db,
      tasks.map((task) => settlementOf(task, failed('x'))),
    );
    const states = said.map((each) => 'state' in each && each.state);
    expect(states.filter((state) => state === 'active').length).toBeGreaterThan(10);
    expect(states.filter((state) => state === 'failed').length).toBeGreaterThan(10);
    const late = await database.sql('select from skipjack.queue_items where available_at > retry_until');
    expect(late).toEqual([]);
  });

  test('a retry in time runs, also where nobody was free to claim it before the time was over', async ({
    database,
  }) => {
    const id = await enqueue(database, { retry: { ...prompt, within: '150s' } });
    await settle(database, await claimOne(database), failed('x'));
    await database.sql(
      `update skipjack.queue_items set available_at = available_at - interval '1 hour',
         retry_until = retry_until - interval '1 hour'`,
    );
    const late = await claimOne(database);
    expect(late).toMatchObject({ id, attempt: 2 });
    await complete(database, late);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'completed' });
  });

  test('a lost attempt comes back after the time too, but starts the clock if it is the first', async ({
    database,
  }) => {
    const id = await enqueue(database, { retry: { ...prompt, within: '150s' } });
    const lost: ClaimedTask[] = [];
    for (let loss = 1; loss <= 2; loss += 1) {
      const task = await claimOne(database);
      await startedBefore(database, task, 100);
      await expireLease(database, id);
      await reapExpiredClaims(database.db);
      lost.push(task);
    }
    const [first] = lost;
    if (!first) throw new Error('none was lost');
    expect(await untilOf(database, first)).toBe(150);
    const third = await claimOne(database);
    expect(third).toMatchObject({ id, attempt: 3 });
    expect(await settle(database, third, failed('x'))).toMatchObject({ state: 'failed' });
  });

  test('what was given back has not been an attempt, and starts no clock', async ({ database }) => {
    await enqueue(database, { retry: { ...prompt, within: '150s' } });
    const task = await claimOne(database);
    await startedBefore(database, task, 100);
    await settle(database, task, { kind: 'released' });
    expect(await untilOf(database, task)).toBeNull();
  });

  test('a replay starts it anew', async ({ database }) => {
    const id = await enqueue(database, { retry: { ...prompt, within: '150s' } });
    const task = await claimOne(database);
    await startedBefore(database, task, 100);
    await settle(database, task, failed('x'));
    expect(await replayDeadLetter(database.db, id)).toEqual({ kind: 'replayed' });
    expect(await untilOf(database, task)).toBeNull();
    const again = await claimOne(database);
    await settle(database, again, failed('x'));
    expect(await untilOf(database, again)).toBe(150);
  });

  test('a retry of the process starts it anew', async ({ database }) => {
    const retry = {
      attempts: 3,
      backoff: 'fixed',
      delay_ms: 60_000,
      max_delay_ms: 60_000,
      jitter: false,
    } as const;
    const id = await start(database, { a: { retry: { ...retry, within_ms: 150_000 } } });
    const task = await claimNamed(database, id, 'a');
    await startedBefore(database, task, 100);
    await database.queue.settle(settlementOf(task, failed('x')));
    expect(await stateOf(database, id)).toBe('failed');
    expect(await retryProcess(database.db, id)).toMatchObject({ kind: 'retried' });
    const again = await claimNamed(database, id, 'a');
    await database.queue.settle(settlementOf(again, failed('x')));
    expect(await untilOf(database, again)).toBe(150);
  });
});

test('a task shows its policy in the words in which it came', async ({ database }) => {
  const on = { exit_codes: [75], codes: ['timed_out'] };
  const id = await enqueue(database, { retry: { attempts: 3, on, within: '90m' } });
  expect((await readTask(database.db, id))?.retry).toEqual({
    attempts: 3,
    backoff: 'exponential',
    delay: '1s',
    max_delay: '1h',
    jitter: true,
    on,
    within: '90m',
  });
  const plain = await enqueue(database, { retry: { attempts: 3 } });
  expect((await readTask(database.db, plain))?.retry).toMatchObject({ on: null, within: null });
});
