/**
 * What do expressions cost? Drains chains of ten, all under way together: without an expression, with one over the
 * input in each task's `env`, and with one over the output of the task before; several rounds each, alternating.
 *
 *   npm run build && DATABASE_URL=postgres://… node bench/expressions.mjs
 *
 * Makes a database of its own (skipjack_bench_expressions) on that server and drops it.
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
const chains = 500;
const length = 10;

/** `env` of task n, from 0. */
const shapes = {
  without: () => ({ WHO: 'Ann', N: '5' }),
  input: () => ({ WHO: '${{ input.who }}', N: '5' }),
  output: (n) => ({ WHO: n === 0 ? 'Ann' : `\${{ tasks["task ${n - 1}"].output }}`, N: '5' }),
};

function toPlan(env) {
  const tasks = Array.from({ length }, (_, n) => ({
    name: `task ${n}`,
    queue: 'default',
    priority: 5,
    spec: { type: 'run', run: 'true', env: env(n) },
    input: null,
    labels: null,
    retry: null,
    timeout_ms: null,
    continue_on_error: false,
    needs: n === 0 ? [] : [n],
    dependents: n === length - 1 ? [] : [n + 2],
  }));
  return { name: null, fail_fast: true, input: null, tasks };
}

const adminUrl = process.env.DATABASE_URL;
if (!adminUrl) throw new Error('set DATABASE_URL to a Postgres whose user may create databases');
const admin = new pg.Client({ connectionString: adminUrl });
await admin.connect();
const name = 'skipjack_bench_expressions';
await admin.query(`drop database if exists ${name} with (force)`);
await admin.query(`create database ${name}`);
const url = new URL(adminUrl);
url.pathname = `/${name}`;
await migrateDatabase(url.href);
const db = openDatabase({ url: url.href });
const queue = openQueue(db);

async function drain(definitionId) {
  const processes = Array.from({ length: chains }, () => ({
    id: newId(),
    definition: null,
    version: null,
    definition_id: definitionId,
    input: { who: 'Ann' },
    idempotency_key: null,
  }));
  await startProcesses(db, processes);
  let left = chains * length;
  const began = performance.now();
  const work = async (worker) => {
    while (left > 0) {
      const tasks = await queue.claim({ queues: ['default'], limit: 50, worker, leaseMs: 60_000, waitMs: 0 });
      left -= tasks.length;
      await Promise.all(
        tasks.map((task) =>
          queue.settle({ ...decodeToken(task.token, task.id), kind: 'completed', output: 'hello' }),
        ),
      );
    }
  };
  await Promise.all(['a', 'b', 'c', 'd'].map(work));
  return (chains * length * 1_000) / (performance.now() - began);
}

const median = (values) => values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)];
const made = [];
for (const [title, env] of Object.entries(shapes)) {
  const plan = toPlan(env);
  made.push({ title, rates: [], id: (await publishDefinition(db, title, { source: title, plan })).id });
}
for (let round = 0; round <= rounds; round += 1) {
  for (const { id, rates } of made) {
    const rate = await drain(id);
    // The first is for nothing: files grow, plans and caches warm up.
    if (round > 0) rates.push(rate);
  }
}
console.log(`tasks/s of ${chains} chains of ${length}; Node ${process.version}, ${rounds} rounds`);
for (const { title, rates } of made) {
  const shown = rates.map((rate) => rate.toFixed(0)).join(' ');
  const ratio = median(rates) / median(made[0].rates);
  console.log(
    `  ${title.padEnd(8)} ${shown}   median ${median(rates).toFixed(0)}, ${ratio.toFixed(2)} of without`,
  );
}
await queue.close();
await db.close();
await admin.query(`drop database ${name} with (force)`);
await admin.end();
