/**
 * A test with a database of its own: a fresh copy of the migrated template. When it ends, the auditor must
 * find nothing and Postgres must have counted no deadlock.
 */
import pg from 'pg';
import { test as base, expect, inject } from 'vitest';
import { auditDatabase } from '../../src/database/auditor.ts';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { openQueue, type Queue } from '../../src/queue/queue.ts';
import { databaseUrl } from './global-setup.ts';

export interface TestDatabase {
  url: string;
  db: Database;
  queue: Queue;
  /** Runs SQL outside the product's pool. */
  sql: <Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: unknown[],
  ) => Promise<Row[]>;
  /** A connection of its own, for races; closed with the test. */
  connect: () => Promise<pg.Client>;
  /** The test breaks rows on purpose: the auditor is not asked at the end. */
  skipAudit: () => void;
}

let counter = 0;

export async function createDatabase(): Promise<{ url: string; drop: () => Promise<void> }> {
  const adminUrl = inject('adminUrl');
  counter += 1;
  const name = `skipjack_test_${process.pid}_${counter}`;
  await runOnce(adminUrl, `create database ${name} ${inject('copying')}`);
  const url = databaseUrl(adminUrl, name);
  // It is a copy: with the instance of the others its workers would sweep what those of another test run for long.
  await runOnce(url, 'update skipjack.compatibility set instance_id = gen_random_uuid()');
  return {
    url,
    drop: () => runOnce(adminUrl, `drop database if exists ${name} with (force)`),
  };
}

export const test = base.extend<{ database: TestDatabase }>({
  // biome-ignore lint/correctness/noEmptyPattern: vitest reads the names of the fixtures it needs from here.
  database: async ({}, use) => {
    const { url, drop } = await createDatabase();
    const db = openDatabase({ url });
    // What a test asks through the product's pool is not repeated by anybody: longer than the machine may stop.
    db.pool.options.connectionTimeoutMillis = 60_000;
    const queue = openQueue(db);
    await db.hints.ready();
    const clients: pg.Client[] = [];
    const connect = async () => {
      const client = new pg.Client({ connectionString: url });
      client.on('error', () => {});
      await client.connect();
      clients.push(client);
      return client;
    };
    const plain = await connect();
    let audited = true;
    await use({
      url,
      db,
      queue,
      sql: async (text, values) => (await plain.query(text, values)).rows,
      connect,
      skipAudit() {
        audited = false;
      },
    });
    await queue.close();
    await expectSound(plain, { audited });
    await db.close();
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
    await drop();
  },
});

/** The auditor finds nothing; no deadlock was counted in this database. */
export async function expectSound(client: pg.Client, { audited = true } = {}) {
  if (audited) expect(await auditDatabase(client)).toEqual([]);
  const { rows } = await client.query(
    'select deadlocks::integer from pg_stat_database where datname = current_database()',
  );
  expect(rows[0].deadlocks, 'pg_stat_database.deadlocks').toBe(0);
}

async function runOnce(url: string, statement: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(statement);
  } finally {
    await client.end();
  }
}
