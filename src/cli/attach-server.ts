import type { Logger } from 'pino';
import { isLoopback } from '../api/http/access.ts';
import { startServer } from '../api/server.ts';
import type { Config } from '../config.ts';
import { SkipjackError } from '../core/errors.ts';
import type { Engine } from '../engine/engine.ts';
import type { Lifetime } from './lifetime.ts';

/** Starts the HTTP server, and closes it when the command ends, waiting `closeMs` for what is in flight. Answers its URL. */
export async function attachServer(
  life: Lifetime,
  {
    engine,
    config,
    log,
    closeMs = 10_000,
  }: {
    engine: Engine;
    config: Pick<Config, 'host' | 'port' | 'apiKeys' | 'allowedHosts'>;
    log: Logger;
    closeMs?: number;
  },
): Promise<string> {
  const { host, port, apiKeys, allowedHosts } = config;
  const server = await startServer(engine, {
    apiKeys,
    allowedHosts,
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

/**
 * Refuses an address that others reach when there are no keys, as the server will: before a database is started
 * or waited for.
 */
export function requireKeysBeyondLoopback({ host, apiKeys }: Pick<Config, 'host' | 'apiKeys'>): void {
  if (apiKeys.length > 0 || isLoopback(host)) return;
  throw new SkipjackError(
    'usage',
    `Without API keys the server listens on this machine alone, not on "${host}": whoever reaches it can run commands. Set SKIPJACK_API_KEYS, or listen on 127.0.0.1.`,
  );
}

function isTaken(error: unknown): boolean {
  return (
    error instanceof SkipjackError && (error.cause as { code?: string } | undefined)?.code === 'EADDRINUSE'
  );
}
