/** Claimed tasks on their way to who claimed them: while expressions are evaluated, and where some of them fail. */
import { describe, expect, onTestFinished, vi } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import type { Json } from '../../src/core/json.ts';
import { parseDefinition } from '../../src/definition/parse-definition.ts';
import { keepInlineDefinition } from '../../src/engine/publish.ts';
import { openQueue, type Queue } from '../../src/queue/queue.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { tryStart } from '../support/processes.ts';
import { complete } from '../support/tasks.ts';

/** A process with these inputs of tasks, none of which needs another. */
async function startWith(database: TestDatabase, inputs: Json[]): Promise<string> {
  const source = JSON.stringify({
    tasks: inputs.map((input, index) => ({ name: `T${index}`, queue: 'work', input })),
    fail_fast: false,
  });
  const parsed = parseDefinition(source);
  if (parsed.kind === 'invalid') throw new Error(JSON.stringify(parsed.problems));
  const definition_id = await keepInlineDefinition(database.db, { source, plan: parsed.plan });
  const result = await tryStart(database, { definition_id, input: {} });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

/** What goes through the pool from now on, and when. */
function noteStatements({ db: { pool } }: TestDatabase): { text: string; at: number }[] {
  const statements: { text: string; at: number }[] = [];
  const query = pool.query.bind(pool) as (...args: unknown[]) => Promise<unknown>;
  pool.query = ((...args: unknown[]) => {
    statements.push({ text: String(args[0]), at: performance.now() });
    return query(...args);
  }) as typeof pool.query;
  return statements;
}

const request = { queues: ['work'], worker: 'tester', leaseMs: 60_000, waitMs: 0 };
const failing = '${{ input.missing }}';

describe('while expressions are evaluated', () => {
  test('the leases of what was claimed with them are kept', async ({ database }) => {
    const heavy = '${{ range(100000).map(x, x + 1).size() }}';
    await startWith(
      database,
      Array.from({ length: 60 }, () => heavy),
    );
    const statements = noteStatements(database);
    const tasks = await database.queue.claim({ ...request, limit: 100, leaseMs: 1_000 });
    const atOf = (text: string) => statements.find((each) => each.text.includes(text))?.at ?? Number.NaN;
    // The claim's answer has come before anything is read for its tasks.
    const travelMs = atOf('skipjack.process_inputs') - atOf("'lease_left_ms'");
    const live = await database.sql<{ task_id: string; expires_at: Date }>(
      `select task_id, lease_expires_at as expires_at from skipjack.queue_items
       where lease_expires_at > claimed_at + interval '1 second' and claim_no = 1`,
    );
    expect(tasks).toHaveLength(60);
    expect(live).toHaveLength(60);
    const told = new Map(tasks.map((task) => [task.id, task]));
    for (const { task_id, expires_at } of live) {
      const { lease_expires_at, lease_left_ms } = told.get(task_id) ?? {};
      expect(Date.parse(lease_expires_at ?? '')).toBeLessThanOrEqual(expires_at.getTime());
      expect(lease_left_ms).toBeGreaterThanOrEqual(0);
      // What was left when the database answered counts from when the answer came.
      expect(lease_left_ms).toBeLessThanOrEqual(1_000 + travelMs);
    }
  });
});

describe('where expressions of claimed tasks fail', () => {
  /** Until so many statements wait for a lock. */
  const waitingForLocks = ({ sql }: TestDatabase, count: number) =>
    vi.waitFor(
      async () => {
        const rows = await sql(
          `select from pg_locks join pg_database on pg_database.oid = database
           where not granted and datname = current_database()`,
        );
        if (rows.length < count) throw new Error('not yet');
      },
      { timeout: 10_000, interval: 20 },
    );

  const heldBy = ({ sql }: TestDatabase, claimId: string) =>
    sql('select task_id from skipjack.queue_items where claim_id = $1 and worker is not null', [claimId]);

  test('two claims with one id hold no more than one of them asked for', async ({ database }) => {
    await startWith(database, [failing, 1, failing, 2, 3, 4, 5, 6]);
    const replica = openQueue(database.db);
    onTestFinished(() => replica.close());
    const claimId = newId();
    const claimBy = (queue: Queue) => queue.claim({ ...request, limit: 4, claimId });

    // Both have looked at what is claimed before the first of them comes to an expression.
    const barrier = await database.connect();
    await barrier.query('begin; lock table skipjack.process_inputs in access exclusive mode');
    const first = claimBy(database.queue);
    await waitingForLocks(database, 1);
    const second = claimBy(replica);
    await waitingForLocks(database, 2);
    await barrier.query('commit');

    const [one, other] = await Promise.all([first, second]);
    expect(one.map(({ id }) => id).sort()).toEqual(other.map(({ id }) => id).sort());
    expect(one.map(({ input }) => input).sort()).toEqual([1, 2]);
    expect(await heldBy(database, claimId)).toHaveLength(2);
    for (const task of one) await complete(database, task);
  });

  test('a claim with an id goes on where nothing is left of what it took', async ({ database }) => {
    await startWith(database, [failing, failing, failing, 1, 2, 3]);
    const claimId = newId();
    const claimAgain = () => database.queue.claim({ ...request, limit: 3, claimId });
    const tasks = await claimAgain();
    expect(tasks.map(({ input }) => input)).toEqual([1, 2, 3]);
    expect((await claimAgain()).map(({ id }) => id)).toEqual(tasks.map(({ id }) => id));
    expect(await heldBy(database, claimId)).toHaveLength(3);
  });
});
