/** Logs: pages of them, lines as they are said, and lines of one's own. */
import type { z } from 'zod';
import type { appendedSchema, logEndSchema, logLineSchema, logPageSchema } from '../api/schemas/log.ts';
import { reconnectDelayMs } from '../core/backoff.ts';
import { formatDuration } from '../core/durations.ts';
import { SkipjackError } from '../core/errors.ts';
import { joinSignals } from '../core/join-signals.ts';
import { type CallOptions, type Calls, part } from './calls.ts';
import type { Held } from './claims.ts';
import { readEvents } from './event-stream.ts';
import type { Connection } from './request.ts';
import { taskPath } from './tasks.ts';

/** A line of the log of a task. */
export type LogLineView = z.output<typeof logLineSchema>;
export type LogPage = z.output<typeof logPageSchema>;
/** How what was followed has ended: the state of the task or process, or `deleted`. */
export type LogEnd = z.output<typeof logEndSchema>;
export type LogAppended = z.output<typeof appendedSchema>;

export interface LogFilter {
  attempt?: number | undefined;
  stream?: LogLineView['stream'] | undefined;
  /** Begins with the last so many lines, 10,000 at most. */
  tail?: number | undefined;
  /** Goes on behind a page or a line that was followed. */
  cursor?: string | undefined;
}

/** A line as a worker says it: its text, or that and more. */
export type SaidLine =
  | string
  | { text: string; stream?: LogLineView['stream']; part?: string | null; agoMs?: number };

export interface FollowOptions extends CallOptions, LogFilter {
  /** Hears that the connection was lost, and why; it is made again. */
  onLost?: (error: SkipjackError) => void;
  /** How long a server that has answered before may be away; 5 minutes by default. */
  patienceMs?: number;
}

/** A line, and the cursor that goes on behind it. */
export type FollowedLine = LogLineView & { cursor: string };

export interface LogClient {
  /** `next_cursor` is null once the task has ended and all was read; until then ask again with it. */
  listTaskLogs(id: string, page?: LogFilter & { limit?: number | undefined } & CallOptions): Promise<LogPage>;
  /** What all its tasks said, in the order in which it came. */
  listProcessLogs(
    id: string,
    page?: LogFilter & { limit?: number | undefined } & CallOptions,
  ): Promise<LogPage>;
  /**
   * Yields each line as it is said, from the beginning unless told otherwise, and returns when the task or process has
   * ended and everything was read. A connection that is lost is made again, and goes on behind the last line.
   *
   * @throws SkipjackError `not_found`; `server_unreachable` when no server answers at first, or for too long.
   */
  followLogs(
    of: { task: string } | { process: string },
    options?: FollowOptions,
  ): AsyncGenerator<FollowedLine, LogEnd, void>;
  /**
   * Adds lines to the log of a claimed task; a text with line breaks is several. With `firstLine`, counted from 1 in
   * each claim, the same call again counts once.
   *
   * @throws SkipjackError `lease_lost`, `already_settled`.
   */
  appendLog(
    task: Held,
    lines: SaidLine[],
    options?: CallOptions & { firstLine?: number },
  ): Promise<LogAppended>;
}

const patienceMsDefault = 5 * 60_000;
/** The server says every 15 s that it lives. */
const silenceMsMax = 45_000;

export function createLogClient(calls: Calls, connection: Connection): LogClient {
  return {
    listTaskLogs: (id, { signal, ...page } = {}) => calls.get(`${taskPath(id)}/logs`, page, { signal }),
    listProcessLogs: (id, { signal, ...page } = {}) =>
      calls.get(`/v1/processes/${part(id)}/logs`, page, { signal }),
    followLogs: (of, options) => followLogs(calls, connection, of, options),
    appendLog: ({ id, token }, lines, { firstLine, signal } = {}) =>
      calls.post(
        `${taskPath(id)}/logs`,
        { token, lines: lines.flatMap(toWireLines), first_line: firstLine },
        { signal },
      ),
  };
}

function toWireLines(line: SaidLine) {
  const { text, agoMs, ...rest } = typeof line === 'string' ? { text: line } : line;
  const ago = agoMs === undefined ? {} : { ago: formatDuration(Math.max(0, Math.round(agoMs))) };
  // A last line break ends its line; it does not begin another.
  return text
    .replace(/\r?\n$/, '')
    .split(/\r?\n/)
    .map((each) => ({ text: each, ...rest, ...ago }));
}

async function* followLogs(
  calls: Calls,
  connection: Connection,
  of: { task: string } | { process: string },
  { signal, onLost = () => {}, patienceMs = patienceMsDefault, cursor, ...filter }: FollowOptions = {},
): AsyncGenerator<FollowedLine, LogEnd, void> {
  const path = 'task' in of ? `${taskPath(of.task)}/logs` : `/v1/processes/${part(of.process)}/logs`;
  let last = cursor;
  let heardAt: number | null = null;
  for (let tries = 1; ; tries += 1) {
    try {
      const query = last === undefined ? filter : { ...filter, tail: undefined, cursor: last };
      const onHeard = () => {
        heardAt = performance.now();
        tries = 0;
      };
      for await (const { event, id, data } of openEvents(calls, connection, {
        path,
        query,
        last,
        signal,
        onHeard,
      })) {
        if (event === 'end') return JSON.parse(data) as LogEnd;
        if (event !== 'message') continue;
        last = id;
        yield { ...(JSON.parse(data) as LogLineView), cursor: id };
      }
      // Its server ended, or a proxy between us grew tired; it did not say that the log has.
    } catch (error) {
      const isPassing = error instanceof SkipjackError && error.status === 503;
      const isPatient = heardAt !== null && performance.now() - heardAt < patienceMs;
      if (signal?.aborted || !isPassing || !isPatient) throw error;
      onLost(error);
    }
    await pause(reconnectDelayMs(Math.max(tries, 1)), signal);
  }
}

async function* openEvents(
  calls: Calls,
  { url, apiKey }: Connection,
  {
    path,
    query,
    last,
    signal,
    onHeard,
  }: {
    path: string;
    query: LogFilter;
    last: string | undefined;
    signal: AbortSignal | undefined;
    onHeard: () => void;
  },
): ReturnType<typeof readEvents> {
  const target = new URL(url.replace(/\/+$/, '') + path);
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined) target.searchParams.set(name, String(value));
  }
  const silent = new AbortController();
  const either = joinSignals(signal, silent.signal);
  let timer = setTimeout(() => silent.abort(), silenceMsMax);
  try {
    const response = await fetch(target, {
      headers: {
        accept: 'text/event-stream',
        ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}),
        ...(last === undefined ? {} : { 'last-event-id': last }),
      },
      redirect: 'error',
      signal: either.signal,
    });
    if (
      !response.ok ||
      !response.body ||
      !response.headers.get('content-type')?.startsWith('text/event-stream')
    ) {
      await response.body?.cancel();
      // The same question for a page: it fails with the reason, in our words.
      await calls.get(path, { ...query, limit: 1 }, { signal });
      throw new SkipjackError(
        'server_unreachable',
        `${url} answered ${response.status} to a reader of events.`,
      );
    }
    yield* readEvents(response.body, () => {
      onHeard();
      clearTimeout(timer);
      timer = setTimeout(() => silent.abort(), silenceMsMax);
    });
  } catch (error) {
    if (error instanceof SkipjackError || signal?.aborted) throw error;
    throw new SkipjackError(
      'server_unreachable',
      `The connection to ${url} was lost${silent.signal.aborted ? ': nothing was heard of the server' : ''}.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
    either.release();
  }
}

function pause(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, signal?.aborted ? 0 : ms);
    signal?.addEventListener('abort', end);
  });
}
