/** What all calls of the client have in common. */
import { formatDuration } from '../core/durations.ts';
import { type Answer, type Call, type Connection, createRequest } from './request.ts';

/** May be given to every call. */
export interface CallOptions {
  signal?: AbortSignal | undefined;
}

export interface Calls {
  request: <Body>(path: string, call?: Call) => Promise<Answer<Body>>;
  get: <Body>(path: string, query?: Call['query'], options?: CallOptions) => Promise<Body>;
  post: <Body>(path: string, body: unknown, options?: CallOptions) => Promise<Body>;
  delete: (path: string, options?: Pick<Call, 'headers' | 'signal'>) => Promise<void>;
}

export function createCalls(connection: Connection): Calls {
  const request = createRequest(connection);
  return {
    request,
    get: async <Body>(path: string, query: Call['query'] = {}, { signal }: CallOptions = {}) =>
      (await request<Body>(path, { query, signal })).body,
    post: async <Body>(path: string, body: unknown, { signal }: CallOptions = {}) =>
      (await request<Body>(path, { method: 'POST', body, signal })).body,
    delete: async (path, options) => {
      await request(path, { method: 'DELETE', ...options });
    },
  };
}

/** One long-poll waits at most so long at the server; longer waits are made of several. */
const waitMsMax = 60_000;

/** Reads what is at `path` until it has ended or `waitMs` are over; answers it as it then is. */
export async function waitForEnd<Body>(
  { request }: Calls,
  path: string,
  { waitMs, signal }: CallOptions & { waitMs: number },
): Promise<Body> {
  const until = performance.now() + waitMs;
  for (;;) {
    const leftMs = Math.max(0, until - performance.now());
    const query = { wait: wire(Math.min(leftMs, waitMsMax)) };
    const { status, body } = await request<Body>(path, { query, signal });
    if (status === 200 || performance.now() >= until) return body;
  }
}

/** A duration as the server reads it; what was left out stays out. */
export function wire<Ms extends number | undefined>(ms: Ms) {
  return (ms === undefined ? undefined : formatDuration(Math.round(ms))) as Ms extends number
    ? string
    : undefined;
}

/** A name or an id as a part of a path. */
export function part(name: string): string {
  return encodeURIComponent(name);
}
