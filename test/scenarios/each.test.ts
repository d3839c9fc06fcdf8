/** An `each` over ten thousand items, on workers of which one is killed in the middle. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished } from 'vitest';
import { type TestDatabase, test } from '../support/database.ts';
import { freeze, until } from '../support/program.ts';
import { makeFolder, startServer, startWorker } from './support/scene.ts';

const fixture = path.join(import.meta.dirname, 'fixtures/counting-worker.mjs');
const library = path.resolve(import.meta.dirname, '../../dist/index.js');

const many = 10_000;
const bundles = 100;

/** The items do next to nothing, each in its own claim; the bundles are real OS processes. */
const source = `
name: many
tasks:
  - name: Count
    each: range(${many}).map(n, n + 7)
    concurrency: 50
    queue: counted
    command: count
    env: { ITEM: "\${{ item }}", PLACE: "\${{ index }}" }
  - name: Join
    needs: [Count]
    run: |
      node -e '
        const list = require(process.env.SKIPJACK_INPUT).needs.Count;
        const size = list.length / ${bundles};
        const bundles = Array.from({ length: ${bundles} }, (_, n) => list.slice(n * size, (n + 1) * size));
        const sum = list.reduce((one, other) => one + other, 0);
        console.log(JSON.stringify({ length: list.length, sum, bundles }));
      ' > "$SKIPJACK_OUTPUT"
  - name: Bundle
    needs: [Join]
    each: tasks.Join.output.bundles
    concurrency: 10
    run: echo "$FIRST $LAST"
    env: { FIRST: "\${{ item[0] }}", LAST: "\${{ item[size(item) - 1] }}" }
output:
  counted: \${{ tasks.Count.output }}
  sum: \${{ tasks.Join.output.sum }}
  bundles: \${{ tasks.Bundle.output }}
`;

async function startCounting(databaseUrl: string, name: string, file: string): Promise<ChildProcess> {
  const url = new URL(databaseUrl);
  url.searchParams.set('application_name', name);
  const child = spawn(process.execPath, [fixture, library, url.href, name, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => kill(child));
  await once(child.stdout, 'data');
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

/** How often each item was begun: by its value. */
function readEffects(file: string): Map<number, number> {
  const counts = new Map<number, number>();
  for (const line of readFileSync(file, 'utf8').trimEnd().split('\n')) {
    const item = Number(line.split(' ')[0]);
    counts.set(item, (counts.get(item) ?? 0) + 1);
  }
  return counts;
}

async function unendedOf({ sql }: TestDatabase): Promise<number> {
  const [list] = await sql<{ unended: number }>('select unended from skipjack.item_lists where ordinal = 1');
  return list?.unended ?? many;
}

test('ten thousand items, a join and more items: one list in order, and nothing twice in the record', async ({
  database,
}) => {
  const { sql, url } = database;
  const folder = makeFolder();
  const file = path.join(folder, 'effects');
  const server = await startServer(url);
  await startWorker([], { DATABASE_URL: url });
  const [, doomed] = await Promise.all([
    startCounting(url, 'survivor', file),
    startCounting(url, 'doomed', file),
  ]);

  const startedAt = performance.now();
  const { id } = await server.client.startProcess({ source });
  await until('half of the items have ended', async () => (await unendedOf(database)) < many / 2, 120_000);
  await until('some are under way at the worker to be killed', async () => {
    await freeze(doomed, { sql, application: 'doomed' });
    const held = await sql(`select from skipjack.queue_items where worker like 'doomed%' limit 5`);
    if (held.length < 5) doomed.kill('SIGCONT');
    return held.length === 5;
  });
  const left = await unendedOf(database);
  await kill(doomed);
  // As if its time had passed: what the others hold stays their own, however slow the machine is.
  await sql(
    `update skipjack.queue_items set lease_expires_at = clock_timestamp() where worker ~ '^doomed-[0-9]'`,
  );
  const [most] = await sql<{ active: number }>(
    `select count(*)::integer as active from skipjack.tasks where item_of = 1 and state = 'active'`,
  );
  expect(most?.active).toBeLessThanOrEqual(50);
  await startCounting(url, 'doomed-again', file);
  const ended = await server.client.waitForProcess(id, { waitMs: 180_000 });
  const tookMs = performance.now() - startedAt;

  const values = Array.from({ length: many }, (_, place) => place + 7);
  expect(ended.state, JSON.stringify(ended.last_error)).toBe('completed');
  const output = ended.output as { counted: number[]; sum: number; bundles: string[] };
  expect(output.counted).toEqual(values);
  expect(output.sum).toBe(values.reduce((one, other) => one + other, 0));
  const size = many / bundles;
  expect(output.bundles).toEqual(
    Array.from({ length: bundles }, (_, n) => `${values[n * size]} ${values[(n + 1) * size - 1]}`),
  );

  const items = await sql<{ item: number; claim_no: number; attempts: number; worker: string }>(
    `select (task.item)::integer as item, task.claim_no, task.worker,
       (select count(*)::integer from skipjack.attempts where task_id = task.id) as attempts
     from skipjack.tasks as task
     where task.item_of = 1 and task.state = 'completed' and task.output = task.item
     order by task.item_index`,
  );
  expect(items.map(({ item }) => item)).toEqual(values);
  // Tasks: the three of the definition, and the items.
  expect(ended).toMatchObject({ tasks: 3 + many + bundles, unfinished: 0 });
  expect(ended.counts).toMatchObject({ completed: 3 + many + bundles });

  // A second claim of an item has one reason only: the worker that held it was killed.
  const again = items.filter(({ claim_no }) => claim_no > 1);
  const effects = readEffects(file);
  expect(effects.size).toBe(many);
  for (const { item, claim_no, attempts } of items) {
    const begun = effects.get(item) ?? 0;
    expect([item, begun >= 1, begun <= claim_no, attempts < claim_no]).toEqual([item, true, true, true]);
  }
  const lost = await sql<{ outcome: string; worker: string }>(
    'select outcome, worker from skipjack.attempts',
  );
  for (const attempt of lost)
    expect(attempt).toEqual({ outcome: 'lost', worker: expect.stringMatching(/^doomed-\d/) });
  expect(again.length).toBeGreaterThanOrEqual(lost.length);
  expect(again.length).toBeGreaterThan(0);
  expect(await sql('select from skipjack.dead_letters')).toEqual([]);
  const begun = [...effects.values()].reduce((one, other) => one + other, 0);
  console.log(
    `${many} items and ${bundles} bundles in ${Math.round(tookMs)} ms; killed with ${left} items to go; ` +
      `${again.length} claimed again, ${lost.length} of them lost attempts; begun ${begun} times`,
  );
}, 300_000);
