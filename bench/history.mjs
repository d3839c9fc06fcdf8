/**
 * Does history slow the queue down? Drains 20,000 tasks on an empty database, and again with 3,000,000 finished
 * ones stored, several rounds each, alternating with nothing else changed. Prints both rates and their ratio.
 *
 *   npm run build && DATABASE_URL=postgres://… node bench/history.mjs
 *
 * Makes databases of its own (skipjack_bench_…) on that server and drops them.
 */
import pg from 'pg';
import { parseTaskInput } from '../dist/core/task-input.js';
import { decodeToken } from '../dist/core/token.js';
import { openDatabase } from '../dist/database/connection.js';
import { migrateDatabase } from '../dist/database/migrate.js';
import { openQueue } from '../dist/queue/queue.js';

const drained = 20_000;
const finished = Number(process.env.BENCH_FINISHED ?? 3_000_000);
const rounds = 5;

const adminUrl = process.env.DATABASE_URL;
if (!adminUrl) throw new Error('set DATABASE_URL to a Postgres whose user may create databases');
const admin = new pg.Client({ connectionString: adminUrl });
await admin.connect();
const { rows } = await admin.query('show server_version');
console.log(`Postgres ${rows[0].server_version}, Node ${process.version}`);

async function openBench(name) {
  await admin.query(`drop database if exists ${name} with (force)`);
  await admin.query(`create database ${name}`);
  const url = new URL(adminUrl);
  url.pathname = `/${name}`;
  await migrateDatabase(url.href);
  const db = openDatabase({ url: url.href });
  return { db, queue: openQueue(db), name };
}

async function store({ db }) {
  console.log(`storing ${finished} finished tasks …`);
  for (let stored = 0; stored < finished; stored += 250_000) {
    await db.pool.query(
      `insert into skipjack.tasks (id, name, queue, priority, state, spec, created_at, claim_no, worker, started_at,
         finished_at, wait_ms, run_ms, exit_code, output)
       select skipjack.new_id(), 'echo', 'default', 5, 'completed', '{"type": "command", "command": "echo", "args": ["hello"]}',
         now(), 1, 'bench', now(), now(), 1, 1, 0, '"hello"'
       from generate_series(1, ${Math.min(250_000, finished - stored)})`,
    );
  }
  await db.pool.query('vacuum analyze');
}

async function drain({ queue, db }) {
  await Promise.all(
    Array.from({ length: drained }, () =>
      queue.enqueue(parseTaskInput({ command: 'echo', args: ['hello'] })),
    ),
  );
  await db.pool.query('checkpoint');
  const started = performance.now();
  let left = drained;
  // Four workers of one OS process, each with 100 slots and nothing to do but answer.
  const work = async (worker) => {
    while (left > 0) {
      const tasks = await queue.claim({
        queues: ['default'],
        limit: 100,
        worker,
        leaseMs: 30_000,
        waitMs: 0,
      });
      left -= tasks.length;
      await Promise.all(
        tasks.map((task) =>
          queue.settle({
            ...decodeToken(task.token, task.id),
            kind: 'completed',
            output: 'hello',
          }),
        ),
      );
    }
  };
  await Promise.all(['a', 'b', 'c', 'd'].map(work));
  return (drained / (performance.now() - started)) * 1_000;
}

const empty = await openBench('skipjack_bench_empty');
const full = await openBench('skipjack_bench_full');
await store(full);
await drain(empty);
await drain(full);
const rates = { empty: [], full: [] };
for (let round = 0; round < rounds; round += 1) {
  // A database without history: what the last rounds finished is taken away.
  await empty.db.pool.query('truncate skipjack.tasks');
  rates.empty.push(await drain(empty));
  rates.full.push(await drain(full));
}
const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const [fast, slow] = [median(rates.empty), median(rates.full)];
console.log(`drain of ${drained}, tasks/s, ${rounds} rounds`);
console.log(`  empty:               ${rates.empty.map(Math.round).join(' ')}   median ${Math.round(fast)}`);
console.log(
  `  ${finished} finished:    ${rates.full.map(Math.round).join(' ')}   median ${Math.round(slow)}`,
);
console.log(`  ratio: ${(slow / fast).toFixed(3)}`);
for (const bench of [empty, full]) {
  await bench.queue.close();
  await bench.db.close();
  await admin.query(`drop database ${bench.name} with (force)`);
}
await admin.end();
