import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Config, type Flags, maskUrl } from '../config.ts';
import {
  type EmbeddedPostgres,
  findRunningEmbeddedPostgres,
  startEmbeddedPostgres,
} from '../database/embedded.ts';
import { migrateDatabase } from '../database/migrate.ts';
import { explainDatabaseFault, namesDatabase } from './database.ts';
import type { Lifetime } from './lifetime.ts';

/** How often one who has joined another's Postgres looks whether it still runs. */
const lookAfterMs = 1_000;

export interface ProvidedDatabase {
  url: string;
  /** For people. */
  description: string;
  /** The directory of the embedded Postgres; null: the database is another's. */
  data: string | null;
}

/** The database that flags and environment name, else the embedded Postgres on `--data`; migrated. */
export async function provideDatabase(
  life: Lifetime,
  { config, flags, log }: { config: Config; flags: Flags; log: Logger },
): Promise<ProvidedDatabase> {
  const provided =
    config.databaseUrl !== null && namesDatabase(config, flags)
      ? { url: config.databaseUrl, description: maskUrl(config.databaseUrl), data: null }
      : await startEmbedded(life, { data: config.data, log });
  const migrated = await migrateDatabase(provided.url).catch((error) => {
    throw explainDatabaseFault(error, provided.url);
  });
  if (migrated.applied > 0) log.info(migrated, 'migrated the database');
  return provided;
}

async function startEmbedded(
  life: Lifetime,
  { data, log }: { data: string; log: Logger },
): Promise<ProvidedDatabase> {
  let postgres = await startEmbeddedPostgres({ data, logger: log });
  const ended = new AbortController();
  const become = (started: EmbeddedPostgres) => {
    if (started.url !== postgres.url) log.error({ data }, 'Postgres came back on another port: start again');
    postgres = started;
  };
  const watching = postgres.owned ? null : takeOverWhenLeft({ data, log, signal: ended.signal, become });
  const end = async () => {
    ended.abort();
    await watching;
    await postgres.stop();
  };
  life.onEnd('Postgres', end, { always: true });
  return { url: postgres.url, description: `embedded Postgres, data in ${data}`, data };
}

/**
 * Whoever has started the Postgres that we joined may end before us, and stops it: then it is started again, as a
 * rule on its old port, by one of those who are left. Until `signal` is aborted, or we are the one.
 */
async function takeOverWhenLeft({
  data,
  log,
  signal,
  become,
}: {
  data: string;
  log: Logger;
  signal: AbortSignal;
  become: (postgres: EmbeddedPostgres) => void;
}): Promise<void> {
  while (await sleep(lookAfterMs, true, { signal, ref: false }).catch(() => false)) {
    try {
      if ((await findRunningEmbeddedPostgres(data)) !== null || signal.aborted) continue;
      const started = await startEmbeddedPostgres({ data, logger: log });
      become(started);
      if (started.owned) return;
    } catch (error) {
      log.warn({ err: error }, 'the Postgres that was joined is gone and could not be started again');
    }
  }
}
