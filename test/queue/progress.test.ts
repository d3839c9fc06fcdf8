/** How far an attempt is: from its worker by heartbeats to whoever looks at the task. */
import { describe, expect } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import type { ClaimedTask, Lease } from '../../src/core/task-source.ts';
import { inTransaction } from '../../src/database/connection.ts';
import { heartbeatStatement, heartbeatTasks } from '../../src/queue/heartbeat.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { type Claim, openClaim } from '../../src/worker/claim.ts';
import { Heartbeats } from '../../src/worker/heartbeats.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claim, claimNoOf, claimOf, claimOne, enqueue, fail, makeDue, settle } from '../support/tasks.ts';

function beat({ queue }: TestDatabase, task: ClaimedTask, progress?: Json) {
  return queue.heartbeat({ ...claimOf(task), started: true, leaseMs: 30_000, timeoutGraceMs: 0, progress });
}

async function progressOf({ db }: TestDatabase, id: string): Promise<Json | undefined> {
  return (await readTask(db, id))?.progress;
}

describe('a heartbeat', () => {
  test('says how far the attempt is; one that says nothing of it leaves it as it was', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const task = await claimOne(database);
    expect(await progressOf(database, id)).toBeNull();
    expect(await beat(database, task, 40)).toMatchObject({ kind: 'extended' });
    await beat(database, task);
    expect(await progressOf(database, id)).toBe(40);
    await beat(database, task, { done: 3, of: 7 });
    expect(await database.sql('select progress from skipjack.task_status')).toEqual([
      { progress: { done: 3, of: 7 } },
    ]);
    await beat(database, task, null);
    expect(await progressOf(database, id)).toBeNull();
  });

  test('of a claim that another beats at the same moment loses neither start nor progress', async ({
    database,
  }) => {
    const id = await enqueue(database);
    const task = await claimOne(database, { startLimit: 0 });
    const each = { ...claimOf(task), leaseMs: 30_000, timeoutGraceMs: 0 };
    const answers = await heartbeatTasks(database.db, [
      { ...each, started: true, progress: 'unpacking' },
      { ...each, started: false },
    ]);
    expect(answers).toMatchObject([{ kind: 'extended' }, { kind: 'extended' }]);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'running', progress: 'unpacking' });
  });

  test('with progress is a HOT update', async ({ database }) => {
    // All versions of so few rows have room on one page, whatever was pruned of it meanwhile.
    await Promise.all(Array.from({ length: 8 }, () => enqueue(database)));
    const tasks = await claim(database, { limit: 8 });
    const { text, values } = heartbeatStatement(
      tasks.map((task, index) => ({
        taskId: task.id,
        claimNo: claimNoOf(task),
        started: true,
        leaseMs: 30_000,
        timeoutGraceMs: 0,
        progress: index % 2 === 0 ? index * 5 : { step: 'transcode', done: index, of: 8 },
      })),
    );
    await inTransaction(database.db, async (tx) => {
      const counters = `select n_tup_upd::integer as updated, n_tup_hot_upd::integer as hot
        from pg_stat_xact_user_tables where relname = 'queue_items'`;
      const before = (await tx.query(counters)).rows[0];
      await tx.query(text, values);
      const after = (await tx.query(counters)).rows[0];
      expect([after.updated - before.updated, after.hot - before.hot]).toEqual([8, 8]);
    });
  });
});

describe('progress is of the attempt that runs', () => {
  test('and gone when the task goes back, is tried again or has ended', async ({ database }) => {
    const id = await enqueue(database, { retry: { attempts: 2 } });
    const given = await claimOne(database);
    await beat(database, given, 10);
    await settle(database, given, { kind: 'released' });
    expect(await progressOf(database, id)).toBeNull();
    const first = await claimOne(database);
    expect(await progressOf(database, id)).toBeNull();
    await beat(database, first, 20);
    await fail(database, first);
    await makeDue(database, id);
    const second = await claimOne(database);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'running', attempt: 2, progress: null });
    await beat(database, second, 99);
    await settle(database, second, { kind: 'completed', output: 1 });
    expect(await readTask(database.db, id)).toMatchObject({ state: 'completed', progress: null });
  });

  test('and not shown where an older replica put the task back without clearing it', async ({ database }) => {
    const id = await enqueue(database);
    await database.sql(`update skipjack.queue_items set progress = '50' where task_id = $1`, [id]);
    expect(await readTask(database.db, id)).toMatchObject({ state: 'ready', progress: null });
  });
});

describe('a worker', () => {
  interface Told {
    /** The worker began to tell it after the time that the test had set. */
    isLate: boolean;
    leases: Lease[];
  }

  /** Its heartbeats over the database, and what they told it. */
  async function withHeartbeats(
    database: TestDatabase,
    count: number,
    work: (heart: {
      claims: Claim[];
      heartbeats: Heartbeats;
      told: Told[];
      untilTold: (test: (told: Told[]) => boolean) => Promise<void>;
      /** From so long after now on, what is told is late: by a timer beside the worker's, on a busy machine as late. */
      setTime: (ms: number) => void;
    }) => Promise<void>,
  ) {
    await Promise.all(Array.from({ length: count }, () => enqueue(database)));
    const claims = (await claim(database, { limit: count })).map((task) => openClaim(task, 30_000));
    for (const each of claims) each.phase = 'running';
    const told: Told[] = [];
    const waiting = new Set<() => void>();
    const ended = new AbortController();
    let isOver = false;
    let timer: NodeJS.Timeout | undefined;
    const setTime = (ms: number) => {
      timer = setTimeout(() => {
        isOver = true;
      }, ms);
    };
    const source = createDatabaseTaskSource(database.queue, { signal: ended.signal });
    const heartbeats = new Heartbeats({
      source: {
        ...source,
        async heartbeat(leases, options) {
          const isLate = isOver;
          const answers = await Promise.all(
            leases.map(({ id, token, ...lease }) =>
              database.queue.heartbeat({
                ...claimOf({ id, token }),
                ...lease,
                ...options,
                timeoutGraceMs: 0,
              }),
            ),
          );
          told.push({ isLate, leases });
          for (const look of waiting) look();
          return answers;
        },
      },
      leaseMs: 30_000,
      timeoutGraceMs: 0,
      claims: () => claims,
      onAnswer: () => {},
      announce: () => {},
    });
    heartbeats.start();
    const untilTold = (test: (told: Told[]) => boolean) =>
      new Promise<void>((resolve) => {
        const look = () => {
          if (!test(told)) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      });
    await work({ claims, heartbeats, told, untilTold, setTime });
    clearTimeout(timer);
    heartbeats.stop();
    ended.abort();
  }

  test('tells it within about two seconds, of all its claims in one beat, the last word alone, and once', async ({
    database,
  }) => {
    await withHeartbeats(database, 3, async ({ claims, heartbeats, told, untilTold, setTime }) => {
      const [one, other] = claims as [Claim, Claim, Claim];
      setTime(3_500);
      for (let percent = 0; percent <= 70; percent += 1) heartbeats.noteProgress(one, percent);
      heartbeats.noteProgress(other, { step: 2 });
      await untilTold((all) => all.length === 1);
      expect(told[0]?.isLate).toBe(false);
      expect(told[0]?.leases.map(({ id, progress }) => [id, progress])).toEqual([
        [one.task.id, 70],
        [other.task.id, { step: 2 }],
      ]);
      expect(await progressOf(database, one.task.id)).toBe(70);
      await heartbeats.beat([one]);
      expect(told[1]?.leases[0]).not.toHaveProperty('progress');
      // The same again is no news; what cannot be stored would fail the beats of all.
      heartbeats.noteProgress(one, 70);
      heartbeats.noteProgress(other, 'x'.repeat(1_100));
      heartbeats.noteProgress(other, '\u0000');
      await heartbeats.beat([one, other]);
      for (const lease of told[2]?.leases ?? []) expect(lease).not.toHaveProperty('progress');
    });
  });

  test('whatever is said while a beat is under way goes with the next', async ({ database }) => {
    await withHeartbeats(database, 1, async ({ claims, heartbeats, told }) => {
      const [one] = claims as [Claim];
      heartbeats.noteProgress(one, 10);
      const beaten = heartbeats.beat([one]);
      await Promise.resolve();
      heartbeats.noteProgress(one, 20);
      await beaten;
      await heartbeats.beat([one]);
      const words = told.flatMap(({ leases }) => leases.map(({ progress }) => progress));
      expect(words.filter((word) => word !== undefined).at(-1)).toBe(20);
      expect(await progressOf(database, one.task.id)).toBe(20);
      await heartbeats.beat([one]);
      expect(told.at(-1)?.leases[0]).not.toHaveProperty('progress');
    });
  });
});
