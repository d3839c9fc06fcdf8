/** The same over a real database: what people read is what the attempts said. */
import { expect, onTestFinished } from 'vitest';
import type { ClaimedTask } from '../../src/core/task-source.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { LogShipper } from '../../src/worker/logs/log-shipper.ts';
import { createWorker } from '../../src/worker/worker.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { until as untilSo } from '../support/program.ts';
import { claim, complete, enqueue } from '../support/tasks.ts';
import { until } from './support/barrier.ts';

async function claimed(database: TestDatabase, count: number): Promise<ClaimedTask[]> {
  for (let index = 0; index < count; index += 1) await enqueue(database);
  return claim(database, { limit: count });
}

function shipperOver(
  { queue }: TestDatabase,
  options: Partial<ConstructorParameters<typeof LogShipper>[0]> = {},
) {
  const ended = new AbortController();
  const source = createDatabaseTaskSource(queue, { signal: ended.signal });
  const shipper = new LogShipper({ source, bytesMax: 200_000, onError: () => {}, ...options });
  onTestFinished(() => {
    shipper.close();
    ended.abort();
  });
  return shipper;
}

interface StoredLine {
  line: number;
  stream: string;
  part: string | null;
  text: string;
}

const stored = (database: TestDatabase, { id }: ClaimedTask) =>
  database.sql<StoredLine & Record<string, unknown>>(
    'select line, stream, part, text from skipjack.log_lines where task_id = $1 order by claim_no, line',
    [id],
  );

test('the lines of 100 attempts at once arrive in order, and none is missing', async ({ database }) => {
  const tasks = await claimed(database, 100);
  const shipper = shipperOver(database);
  const logs = tasks.map((task) => shipper.open(task));
  const streams = logs.map((log) => log.open('stdout'));
  const said = Buffer.from(Array.from({ length: 200 }, (_, index) => `zeile ${index}: ü漢🐟\n`).join(''));
  // Pieces that end within characters and lines.
  for (let start = 0; start < said.length; start += 1_237) {
    for (const stream of streams) stream.write(said.subarray(start, start + 1_237));
    await new Promise(setImmediate);
  }
  await Promise.all(logs.map((log) => log.close()));
  const expected = said.toString().trimEnd().split('\n');
  for (const task of tasks) {
    const lines = await stored(database, task);
    expect(lines.map(({ text }) => text)).toEqual(expected);
    expect(lines.map(({ line }) => line)).toEqual(expected.map((_text, index) => index + 1));
  }
  for (const task of tasks) await complete(database, task);
});

test('a log past its limit shows where it was cut, and its end', async ({ database }) => {
  const [task] = (await claimed(database, 1)) as [ClaimedTask];
  const log = shipperOver(database).open(task);
  const stream = log.open('stderr', 'post 1');
  for (let index = 0; index < 20_000; index += 1) stream.write(Buffer.from(`${index} ${'x'.repeat(93)}\n`));
  stream.write(Buffer.from('the last word'));
  await log.close();
  const lines = await stored(database, task);
  const cut = lines.findIndex(({ stream: by }) => by === 'skipjack');
  const kept = lines.filter((_, index) => index !== cut);
  expect(lines[cut]?.text).toMatch(/^\[… cut: \d+ lines, \d+ bytes\]$/);
  expect(Number(/\d+/.exec(lines[cut]?.text ?? '')?.[0])).toBe(20_001 - kept.length);
  expect(lines[0]).toMatchObject({ stream: 'stderr', part: 'post 1', text: `0 ${'x'.repeat(93)}` });
  expect(lines.at(-1)?.text).toBe('the last word');
  expect(kept.reduce((sum, { text }) => sum + text.length + 1, 0)).toBeLessThanOrEqual(200_000);
  await complete(database, task);
});

test('connections that break cost no line and double none', async ({ database }) => {
  const [task] = (await claimed(database, 1)) as [ClaimedTask];
  const errors: unknown[] = [];
  const original = database.db.pool.query.bind(database.db.pool) as (...given: unknown[]) => Promise<unknown>;
  let failures = 0;
  // The first answer is lost after the commit, the second call before it.
  database.db.pool.query = (async (...given: unknown[]) => {
    if (failures === 2 || !String(given[0]).includes('append_logs')) return original(...given);
    failures += 1;
    if (failures === 1) await original(...given);
    throw Object.assign(new Error('connection terminated'), { code: '57P01' });
  }) as typeof database.db.pool.query;
  const log = shipperOver(database, { onError: (error) => errors.push(error) }).open(task);
  for (let index = 0; index < 50; index += 1) log.say(`before ${index}`);
  await until(() => errors.length > 0);
  for (let index = 0; index < 50; index += 1) log.say(`after ${index}`);
  await log.close();
  const texts = (await stored(database, task)).map(({ text }) => text);
  expect(texts).toEqual(
    ['before', 'after'].flatMap((word) => Array.from({ length: 50 }, (_, index) => `${word} ${index}`)),
  );
  expect(errors).toHaveLength(2);
  await complete(database, task);
});

test('an attempt whose claim is gone ends without waiting, and leaves no line', async ({ database }) => {
  const [task] = (await claimed(database, 1)) as [ClaimedTask];
  await complete(database, task);
  const log = shipperOver(database, { closeMsMax: 600_000 }).open(task);
  log.say('too late');
  await log.close();
  expect(await stored(database, task)).toEqual([]);
});

test('what a program writes that Postgres cannot store does not harm the logs of others', async ({
  database,
}) => {
  const [odd, plain] = (await claimed(database, 2)) as [ClaimedTask, ClaimedTask];
  const shipper = shipperOver(database);
  const [oddLog, plainLog] = [shipper.open(odd), shipper.open(plain)];
  oddLog.open('stdout').write(Buffer.from([0x61, 0x00, 0xff, 0xed, 0xa0, 0x80, 0x62, 0x0a]));
  oddLog.say('half \ud800 pair \0');
  plainLog.say('plain');
  await Promise.all([oddLog.close(), plainLog.close()]);
  expect((await stored(database, odd)).map(({ text }) => text)).toEqual([
    'a\ufffd\ufffd\ufffd\ufffd\ufffdb',
    'half \ufffd pair \ufffd',
  ]);
  expect((await stored(database, plain)).map(({ text }) => text)).toEqual(['plain']);
  for (const task of [odd, plain]) await complete(database, task);
});

test('programs that write faster than the database takes lines wait, and no line below the limit is lost', async ({
  database,
}) => {
  const ended = new AbortController();
  const source = createDatabaseTaskSource(database.queue, { signal: ended.signal });
  const worker = createWorker({ source, slots: 4 });
  onTestFinished(async () => {
    await worker.stop();
    ended.abort();
  });
  worker.start();
  // Each 150,000 lines, below 4 MiB with what a short line counts: together more than waits for the server.
  const count = 150_000;
  const ids = await Promise.all(
    Array.from({ length: 4 }, () => enqueue(database, { run: `seq 1 ${count}` })),
  );
  const states = () =>
    database.sql<{ state: string }>('select state from skipjack.tasks where id = any ($1)', [ids]);
  await untilSo(
    'all have completed',
    async () => (await states()).every(({ state }) => state === 'completed'),
    180_000,
  );
  const logs = await database.sql<{ lines: string; inOrder: boolean }>(
    `select count(*) as lines, bool_and(line::text = text) as "inOrder"
     from skipjack.log_lines where task_id = any ($1) group by task_id`,
    [ids],
  );
  expect(logs).toEqual(Array(4).fill({ lines: String(count), inOrder: true }));
}, 200_000);
