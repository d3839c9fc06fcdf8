/**
 * Migrations: who may run with which schema, and moving it forward.
 *
 * drizzle applies the files, but compares only the newest timestamp and takes no lock. So: one advisory lock
 * around everything; the list of applied hashes must be the beginning of the list of files (or the other way
 * round, where a newer version has been here); `compatibility.compatible_from` says which older code still fits.
 */
import { fileURLToPath } from 'node:url';
import { type MigrationMeta, readMigrationFiles } from 'drizzle-orm/migrator';
import { drizzle } from 'drizzle-orm/node-postgres';
import { migrate } from 'drizzle-orm/node-postgres/migrator';
import pg from 'pg';
import { SkipjackError } from '../core/errors.ts';
import type { Database } from './connection.ts';

/** `drizzle/` beside `src/` in a checkout and beside `dist/` in the package. */
const migrationsFolder = fileURLToPath(new URL('../../drizzle', import.meta.url));
const migrationsTable = 'migrations';
/** Any constant of our own: "skipjack" in ASCII, cut to 63 bits. */
const advisoryLock = '8316294183742069611';

export type SchemaStatus =
  | { kind: 'current'; version: number }
  /** A newer version has migrated it and says that this one still fits. */
  | { kind: 'newer_but_compatible'; version: number }
  | { kind: 'missing'; version: 0 }
  | { kind: 'outdated'; version: number; pending: number }
  | { kind: 'too_new'; version: number }
  /** The migrations applied are not those of this version: another history. */
  | { kind: 'diverged'; version: number };

/** Brings the schema to this version's. Safe to call by many at once. Answers how many migrations were applied. */
export async function migrateDatabase(url: string): Promise<{ applied: number; version: number }> {
  const client = new pg.Client({ connectionString: url, application_name: 'skipjack migrate' });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [advisoryLock]);
    const before = await readStatus(client);
    if (before.kind === 'diverged' || before.kind === 'too_new') throw schemaError(before);
    if (before.kind === 'missing' || before.kind === 'outdated') {
      await migrate(drizzle(client), { migrationsFolder, migrationsTable, migrationsSchema: 'skipjack' });
    }
    const after = await readStatus(client);
    return { applied: after.version - before.version, version: after.version };
  } finally {
    await client.end();
  }
}

/** How the schema stands to this version. */
export async function readSchemaStatus(db: Database): Promise<SchemaStatus> {
  return readStatus(db.pool);
}

/** Throws `schema_outdated`, naming the command, unless this version may run with the schema. */
export async function requireSchema(db: Database): Promise<void> {
  const status = await readSchemaStatus(db);
  if (status.kind !== 'current' && status.kind !== 'newer_but_compatible') throw schemaError(status);
}

export function schemaError(status: SchemaStatus): SkipjackError {
  const messages: Record<string, string> = {
    missing: 'The database has no skipjack schema. Run "skipjack migrate" first.',
    outdated: 'The database schema is older than this version of skipjack. Run "skipjack migrate" first.',
    too_new: 'The database schema is newer than this version of skipjack can work with. Upgrade skipjack.',
    diverged:
      'The migrations applied to the database are not those of this version of skipjack: it was migrated by another build. Use a database of its own, or the build that migrated it.',
  };
  return new SkipjackError('schema_outdated', messages[status.kind] ?? 'The schema fits.');
}

async function readStatus(client: Pick<pg.ClientBase, 'query'>): Promise<SchemaStatus> {
  const files = readMigrations();
  const found = await client.query<{ there: boolean }>(
    "select to_regclass('skipjack.migrations') is not null and to_regclass('skipjack.compatibility') is not null as there",
  );
  if (!found.rows[0]?.there) return { kind: 'missing', version: 0 };
  const applied = await client.query<{ hash: string }>('select hash from skipjack.migrations order by id');
  const version = applied.rows.length;
  const known = Math.min(version, files.length);
  if (applied.rows.slice(0, known).some((row, index) => row.hash !== files[index]?.hash)) {
    return { kind: 'diverged', version };
  }
  if (version < files.length) return { kind: 'outdated', version, pending: files.length - version };
  if (version === files.length) return { kind: 'current', version };
  const { rows } = await client.query<{ compatible_from: number }>(
    'select compatible_from from skipjack.compatibility',
  );
  return (rows[0]?.compatible_from ?? Number.POSITIVE_INFINITY) <= files.length
    ? { kind: 'newer_but_compatible', version }
    : { kind: 'too_new', version };
}

let migrationsRead: MigrationMeta[] | null = null;

function readMigrations(): MigrationMeta[] {
  migrationsRead ??= readMigrationFiles({ migrationsFolder });
  return migrationsRead;
}
