/** Short ways to say what most tests of the queue say. */

import { parseTaskInput, type TaskInput } from '../../src/core/task-input.ts';
import type { ClaimedTask, Outcome, SettleResult } from '../../src/core/task-source.ts';
import { type Claim, decodeToken } from '../../src/core/token.ts';
import type { TestDatabase } from './database.ts';

type With = Pick<TestDatabase, 'queue'>;

/** Enqueues one task; a command that nobody will run, unless told otherwise. */
export async function enqueue({ queue }: With, task: Partial<TaskInput> = {}): Promise<string> {
  const isBare = !('command' in task || 'run' in task || 'handler' in task);
  const result = await queue.enqueue(parseTaskInput({ ...(isBare ? { command: 'true' } : {}), ...task }));
  if (!('id' in result)) throw new Error(result.kind);
  return result.id;
}

export async function claim(
  { queue }: With,
  options: Partial<Parameters<TestDatabase['queue']['claim']>[0]> = {},
): Promise<ClaimedTask[]> {
  return queue.claim({
    queues: ['default'],
    limit: 1,
    worker: 'tester',
    leaseMs: 30_000,
    waitMs: 0,
    ...options,
  });
}

/** Waits a little: what is due may be locked for a moment, by a mark of somebody who waits for its end. */
export async function claimOne(
  database: With,
  options: Parameters<typeof claim>[1] = {},
): Promise<ClaimedTask> {
  const [task] = await claim(database, { waitMs: 4_000, ...options });
  if (!task) throw new Error('nothing to claim');
  return task;
}

export function settle({ queue }: With, task: ClaimedTask, outcome: Outcome): Promise<SettleResult> {
  return queue.settle({ ...claimOf(task), ...outcome });
}

export function complete(
  database: With,
  task: ClaimedTask,
  output: string | null = null,
): Promise<SettleResult> {
  return settle(database, task, { kind: 'completed', output });
}

export function fail(database: With, task: ClaimedTask, retry = true): Promise<SettleResult> {
  return settle(database, task, {
    kind: 'failed',
    error: { code: 'exit_code', message: 'it failed' },
    retry,
  });
}

export function claimOf(task: Pick<ClaimedTask, 'id' | 'token'>): Claim {
  const claim = decodeToken(task.token, task.id);
  if (claim === null) throw new Error('not a token');
  return claim;
}

export function claimNoOf(task: ClaimedTask): number {
  return claimOf(task).claimNo;
}

/** Time is moved by moving the row's times. */
export async function expireLease({ sql }: Pick<TestDatabase, 'sql'>, taskId: string): Promise<void> {
  await sql(
    `update skipjack.queue_items set lease_expires_at = clock_timestamp() - interval '1 second' where task_id = $1`,
    [taskId],
  );
}

export async function makeDue({ sql }: Pick<TestDatabase, 'sql'>, taskId: string): Promise<void> {
  await sql('update skipjack.queue_items set available_at = clock_timestamp() where task_id = $1', [taskId]);
}

/** Those of this database who wait for a lock; not for the one that commits with a NOTIFY take, of any database. */
export const areBlocked = `datname = current_database() and cardinality(pg_blocking_pids(pid)) > 0
  and wait_event is distinct from 'object'`;

/** Resolves when `count` connections of this database wait for a lock. */
export async function untilBlocked({ sql }: Pick<TestDatabase, 'sql'>, count = 1): Promise<void> {
  for (let tries = 0; tries < 2_000; tries += 1) {
    const [row] = await sql<{ blocked: number }>(
      `select count(*)::integer as blocked from pg_stat_activity where ${areBlocked}`,
    );
    if ((row?.blocked ?? 0) >= count) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`fewer than ${count} connections came to wait for a lock`);
}
