/** Metrics for Prometheus, read over HTTP and held against the record. */
import net from 'node:net';
import { describe, expect } from 'vitest';
import { openDatabase } from '../../src/database/connection.ts';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { serveMetrics } from '../../src/metrics/serve.ts';
import { liveFiguresStatement } from '../../src/queue/overview.ts';
import { endTaskByName } from '../../src/queue/processes/end-by-name.ts';
import { setProcessPaused } from '../../src/queue/processes/pause.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import type { TestDatabase } from '../support/database.ts';
import { start } from '../support/processes.ts';
import { claim, claimOne, complete, enqueue, expireLease, fail, makeDue, settle } from '../support/tasks.ts';
import { startTestApi, test } from './support/api.ts';

/** `name{label="value"}` → value. */
type Samples = Map<string, number>;

async function scrape(url: string, headers: Record<string, string> = {}): Promise<Samples> {
  const response = await fetch(url, { headers });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  return parse(await response.text());
}

function parse(text: string): Samples {
  const samples: Samples = new Map();
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue;
    const match = /^([a-zA-Z_:][\w:]*(?:\{.*\})?) (\S+)$/.exec(line);
    expect(match, line).not.toBeNull();
    const [, name = '', value] = match ?? [];
    expect(samples.has(name), `${name} twice`).toBe(false);
    samples.set(name, Number(value));
  }
  return samples;
}

/** What `name` has grown by, by its labels. */
function growth(before: Samples, after: Samples, name: string): Record<string, number> {
  const grown = [...after]
    .filter(([key]) => key.startsWith(`${name}{`))
    .map(([key, value]): [string, number] => [
      key.slice(name.length + 1, -1).replaceAll('"', ''),
      value - (before.get(key) ?? 0),
    ]);
  return Object.fromEntries(grown.filter(([, value]) => value !== 0));
}

/** What a database looks like that hangs: it takes connections, and says nothing. */
async function startSilent() {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as net.AddressInfo;
  return {
    url: `postgres://nobody@127.0.0.1:${port}/nothing`,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

const error = { code: 'x', message: 'x' };

/** Ends tasks in every way there is, and leaves some that wait. */
async function endTasksInEveryWay(database: TestDatabase): Promise<void> {
  for (const outcome of ['completed', 'completed', 'failed', 'timed_out', 'cancelled'] as const) {
    const id = await enqueue(database);
    const task = await claimOne(database);
    if (outcome === 'cancelled')
      await database.sql('update skipjack.queue_items set cancel_requested = true where task_id = $1', [id]);
    await settle(
      database,
      task,
      outcome === 'completed'
        ? { kind: outcome, output: 1, runMs: 3_000 }
        : outcome === 'cancelled'
          ? { kind: outcome }
          : { kind: outcome, error },
    );
  }
  const retried = await enqueue(database, { retry: { attempts: 2 } });
  await fail(database, await claimOne(database));
  await makeDue(database, retried);
  await complete(database, await claimOne(database));

  const lost = await enqueue(database, { queue: 'mail "new"' });
  for (let loss = 1; loss <= 5; loss += 1) {
    await claimOne(database, { queues: ['mail "new"'] });
    await expireLease(database, lost);
    expect(await reapExpiredClaims(database.db)).toBe(1);
  }
  const given = await enqueue(database, { queue: 'given back' });
  await settle(database, await claimOne(database, { queues: ['given back'] }), { kind: 'released' });
  expect(given).toBeTruthy();

  const process = await start(database, { a: { queue: 'people' }, b: { needs: ['a'], queue: 'people' } });
  await endTaskByName(database.db, process, 'a', { kind: 'completed', output: null });
  await endTaskByName(database.db, process, 'b', { kind: 'failed', error });
}

describe('what was settled', () => {
  test('is counted by outcome and queue as it is on record, losses and ends by name included', async ({
    api,
    database,
  }) => {
    const before = await scrape(`${api.url}/metrics`);
    await endTasksInEveryWay(database);
    const after = await scrape(`${api.url}/metrics`);

    const byLabels = (rows: { labels: string; count: number }[]) =>
      Object.fromEntries(rows.map(({ labels, count }) => [labels, count]));
    const ended = await database.sql<{ labels: string; count: number }>(
      `select format('outcome=%s,queue=%s', case when error ->> 'code' = 'lost_too_often' then 'lost_too_often' else state end,
         replace(queue, '"', '\\')) as labels, count(*)::integer as count
       from skipjack.tasks where finished_at is not null group by 1`,
    );
    expect(growth(before, after, 'skipjack_tasks_ended_total')).toEqual(byLabels(ended));
    expect(byLabels(ended)).toEqual({
      'outcome=completed,queue=default': 3,
      'outcome=failed,queue=default': 2,
      'outcome=cancelled,queue=default': 1,
      'outcome=lost_too_often,queue=mail \\new\\': 1,
      'outcome=completed,queue=people': 1,
      'outcome=failed,queue=people': 1,
    });
    const failed = await database.sql<{ labels: string; count: number }>(
      `select format('outcome=%s,queue=%s', outcome, replace(queue, '"', '\\')) as labels, count(*)::integer as count
       from skipjack.attempts join skipjack.tasks on id = task_id where outcome <> 'cancelled' group by 1`,
    );
    expect(growth(before, after, 'skipjack_attempts_failed_total')).toEqual(byLabels(failed));
    expect(byLabels(failed)).toMatchObject({ 'outcome=lost,queue=mail \\new\\': 5 });

    for (const figure of ['wait', 'run']) {
      const rows = await database.sql<{ queue: string; count: number; sum: number }>(
        `select replace(queue, '"', '\\') as queue, count(${figure}_ms)::integer as count, sum(${figure}_ms)::float8 / 1000 as sum
         from skipjack.tasks where finished_at is not null group by 1`,
      );
      const counts = growth(before, after, `skipjack_task_${figure}_seconds_count`);
      const sums = growth(before, after, `skipjack_task_${figure}_seconds_sum`);
      for (const { queue, count, sum } of rows) {
        expect(counts[`queue=${queue}`], queue).toBe(count);
        expect(sums[`queue=${queue}`] ?? 0, queue).toBeCloseTo(sum, 6);
      }
    }
  });

  test('is counted by who settles it: the same work through another queue is not counted here', async ({
    api,
    database,
  }) => {
    const db = openDatabase({ url: database.url });
    const queue = openQueue(db);
    await enqueue({ queue });
    await complete({ queue }, await claimOne({ queue }));
    expect([...(await scrape(`${api.url}/metrics`)).keys()].join('\n')).not.toContain('tasks_ended_total{');
    await queue.close();
    await db.close();
  });

  test('is counted by name for 200 queues; the others are one', async ({ api, database }) => {
    const queues = Array.from({ length: 230 }, (_, index) => `queue ${index}`);
    for (const name of queues) await enqueue(database, { queue: name });
    for (let done = 0; done < 230; ) {
      const tasks = await claim(database, { queues, limit: 230 });
      await Promise.all(tasks.map((task) => complete(database, task)));
      done += tasks.length;
    }
    for (const name of queues) await enqueue(database, { queue: `later ${name}` });
    const samples = await scrape(`${api.url}/metrics`);
    const ended = Object.entries(growth(new Map(), samples, 'skipjack_tasks_ended_total'));
    expect(ended).toHaveLength(201);
    expect(ended.reduce((sum, [, count]) => sum + count, 0)).toBe(230);
    expect(samples.get('skipjack_tasks_ended_total{outcome="completed",queue="other"}')).toBe(30);
    const ready = [...samples].filter(([key]) => /^skipjack_queue_tasks\{.*state="ready"/.test(key));
    expect(ready).toHaveLength(201);
    expect(samples.get('skipjack_queue_tasks{queue="other",state="ready"}')).toBe(230);
  });
});

describe('what is live', () => {
  test('comes from the database, and is the same wherever it is asked', async ({ api, database }) => {
    await database.queue.announceWorker({
      id: 'w1',
      host: 'h',
      pid: 1,
      queues: ['default'],
      slots: 4,
      version: '1',
    });
    await enqueue(database);
    await enqueue(database, { delay: '1h' });
    const running = await enqueue(database);
    await claimOne(database, { worker: 'w1' });
    await enqueue(database, { queue: 'people' });
    await claimOne(database, { queues: ['people'], worker: 'ann' });
    await enqueue(database, { queue: 'broken' });
    await fail(database, await claimOne(database, { queues: ['broken'] }));
    const paused = await start(database, { a: { queue: 'slow' } });
    await setProcessPaused(database.db, paused, true);
    await database.sql(
      `update skipjack.queue_items set available_at = clock_timestamp() - interval '90 s'
       where queue = 'default' and worker is null and available_at < clock_timestamp()`,
    );
    expect(running).toBeTruthy();

    const samples = await scrape(`${api.url}/metrics`);
    const { queues } = (await api.get('/v1/queues')).body;
    for (const { name, ...depth } of queues) {
      for (const state of ['ready', 'scheduled', 'running', 'held'])
        expect(samples.get(`skipjack_queue_tasks{queue="${name}",state="${state}"}`)).toBe(depth[state]);
    }
    expect(samples.get('skipjack_queue_tasks{queue="slow",state="held"}')).toBe(1);
    const age = samples.get('skipjack_queue_oldest_ready_age_seconds{queue="default"}') ?? 0;
    expect(age).toBeGreaterThanOrEqual(90);
    expect(age).toBeLessThan(150);
    expect(samples.get('skipjack_queue_oldest_ready_age_seconds{queue="people"}')).toBe(0);
    expect(samples.get('skipjack_workers_live')).toBe(1);
    expect(samples.get('skipjack_slots{state="all"}')).toBe(4);
    // What Ann does takes no slot.
    expect(samples.get('skipjack_slots{state="busy"}')).toBe(1);
    expect(samples.get('skipjack_dead_letters_waiting')).toBe(1);
    expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1_000_000);

    const other = await startTestApi(database);
    const seen = await scrape(`${other.url}/metrics`);
    // But for the zeros of queues that only one of them has seen busy.
    const gauges = (all: Samples) =>
      [...all]
        .filter(([key, value]) => /^skipjack_(queue_tasks|workers|slots|dead)/.test(key) && value > 0)
        .sort();
    expect(gauges(seen)).toEqual(gauges(samples));
    await other.server.close();
  });

  test('of a queue that has run empty is zero, not gone', async ({ api, database }) => {
    await enqueue(database, { queue: 'mail' });
    const ready = 'skipjack_queue_tasks{queue="mail",state="ready"}';
    expect((await scrape(`${api.url}/metrics`)).get(ready)).toBe(1);
    await complete(database, await claimOne(database, { queues: ['mail'] }));
    expect((await scrape(`${api.url}/metrics`)).get(ready)).toBe(0);
  });

  test('is read from live tables alone: 200,000 ended tasks cost nothing', async ({ database }) => {
    const { sql } = database;
    await enqueue(database);
    const statement = liveFiguresStatement({ known: ['default'], queuesMax: 200 });
    interface Node {
      'Relation Name'?: string;
      Plans?: Node[];
    }
    const relations = (node: Node): string[] => [
      ...(node['Relation Name'] ? [node['Relation Name']] : []),
      ...(node.Plans ?? []).flatMap(relations),
    ];
    type Root = Node & Record<'Shared Hit Blocks' | 'Shared Read Blocks', number>;
    const read = async () => {
      const [row] = await sql<{ 'QUERY PLAN': [{ Plan: Root }] }>(
        `explain (analyze, buffers, format json) ${statement.text}`,
        statement.values,
      );
      return (row as NonNullable<typeof row>)['QUERY PLAN'][0].Plan;
    };
    // On one connection, and twice: what it has to learn of the catalogue first is read with the rest.
    const explain = async () => {
      await read();
      const plan = await read();
      return {
        relations: [...new Set(relations(plan))].sort(),
        buffers: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
      };
    };
    const before = await explain();
    await sql(
      `insert into skipjack.tasks (id, name, queue, priority, state, created_at, finished_at)
       select skipjack.new_id(), 'ended', 'default', 5, 'completed', clock_timestamp(), clock_timestamp()
       from generate_series(1, 200000)`,
    );
    await sql('analyze skipjack.tasks');
    const after = await explain();
    for (const { relations } of [before, after])
      expect(relations).toEqual(['dead_letters', 'queue_items', 'workers']);
    expect(after.buffers).toBeLessThanOrEqual(before.buffers + 5);
  });
});

describe('asking for them', () => {
  test('needs a key where there are keys', async ({ database }) => {
    const api = await startTestApi(database, { apiKeys: ['secret-key'] });
    const refused = await fetch(`${api.url}/metrics`);
    expect([refused.status, refused.headers.get('content-type')]).toEqual([401, 'application/problem+json']);
    await refused.body?.cancel();
    await scrape(`${api.url}/metrics`, { authorization: 'Bearer secret-key' });
    await api.server.close();
  });

  test('takes no parameters, and is described as text', async ({ api }) => {
    expect((await api.get('/metrics?x=1')).body.problems).toMatchObject([
      { pointer: 'x', code: 'unknown_parameter' },
    ]);
    const { paths } = (await api.get('/openapi.json')).body;
    expect(paths['/metrics'].get.responses['200'].content).toEqual({
      'text/plain': { schema: { type: 'string' } },
    });
  });

  test('while the database is away answers 503 at once', async () => {
    const db = openDatabase({ url: 'postgres://nobody@127.0.0.1:1/nothing', listenUrl: null });
    const queue = openQueue(db, { patienceMs: 0 });
    const api = await startTestApi({ queue });
    const { status, body, headers } = await api.get('/metrics');
    expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'database_unreachable', '1']);
    // Not that it did not answer in time: that is said of one that hangs.
    expect(body.detail).toBe('The database does not answer as it should.');
    await api.server.close();
    await queue.close();
    await db.close();
  });

  test('of a database that hangs answers 503 within seconds, over one connection for all who ask', async () => {
    const [silent, beside] = [await startSilent(), await startSilent()];
    const db = openDatabase({ url: silent.url, listenUrl: null });
    const queue = openQueue(db);
    const metrics = createMetrics(queue);
    const server = await serveMetrics({ metrics, port: 0 });
    // What everybody else waits for a connection: by the same clock, however late its timers come.
    const other = openDatabase({ url: beside.url, listenUrl: null });
    const others = other.pool.query('select').catch(() => 'waited as long as everybody');
    const scraped = metrics.scrape().catch((error: Error) => error.message);
    const answering = Promise.all(Array.from({ length: 20 }, () => fetch(server.url)));
    expect(await Promise.race([scraped, others])).toMatch(/^The database did not answer within/);
    expect(db.pool.totalCount).toBe(1);
    for (const answer of await answering) {
      expect(answer.status).toBe(503);
      expect(await answer.text()).toMatch(/^database_unreachable: /);
    }
    await server.close();
    metrics.close();
    await Promise.all([silent.close(), beside.close()]);
    await others;
    await queue.close();
    await Promise.all([db.close(), other.close()]);
  });
});

describe('a port of their own', () => {
  test('serves what this OS process settled, to this machine, and nothing else', async ({ database }) => {
    const metrics = createMetrics(database.queue);
    const server = await serveMetrics({ metrics, port: 0 });
    expect(server.url).toBe(`http://127.0.0.1:${server.port}/metrics`);
    await enqueue(database);
    await complete(database, await claimOne(database));
    const samples = await scrape(server.url);
    expect(samples.get('skipjack_tasks_ended_total{outcome="completed",queue="default"}')).toBe(1);
    const statusOf = async (path: string, init?: RequestInit) =>
      (await fetch(`http://127.0.0.1:${server.port}${path}`, init)).status;
    expect(await statusOf('/')).toBe(404);
    expect(await statusOf('/metrics', { method: 'POST', body: 'x' })).toBe(405);
    expect(await statusOf('/metrics', { method: 'HEAD' })).toBe(200);
    await expect(serveMetrics({ metrics, port: server.port })).rejects.toMatchObject({ code: 'usage' });
    await server.close();
    await expect(fetch(server.url)).rejects.toThrow();
    metrics.close();
    await enqueue(database);
    await complete(database, await claimOne(database));
    expect(await metrics.scrape()).not.toContain('tasks_ended_total{');
  });
});
