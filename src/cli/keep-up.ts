import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import type { Database } from '../database/connection.ts';
import { startUpkeep } from '../queue/upkeep.ts';
import { complainer } from './database.ts';
import type { Lifetime } from './lifetime.ts';

/** Runs the upkeep until the command ends. As it looks every second, it is who notices a database that is away. */
export function keepUp(
  life: Lifetime,
  db: Database,
  { log, config }: { log: Logger; config: Pick<Config, 'logRetentionMs'> },
): void {
  const { logRetentionMs } = config;
  const upkeep = startUpkeep(db, { logRetentionMs, onError: complainer(log) });
  life.onEnd('upkeep', () => upkeep.stop());
}
