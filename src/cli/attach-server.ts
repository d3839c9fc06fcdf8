import type { Logger } from 'pino';
import { startServer } from '../api/server.ts';
import type { Config } from '../config.ts';
import { SkipjackError } from '../core/errors.ts';
import type { Queue } from '../queue/queue.ts';
import type { Lifetime } from './lifetime.ts';
import { version } from './version.ts';

/** Starts the HTTP server, and closes it when the command ends, waiting `closeMs` for what is in flight. Answers its URL. */
export async function attachServer(
  life: Lifetime,
  { queue, config, log, closeMs = 10_000 }: { queue: Queue; config: Config; log: Logger; closeMs?: number },
): Promise<string> {
  const { host, port, apiKeys, allowedHosts } = config;
  const server = await startServer({
    queue,
    apiKeys,
    allowedHosts,
    version,
    logger: log,
    host,
    port,
    closeMs,
  }).catch((error) => {
    throw isTaken(error)
      ? new SkipjackError(
          'address_taken',
          `Port ${port} on ${host} is taken by another program. Stop it, or choose another: --port ${port + 1}.`,
          { cause: error },
        )
      : error;
  });
  life.onEnd('server', () => server.close());
  return server.url;
}

function isTaken(error: unknown): boolean {
  return (
    error instanceof SkipjackError && (error.cause as { code?: string } | undefined)?.code === 'EADDRINUSE'
  );
}
