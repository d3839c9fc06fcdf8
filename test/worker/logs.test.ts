/** What becomes of lines between an attempt and the server: a source that keeps them, and fails as a test wants. */
import { setTimeout as pause } from 'node:timers/promises';
import { beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import { SkipjackError } from '../../src/core/errors.ts';
import { newId } from '../../src/core/ids.ts';
import type { LogChunk, LogResult } from '../../src/core/task-source.ts';
import type { OpenLog } from '../../src/worker/logs/attempt-log.ts';
import { LogShipper } from '../../src/worker/logs/log-shipper.ts';
import { barrier, until } from './support/barrier.ts';

/** Keeps lines as the server promises to: by their numbers, once. */
class Server {
  readonly calls: LogChunk[][] = [];
  readonly logs = new Map<string, string[]>();
  /** What a test makes of a call before it is kept, and after: an answer that gets lost. */
  before: (chunks: LogChunk[]) => unknown = () => {};
  after: (chunks: LogChunk[]) => unknown = () => {};
  answer: (chunk: LogChunk) => LogResult['kind'] = () => 'kept';

  appendLogs = async (chunks: LogChunk[]): Promise<LogResult[]> => {
    this.calls.push(chunks);
    await this.before(chunks);
    const results = chunks.map((chunk) => {
      const kind = this.answer(chunk);
      if (kind === 'kept') this.#keep(chunk);
      return { kind };
    });
    await this.after(chunks);
    return results;
  };

  #keep({ id, firstLine, lines }: LogChunk): void {
    const log = this.logs.get(id) ?? [];
    this.logs.set(id, log);
    expect(firstLine, 'no number is left out').toBeLessThanOrEqual(log.length + 1);
    log.push(...lines.slice(log.length + 1 - firstLine).map(({ text }) => text));
  }
}

let server: Server;
let errors: unknown[];
let shipper: LogShipper;

function begin(options: Partial<ConstructorParameters<typeof LogShipper>[0]> = {}): void {
  shipper = new LogShipper({
    source: server,
    bytesMax: 4 * 1024 * 1024,
    onError: (error) => errors.push(error),
    ...options,
  });
  const begun = shipper;
  onTestFinished(() => begun.close());
}

beforeEach(() => {
  server = new Server();
  errors = [];
});

interface Attempt {
  id: string;
  log: OpenLog;
}

function attempt(): Attempt {
  const id = newId();
  return { id, log: shipper.open({ id, token: `token of ${id}` }) };
}

const kept = ({ id }: Attempt) => server.logs.get(id) ?? [];
const numbered = (count: number, what = 'line') =>
  Array.from({ length: count }, (_, index) => `${what} ${index}`);

describe('handing over', () => {
  beforeEach(() => begin());

  test('an attempt that waits for its lines does not wait for others to gather', async () => {
    // No time passes.
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    const one = attempt();
    one.log.say('a\nb');
    await one.log.close();
    expect(kept(one)).toEqual(['a', 'b']);
    expect(server.calls).toMatchObject([[{ id: one.id, token: `token of ${one.id}`, firstLine: 1 }]]);
  });

  test('an attempt that said nothing makes no call', async () => {
    await attempt().log.close();
    expect(server.calls).toEqual([]);
  });

  test('lines are handed over while the attempt goes on, those of a tenth of a second in one call', async () => {
    const one = attempt();
    for (const line of numbered(500)) one.log.say(line);
    await until(() => kept(one).length === 500);
    expect(server.calls).toHaveLength(1);
    one.log.say('later');
    await until(() => kept(one).length === 501);
    expect(server.calls[1]).toMatchObject([{ firstLine: 501, lines: [{ text: 'later' }] }]);
  });

  test('the lines of many attempts travel together, and each log is in order and whole', async () => {
    const attempts = Array.from({ length: 100 }, attempt);
    for (let turn = 0; turn < 300; turn += 1) {
      for (const { log } of attempts) log.say(`line ${turn}`);
      if (turn % 30 === 0) await new Promise(setImmediate);
    }
    await Promise.all(attempts.map(({ log }) => log.close()));
    for (const one of attempts) expect(kept(one)).toEqual(numbered(300));
    expect(server.calls.length).toBeLessThan(15);
  });

  test('what is said during a call goes with the next, in calls of bounded size', async () => {
    const first = barrier();
    server.before = () => (server.calls.length === 1 ? first.opened : undefined);
    const one = attempt();
    one.log.say('first');
    await until(() => server.calls.length === 1);
    const others = Array.from({ length: 8 }, attempt);
    const text = 'x'.repeat(1_000);
    for (const { log } of others) for (let count = 0; count < 1_500; count += 1) log.say(text);
    first.open();
    await Promise.all(others.map(({ log }) => log.close()));
    for (const other of others) expect(kept(other)).toHaveLength(1_500);
    for (const chunks of server.calls) {
      const bytes = chunks.flatMap(({ lines }) => lines).reduce((sum, line) => sum + line.text.length, 0);
      expect(bytes).toBeLessThanOrEqual(4 * 1024 * 1024);
      for (const { lines } of chunks) expect(lines.length).toBeLessThanOrEqual(1_000);
    }
  });

  test('each line says how long ago it was said, also when its call is made again', async () => {
    const one = attempt();
    const saidMs = performance.now();
    one.log.say('early');
    server.before = () => {
      if (server.calls.length <= 2) throw new Error('no route to host');
    };
    await until(() => kept(one).length === 1);
    const elapsedMs = performance.now() - saidMs;
    const ages = server.calls.map(([chunk]) => chunk?.lines[0]?.agoMs as number);
    expect(ages).toHaveLength(3);
    expect(ages[0]).toBeGreaterThanOrEqual(95);
    expect(ages[1]).toBeGreaterThan(ages[0] as number);
    expect(ages[2]).toBeGreaterThan(ages[1] as number);
    expect(ages[2]).toBeLessThanOrEqual(elapsedMs + 1);
  });
});

describe('faults', () => {
  beforeEach(() => begin());

  test('a call whose answer got lost is made again as it was, and its lines count once', async () => {
    server.after = () => {
      if (server.calls.length <= 2) throw new Error('connection reset');
    };
    const one = attempt();
    one.log.say('a\nb');
    await until(() => server.calls.length === 1);
    one.log.say('c');
    await one.log.close();
    expect(kept(one)).toEqual(['a', 'b', 'c']);
    const sent = server.calls.map(([chunk]) => [chunk?.firstLine, chunk?.lines.map(({ text }) => text)]);
    expect(sent).toEqual([
      [1, ['a', 'b']],
      [1, ['a', 'b']],
      [1, ['a', 'b']],
      [3, ['c']],
    ]);
    expect(errors).toHaveLength(2);
  });

  test('a call that is answered for fewer chunks than it had is made again', async () => {
    const { appendLogs } = server;
    server.appendLogs = async (chunks) => (await appendLogs(chunks)).slice(server.calls.length === 1 ? 1 : 0);
    const one = attempt();
    one.log.say('a');
    await one.log.close();
    expect([kept(one), server.calls.length, errors.length]).toEqual([['a'], 2, 1]);
  });

  test('a log that makes every call fail holds up no other, and is tried on', async () => {
    const [poison, ...others] = Array.from({ length: 20 }, attempt) as [Attempt, ...Attempt[]];
    let isPoisoned = true;
    server.before = (chunks) => {
      if (isPoisoned && chunks.some(({ id }) => id === poison.id)) throw new Error('only this one meets it');
    };
    for (const { log } of [poison, ...others]) log.say('a');
    await Promise.all(others.map(({ log }) => log.close()));
    for (const other of others) expect(kept(other)).toEqual(['a']);
    const late = attempt();
    late.log.say('b');
    await late.log.close();
    expect(kept(late)).toEqual(['b']);
    expect(kept(poison)).toEqual([]);
    isPoisoned = false;
    await poison.log.close();
    expect(kept(poison)).toEqual(['a']);
  });

  test.each(['invalid_request', 'body_too_large'] as const)(
    'a line that is refused (%s) is replaced by a remark, and all others are kept',
    async (code) => {
      server.before = (chunks) => {
        const isBad = chunks.some(({ lines }) => lines.some(({ text }) => text === 'line 613'));
        if (isBad) throw new SkipjackError(code, 'no');
      };
      const [bad, ...others] = Array.from({ length: 5 }, attempt) as [Attempt, ...Attempt[]];
      for (const { log } of others) log.say('fine');
      for (const line of numbered(2_000)) bad.log.say(line);
      await Promise.all([bad, ...others].map(({ log }) => log.close()));
      const expected = numbered(2_000);
      expected[613] = `[… dropped: 1 line that the server refused: ${code}]`;
      expect(kept(bad)).toEqual(expected);
      for (const other of others) expect(kept(other)).toEqual(['fine']);
      expect(server.calls.length).toBeLessThan(50);
    },
  );

  test('who is refused altogether does not ask again and again', async () => {
    server.before = () => {
      throw new SkipjackError('unauthorized', 'An API key is needed.');
    };
    const attempts = Array.from({ length: 10 }, attempt);
    for (const { log } of attempts) for (const line of numbered(100)) log.say(line);
    await Promise.all(attempts.map(({ log }) => log.close()));
    expect(server.calls.length).toBeLessThan(10);
    expect(errors).toHaveLength(server.calls.length);
  });

  test('a refusal that ends leaves a remark', async () => {
    server.before = () => {
      if (server.calls.length === 1) throw new SkipjackError('unauthorized', 'An API key is needed.');
    };
    const one = attempt();
    one.log.say('a\nb');
    await until(() => server.calls.length > 0);
    one.log.say('c');
    await one.log.close();
    expect(kept(one)).toEqual(['[… dropped: 2 lines that the server refused: unauthorized]', 'c']);
  });

  test.each(['lease_lost', 'full'] as const)(
    'a claim of which nothing is taken (%s) says no more',
    async (kind) => {
      const [gone, other] = [attempt(), attempt()];
      server.answer = ({ id }) => (id === gone.id ? kind : 'kept');
      gone.log.say('a');
      other.log.say('a');
      await until(() => server.calls.length === 1);
      gone.log.say('b');
      other.log.say('b');
      await Promise.all([gone.log.close(), other.log.close()]);
      expect(kept(other)).toEqual(['a', 'b']);
      expect(server.calls.flat().filter(({ id }) => id === gone.id)).toHaveLength(1);
      expect(errors).toEqual([]);
    },
  );
});

describe('a server that is away', () => {
  test('holds an attempt up for a bounded time, and what others said is not lost', async () => {
    begin({ closeMsMax: 200 });
    let isAway = true;
    server.before = () => {
      if (isAway) throw new Error('no route to host');
    };
    const [ended, going] = [attempt(), attempt()];
    ended.log.say('lost');
    going.log.say('kept');
    // By timers of the same event loop: however late it is, they go off in their order.
    const order: string[] = [];
    const closed = ended.log.close().then(() => order.push('closed'));
    const late = [150, 400].map((ms) => pause(ms).then(() => order.push(`${ms} ms`)));
    await Promise.all([closed, ...late]);
    expect(order).toEqual(['150 ms', 'closed', '400 ms']);
    isAway = false;
    await until(() => kept(going).length === 1);
    expect(kept(ended)).toEqual([]);
    expect(errors.length).toBeGreaterThan(0);
  });

  test('costs bounded memory, and when it is back the logs say what was dropped', async () => {
    begin({ waitingBytesMax: 20_000 });
    let isAway = true;
    server.before = () => {
      if (isAway) throw new Error('no route to host');
    };
    const [one, two] = [attempt(), attempt()];
    for (const line of numbered(1_000)) one.log.say(line);
    for (const line of numbered(10)) two.log.say(line);
    await until(() => errors.length === 2);
    isAway = false;
    await until(() => kept(one).length > 0);
    one.log.say('and on');
    await Promise.all([one.log.close(), two.log.close()]);
    const count = kept(one).length - 2;
    expect(count).toBeGreaterThan(100);
    expect(kept(one)).toEqual([
      ...numbered(count),
      `[… dropped: ${1_000 - count} lines that the server did not take in time]`,
      'and on',
    ]);
    expect(kept(two)).toEqual(['[… dropped: 10 lines that the server did not take in time]']);
  });

  test('that is slow loses nothing of what one attempt may say, be it in the shortest of lines', async () => {
    begin();
    const one = attempt();
    // 16 bytes of its limit are what a line costs at least.
    const count = 260_001;
    const stream = one.log.open('stdout');
    const called = new Promise<void>((resolve) => {
      server.before = () => resolve();
    });
    stream.write(Buffer.from('x\n'));
    await called;
    for (let line = 1; line < count; line += 1_000) stream.write(Buffer.from('x\n'.repeat(1_000)));
    stream.end();
    await one.log.close();
    expect(kept(one).find((text) => text.includes('dropped'))).toBeUndefined();
    expect(kept(one).length).toBe(count);
  });

  test('is not asked more often the more attempts wait for it', async () => {
    begin();
    server.before = () => {
      throw new Error('no route to host');
    };
    for (const { log } of Array.from({ length: 200 }, attempt)) log.say('a');
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    // 100 + 200 + 400 + 800 ms, each ± a quarter.
    expect(server.calls.length).toBeLessThanOrEqual(6);
  });

  test('is not asked by a worker that is gone, for which nobody waits', async () => {
    begin();
    server.before = () => {
      throw new Error('no route to host');
    };
    const one = attempt();
    one.log.say('a');
    const closed = one.log.close();
    await until(() => errors.length === 1);
    shipper.close();
    await closed;
    const { length } = server.calls;
    attempt().log.say('b');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(server.calls.length).toBe(length);
  });

  test('that hangs is asked again after 30 s, and others with it', async () => {
    vi.useFakeTimers();
    onTestFinished(() => {
      vi.useRealTimers();
    });
    begin({ closeMsMax: 60_000 });
    server.before = () => (server.calls.length === 1 ? new Promise(() => {}) : undefined);
    const one = attempt();
    one.log.say('a');
    const closed = one.log.close();
    await vi.advanceTimersByTimeAsync(31_000);
    await closed;
    expect([kept(one), server.calls.length, errors.length]).toEqual([['a'], 2, 1]);
  });
});
