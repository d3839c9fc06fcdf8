/**
 * A log as it grows, over server-sent events: a message for each line, whose id goes on exactly behind it, and `end`
 * with the final state once everything was sent. A database that is away is waited for.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { reconnectDelayMs } from '../core/backoff.ts';
import { isConnectionFault } from '../database/faults.ts';
import type { LogEntry } from '../queue/logs/read.ts';
import type { LogFilter, LogPlace } from '../queue/logs/subject.ts';
import type { LogFollower } from '../queue/logs/watch.ts';
import type { EventStream } from './http/event-stream.ts';
import { toLogCursor } from './schemas/log.ts';

export interface FollowLogOptions {
  after: LogPlace;
  filter: LogFilter;
  signal: AbortSignal;
  keepAliveMs?: number;
}

/** Lines read at once. */
const pageLines = 2_000;

export async function followLog(
  events: EventStream,
  follower: LogFollower,
  { after, filter, signal, keepAliveMs = 15_000 }: FollowLogOptions,
): Promise<void> {
  let place = after;

  /** Sends what there is; what was sent is not sent again when the database goes away in between. */
  async function sendAll() {
    for (let hasMore = true; hasMore && !signal.aborted; ) {
      const page = await follower.readPage({ after: place, limit: pageLines, filter });
      if (page.entries.length > 0) await events.send(page.entries.map(toEvent));
      place = page.last;
      hasMore = page.hasMore;
    }
  }

  /** Repeats while the database is away; undefined when it was called off. */
  async function patiently<Result>(call: () => Promise<Result>): Promise<Result | undefined> {
    for (let tries = 1; !signal.aborted; tries += 1) {
      try {
        return await call();
      } catch (error) {
        if (!isConnectionFault(error)) throw error;
        await events.keepAlive();
        await sleep(reconnectDelayMs(tries), undefined, { signal }).catch(() => {});
      }
    }
    return undefined;
  }

  // What is known of the end is from before what is read: whatever is said later is news.
  let news = await patiently(() => follower.look());
  while (news && !signal.aborted) {
    await patiently(sendAll);
    if (news.isEnded) {
      if (!signal.aborted) await events.send([{ event: 'end', data: { state: news.state ?? 'deleted' } }]);
      return;
    }
    const later = await follower.waitForNews(news, { waitMs: keepAliveMs, signal });
    if (later) news = later;
    else if (!signal.aborted) await events.keepAlive();
  }
}

function toEvent({ place, ...line }: LogEntry) {
  return { id: toLogCursor(place), data: line };
}
