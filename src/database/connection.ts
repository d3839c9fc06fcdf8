import { drizzle, type NodePgDatabase } from 'drizzle-orm/node-postgres';
import type pg from 'pg';
import { createHints, type Hints } from './hints.ts';
import { ConnectionPool } from './pool.ts';
import * as schema from './schema.ts';

/**
 * Everything of ours that speaks to one database: a pool, drizzle over it, and the hints (LISTEN/NOTIFY).
 *
 * Hot statements go through `query` unnamed, so that Postgres plans each with its values: a plan made when
 * the tables were empty and kept for later runs a claim fifty times slower.
 */
export interface Database {
  pool: pg.Pool;
  orm: NodePgDatabase<typeof schema>;
  hints: Hints;
  /** A statement without an answer for so long has lost its connection. */
  queryTimeoutMs: number;
  close(): Promise<void>;
}

/** A connection inside `begin … commit`. */
export type Transaction = pg.ClientBase & { readonly inTransaction: unique symbol };

/** One of them, or the pool: for what is only read. */
export type Queryable = Pick<pg.ClientBase, 'query'>;

export interface DatabaseOptions {
  url: string;
  /** A direct URL for LISTEN, where `url` leads to a pooler in transaction mode; null: no listening, polling alone. */
  listenUrl?: string | null;
  poolSize?: number;
  applicationName?: string;
  /** A statement without an answer for so long has lost its connection. */
  queryTimeoutMs?: number;
}

export function openDatabase(options: DatabaseOptions): Database {
  const { url, poolSize = 10, applicationName = 'skipjack', queryTimeoutMs = 30_000 } = options;
  const pool = new ConnectionPool({
    connectionString: url,
    max: poolSize,
    application_name: applicationName,
    connectionTimeoutMillis: 5_000,
    query_timeout: queryTimeoutMs,
    keepAlive: true,
    // Compiling one of our statements takes a second, and running it a millisecond. Not among the options of the
    // connection: poolers refuse those. One in transaction mode may hand it to others' sessions: harmless to them.
    onConnect: async (client) => {
      await client.query('set jit = off');
    },
  });
  // An idle connection that breaks is replaced at the next use; without a listener it would end our OS process.
  pool.on('error', () => {});
  const hints = createHints({
    listenUrl: options.listenUrl === undefined ? url : options.listenUrl,
    notify: async (payloads) => {
      await pool.query("select pg_notify('skipjack', payload) from unnest($1::text[]) as payload", [
        payloads,
      ]);
    },
  });
  return {
    pool,
    orm: drizzle(pool, { schema }),
    hints,
    queryTimeoutMs,
    async close() {
      await hints.close();
      await pool.end();
    },
  };
}

/**
 * Runs `work` in one transaction: committed when it resolves, rolled back when it throws. A connection that
 * fails to roll back is thrown away, never handed to the next.
 */
export async function inTransaction<Result>(
  db: Database,
  work: (tx: Transaction) => Promise<Result>,
): Promise<Result> {
  const client = await db.pool.connect();
  let broken: Error | undefined;
  // A connection that dies while it is ours reports here as well as in the statement that fails.
  const onError = (error: Error) => {
    broken = error;
  };
  client.on('error', onError);
  try {
    await client.query('begin isolation level read committed');
    const result = await work(client as unknown as Transaction);
    await client.query('commit');
    return result;
  } catch (error) {
    await client.query('rollback').catch((failure: Error) => {
      broken = failure;
    });
    throw error;
  } finally {
    client.off('error', onError);
    client.release(broken);
  }
}
