/** Two workers as OS processes; one is killed with SIGKILL while it runs eight tasks and holds more. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { readAttempts } from '../../src/queue/dead-letters.ts';
import { test } from '../support/database.ts';
import { startProgram, until } from '../support/program.ts';
import { enqueue } from '../support/tasks.ts';

test('every task of a killed worker completes elsewhere; only those that had started have a loss', async ({
  database,
}) => {
  const { sql, url: DATABASE_URL } = database;
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-scenario-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  const release = path.join(folder, 'release');
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

  const doomed = startProgram(['worker', '--name', 'doomed', ...flags], { DATABASE_URL });
  await doomed.untilSays('worker started');
  // Quick tasks first: only for such does a worker hold more than it runs.
  await Promise.all(Array.from({ length: 60 }, () => enqueue(database, quick)));
  await until('the quick ones are done', async () => (await count('true')) === 0);

  const waitForRelease = { run: 'while [ ! -e "$RELEASE" ]; do sleep 0.05; done', env: { RELEASE: release } };
  const slow = await Promise.all(
    Array.from({ length: 8 }, () => enqueue(database, { ...waitForRelease, priority: 9 })),
  );
  const held = await Promise.all(Array.from({ length: 12 }, () => enqueue(database, quick)));
  await until(
    'eight run and more are held',
    async () =>
      (await count('started_at is not null')) === 8 &&
      (await count('worker is not null and started_at is null')) > 0,
  );
  await doomed.kill('SIGKILL');
  const [before] = await sql<{ held: string[]; killed_at: Date }>(
    `select array_agg(task_id) filter (where started_at is null) as held, clock_timestamp() as killed_at
     from skipjack.queue_items where worker is not null`,
  );
  expect(before?.held.length).toBeGreaterThan(0);

  // As if its time had passed: what the heir holds stays its own, however slow the machine is.
  await sql(`update skipjack.queue_items set lease_expires_at = clock_timestamp() where worker is not null`);
  const heir = startProgram(['worker', '--name', 'heir', ...flags], { DATABASE_URL });
  writeFileSync(release, '');
  await until('everything has ended', async () => (await count('true')) === 0);
  const states = await sql(`select state, count(*)::integer from skipjack.tasks group by 1`);
  expect(states).toEqual([{ state: 'completed', count: 80 }]);

  for (const id of slow) {
    expect((await readAttempts(database.db, id)).map(({ outcome, worker }) => [outcome, worker])).toEqual([
      ['lost', expect.stringContaining('doomed')],
    ]);
  }
  for (const id of held) expect(await readAttempts(database.db, id)).toEqual([]);
  const [back] = await sql<{ seconds: number }>(
    `select extract(epoch from max(ended_at) - $1)::float8 as seconds from skipjack.attempts`,
    [before?.killed_at],
  );
  console.log(`back on the queue ${back?.seconds.toFixed(2)} s after the kill, when their leases were over`);
  await heir.kill('SIGTERM');
}, 120_000);
