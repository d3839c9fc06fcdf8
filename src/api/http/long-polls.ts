/** Requests that wait for something. Each ends when its caller hangs up, and all end when the server closes. */
import { setMaxListeners } from 'node:events';
import type { Context } from 'hono';

export interface LongPolls {
  /** Runs `wait` with a signal that is aborted when its answer is of no use any more. */
  during<Result>(c: Context, wait: (signal: AbortSignal) => Promise<Result>): Promise<Result>;
}

export function createLongPolls(closing: AbortSignal): LongPolls {
  // Each waiting request listens; thousands are no leak.
  setMaxListeners(0, closing);
  return {
    async during(c, wait) {
      const ended = new AbortController();
      const end = () => ended.abort();
      const hungUp = c.req.raw.signal;
      if (closing.aborted || hungUp.aborted) end();
      closing.addEventListener('abort', end);
      hungUp.addEventListener('abort', end);
      try {
        return await wait(ended.signal);
      } finally {
        closing.removeEventListener('abort', end);
        hungUp.removeEventListener('abort', end);
      }
    },
  };
}
