/** A process of forks and joins, in one OS process and in many of which some are killed in the middle. */
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import pg from 'pg';
import { expect, onTestFinished } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import type { Process } from '../../src/client/views.ts';
import type { Json } from '../../src/core/json.ts';
import { skipjack } from '../cli/support/cli.ts';
import { makeDirectory } from '../database/fixtures/embedded-scene.ts';
import { createDatabase, expectSound, type TestDatabase, test } from '../support/database.ts';
import { startProgram, until } from '../support/program.ts';
import { startServer } from './support/scene.ts';

/** Needs by name: a source, a fork of six, a second layer over pairs of it, a join, a fork of eight, pairs, an end. */
function makeGraph(): Record<string, string[]> {
  const graph: Record<string, string[]> = { Source: [] };
  const layer = (name: string, count: number, needsOf: (index: number) => string[]) => {
    for (let index = 0; index < count; index += 1) graph[`${name}${index}`] = needsOf(index);
  };
  layer('Split ', 6, () => ['Source']);
  layer('Pair ', 6, (index) => [`Split ${index}`, `Split ${(index + 1) % 6}`]);
  graph.Join = Array.from({ length: 6 }, (_, index) => `Pair ${index}`);
  layer('Spread ', 8, () => ['Join']);
  layer('Gather ', 6, (index) => [`Spread ${index}`, `Spread ${index + 2}`, 'Source']);
  graph.End = Array.from({ length: 6 }, (_, index) => `Gather ${index}`);
  return graph;
}

const graph = makeGraph();
const names = Object.keys(graph);

/**
 * Each task adds what its needs have found to its own number: whatever is left out or done twice shows. The second fork
 * waits for the file `go`.
 */
function makeDefinition(go: string): string {
  const tasks = names.map((name, index) => ({
    name,
    needs: graph[name],
    env: { OWN: String(index + 1), GO: name.startsWith('Spread') ? go : '' },
    run: `sleep 0.${3 + (index % 3)}
while [ -n "$GO" ] && [ ! -e "$GO" ]; do sleep 0.05; done
node -e '
  const { needs, process: { input } } = require(process.env.SKIPJACK_INPUT);
  const sum = Object.values(needs).reduce((total, need) => total + need.sum, Number(process.env.OWN));
  console.log(JSON.stringify({ sum: sum % input.modulus, needs: Object.keys(needs).sort() }));
' > "$SKIPJACK_OUTPUT"`,
  }));
  const input = { modulus: { type: 'integer', default: 1_000_007 } };
  return JSON.stringify({ name: 'forks-and-joins', input, tasks }, null, 2);
}

/** What the tasks compute, computed here. */
function expectedOutputs(): Record<string, Json> {
  const outputs: Record<string, { sum: number; needs: string[] }> = {};
  for (const [index, name] of names.entries()) {
    const needs = (graph[name] ?? []).toSorted();
    const sum = needs.reduce((total, need) => total + (outputs[need]?.sum ?? 0), index + 1);
    outputs[name] = { sum: sum % 1_000_007, needs };
  }
  return outputs;
}

async function startByCli(server: string, file: string): Promise<string> {
  const { code, stdout, stderr } = await skipjack(['start', '-f', file, '--server', server]);
  expect(code, stderr).toBe(0);
  return stdout.trim();
}

/** What the two runs must have in common. */
async function resultOf(client: Client, id: string) {
  const { state, input, output, counts } = await client.getProcess(id);
  const { tasks } = await client.listProcessTasks(id, { limit: 500 });
  const read = await Promise.all(tasks.map((task) => client.getTask(task.id)));
  return {
    process: { state, input, output, counts },
    tasks: read.map((task) => ({
      name: task.name,
      state: task.state,
      output: task.output,
      needs: task.needs,
    })),
  };
}

async function runUnderDev(file: string) {
  const { url, drop } = await createDatabase();
  onTestFinished(drop);
  const dev = startProgram(['dev', '--port', '0'], { DATABASE_URL: url });
  const server = JSON.parse(await dev.untilSays('ready')).url as string;
  const client = createClient({ url: server });
  const id = await startByCli(server, file);
  await client.waitForProcess(id, { waitMs: 120_000 });
  const result = await resultOf(client, id);
  await dev.kill('SIGTERM');
  const audit = new pg.Client({ connectionString: url });
  await audit.connect();
  await expectSound(audit);
  await audit.end();
  return result;
}

test('the same file gives the same on dev, and on a server and two workers of which a worker and the server are killed', async ({
  database,
}) => {
  expect(names).toHaveLength(29);
  const folder = await makeDirectory();
  const file = path.join(folder, 'forks-and-joins.json');
  const go = path.join(folder, 'go');
  await writeFile(file, makeDefinition(go));
  await writeFile(go, '');
  const undisturbed = await runUnderDev(file);
  await rm(go);

  const server = await startServer(database.url);
  const { client, url } = server;
  const flags = ['--concurrency', '4', '--lease', '1m'];
  const doomed = startProgram(['worker', '--name', 'doomed', ...flags], { DATABASE_URL: database.url });
  // Over HTTP: it loses its server, and with it every answer that is on its way. What it holds outlasts that.
  startProgram(['worker', '--name', 'survivor', ...flags], { SKIPJACK_URL: url });
  await doomed.untilSays('worker started');
  const id = await startByCli(url, file);

  await untilInTheMiddle(database);
  await Promise.all([doomed.kill('SIGKILL'), server.program.kill('SIGKILL')]);
  const held = await database.sql<{ task_id: string }>(
    `select task_id from skipjack.queue_items where worker like 'doomed%' and started_at is not null`,
  );
  const [left] = await database.sql<{ unfinished: number; state: string }>(
    'select unfinished, state from skipjack.processes where id = $1',
    [id],
  );
  expect(left).toMatchObject({ state: 'running' });
  expect(left?.unfinished).toBeGreaterThan(0);
  // As if its time had passed.
  await database.sql(
    `update skipjack.queue_items set lease_expires_at = clock_timestamp() where worker like 'doomed%'`,
  );
  await writeFile(go, '');
  await server.restart();
  const ended: Process = await client.waitForProcess(id, { waitMs: 120_000 });
  expect(ended.state).toBe('completed');

  const outputs = expectedOutputs();
  const disturbed = await resultOf(client, id);
  expect(disturbed).toEqual(undisturbed);
  expect(disturbed.process.output).toEqual({ End: outputs.End });
  expect(disturbed.tasks.map(({ name, output }) => [name, output])).toEqual(Object.entries(outputs));
  // The kill was in the middle: what the dead worker ran was lost there, and done elsewhere.
  const lost = await database.sql<{ task_id: string; outcome: string; worker: string }>(
    'select task_id, outcome, worker from skipjack.attempts',
  );
  expect(held.length).toBeGreaterThan(0);
  expect(lost.map((attempt) => attempt.task_id).sort()).toEqual(held.map((item) => item.task_id).sort());
  for (const attempt of lost)
    expect(attempt).toMatchObject({ outcome: 'lost', worker: expect.stringMatching(/^doomed/) });
  console.log(
    `killed with ${left?.unfinished} of ${names.length} tasks to go, ${lost.length} of them running there`,
  );
}, 300_000);

/** Resolves when the second fork runs, half of it on each worker: nothing else is under way. */
async function untilInTheMiddle({ sql }: Pick<TestDatabase, 'sql'>): Promise<void> {
  await until('the process is in the middle, on both workers', async () => {
    const [row] = await sql<{ running: number }>(
      `select count(*)::integer as running
       from skipjack.queue_items as item join skipjack.tasks as task on task.id = item.task_id
       where task.name like 'Spread%' and item.started_at is not null`,
    );
    return row?.running === 8;
  });
}
