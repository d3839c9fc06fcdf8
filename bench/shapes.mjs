/**
 * Does the size of a process matter? For each shape, drains one large process, and as many tasks in processes of
 * ten, several rounds each, alternating. Prints both times for each task and their ratio.
 *
 *   npm run build && DATABASE_URL=postgres://… node bench/shapes.mjs [shape …]
 *
 * Makes a database of its own (skipjack_bench_shapes) on that server and drops it.
 */
import pg from 'pg';
import { newId } from '../dist/core/ids.js';
import { decodeToken } from '../dist/core/token.js';
import { openDatabase } from '../dist/database/connection.js';
import { migrateDatabase } from '../dist/database/migrate.js';
import { publishDefinition } from '../dist/engine/publish.js';
import { startProcesses } from '../dist/engine/start.js';
import { openQueue } from '../dist/queue/queue.js';

const rounds = Number(process.env.BENCH_ROUNDS ?? 5);

/** Needs of task n (from 0) among `size`. Processes of ten are under way all together, unless `atOnce` says less. */
const shapes = {
  chain: { size: 1_000, needs: (n) => (n === 0 ? [] : [n - 1]), atOnce: 1, workers: 1 },
  fan: { size: 1_000, needs: (n) => (n === 0 ? [] : [0]) },
  join: { size: 5_000, needs: (n, size) => (n < size - 1 ? [] : range(size - 1)) },
  // Layers, as wide as two hundred and fifty or five; each task needs two of the layer before.
  mesh: { size: 5_000, needs: (n, size) => meshNeeds(n, size === 10 ? 5 : 250) },
};

function meshNeeds(n, width) {
  if (n < width) return [];
  return [n - width, n % width === width - 1 ? n - 2 * width + 1 : n - width + 1];
}

function range(count) {
  return Array.from({ length: count }, (_, index) => index);
}

function toPlan({ needs }, size) {
  const tasks = range(size).map((n) => ({
    name: `task ${n}`,
    queue: 'default',
    priority: 5,
    spec: { type: 'command', command: 'true', args: [] },
    input: null,
    labels: null,
    retry: null,
    timeout_ms: null,
    continue_on_error: false,
    needs: needs(n, size).map((need) => need + 1),
    dependents: [],
  }));
  for (const [index, task] of tasks.entries())
    for (const need of task.needs) tasks[need - 1].dependents.push(index + 1);
  return { name: null, fail_fast: true, input: null, tasks };
}

const adminUrl = process.env.DATABASE_URL;
if (!adminUrl) throw new Error('set DATABASE_URL to a Postgres whose user may create databases');
const admin = new pg.Client({ connectionString: adminUrl });
await admin.connect();
const { rows } = await admin.query('show server_version');
console.log(`Postgres ${rows[0].server_version}, Node ${process.version}, ${rounds} rounds`);
const name = 'skipjack_bench_shapes';
await admin.query(`drop database if exists ${name} with (force)`);
await admin.query(`create database ${name}`);
const url = new URL(adminUrl);
url.pathname = `/${name}`;
await migrateDatabase(url.href);
const db = openDatabase({ url: url.href });
const queue = openQueue(db);

async function publish(shape, size) {
  const plan = toPlan(shape, size);
  return (await publishDefinition(db, `shape of ${size}`, { source: JSON.stringify(plan), plan })).id;
}

async function start(definitionId, count) {
  const processes = range(count).map(() => ({
    id: newId(),
    definition: null,
    version: null,
    definition_id: definitionId,
    input: {},
    idempotency_key: null,
  }));
  await startProcesses(db, processes);
}

/** Milliseconds until `count` tasks are completed, from the start of their processes on. */
async function drain(definitionId, { count, perProcess, atOnce, workers }) {
  const began = performance.now();
  let unstarted = count / perProcess;
  let left = count;
  const startMore = async (number) => {
    const now = Math.min(number, unstarted);
    unstarted -= now;
    if (now > 0) await start(definitionId, now);
  };
  await startMore(atOnce);
  let sinceStart = 0;
  const work = async (worker) => {
    while (left > 0) {
      const tasks = await queue.claim({ queues: ['default'], limit: 50, worker, leaseMs: 60_000, waitMs: 0 });
      left -= tasks.length;
      await Promise.all(
        tasks.map((task) =>
          queue.settle({ ...decodeToken(task.token, task.id), kind: 'completed', output: 'hello' }),
        ),
      );
      sinceStart += tasks.length;
      if (atOnce * perProcess <= sinceStart && unstarted > 0) {
        sinceStart = 0;
        await startMore(atOnce);
      }
    }
  };
  await Promise.all(['a', 'b', 'c', 'd'].slice(0, workers).map(work));
  return performance.now() - began;
}

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const wanted = process.argv.slice(2);
for (const [title, shape] of Object.entries(shapes)) {
  if (wanted.length > 0 && !wanted.includes(title)) continue;
  const { size } = shape;
  const [large, ten] = [await publish(shape, size), await publish(shape, 10)];
  const times = { large: [], ten: [] };
  const { workers = 4, atOnce = size / 10 } = shape;
  const small = { count: size, perProcess: 10, atOnce, workers };
  const whole = { count: size, perProcess: size, atOnce: 1, workers };
  // Once for nothing: files grow, plans and caches warm up.
  await drain(large, whole);
  await drain(ten, small);
  for (let round = 0; round < rounds; round += 1) {
    times.large.push((await drain(large, whole)) / size);
    times.ten.push((await drain(ten, small)) / size);
  }
  const show = (values) => values.map((value) => value.toFixed(3)).join(' ');
  console.log(`${title}, ms for each task`);
  console.log(`  one of ${size}:  ${show(times.large)}   median ${median(times.large).toFixed(3)}`);
  console.log(`  of ten:       ${show(times.ten)}   median ${median(times.ten).toFixed(3)}`);
  console.log(`  ratio: ${(median(times.large) / median(times.ten)).toFixed(2)}`);
}
const unfinished = await db.pool.query(`select count(*) from skipjack.processes where state <> 'completed'`);
console.log(`processes that did not complete: ${unfinished.rows[0].count}`);
await queue.close();
await db.close();
await admin.query(`drop database ${name} with (force)`);
await admin.end();
