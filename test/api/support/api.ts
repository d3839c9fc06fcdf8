/**
 * A test with a server of its own on a database of its own. Every answer is held against what its endpoint
 * declares: a status that is not declared, or a body that does not fit its schema, fails the test.
 */
import net from 'node:net';
import { expect } from 'vitest';
import type { z } from 'zod';
import { createApi } from '../../../src/api/api.ts';
import { type RunningServer, type ServerOptions, startServer } from '../../../src/api/server.ts';
import { Engine } from '../../../src/engine/engine.ts';
import { test as databaseTest, type TestDatabase } from '../../support/database.ts';

export interface Answer {
  status: number;
  headers: Headers;
  // biome-ignore lint/suspicious/noExplicitAny: what a test expects of a body stands in the test.
  body: any;
}

export interface TestApi {
  url: string;
  server: RunningServer;
  get: (path: string, headers?: Record<string, string>) => Promise<Answer>;
  post: (path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  send: (method: string, path: string, body?: unknown, headers?: Record<string, string>) => Promise<Answer>;
  /**
   * Sends bytes as they are and answers what came until the other side closed. With `hangUp` our side ends
   * behind the bytes.
   */
  talk: (bytes: string | Buffer, options?: { hangUp?: boolean }) => Promise<string>;
}

export const test = databaseTest.extend<{ settings: ServerOptions; api: TestApi }>({
  settings: {},
  api: async ({ database, settings }, use) => {
    const api = await startTestApi(database, settings);
    await use(api);
    await api.server.close();
  },
});

export async function startTestApi(
  { queue }: Pick<TestDatabase, 'queue'>,
  settings: ServerOptions = {},
): Promise<TestApi> {
  const engine = new Engine({ queue });
  const server = await startServer(engine, { port: 0, version: '0.0.0-test', ...settings });
  const declared = createApi(engine);

  async function send(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
    const isText = typeof body === 'string' || body instanceof Uint8Array;
    const response = await fetch(server.url + path, {
      method,
      headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: isText ? (body as string) : JSON.stringify(body) }),
    });
    const text = await response.text();
    const answer = {
      status: response.status,
      headers: response.headers,
      body: text === '' ? null : JSON.parse(text),
    };
    expectAsDeclared(declared, method, new URL(server.url + path).pathname, answer);
    return answer;
  }

  return {
    url: server.url,
    server,
    send,
    get: (path, headers) => send('GET', path, undefined, headers),
    post: (path, body, headers) => send('POST', path, body, headers),
    talk: (bytes, options) => talk(server.port, bytes, options),
  };
}

function talk(port: number, bytes: string | Buffer, { hangUp = false } = {}): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1');
    const chunks: Buffer[] = [];
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('error', () => {});
    socket.on('close', () => resolve(Buffer.concat(chunks).toString('latin1')));
    if (hangUp) socket.end(bytes);
    else socket.write(bytes);
  });
}

interface DeclaredResponse {
  content?: Record<string, { schema: z.ZodType }>;
}

function expectAsDeclared(app: ReturnType<typeof createApi>, method: string, path: string, answer: Answer) {
  expect(answer.headers.get('x-request-id')).toBeTruthy();
  if (answer.status >= 400) {
    expect(answer.headers.get('content-type')).toBe('application/problem+json');
    if (method !== 'HEAD') {
      expect(answer.body).toMatchObject({
        type: expect.stringMatching(/^urn:skipjack:problem:/),
        title: expect.any(String),
        status: answer.status,
        detail: expect.any(String),
        code: expect.any(String),
        problems: expect.any(Array),
        request_id: answer.headers.get('x-request-id'),
      });
    }
  }
  const route = app.openAPIRegistry.definitions
    .flatMap((definition) => (definition.type === 'route' ? [definition.route] : []))
    // Fixed paths before those with parameters, as the router has it.
    .sort((one, other) => one.path.split('{').length - other.path.split('{').length)
    .find(
      (each) =>
        each.method === method.toLowerCase() &&
        new RegExp(`^${each.path.replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    );
  if (!route) return;
  const responses = route.responses as Record<number, DeclaredResponse>;
  expect(
    Object.keys(responses).map(Number),
    `${method} ${route.path}: ${JSON.stringify(answer.body)}`,
  ).toContain(answer.status);
  const [content] = Object.values(responses[answer.status]?.content ?? {});
  if (!content) return expect(answer.body).toBeNull();
  expect(content.schema.parse(answer.body), `${method} ${route.path}`).toEqual(answer.body);
}
