import net from 'node:net';
import { expect, onTestFinished, vi } from 'vitest';
import { createHints, type Hint, type Hints, toPayloads } from '../../src/database/hints.ts';
import { type TestDatabase, test } from '../support/database.ts';

/** A way to the database of `url` that can be frozen: it stays open and carries nothing any more. */
async function freezableWay(url: string) {
  const { hostname, port } = new URL(url);
  const sockets = new Set<net.Socket>();
  const frozen = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect(Number(port), hostname);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.on('error', () => {});
      from.on('data', (data) => frozen.has(from) || to.write(data));
      from.on('end', () => frozen.has(from) || to.end());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  const way = new URL(url);
  way.hostname = '127.0.0.1';
  way.port = String((server.address() as net.AddressInfo).port);
  return {
    url: way.href,
    /** What is open now; connections made later pass. */
    freeze() {
      for (const socket of sockets) frozen.add(socket);
    },
  };
}

function listenThrough(url: string, more: { aliveCheckMs?: number } = {}): Hints {
  const hints = createHints({ listenUrl: url, notify: async () => {}, ...more });
  onTestFinished(() => hints.close());
  return hints;
}

/** Resolves with the next hint that `wanted` takes. */
function next(hints: Hints, wanted: (hint: Hint | null) => boolean): Promise<Hint | null> {
  return new Promise((resolve) => {
    const forget = hints.subscribe((hint) => {
      if (!wanted(hint)) return;
      forget();
      resolve(hint);
    });
  });
}

const missed = (hint: Hint | null) => hint === null;
const of = (worker: string) => (hint: Hint | null) => hint?.workers?.includes(worker) === true;

async function within<Result>(ms: number, promise: Promise<Result>): Promise<Result> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`not within ${ms} ms`)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Announced until it is heard: the only one might come just while an alive check is answered too late. */
async function hearsAgain({ db }: TestDatabase, hints: Hints): Promise<void> {
  const heard = next(hints, of('w'));
  const announcing = setInterval(() => db.hints.announce({ workers: ['w'] }), 100);
  await within(50_000, heard).finally(() => clearInterval(announcing));
}

test('a listener whose connection is killed says that hints were missed, and hears again', async ({
  database,
}) => {
  const hints = listenThrough(database.url);
  await hints.ready();
  const told = next(hints, missed);
  await database.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'skipjack listener'`,
  );
  expect(await within(50_000, told)).toBeNull();
  await hearsAgain(database, hints);
});

test('a listener whose network freezes notices, says that hints were missed, and hears again', async ({
  database,
}) => {
  const way = await freezableWay(database.url);
  const hints = listenThrough(way.url, { aliveCheckMs: 200 });
  await hints.ready();
  const told = next(hints, missed);
  way.freeze();
  expect(await within(50_000, told)).toBeNull();
  await hearsAgain(database, hints);
});

test('a listener whose network is frozen is closed all the same', async ({ database }) => {
  const way = await freezableWay(database.url);
  // No alive check is what ends it: the first would be after the test.
  const hints = listenThrough(way.url, { aliveCheckMs: 600_000 });
  await hints.ready();
  way.freeze();
  await within(50_000, hints.close());
});

test('a listener that is still being connected is closed all the same', async () => {
  let noteConnected = () => {};
  const connected = new Promise<void>((resolve) => {
    noteConnected = resolve;
  });
  const silent = net.createServer((socket) => {
    socket.on('error', () => {});
    onTestFinished(() => void socket.destroy());
    noteConnected();
  });
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void silent.close());
  // The limit of the connect never comes: nothing ends it but the close.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
  const hints = listenThrough(`postgres://127.0.0.1:${(silent.address() as net.AddressInfo).port}/none`);
  await connected;
  await hints.close();
});

test('a name too long for NOTIFY takes no other hint along', async ({ database }) => {
  const hints = listenThrough(database.url);
  await hints.ready();
  const heard = next(hints, of('short'));
  database.db.hints.announce({ workers: ['long'.repeat(2_500)] });
  database.db.hints.announce({ workers: ['short'] });
  await within(50_000, heard);
});

test('many hints are cut into payloads that NOTIFY takes, and none is lost', () => {
  const workers = Array.from({ length: 2_000 }, (_, index) => `wörker-${index}`);
  const payloads = toPayloads([{ workers }, { lines: [['mail', 5]] }], 'here');
  expect(Math.max(...payloads.map((payload) => Buffer.byteLength(payload)))).toBeLessThan(8_000);
  expect(payloads.flatMap((payload) => JSON.parse(payload).workers)).toEqual(workers);
  expect(toPayloads([{ workers: ['x'.repeat(8_000)] }], 'here')).toEqual([]);
});
