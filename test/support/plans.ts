/** What statements read of our tables, one by one: as they come over a pool of the product's, on one connection. */
import pg from 'pg';
import { inject, onTestFinished } from 'vitest';
import type { Database } from '../../src/database/connection.ts';
import type { TestDatabase } from './database.ts';

/** A statement that was run. */
export interface Seen {
  /** What was under way when it came. */
  move: string;
  text: string;
  /** Rows read from end to end, or found by an index, and entries of indexes that were walked. */
  read: number;
  /** Rows written and rows answered. */
  moved: number;
  /** `read`, by table. */
  tables: Record<string, number>;
}

export interface Measured {
  db: Database;
  /** What comes from here on belongs to this. */
  begin(move: string): void;
  /** Since it was last asked. */
  take(): Seen[];
}

/** Indexes are counted with their tables: by entries where only they were read. */
const counters = `select name, sum(read)::integer as read, sum(written)::integer as written
  from (
    select relation.name, pg_stat_get_xact_tuples_returned(relation.id) + greatest(pg_stat_get_xact_tuples_fetched(relation.id),
        (select sum(pg_stat_get_xact_tuples_returned(own)) from unnest(relation.indexes) as own)) as read,
      pg_stat_get_xact_tuples_inserted(relation.id) + pg_stat_get_xact_tuples_updated(relation.id)
        + pg_stat_get_xact_tuples_deleted(relation.id) as written
    from pg_temp.measured as relation
    offset 0
  ) as counted
  group by name`;

type Counts = Map<string, { read: number; written: number }>;

/**
 * While someone writes in any database of the server, entries of rows that have gone stay in the indexes of all and are
 * walked with the others. Other tests do that now and then; here somebody always does, until the test ends.
 */
async function keepWriting(): Promise<void> {
  const neighbour = new pg.Client({ connectionString: inject('adminUrl') });
  await neighbour.connect();
  onTestFinished(() => neighbour.end());
  await neighbour.query('begin');
  await neighbour.query('select pg_current_xact_id()');
}

/**
 * A database of the product's, on one connection: one statement or transaction at a time. Each is counted within its
 * transaction, before Postgres hands its figures over; with the entries of what has gone.
 */
export async function measure({ connect, db }: TestDatabase): Promise<Measured> {
  await keepWriting();
  const client = await connect();
  await client.query('set jit = off');
  await client.query(
    `create temporary table measured as
     select class.oid as id, class.relname as name,
       array(select indexrelid from pg_index where indrelid = class.oid) as indexes
     from pg_class as class join pg_namespace as space on space.oid = class.relnamespace
     where space.nspname = 'skipjack' and class.relkind = 'r'`,
  );
  let move = '';
  let seen: Seen[] = [];
  const count = async (): Promise<Counts> => {
    const { rows } = await client.query({ name: 'counters', text: counters });
    return new Map(rows.map((row) => [row.name, row]));
  };
  let before: Counts = new Map();
  const query = async (text: string, values?: unknown[]): Promise<pg.QueryResult> => {
    if (/^begin/.test(text)) {
      const result = await client.query(text);
      before = await count();
      return result;
    }
    if (/^(commit|rollback|set)/.test(text)) return client.query(text);
    const result = await client.query(text, values);
    const after = await count();
    const tables: Record<string, number> = {};
    let written = 0;
    for (const [name, counted] of after) {
      const known = before.get(name) ?? { read: 0, written: 0 };
      if (counted.read > known.read) tables[name] = counted.read - known.read;
      written += counted.written - known.written;
    }
    const read = Object.values(tables).reduce((sum, each) => sum + each, 0);
    seen.push({ move, text, read, moved: written + (result.rowCount ?? 0), tables });
    before = after;
    return result;
  };
  let line: Promise<unknown> = Promise.resolve();
  const inTurn = <Result>(work: () => Promise<Result>): Promise<Result> => {
    const result = line.then(work);
    line = result.catch(() => {});
    return result;
  };
  const pool = {
    connect: () =>
      new Promise<unknown>((resolve) => {
        void inTurn(
          () =>
            new Promise<void>((release) => {
              resolve({ query, on: () => {}, off: () => {}, release });
            }),
        );
      }),
    query: (text: string, values?: unknown[]) =>
      inTurn(async () => {
        await query('begin');
        try {
          const result = await query(text, values);
          await query('commit');
          return result;
        } catch (error) {
          await query('rollback');
          throw error;
        }
      }),
  } as unknown as pg.Pool;
  return {
    db: { ...db, pool, hints: { ...db.hints, announce: () => {} } },
    begin(next) {
      move = next;
    },
    take() {
      const taken = seen;
      seen = [];
      return taken;
    },
  };
}
