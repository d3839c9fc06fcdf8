/**
 * Watch: tells those who follow logs when there is more to read. However many they are, one statement looks for all
 * of them, about twice a second while something is said, less often while nothing is. A database that is away is
 * looked for again; nobody who follows hears of it but by silence.
 *
 * Level-triggered: a follower says what it knows and hears of what differs, so nothing is missed between reading and
 * waiting. Pages that several ask for in the same moment are read once.
 */
import { withJitter } from '../../core/backoff.ts';
import { createBatcher } from '../../core/batching.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { Database } from '../../database/connection.ts';
import { type LogPage, readLogPage } from './read.ts';
import { type LogNews, type LogSubject, lookAtLogs } from './subject.ts';

export interface LogFollower {
  /** Looks now. Rejects when the database cannot be reached. */
  look(): Promise<LogNews>;
  /** Waits for what differs from `known`, at most `waitMs`; null: nothing did, or `signal` was aborted. */
  waitForNews(known: LogNews, wait: { waitMs: number; signal: AbortSignal }): Promise<LogNews | null>;
  readPage(page: Parameters<typeof readLogPage>[2]): Promise<LogPage>;
  close(): void;
}

export interface LogWatch {
  /** @throws SkipjackError `overloaded` when too many follow already. */
  follow(subject: LogSubject): LogFollower;
  readonly followers: number;
}

export interface LogWatchOptions {
  lookIntervalMs?: number;
  /** What the interval grows to while nothing is said. */
  idleIntervalMs?: number;
  followersMax?: number;
}

interface Watched {
  subject: LogSubject;
  news: LogNews | null;
  followers: number;
  wakes: Set<() => void>;
}

const growth = 1.25;

export function createLogWatch(db: Database, options: LogWatchOptions = {}): LogWatch {
  const { lookIntervalMs = 500, idleIntervalMs = 2_000, followersMax = 500 } = options;
  const watched = new Map<string, Watched>();
  const reading = new Map<string, Promise<LogPage>>();
  let followers = 0;
  let intervalMs = lookIntervalMs;
  let timer: NodeJS.Timeout | null = null;

  const looks = createBatcher({ flush: (subjects: LogSubject[]) => lookAtLogs(db, subjects) });

  function arm() {
    if (timer || watched.size === 0) return;
    timer = setTimeout(async () => {
      // Away, or in trouble: looked for again. Whoever reads pages hears of it.
      const isNew = await lookForAll().catch(() => false);
      intervalMs = isNew ? lookIntervalMs : Math.min(intervalMs * growth, idleIntervalMs);
      timer = null;
      arm();
    }, withJitter(intervalMs));
  }

  async function lookForAll(): Promise<boolean> {
    const all = [...watched.values()];
    const found = await lookAtLogs(
      db,
      all.map(({ subject }) => subject),
    );
    let isNew = false;
    for (const [index, each] of all.entries()) {
      const news = found[index];
      if (!news || !differs(news, each.news)) continue;
      isNew = true;
      note(each, news);
    }
    return isNew;
  }

  function note(each: Watched, news: LogNews) {
    each.news = news;
    for (const wake of each.wakes) wake();
  }

  return {
    get followers() {
      return followers;
    },
    follow(subject) {
      if (followers >= followersMax) {
        throw new SkipjackError(
          'overloaded',
          `${followersMax} readers follow logs here already. Read pages, or try again later.`,
        );
      }
      followers += 1;
      const key = `${subject.what} ${subject.id}`;
      const each: Watched = watched.get(key) ?? { subject, news: null, followers: 0, wakes: new Set() };
      each.followers += 1;
      watched.set(key, each);
      // Somebody new may be in a hurry.
      intervalMs = lookIntervalMs;
      arm();
      let isClosed = false;

      return {
        async look() {
          const news = await looks.add(subject);
          if (differs(news, each.news)) note(each, news);
          return news;
        },
        async waitForNews(known, { waitMs, signal }) {
          if (!signal.aborted && !(each.news && differs(each.news, known))) {
            await new Promise<void>((resolve) => {
              const wake = () => {
                clearTimeout(timeout);
                signal.removeEventListener('abort', wake);
                each.wakes.delete(wake);
                resolve();
              };
              const timeout = setTimeout(wake, waitMs);
              signal.addEventListener('abort', wake);
              each.wakes.add(wake);
            });
          }
          return !signal.aborted && each.news && differs(each.news, known) ? each.news : null;
        },
        readPage(page) {
          const question = JSON.stringify([key, page]);
          const asked = reading.get(question);
          if (asked) return asked;
          const answer = readLogPage(db, subject, page).finally(() => reading.delete(question));
          reading.set(question, answer);
          return answer;
        },
        close() {
          if (isClosed) return;
          isClosed = true;
          followers -= 1;
          each.followers -= 1;
          if (each.followers > 0) return;
          watched.delete(key);
          if (watched.size > 0 || !timer) return;
          clearTimeout(timer);
          timer = null;
        },
      };
    },
  };
}

function differs(news: LogNews, known: LogNews | null): boolean {
  return news.lastId !== known?.lastId || news.state !== known?.state;
}
