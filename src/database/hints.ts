/**
 * Hints: "there may be new work on this queue", "this worker has something to stop", "this task ended".
 *
 * A hint is never a promise: who listens also polls. What is announced here reaches listeners of the same OS
 * process at once and those of others by NOTIFY on the channel `skipjack`, sent outside every transaction of
 * ours: at once when quiet, and gathered while the last one is on its way. One connection an OS process
 * listens. It is proved alive by a round trip every few seconds, because a broken network tells a listener
 * nothing, and it reconnects with jittered back-off.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { reconnectDelayMs } from '../core/backoff.ts';
import { newId } from '../core/ids.ts';

export interface Hint {
  /** Queues, each with the priority at which new work may be. */
  lines?: [queue: string, priority: number][];
  /** Work went back to its old place in the line: what was thought to be empty before it may not be. */
  putBack?: boolean;
  /** Workers that have something to stop. */
  workers?: string[];
  /** Awaited tasks that ended. */
  ended?: string[];
}

export interface Hints {
  announce(hint: Hint): void;
  /** Calls `listener` for each hint; with null when hints may have been missed (the connection was made anew). */
  subscribe(listener: (hint: Hint | null) => void): () => void;
  /** Resolves when the first LISTEN stands, or at once where there is none. */
  ready(): Promise<void>;
  /** Whether LISTEN stands now. */
  listening(): boolean;
  close(): Promise<void>;
}

/** A NOTIFY payload is at most 8,000 bytes. */
const payloadBytesMax = 7_500;
/** A payload's own part of that. */
const emptyBytes = 200;
/** Hints gathered while the last NOTIFY was on its way; past it they are dropped, and polling finds the work. */
const gatheredMax = 10_000;
/** A peer that says nothing to our goodbye is not waited for any longer. */
const goodbyeMs = 1_000;

export function createHints(options: {
  listenUrl: string | null;
  notify: (payloads: string[]) => Promise<void>;
  /** How often the listening connection is proved alive, and how long it may take to answer. */
  aliveCheckMs?: number;
}): Hints {
  const { aliveCheckMs = 5_000 } = options;
  const origin = newId();
  const listeners = new Set<(hint: Hint | null) => void>();
  const closing = new AbortController();
  /** The connection that is made or listens now. */
  let current: pg.Client | null = null;
  let listening = false;
  let gathered = new Map<string, Hint>();
  let sending: Promise<void> | null = null;
  let markReady: () => void = () => {};
  const ready = new Promise<void>((resolve) => {
    markReady = resolve;
  });

  const tell = (hint: Hint | null) => {
    for (const listener of listeners) listener(hint);
  };

  async function send() {
    while (gathered.size > 0 && !closing.signal.aborted) {
      const payloads = toPayloads([...gathered.values()], origin);
      gathered = new Map();
      // A hint that cannot be sent is no loss: polling is the promise.
      await options.notify(payloads).catch(() => {});
    }
    sending = null;
  }

  async function listen() {
    for (let tries = 0; !closing.signal.aborted; ) {
      const attempt = new pg.Client({
        connectionString: options.listenUrl ?? '',
        application_name: 'skipjack listener',
        connectionTimeoutMillis: 5_000,
        query_timeout: aliveCheckMs,
        keepAlive: true,
      });
      current = attempt;
      try {
        const broken = new Promise<never>((_resolve, reject) => {
          attempt.on('error', reject);
          attempt.on('end', () => reject(new Error('the connection has ended')));
        });
        broken.catch(() => {});
        attempt.on('notification', ({ payload }) => {
          const hint = parsePayload(payload ?? '');
          if (hint && hint.from !== origin) tell(hint);
        });
        // A connect that is broken off by our own goodbye never settles.
        await Promise.race([attempt.connect(), broken]);
        await attempt.query('listen skipjack');
        listening = true;
        tries = 0;
        markReady();
        tell(null);
        while (await Promise.race([pause(aliveCheckMs, closing.signal), broken])) {
          await attempt.query('select 1');
        }
      } catch {
        // Refused, reset or silent: the same remedy.
      }
      listening = false;
      await hangUp(attempt);
      current = null;
      tries += 1;
      if (!closing.signal.aborted) await pause(reconnectDelayMs(tries), closing.signal);
    }
  }

  if (options.listenUrl === null) markReady();
  const loop = options.listenUrl === null ? Promise.resolve() : listen();

  return {
    announce(hint) {
      tell(hint);
      const key = JSON.stringify(hint);
      if (gathered.size < gatheredMax) gathered.set(key, hint);
      sending ??= Promise.resolve().then(send);
    },
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    ready: () => ready,
    listening: () => listening,
    async close() {
      // The last hints tell others of work that was handed back; without a database they are not worth a wait.
      await Promise.race([sending, sleep(1_000, undefined, { ref: false })]);
      closing.abort();
      markReady();
      // Ends what is under way on it (connecting, the alive check) at once.
      if (current) await hangUp(current);
      await loop;
    },
  };
}

/** Merges hints and cuts them into payloads that NOTIFY can carry; what alone is too long for one is left out. */
export function toPayloads(hints: Hint[], from: string): string[] {
  const lines = new Map<string, [string, number]>();
  const workers = new Set<string>();
  const ended = new Set<string>();
  let putBack = false;
  for (const hint of hints) {
    for (const line of hint.lines ?? []) lines.set(`${line[1]} ${line[0]}`, line);
    for (const worker of hint.workers ?? []) workers.add(worker);
    for (const id of hint.ended ?? []) ended.add(id);
    putBack ||= hint.putBack ?? false;
  }
  const payloads: string[] = [];
  let current: Required<Hint> = { lines: [], workers: [], ended: [], putBack };
  let bytes = emptyBytes;
  const flush = () => {
    const isEmpty = current.lines.length + current.workers.length + current.ended.length === 0;
    if (isEmpty) return;
    payloads.push(JSON.stringify({ from, ...current }));
    current = { lines: [], workers: [], ended: [], putBack };
    bytes = emptyBytes;
  };
  const add = <Kind extends 'lines' | 'workers' | 'ended'>(
    kind: Kind,
    value: Required<Hint>[Kind][number],
  ) => {
    const size = Buffer.byteLength(JSON.stringify(value)) + 1;
    // The name of a worker may be as long as its maker likes. Sent with the rest, it would take them along.
    if (emptyBytes + size > payloadBytesMax) return;
    if (bytes + size > payloadBytesMax) flush();
    (current[kind] as unknown[]).push(value);
    bytes += size;
  };
  for (const line of lines.values()) add('lines', line);
  for (const worker of workers) add('workers', worker);
  for (const id of ended) add('ended', id);
  flush();
  return payloads;
}

/** Anybody with SQL may NOTIFY: what is not ours is passed over. */
function parsePayload(payload: string): (Hint & { from?: string }) | null {
  try {
    const parsed: unknown = JSON.parse(payload);
    if (typeof parsed !== 'object' || parsed === null) return null;
    const { lines, workers, ended, putBack, from } = parsed as Record<string, unknown>;
    return {
      lines: Array.isArray(lines)
        ? lines.filter((line): line is [string, number] => Array.isArray(line) && typeof line[0] === 'string')
        : [],
      workers: Array.isArray(workers) ? workers.filter((worker) => typeof worker === 'string') : [],
      ended: Array.isArray(ended) ? ended.filter((id) => typeof id === 'string') : [],
      putBack: putBack === true,
      ...(typeof from === 'string' ? { from } : {}),
    };
  } catch {
    return null;
  }
}

/** Says goodbye, and does not wait long for an answer: through a frozen network none comes. */
async function hangUp(client: pg.Client): Promise<void> {
  await Promise.race([client.end().catch(() => {}), sleep(goodbyeMs, undefined, { ref: false })]);
  client.connection.stream.destroy();
}

/** True after `ms`, false when aborted. */
function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  return sleep(ms, true, { signal }).catch(() => false);
}
