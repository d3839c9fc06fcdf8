/** The commands' way to a database: which one, whether it answers, and what to say when it does not. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { type Config, type Flags, findSource, maskUrl } from '../config.ts';
import { reconnectDelayMs } from '../core/backoff.ts';
import { SkipjackError } from '../core/errors.ts';
import { type Database, openDatabase } from '../database/connection.ts';
import { findRunningEmbeddedPostgres } from '../database/embedded.ts';
import { isConnectionFault, sqlState } from '../database/faults.ts';
import { requireSchema } from '../database/migrate.ts';

/** While the database is away, one line in so long: enough to see, too little to fill a disk. */
const complainEveryMs = 30_000;

/** Whether these flags and variables name a database, rather than a directory for an embedded one. */
export function namesDatabase(config: Config, flags: Flags): boolean {
  if (config.databaseUrl === null) return false;
  const bySay = findSource('databaseUrl', flags) === '--database-url';
  const byData = findSource('data', flags) === '--data';
  if (bySay && byData) throw new SkipjackError('usage', '--database-url and --data exclude each other.');
  return bySay || !byData;
}

/** The URL in flags or environment, else that of the embedded Postgres that runs on `--data`. */
export async function findDatabaseUrl(config: Config, flags: Flags): Promise<string> {
  if (config.databaseUrl !== null && namesDatabase(config, flags)) return config.databaseUrl;
  const running = await findRunningEmbeddedPostgres(config.data);
  if (running) return running.url;
  throw new SkipjackError(
    'usage',
    `There is no database to use: DATABASE_URL is not set, and no embedded Postgres runs on ${config.data}. ` +
      'Set DATABASE_URL=postgres://user:password@localhost:5432/app, or start "skipjack dev".',
  );
}

export function openConfigured(url: string, config: Config, applicationName: string): Database {
  return openDatabase({
    url,
    applicationName,
    // Behind a pooler the direct URL is another; an embedded one has none.
    ...(config.listenUrl === undefined || url !== config.databaseUrl ? {} : { listenUrl: config.listenUrl }),
  });
}

/** Waits until the database answers and its schema fits. @throws SkipjackError when waiting will not help. */
export async function waitForDatabase(
  db: Database,
  { url, log, signal }: { url: string; log: Logger; signal: AbortSignal },
): Promise<void> {
  const complain = complainer(log);
  for (let tries = 1; !signal.aborted; tries += 1) {
    try {
      await requireSchema(db);
      return;
    } catch (error) {
      if (!isConnectionFault(error)) throw explainDatabaseFault(error, url);
      complain(explainDatabaseFault(error, url));
      await sleep(reconnectDelayMs(tries), undefined, { signal }).catch(() => {});
    }
  }
}

/** Logs that the database is away, now and then; every other error each time. */
export function complainer(log: Logger): (error: unknown) => void {
  let quietUntil = 0;
  return (error) => {
    const isAway =
      isConnectionFault(error) ||
      (error instanceof SkipjackError && ['database_unreachable', 'server_unreachable'].includes(error.code));
    if (!isAway) {
      log.error({ err: error }, 'a call failed');
      return;
    }
    if (performance.now() < quietUntil) return;
    quietUntil = performance.now() + complainEveryMs;
    log.warn(`${messageOf(error)} Trying again.`);
  };
}

/** Runs `work` with a database that is closed afterwards; its faults become sentences. */
export async function withDatabase<Result>(
  url: string,
  work: (db: Database) => Promise<Result>,
): Promise<Result> {
  const db = openDatabase({ url, listenUrl: null, applicationName: 'skipjack' });
  try {
    return await work(db);
  } catch (error) {
    throw explainDatabaseFault(error, url);
  } finally {
    await db.close();
  }
}

/** What a person can do about it: class 28 is a refused login, 3D000 a database that does not exist. */
export function explainDatabaseFault(error: unknown, url: string): unknown {
  if (error instanceof SkipjackError) return error;
  const state = sqlState(error);
  const where = maskUrl(url);
  const because = (message: string) => new SkipjackError('database_unreachable', message, { cause: error });
  if (state?.startsWith('28') || /SASL|password/i.test(messageOf(error))) {
    return because(`Postgres refused the login at ${where}: ${messageOf(error)}. Check user and password.`);
  }
  if (state === '3D000') return because(`${messageOf(error)} at ${where}. Create it: createdb NAME.`);
  if (state === '42501') return because(`The user may not do that at ${where}: ${messageOf(error)}.`);
  if (!isConnectionFault(error)) return error;
  return because(
    `No Postgres answers at ${where} (${messageOf(error)}). Is it running, and is DATABASE_URL right?`,
  );
}

function messageOf(error: unknown): string {
  // Of a name with several addresses each was tried; the first says as much as all.
  const first = error instanceof AggregateError ? error.errors[0] : error;
  const { message } = first as { message?: string };
  return message || String(first);
}
