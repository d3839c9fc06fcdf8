/**
 * `/metrics` on a port of its own, for OS processes that serve nothing else. Asks for no key: it shows names of
 * queues and figures, nothing of tasks. On loopback unless another host is asked for.
 */
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SkipjackError } from '../core/errors.ts';
import { type Metrics, metricsContentType } from './metrics.ts';

export interface MetricsServer {
  url: string;
  port: number;
  /** Resolves when every connection is closed, within a second. */
  close(): Promise<void>;
}

const requestArrivesWithinMs = 5_000;
const connectionsMax = 50;
const closeMs = 1_000;

/** @throws SkipjackError `usage` for an address that cannot be had. */
export async function serveMetrics({
  metrics,
  host = '127.0.0.1',
  port,
}: {
  metrics: Metrics;
  host?: string;
  /** 0: any that is free. */
  port: number;
}): Promise<MetricsServer> {
  const server = createServer(
    { headersTimeout: requestArrivesWithinMs, requestTimeout: requestArrivesWithinMs },
    (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0];
      if (path !== '/metrics') {
        answer(response, 404, 'There is nothing here but /metrics.');
      } else if (request.method !== 'GET' && request.method !== 'HEAD') {
        response.setHeader('allow', 'GET, HEAD');
        answer(response, 405, 'Only GET and HEAD are allowed here.');
      } else {
        metrics.scrape().then(
          (text) => answer(response, 200, text, metricsContentType),
          (error: unknown) => answerFault(response, error),
        );
      }
    },
  );
  server.maxConnections = connectionsMax;
  const address = await listen(server, { host, port });
  return {
    url: `http://${address.family === 'IPv6' ? `[${address.address}]` : address.address}:${address.port}/metrics`,
    port: address.port,
    close: () => closeServer(server),
  };
}

function answer(
  response: ServerResponse,
  status: number,
  text: string,
  type = 'text/plain; charset=utf-8',
): void {
  response.writeHead(status, { 'content-type': type }).end(text.endsWith('\n') ? text : `${text}\n`);
}

function answerFault(response: ServerResponse, error: unknown): void {
  const { status, code, message } =
    error instanceof SkipjackError ? error : new SkipjackError('internal', 'A fault in Skipjack.');
  if (status === 503) response.setHeader('retry-after', '1');
  answer(response, status, `${code}: ${message}`);
}

function listen(server: Server, { host, port }: { host: string; port: number }): Promise<AddressInfo> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === 'EADDRINUSE' ? 'another program has it' : cause.message;
      const sentence = `Cannot serve metrics on ${host}, port ${port}: ${reason}.`;
      reject(new SkipjackError('usage', sentence, { cause }));
    });
    server.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port }, () =>
      resolve(server.address() as AddressInfo),
    );
  });
}

async function closeServer(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), closeMs);
  await closed;
  clearTimeout(timer);
}
