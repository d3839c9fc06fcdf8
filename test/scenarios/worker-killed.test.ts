/** Two workers as OS processes; one is killed with SIGKILL while it runs eight tasks and holds more. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { expect, onTestFinished } from 'vitest';
import { readAttempts } from '../../src/queue/dead-letters.ts';
import { test } from '../support/database.ts';
import { freeze, type Program, startProgram, until } from '../support/program.ts';
import { enqueue } from '../support/tasks.ts';

test('every task of a killed worker completes elsewhere; only those that had started have a loss', async ({
  database,
}) => {
  const { sql, url: DATABASE_URL } = database;
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-scenario-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const handlers = path.join(folder, 'handlers.mjs');
  writeFileSync(handlers, 'export const quick = () => null;');
  const flags = ['--concurrency', '8', '--lease', '1m', '--handlers', handlers];
  const quick = { handler: 'quick', queue: 'default' };
  const count = async (where: string) =>
    (
      await sql<{ count: number }>(
        `select count(*)::integer as count from skipjack.queue_items where ${where}`,
      )
    )[0]?.count ?? 0;

  const doomedUrl = new URL(DATABASE_URL);
  doomedUrl.searchParams.set('application_name', 'doomed');
  /** A worker runs eight of these tasks and may hold the others. */
  const layOut = async () => {
    const worker = startProgram(['worker', '--name', 'doomed', ...flags], { DATABASE_URL: doomedUrl.href });
    await worker.untilSays('worker started');
    // Quick tasks first: only for such does a worker hold more than it runs.
    await Promise.all(Array.from({ length: 60 }, () => enqueue(database, quick)));
    await until('the quick ones are done', async () => (await count('true')) === 0);
    const release = path.join(folder, `release-${worker.pid}`);
    const run = 'while [ ! -e "$RELEASE" ]; do sleep 0.05; done';
    const waiting = { run, env: { RELEASE: release }, priority: 9 };
    const slow = await Promise.all(Array.from({ length: 8 }, () => enqueue(database, waiting)));
    const held = await Promise.all(Array.from({ length: 12 }, () => enqueue(database, quick)));
    return { worker, slow, held, release: () => writeFileSync(release, '') };
  };

  /** False: it held none, or had given them back before anybody looked. It does nothing while it is looked at. */
  const killWhileItHolds = async ({ child, kill }: Program): Promise<boolean> => {
    for (const end = performance.now() + 10_000; performance.now() < end; await pause(20)) {
      await freeze(child, { sql, application: 'doomed' });
      const eightRun = (await count('started_at is not null')) === 8;
      if (eightRun && (await count('worker is not null and started_at is null')) > 0) {
        await kill('SIGKILL');
        return true;
      }
      child.kill('SIGCONT');
      if ((await count('worker is null and claim_no > 0')) > 0) return false;
    }
    return false;
  };

  // What is held goes back after a second, and how much fits into one is up to the machine.
  let batches = 1;
  let batch = await layOut();
  for (; !(await killWhileItHolds(batch.worker)); batches += 1) {
    expect(batches, 'batches of which none was held').toBeLessThan(5);
    batch.release();
    await until('the batch is done', async () => (await count('true')) === 0);
    await batch.worker.kill('SIGTERM');
    batch = await layOut();
  }
  const { slow, held, release } = batch;
  const [killed] = await sql<{ at: Date }>('select clock_timestamp() as at');

  // As if its time had passed: what the heir holds stays its own, however slow the machine is.
  await sql(`update skipjack.queue_items set lease_expires_at = clock_timestamp() where worker is not null`);
  const heir = startProgram(['worker', '--name', 'heir', ...flags], { DATABASE_URL });
  release();
  await until('everything has ended', async () => (await count('true')) === 0);
  const states = await sql(`select state, count(*)::integer from skipjack.tasks group by 1`);
  expect(states).toEqual([{ state: 'completed', count: 80 * batches }]);

  for (const id of slow) {
    expect((await readAttempts(database.db, id)).map(({ outcome, worker }) => [outcome, worker])).toEqual([
      ['lost', expect.stringContaining('doomed')],
    ]);
  }
  for (const id of held) expect(await readAttempts(database.db, id)).toEqual([]);
  const [back] = await sql<{ seconds: number }>(
    `select extract(epoch from max(ended_at) - $1)::float8 as seconds from skipjack.attempts`,
    [killed?.at],
  );
  console.log(`back on the queue ${back?.seconds.toFixed(2)} s after the kill, when their leases were over`);
  await heir.kill('SIGTERM');
}, 240_000);
