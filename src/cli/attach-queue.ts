import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { openQueue, type Queue } from '../queue/queue.ts';
import { openConfigured, waitForDatabase } from './database.ts';
import type { Lifetime } from './lifetime.ts';

/** Opens the queue over a database that answers and whose schema fits; waits for it to come up. */
export async function attachQueue(
  life: Lifetime,
  {
    url,
    config,
    log,
    applicationName,
  }: { url: string; config: Config; log: Logger; applicationName: string },
): Promise<Queue> {
  const db = openConfigured(url, config, applicationName);
  life.onEnd('database connections', () => db.close());
  await waitForDatabase(db, { url, log, signal: life.signal });
  if (config.listenUrl === null)
    log.warn('not listening for new work (SKIPJACK_LISTEN_URL=off): polling alone');
  const queue = openQueue(db);
  life.onEnd('queue', () => queue.close());
  return queue;
}
