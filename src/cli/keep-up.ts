import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { startThinking } from '../engine/thinking/start-thinking.ts';
import type { Queue } from '../queue/queue.ts';
import { startUpkeep } from '../queue/upkeep.ts';
import { complainer } from './database.ts';
import type { Lifetime } from './lifetime.ts';

/**
 * Runs the upkeep, and thinks about processes, until the command ends. As the upkeep looks every second, it is who
 * notices a database that is away.
 */
export function keepUp(
  life: Lifetime,
  queue: Queue,
  { log, config }: { log: Logger; config: Pick<Config, 'logRetentionMs' | 'eventRetentionMs'> },
): void {
  const { logRetentionMs, eventRetentionMs } = config;
  const onError = complainer(log);
  const upkeep = startUpkeep(queue.db, { logRetentionMs, eventRetentionMs, onError });
  life.onEnd('upkeep', () => upkeep.stop());
  const thinking = startThinking(queue, { onError });
  life.onEnd('thinking', () => thinking.stop());
}
