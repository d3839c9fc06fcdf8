/**
 * The API on a port.
 *
 * Only on loopback without API keys: whoever reaches the port can run commands. Closing answers those who wait
 * at once, lets what is in flight end, and is bounded in time.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { SkipjackError } from '../core/errors.ts';
import type { Engine } from '../engine/engine.ts';
import { type ApiOptions, createApi } from './api.ts';
import { isLoopback } from './http/access.ts';
import { answerFault } from './http/answer-fault.ts';
import { answerClientErrors } from './http/raw-answer.ts';

export interface ServerOptions extends Omit<ApiOptions, 'closing'> {
  /** 127.0.0.1 by default. */
  host?: string;
  /** 3000 by default. 0: any that is free. */
  port?: number;
  /** How long `close` waits for what is in flight. */
  closeMs?: number;
}

export interface RunningServer {
  url: string;
  port: number;
  /** Resolves when every connection is closed. */
  close(): Promise<void>;
}

const headersArriveWithinMs = 15_000;
const requestArrivesWithinMs = 60_000;
/** Longer than the idle time of common load balancers, so that they close first. */
const idleConnectionMs = 65_000;

/** @throws SkipjackError `usage` for an address without keys that others reach, and for one that cannot be had. */
export async function startServer(engine: Engine, options: ServerOptions = {}): Promise<RunningServer> {
  const { host = '127.0.0.1', port = 3_000, closeMs = 10_000, apiKeys = [], logger } = options;
  if (apiKeys.length === 0 && !isLoopback(host)) {
    throw new SkipjackError(
      'usage',
      `Without API keys the server listens on this machine alone, not on "${host}": whoever reaches it can run commands. Set SKIPJACK_API_KEYS, or listen on 127.0.0.1.`,
    );
  }
  const closing = new AbortController();
  const app = createApi(engine, { ...options, closing: closing.signal });
  const listener = getRequestListener(app.fetch, { errorHandler: (thrown) => answerFault(thrown, logger) });
  const server = createServer(
    {
      headersTimeout: headersArriveWithinMs,
      requestTimeout: requestArrivesWithinMs,
      keepAliveTimeout: idleConnectionMs,
      // Node would answer without a body; the listener answers with a problem.
      requireHostHeader: false,
    },
    (request, response) => {
      if (closing.signal.aborted) response.setHeader('connection', 'close');
      response.once('close', () => {
        // The connection is idle only once this event is over.
        if (closing.signal.aborted) setImmediate(() => server.closeIdleConnections());
      });
      void listener(request, response);
    },
  );
  // An expectation that we do not know is no reason to refuse (RFC 9110, 10.1.1).
  server.on('checkExpectation', (request, response) => server.emit('request', request, response));
  answerClientErrors(server);
  const address = await listen(server, { host, port });

  let closed: Promise<void> | null = null;
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}`,
    port: address.port,
    close() {
      closed ??= closeServer(server, { closing, closeMs });
      return closed;
    },
  };
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === 'EADDRINUSE' ? 'another program has it' : cause.message;
      reject(new SkipjackError('usage', `Cannot listen on ${host}, port ${port}: ${reason}.`, { cause }));
    });
    server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port }, () =>
      resolve(server.address() as AddressInfo),
    );
  });
}

async function closeServer(
  server: Server,
  { closing, closeMs }: { closing: AbortController; closeMs: number },
): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  closing.abort();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), closeMs);
  await closed;
  clearTimeout(timer);
}
