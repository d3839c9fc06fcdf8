/** A server over the test's database, behind a way on which requests and answers get lost. */
import { createServer, request as send } from 'node:http';
import { onTestFinished } from 'vitest';
import { startServer } from '../../../src/api/server.ts';
import { Engine } from '../../../src/engine/engine.ts';
import type { Queue } from '../../../src/queue/queue.ts';

export interface LossyServer {
  url: string;
  /** What happens to the next requests, in order; those after them pass. `answer`: done, but nobody hears of it. */
  lose(...parts: ('request' | 'answer')[]): void;
  /** Method and path of every request so far, lost ones included. */
  readonly asked: string[];
  /** Resolves when a request to this path has arrived that was not asked for before. */
  untilAsked(path: string): Promise<void>;
}

export async function startLossyServer(
  queue: Queue,
  { apiKeys = [] }: { apiKeys?: string[] } = {},
): Promise<LossyServer> {
  const server = await startServer(new Engine({ queue }), { apiKeys, version: 'test', port: 0 });
  const losses: ('request' | 'answer')[] = [];
  const asked: string[] = [];
  const watchers: { path: string; resolve: () => void }[] = [];

  const way = createServer((incoming, outgoing) => {
    asked.push(`${incoming.method} ${incoming.url}`);
    for (const watcher of watchers.splice(0)) {
      if (incoming.url === watcher.path) watcher.resolve();
      else watchers.push(watcher);
    }
    const loss = losses.shift();
    if (loss === 'request') {
      incoming.socket.destroy();
      return;
    }
    const { method = 'GET', url: path = '/', headers } = incoming;
    const upstream = send(
      `${server.url}${path}`,
      { method, headers: { ...headers, host: new URL(server.url).host }, agent: false },
      (answer) => {
        if (loss === 'answer') {
          answer.resume();
          answer.once('end', () => incoming.socket.destroy());
          return;
        }
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(outgoing);
      },
    );
    upstream.on('error', () => incoming.socket.destroy());
    outgoing.once('close', () => {
      if (!outgoing.writableFinished && loss === undefined) upstream.destroy();
    });
    incoming.pipe(upstream);
  });
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    way.closeAllConnections();
    way.close();
    await server.close();
  });
  return {
    url: `http://127.0.0.1:${(way.address() as { port: number }).port}`,
    lose: (...parts) => void losses.push(...parts),
    asked,
    untilAsked: (path) => new Promise((resolve) => watchers.push({ path, resolve })),
  };
}
