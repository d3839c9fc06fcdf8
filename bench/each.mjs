/**
 * What does an item of an `each` cost, in a list of 1,000 and in one of 10,000? Runs both by turns, each with
 * `concurrency: 50` and `${{ item }}` in every `env`, from the start of the process to its end.
 *
 *   npm run build && DATABASE_URL=postgres://… node bench/each.mjs
 *
 * Makes a database of its own (skipjack_bench_each) on that server and drops it.
 */
import pg from 'pg';
import { decodeToken } from '../dist/core/token.js';
import { openDatabase } from '../dist/database/connection.js';
import { migrateDatabase } from '../dist/database/migrate.js';
import { Engine } from '../dist/engine/engine.js';
import { startThinking } from '../dist/engine/thinking/start-thinking.js';
import { openQueue } from '../dist/queue/queue.js';

const rounds = Number(process.env.BENCH_ROUNDS ?? 5);
const sizes = [1_000, 10_000];
const source = `
input: { n: { type: integer, required: true } }
tasks:
  - name: Mail
    each: range(input.n)
    concurrency: 50
    run: 'true'
    env: { PAPER: "\${{ item }}" }
`;

const adminUrl = process.env.DATABASE_URL;
if (!adminUrl) throw new Error('set DATABASE_URL to a Postgres whose user may create databases');
const admin = new pg.Client({ connectionString: adminUrl });
await admin.connect();
const name = 'skipjack_bench_each';
await admin.query(`drop database if exists ${name} with (force)`);
await admin.query(`create database ${name}`);
const url = new URL(adminUrl);
url.pathname = `/${name}`;
await migrateDatabase(url.href);
const db = openDatabase({ url: url.href });
const queue = openQueue(db);
const engine = new Engine({ queue });
const thinking = startThinking(queue, { onError: (error) => console.error(error) });

/** Answers milliseconds an item. */
async function run(n) {
  const began = performance.now();
  const started = await engine.startProcess({ source }, { input: { n }, awaited: true });
  let isOver = false;
  const work = async (worker) => {
    while (!isOver) {
      const tasks = await queue.claim({
        queues: ['default'],
        limit: 25,
        worker,
        leaseMs: 60_000,
        waitMs: 200,
      });
      await Promise.all(
        tasks.map((task) =>
          queue.settle({ ...decodeToken(task.token, task.id), kind: 'completed', output: 'sent' }),
        ),
      );
    }
  };
  const workers = ['a', 'b', 'c', 'd'].map(work);
  const { state } = await started.waitForEnd({ waitMs: 600_000 });
  const took = performance.now() - began;
  isOver = true;
  await Promise.all(workers);
  if (state !== 'completed') throw new Error(`the process is ${state}`);
  return took / n;
}

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const made = sizes.map((n) => ({ n, costs: [] }));
for (let round = 0; round <= rounds; round += 1) {
  for (const { n, costs } of made) {
    const cost = await run(n);
    // The first is for nothing: files grow, plans and caches warm up.
    if (round > 0) costs.push(cost);
  }
}
console.log(`ms an item of one each, concurrency 50; Node ${process.version}, ${rounds} rounds`);
for (const { n, costs } of made) {
  const shown = costs.map((cost) => cost.toFixed(3)).join(' ');
  const ratio = median(costs) / median(made[0].costs);
  console.log(
    `  ${String(n).padEnd(7)} ${shown}   median ${median(costs).toFixed(3)}, ${ratio.toFixed(2)} of ${sizes[0]}`,
  );
}
await thinking.stop();
await queue.close();
await db.close();
await admin.query(`drop database ${name} with (force)`);
await admin.end();
