import type { Database } from '../../database/connection.ts';
import { readSchemaStatus, schemaError } from '../../database/migrate.ts';
import { type Check, note, ok, wrong } from './check.ts';

const postgresOldest = 15;

/** The database's own version, and its schema's. */
export async function checkSchema(db: Database): Promise<Check[]> {
  const { rows } = await db.pool.query<{ version: string; major: number }>(
    "select current_setting('server_version') as version, current_setting('server_version_num')::integer / 10000 as major",
  );
  const { version = '', major = 0 } = rows[0] ?? {};
  const postgres =
    major >= postgresOldest
      ? ok('postgres', `version ${version}`)
      : wrong('postgres', `version ${version}; ${postgresOldest} is the oldest that skipjack works with`);
  const status = await readSchemaStatus(db);
  if (status.kind === 'current') return [postgres, ok('schema', `version ${status.version}, this version's`)];
  if (status.kind === 'newer_but_compatible') {
    return [
      postgres,
      note('schema', `version ${status.version} of a newer skipjack, which still fits this one`),
    ];
  }
  return [postgres, wrong('schema', schemaError(status).message)];
}
