/** Logs end to end: much more than is kept, many at once, and through restarts of what they pass through. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { expect, onTestFinished, test as plainTest } from 'vitest';
import type { Client } from '../../src/client/client.ts';
import type { LogLineView } from '../../src/client/logs.ts';
import { migrateDatabase } from '../../src/database/migrate.ts';
import { startSkipjack } from '../cli/support/cli.ts';
import { expectSound, test } from '../support/database.ts';
import { findTestRuntime, testImage } from '../support/docker.ts';
import { startDebian } from '../support/postgres.ts';
import { until } from '../support/program.ts';
import { makeFolder, startServer, startWorker } from './support/scene.ts';

const runtime = await findTestRuntime();
const binaries = '/usr/lib/postgresql/15/bin';
const missing = !existsSync(`${binaries}/postgres`);
if (missing) console.log(`skipped: no Postgres in ${binaries} (apt-get install postgresql-15)`);

const chatter = path.join(import.meta.dirname, 'fixtures/chatter.mjs');
const { lines: chatterLines } = (await import(chatter)) as { lines: (bytesMin: number) => Iterable<string> };

const megabyte = 1024 * 1024;
const flood = 200 * megabyte;

/** All that is kept, read as people read it: page by page. */
async function readLog(client: Client, id: string): Promise<LogLineView[]> {
  const lines: LogLineView[] = [];
  for (let cursor: string | undefined; ; ) {
    const page = await client.listTaskLogs(id, { limit: 500, cursor });
    lines.push(...page.lines);
    if (page.next_cursor === null) return lines;
    cursor = page.next_cursor;
  }
}

interface Memory {
  rss: number;
  peak: number;
}

/** In bytes, as Linux counts them. */
function memoryOf(pid: number): Memory {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(status)?.[1]) * 1024;
  return { rss: read('VmRSS'), peak: read('VmHWM') };
}

/** Forgets the peak so far, and answers what is in use now. */
function startMeasuring(pid: number): number {
  writeFileSync(`/proc/${pid}/clear_refs`, '5');
  return memoryOf(pid).rss;
}

/** What is kept is the beginning and the end of `said`, with one line between them that counts all the rest. */
function expectCut(kept: LogLineView[], said: Iterable<string>): { cutLines: number; cutBytes: number } {
  const place = kept.findIndex(({ stream }) => stream === 'skipjack');
  const [, cutLines, cutBytes] =
    /^\[… cut: (\d+) lines, (\d+) bytes\]$/.exec(kept[place]?.text ?? '')?.map(Number) ?? [];
  const texts = kept.map(({ text }) => text);
  const [head, tail] = [texts.slice(0, place), texts.slice(place + 1)];
  const counted = { lines: 0, bytes: 0, wrong: 0 };
  const last: string[] = [];
  for (const line of said) {
    if (counted.lines < head.length && line !== head[counted.lines]) counted.wrong += 1;
    if (counted.lines >= head.length) {
      counted.bytes += Buffer.byteLength(line);
      last.push(line);
      if (last.length > tail.length) last.shift();
    }
    counted.lines += 1;
  }
  expect(counted.wrong, 'lines of the beginning that are not as they were said').toBe(0);
  expect(tail).toEqual(last);
  expect(cutLines).toBe(counted.lines - head.length - tail.length);
  expect(cutBytes).toBe(counted.bytes - last.reduce((bytes, line) => bytes + Buffer.byteLength(line), 0));
  // The numbers of the lines have no gap either: what was cut was never numbered.
  expect(kept.map(({ line }) => line)).toEqual(kept.map((_, index) => index + 1));
  // The limit is 4 MiB of text with its newlines, most of it for the beginning.
  const keptBytes = texts.reduce((bytes, text) => bytes + Buffer.byteLength(text) + 1, 0);
  expect(keptBytes).toBeGreaterThan(3.9 * megabyte);
  expect(keptBytes).toBeLessThan(4.1 * megabyte);
  expect(tail.length).toBeGreaterThan(10);
  return { cutLines: cutLines ?? 0, cutBytes: cutBytes ?? 0 };
}

const phrase = 'na wéll, 鰹 und 🐟, '.repeat(7);

/** What `yes` says of it, cut by `head` within a line, and maybe within a character. */
function* yesLines(): Generator<string> {
  yield 'begin';
  const line = Buffer.from(`${phrase}\n`);
  for (let left = flood; left > 0; left -= line.length)
    yield line.subarray(0, Math.min(left, line.length - 1)).toString('utf8');
  yield 'end';
}

for (const over of ['the database', 'HTTP'] as const) {
  test.skipIf(runtime === null)(
    `200 MB on stdout cost a worker over ${over} and the server little memory, and the log shows where it was cut`,
    async ({ database }) => {
      const server = await startServer(database.url);
      const worker = await startWorker(
        ['--concurrency', '2', '--container-runtime', runtime?.file ?? 'docker'],
        over === 'HTTP' ? { SKIPJACK_URL: server.url } : { DATABASE_URL: database.url },
      );
      const { client } = server;
      const run = async (task: Parameters<Client['enqueue']>[0]) => {
        const { id } = await client.enqueue(task);
        return client.waitForTask(id, { waitMs: 200_000 });
      };
      const chat = (bytes: number) => run({ command: process.execPath, args: [chatter, String(bytes)] });
      const yes = (bytes: number) =>
        run({
          image: testImage,
          env: { PHRASE: phrase, BYTES: String(bytes) },
          run: 'echo begin; yes "$PHRASE" | head -c "$BYTES"; echo; echo end',
        });
      // What the first of each kind loads and compiles is no growth.
      for (const first of [await chat(6 * megabyte), await yes(6 * megabyte)]) {
        expect([first.state, first.error]).toEqual(['completed', null]);
        await readLog(client, first.id);
      }
      const pids = { worker: worker.pid, server: server.program.pid };
      const figures: string[] = [];
      for (const [what, task, said] of [
        ['command', chat, () => chatterLines(flood)],
        ['container', yes, yesLines],
      ] as const) {
        const before = { worker: startMeasuring(pids.worker), server: startMeasuring(pids.server) };
        const grown = (name: keyof typeof pids) => memoryOf(pids[name]).peak - before[name];
        const startedMs = performance.now();
        const { id, state, error, output } = await task(flood);
        const tookMs = performance.now() - startedMs;
        expect([state, error]).toEqual(['completed', null]);
        expect(output).toMatch(/\n\[… cut: \d{9} bytes in all\]$/);
        const kept = await readLog(client, id);
        const { cutLines } = expectCut(kept, said());
        const sizes = (['worker', 'server'] as const).map(
          (name) => `${name} +${(grown(name) / megabyte).toFixed(0)} MB`,
        );
        figures.push(
          `${what} ${(tookMs / 1_000).toFixed(1)} s, ${sizes.join(', ')}, ${kept.length} lines kept, ${cutLines} cut`,
        );
        expect(grown('worker'), 'growth of the worker').toBeLessThan(64 * megabyte);
        expect(grown('server'), 'growth of the server').toBeLessThan(64 * megabyte);
      }
      console.log(`200 MB over ${over}: ${figures.join('; ')}`);
      await worker.kill('SIGTERM');
      await server.program.kill('SIGTERM');
    },
    400_000,
  );
}

/** 500 lines, odd ones on stdout, even ones on stderr; in the middle it may wait for a file. */
const numbered = `line=1
while [ $line -le 500 ]; do
  echo "$NAME $line"
  echo "$NAME $((line + 1))" >&2
  line=$((line + 2))
  if [ $((line % 50)) -eq 1 ]; then sleep 0.2; fi
  if [ $line -eq 251 ]; then while [ -n "$WAIT_FOR" ] && [ ! -e "$WAIT_FOR" ]; do sleep 0.1; done; fi
done`;
const numbersFrom = (first: number) => Array.from({ length: 250 }, (_, index) => first + 2 * index);

plainTest.skipIf(missing)(
  'the logs of 100 tasks at once are in order and whole, though a server and the database are killed in the middle',
  async () => {
    const postgres = await startDebian(binaries);
    onTestFinished(() => postgres.stop());
    await migrateDatabase(postgres.url);
    const [doomed, other] = await Promise.all([startServer(postgres.url), startServer(postgres.url)]);
    const workers = await Promise.all(
      [{ DATABASE_URL: postgres.url }, { SKIPJACK_URL: doomed.url }, { SKIPJACK_URL: other.url }].map((env) =>
        startWorker(['--concurrency', '10'], env),
      ),
    );
    const { client } = other;
    const go = path.join(makeFolder(), 'go');

    // First, and so begun before anything is killed.
    const followed = await client.enqueue({ run: numbered, env: { NAME: 'followed', WAIT_FOR: go } });
    const results = await client.enqueueBatch(
      Array.from({ length: 99 }, (_, index) => ({
        run: numbered,
        env: { NAME: `task-${index}`, WAIT_FOR: '' },
      })),
    );
    const names = new Map(results.map(({ id = '' }, index) => [id, `task-${index}`]));
    names.set(followed.id, 'followed');
    const follower = startSkipjack(['logs', followed.id, '-f', '--server', doomed.url]);
    await until('it shows the first line', async () => follower.stdout.includes('followed 1\n'));
    const done = async () => (await client.readStats()).tasks.completed;

    await until('some have completed', async () => (await done()) >= 15);
    await doomed.restart();
    await until('more have completed', async () => (await done()) >= 45);
    await postgres.restartImmediately();
    // The rest of it comes through what was made anew.
    writeFileSync(go, '');
    for (const id of names.keys())
      expect((await client.waitForTask(id, { waitMs: 120_000 })).state).toBe('completed');

    for (const [id, name] of names) {
      const lines = await readLog(client, id);
      const numbers = (stream: string) =>
        lines.filter((line) => line.stream === stream).map(({ text }) => text);
      expect(numbers('stdout')).toEqual(numbersFrom(1).map((number) => `${name} ${number}`));
      expect(numbers('stderr')).toEqual(numbersFrom(2).map((number) => `${name} ${number}`));
      expect(lines.map(({ line, attempt }) => [line, attempt])).toEqual(
        Array.from({ length: 500 }, (_, index) => [index + 1, 1]),
      );
    }
    expect(await follower.ended).toBe(0);
    expect(follower.stdout.trimEnd().split('\n')).toEqual(
      numbersFrom(1).map((number) => `followed ${number}`),
    );
    const remarks = follower.stderr.split('\n').filter((line) => line.startsWith('skipjack: '));
    expect(remarks.length, 'it lost its server and says so').toBeGreaterThan(0);
    expect(follower.stderr.split('\n').filter((line) => !remarks.includes(line))).toEqual(
      numbersFrom(2).map((number) => `followed ${number}`),
    );
    expect(workers.map(({ child }) => child.exitCode)).toEqual([null, null, null]);
    const audit = new pg.Client({ connectionString: postgres.url });
    await audit.connect();
    await expectSound(audit);
    await audit.end();
    for (const worker of workers) await worker.kill('SIGTERM');
    for (const server of [doomed, other]) await server.program.kill('SIGTERM');
  },
  240_000,
);

test('lines of both streams are followed in the order in which they were said', async ({ database }) => {
  const server = await startServer(database.url);
  await startWorker([], { DATABASE_URL: database.url });
  const folder = makeFolder();
  const { id } = await server.client.enqueue({
    env: { FOLDER: folder },
    // Each line is said when the one before it was seen.
    run: `for line in 1 2 3 4 5 6 7 8; do
  if [ $((line % 2)) -eq 1 ]; then echo $line; else echo $line >&2; fi
  while [ ! -e "$FOLDER/$line" ]; do sleep 0.02; done
done`,
  });
  const follower = startSkipjack(['logs', id, '-f', '-o', 'json', '--server', server.url]);
  const seen = () => follower.stdout.split('\n').filter((line) => line !== '');
  for (let line = 1; line <= 8; line += 1) {
    await until(`line ${line} is seen`, async () => seen().length >= line);
    writeFileSync(path.join(folder, String(line)), '');
  }
  expect(await follower.ended).toBe(0);
  expect(
    seen().map((line) => {
      const { line: number, stream, text } = JSON.parse(line) as LogLineView;
      return [number, stream, text];
    }),
  ).toEqual([1, 2, 3, 4, 5, 6, 7, 8].map((n) => [n, n % 2 === 1 ? 'stdout' : 'stderr', String(n)]));
  await server.program.kill('SIGTERM');
});

test('what fails after saying much, in lines and quotes, keeps its exit code and the end of what it said over HTTP', async ({
  database,
}) => {
  const server = await startServer(database.url);
  const worker = await startWorker([], { SKIPJACK_URL: server.url });
  // In JSON each of its characters is two.
  const run = `line=$(printf '%60s' '' | tr ' ' '"'); yes "$line" | head -n 100000; yes "$line" | head -n 5000 >&2; exit 3`;
  const tasks = [{ run }, ...(runtime === null ? [] : [{ image: testImage, run }])];
  for (const task of tasks) {
    const { id } = await server.client.enqueue(task);
    const { state, error, exit_code, output } = await server.client.waitForTask(id, { waitMs: 60_000 });
    expect([state, error?.code, exit_code]).toEqual(['failed', 'exit_code', 3]);
    const { stderr = '' } = (error?.details ?? {}) as { stderr?: string };
    expect(stderr).toMatch(/^\[… cut: 305000 bytes in all\]\n[\s\S]*\n"{60}\n"{60}$/);
    expect(stderr.length).toBeGreaterThan(30_000);
    expect(output).toMatch(/^"{60}\n/);
  }
  await worker.kill('SIGTERM');
  await server.program.kill('SIGTERM');
}, 120_000);

test('a task that ends while the server is away keeps its log, or it says what is missing', async ({
  database,
}) => {
  const server = await startServer(database.url);
  // Its lease outlasts the absence of the server, or it would be done again by somebody else.
  const worker = await startWorker(['--lease', '2m'], { SKIPJACK_URL: server.url });
  const go = path.join(makeFolder(), 'go');
  const { id } = await server.client.enqueue({
    env: { GO: go },
    run: 'echo first; while [ ! -e "$GO" ]; do sleep 0.05; done; for n in $(seq 100); do echo "late $n"; done',
  });
  await until('it runs', async () => (await server.client.listTaskLogs(id)).lines.length === 1);
  await server.program.kill('SIGKILL');
  writeFileSync(go, '');
  // Longer than an attempt waits at its end for its lines to be taken.
  await pause(13_000);
  await server.restart();
  expect((await server.client.waitForTask(id, { waitMs: 60_000 })).state).toBe('completed');
  const lines = await readLog(server.client, id);
  const late = lines.filter(({ text }) => text.startsWith('late'));
  const dropped = lines
    .map(({ text }) => /^\[… dropped: (\d+) lines/.exec(text)?.[1])
    .reduce((sum, count) => sum + Number(count ?? 0), 0);
  expect(late.length + dropped).toBe(100);
  await worker.kill('SIGTERM');
}, 120_000);
