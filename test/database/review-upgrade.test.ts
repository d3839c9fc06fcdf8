import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { expect } from 'vitest';
import { migrateDatabase, readSchemaStatus } from '../../src/database/migrate.ts';
import { thinkUntilQuiet } from '../../src/engine/thinking/think-once.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { deleteProcess } from '../../src/queue/processes/delete.ts';
import { setProcessPaused } from '../../src/queue/processes/pause.ts';
import { retryProcess } from '../../src/queue/processes/retry.ts';
import { startPlan } from '../engine/thinking/support/plans.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { failure, makePlan, processOf, run, stateOf, statesOf } from '../support/processes.ts';

/** The migrations before the process language: what an older server knows. */
const known = 8;

async function migrateToOlder({ sql, url }: TestDatabase) {
  await sql('drop schema skipjack cascade');
  const folder = mkdtempSync(path.join(tmpdir(), 'skipjack-older-'));
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    cpSync(path.resolve(import.meta.dirname, '../../drizzle'), folder, { recursive: true });
    const journal = path.join(folder, 'meta/_journal.json');
    const { entries, ...rest } = JSON.parse(readFileSync(journal, 'utf8'));
    writeFileSync(journal, JSON.stringify({ ...rest, entries: entries.slice(0, known) }));
    await migrate(drizzle(client), {
      migrationsFolder: folder,
      migrationsTable: 'migrations',
      migrationsSchema: 'skipjack',
    });
  } finally {
    await client.end();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** As the functions of that time start it: a, then b and c, then d. */
async function startOlder({ sql }: TestDatabase): Promise<string> {
  const [row] = await sql<{ id: string }>(`select skipjack.start_process('older') as id`);
  return row?.id as string;
}

async function end({ sql }: TestDatabase, processId: string, states: Record<string, string>, state: string) {
  for (const [name, taskState] of Object.entries(states))
    await sql(
      `update skipjack.tasks set state = $3, unmet = 0, finished_at = now(), error = $4 where process_id = $1 and name = $2`,
      [processId, name, taskState, taskState === 'failed' ? JSON.stringify(failure) : null],
    );
  await sql('delete from skipjack.queue_items where process_id = $1', [processId]);
  await sql(
    `insert into skipjack.dead_letters (task_id, name, queue, reason, failed_at)
     select id, name, queue, 'failed', now() from skipjack.tasks where process_id = $1 and state = 'failed'`,
    [processId],
  );
  await sql('update skipjack.processes set state = $2, unfinished = 0, finished_at = now() where id = $1', [
    processId,
    state,
  ]);
}

test('a database of before the process language goes on with all that is in it', async ({ database }) => {
  const { sql, db, queue, url } = database;
  await migrateToOlder(database);
  const plan = makePlan({ a: [], b: ['a'], c: ['a'], d: ['b', 'c'] }, { name: 'older' });
  await sql(
    `insert into skipjack.definitions (id, name, version, checksum, source, plan, created_at)
     values (skipjack.new_id(), 'older', 1, 'x', '', $1, now())`,
    [JSON.stringify(plan)],
  );
  const [live, held, paused, completed, failed, cancelled] = [
    await startOlder(database),
    await startOlder(database),
    await startOlder(database),
    await startOlder(database),
    await startOlder(database),
    await startOlder(database),
  ] as [string, string, string, string, string, string];
  await end(
    database,
    completed,
    { a: 'completed', b: 'completed', c: 'completed', d: 'completed' },
    'completed',
  );
  await end(database, failed, { a: 'completed', b: 'failed', c: 'cancelled', d: 'cancelled' }, 'failed');
  await end(
    database,
    cancelled,
    { a: 'cancelled', b: 'cancelled', c: 'cancelled', d: 'cancelled' },
    'cancelled',
  );
  await sql('update skipjack.processes set paused = true where id = $1', [paused]);
  await sql('update skipjack.queue_items set held = true where process_id = $1', [paused]);

  const claims = await sql<{ task_id: string }>(
    `update skipjack.queue_items set worker = 'older', claim_no = 1, claimed_at = now(), started_at = now(),
       lease_expires_at = now() + interval '1 minute'
     where process_id = $1 returning task_id`,
    [held],
  );

  expect(await readSchemaStatus(db)).toMatchObject({ kind: 'outdated', version: known });
  expect((await migrateDatabase(url)).applied).toBeGreaterThan(0);
  expect((await readSchemaStatus(db)).kind).toBe('current');

  const [claimed] = claims;
  await queue.settle({
    taskId: claimed?.task_id as string,
    claimNo: 1,
    processId: held,
    kind: 'completed',
    output: null,
  });
  expect(await statesOf(database, held)).toMatchObject({ a: 'completed', b: 'waiting', c: 'waiting' });
  for (const name of ['a', 'b', 'c', 'd']) await run(database, live, name);
  expect(await stateOf(database, live)).toBe('completed');
  expect(await cancelProcess(db, held)).toEqual({ kind: 'cancelling' });
  expect(await stateOf(database, held)).toBe('cancelled');
  expect(await setProcessPaused(db, paused, false)).toEqual({ kind: 'done' });
  await run(database, paused, 'a', 'fails');
  expect(await stateOf(database, paused)).toBe('failed');
  expect(await retryProcess(db, failed)).toEqual({ kind: 'retried', tasks: ['b'] });
  for (const name of ['b', 'c', 'd']) await run(database, failed, name);
  expect(await processOf(database, failed)).toMatchObject({ state: 'completed', unfinished: 0 });
  expect(await deleteProcess(db, completed)).toEqual({ kind: 'deleted' });
  expect(await deleteProcess(db, cancelled)).toEqual({ kind: 'deleted' });

  const [constraint] = await sql<{ broken: string | null }>(
    `select string_agg(conname, ', ') as broken from pg_constraint
     where connamespace = 'skipjack'::regnamespace and contype = 'c' and not convalidated`,
  );
  for (const name of constraint?.broken?.split(', ') ?? []) {
    const [table] = await sql<{ name: string }>(
      `select conrelid::regclass::text as name from pg_constraint where conname = $1 and connamespace = 'skipjack'::regnamespace`,
      [name],
    );
    await sql(`alter table ${table?.name} validate constraint ${name}`);
  }
});

test('older servers run beside the new schema until the first process needs an engine', async ({
  database,
}) => {
  const { sql, db, queue } = database;
  const oldest = async () =>
    (await sql<{ oldest: number }>('select compatible_from as oldest from skipjack.compatibility'))[0]
      ?.oldest;
  expect(await oldest()).toBeLessThanOrEqual(known);
  await startPlan(database, { a: {}, b: { needs: ['a'] } });
  expect(await oldest()).toBeLessThanOrEqual(known);
  const id = await startPlan(database, { a: { if: 'false' } });
  expect(await oldest()).toBeGreaterThan(known);
  expect((await readSchemaStatus(db)).kind).toBe('current');
  await thinkUntilQuiet(queue);
  expect(await stateOf(database, id)).toBe('completed');
});

test('older servers, which know no inputs but those of definitions, are shut out by a retry with others', async ({
  database,
}) => {
  const { sql, db } = database;
  const id = await startPlan(database, { a: {} });
  await run(database, id, 'a', 'fails');
  expect((await retryProcess(db, id, { inputs: { a: 1 } })).kind).toBe('retried');
  expect(await sql('select compatible_from > $1 as closed from skipjack.compatibility', [known])).toEqual([
    { closed: true },
  ]);
});
