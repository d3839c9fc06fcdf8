/**
 * Answers that go on: server-sent events (the HTML standard, section 9.2).
 *
 * What is sent waits until the connection has taken what was sent before, so a slow reader grows no memory; one that
 * takes nothing for a long time is left, and may come back to where it was. All end when the server closes.
 */
import type { Context } from 'hono';
import { streamSSE } from 'hono/streaming';
import type { LongPolls } from './long-polls.ts';

export const eventStreamType = 'text/event-stream';

export interface ServerEvent {
  /** `message` if left out. */
  event?: string;
  id?: string;
  data: object;
}

export interface EventStream {
  /** Resolves when there is room for more. */
  send(events: ServerEvent[]): Promise<void>;
  /** A comment: says that we live, and finds out whether the reader does. */
  keepAlive(): Promise<void>;
}

export interface EventStreamOptions {
  c: Context;
  longPolls: LongPolls;
  /** A reader that takes nothing for so long is left. */
  stuckMs?: number;
}

/** How long a reader waits before it asks again, where the connection was lost. */
const retryMs = 1_000;

/** Whether the caller wants events rather than a page. */
export function wantsEvents(c: Context): boolean {
  // To HEAD nobody would ever read the body.
  return c.req.method === 'GET' && (c.req.header('accept') ?? '').toLowerCase().includes(eventStreamType);
}

/** Runs `run` until it resolves or its signal is aborted, which it is when nobody reads any more. It must not throw. */
export function answerEvents(
  { c, longPolls, stuckMs = 60_000 }: EventStreamOptions,
  run: (events: EventStream, signal: AbortSignal) => Promise<void>,
): Response {
  // Some proxies keep back what is small.
  c.header('x-accel-buffering', 'no');
  return streamSSE(c, (stream) =>
    longPolls.during(c, async (gone) => {
      const ending = new AbortController();
      const end = () => {
        ending.abort();
        // Frees a write that waits for a reader.
        stream.abort();
      };
      gone.addEventListener('abort', end);
      stream.onAbort(() => ending.abort());
      if (gone.aborted) end();

      async function write(text: string) {
        const stuck = setTimeout(end, stuckMs);
        await stream.write(text);
        clearTimeout(stuck);
      }
      try {
        await write(`retry: ${retryMs}\n\n`);
        await run(
          {
            send: (events) => write(events.map(format).join('')),
            keepAlive: () => write(': still here\n\n'),
          },
          ending.signal,
        );
      } finally {
        gone.removeEventListener('abort', end);
      }
    }),
  );
}

/** JSON has no line breaks of its own, and our ids none at all. */
function format({ event, id, data }: ServerEvent): string {
  return [
    ...(event === undefined ? [] : [`event: ${event}\n`]),
    ...(id === undefined ? [] : [`id: ${id}\n`]),
    `data: ${JSON.stringify(data)}\n\n`,
  ].join('');
}
