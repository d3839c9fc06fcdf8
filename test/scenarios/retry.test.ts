/** A failed process goes on from what failed, as people ask for it: by `skipjack retry`, with real OS processes. */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect } from 'vitest';
import { skipjack } from '../cli/support/cli.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { startProgram, until } from '../support/program.ts';
import { makeFolder, startServer } from './support/scene.ts';

const bill = `
name: bill
tasks:
  - { name: Sum, run: "echo Sum >> bills; echo 42" }
  - { name: Send, needs: [Sum], run: "echo Send >> bills; test -e stamps" }
output: \${{ tasks.Sum.output }}
`;

const shipping = `
name: shipping
fail_fast: false
tasks:
  - name: Pack
    each: range(20)
    max_failures: 2
    run: ./pack "$ITEM"
    env: { ITEM: "\${{ item }}" }
    input: { box: small }
  - name: Label
    run: |
      echo Label >> labels
      size=$(node -p 'require(process.env.SKIPJACK_INPUT).input.size')
      test "$size" -le 5
      echo "size $size"
    input: { size: 7 }
  - { name: Bill, process: bill }
  - name: Ship
    needs: [Pack, Label, Bill]
    run: echo Ship >> ships
output:
  boxes: \${{ tasks.Pack.output }}
  label: \${{ tasks.Label.output }}
  bill: \${{ tasks.Bill.output }}
`;

const large = [4, 11, 17];

/** What is too large for its box fails, when all others have completed: nothing is under way that could be cancelled. */
const pack = `#!/bin/sh -e
echo "$1" >> begun
case "$1" in
  ${large.join('|')})
    box=$(node -p 'require(process.env.SKIPJACK_INPUT).input.box')
    if [ "$box" = small ]; then
      while [ ! -e others ]; do sleep 0.05; done
      echo "$1 is too large" >&2
      exit 1
    fi ;;
esac
echo "$1" >> packed
echo "box \${box:-small} with $1"
`;

async function setScene(database: TestDatabase) {
  const folder = makeFolder();
  const inFolder = (name: string) => path.join(folder, name);
  writeFileSync(inFolder('pack'), pack);
  chmodSync(inFolder('pack'), 0o755);
  const server = await startServer(database.url);
  for (const name of ['one', 'other']) {
    const worker = startProgram(['worker', '--name', name], { DATABASE_URL: database.url }, { cwd: folder });
    await worker.untilSays('worker started');
  }
  await server.client.publishDefinition('bill', bill);
  await server.client.publishDefinition('shipping', shipping);
  const { client } = server;
  return {
    client,
    inFolder,
    /** Lines that tasks have written, in the order of the alphabet. */
    linesOf: (name: string) =>
      existsSync(inFolder(name))
        ? readFileSync(inFolder(name), 'utf8').split('\n').slice(0, -1).toSorted()
        : [],
    run: async (...args: string[]) => skipjack([...args, '--server', server.url]),
    endOf: async (id: string) => client.waitForProcess(id, { waitMs: 120_000 }),
    tasksOf: async (id: string) => (await client.listProcessTasks(id, { limit: 500 })).tasks,
  };
}

test('completed items and tasks are not run again, and a sub-process is retried, not started anew', async ({
  database,
}) => {
  const { client, inFolder, linesOf, run, endOf, tasksOf } = await setScene(database);
  const { id } = await client.startProcess({ definition: 'shipping' });
  const numbers = (items: number[]) => items.map(String).toSorted();
  const all = Array.from({ length: 20 }, (_, index) => index);
  const itemsThat = async (are: string) =>
    (await tasksOf(id)).filter(({ item_of, state }) => item_of !== null && state === are);
  const failedItems = () => itemsThat('failed');

  await until('all others are packed', async () => (await itemsThat('completed')).length === 17);
  writeFileSync(inFolder('others'), '');
  expect(await endOf(id)).toMatchObject({ state: 'failed', counts: { completed: 17, failed: 6 } });
  expect((await failedItems()).map(({ item_index }) => item_index)).toEqual(large);
  expect(linesOf('begun')).toEqual(numbers(all));
  expect(linesOf('bills')).toEqual(['Send', 'Sum']);
  const children = async () => (await client.listProcesses({ parentProcessId: id })).processes;
  const [child, ...others] = await children();
  expect([child?.state, others]).toEqual(['failed', []]);
  // It has somebody who waits for it: that is to be retried.
  const alone = await run('retry', child?.id ?? '');
  expect([alone.code, alone.stderr.includes(id)], alone.stderr).toEqual([4, true]);

  writeFileSync(inFolder('stamps'), '');
  const again = await run('retry', id);
  expect([again.code, again.stdout], again.stderr).toEqual([
    0,
    'The process is running again, with "Pack", "Label", "Bill".\n',
  ]);
  expect((await endOf(id)).state).toBe('failed');
  // The same three, and nothing else of the list.
  expect(linesOf('begun')).toEqual(numbers([...all, ...large]));
  expect((await failedItems()).map(({ item_index }) => item_index)).toEqual(large);
  expect(linesOf('labels')).toHaveLength(2);
  expect(linesOf('bills')).toEqual(['Send', 'Send', 'Sum']);
  expect((await children()).map((each) => [each.id, each.state])).toEqual([[child?.id, 'completed']]);
  expect(linesOf('ships')).toEqual([]);

  const inputs = [...large.map((item) => `Pack[${item}]={"box": "large"}`), 'Label={"size": 3}'];
  const wrong = await run('retry', id, '--input-of', 'Bill={"amount": 1}');
  expect([wrong.code, wrong.stderr.includes('"Label"')], wrong.stderr).toEqual([5, true]);
  const last = await run('retry', id, ...inputs.flatMap((input) => ['--input-of', input]));
  expect([last.code, last.stdout], last.stderr).toEqual([
    0,
    'The process is running again, with "Pack", "Label".\n',
  ]);
  expect(await endOf(id)).toMatchObject({
    state: 'completed',
    output: {
      boxes: all.map((item) => `box ${large.includes(item) ? 'large' : 'small'} with ${item}`),
      label: 'size 3',
      bill: '42',
    },
    tasks: 24,
    unfinished: 0,
  });
  expect(linesOf('begun')).toEqual(numbers([...all, ...large, ...large]));
  expect(linesOf('packed')).toEqual(numbers(all));
  expect(linesOf('bills')).toEqual(['Send', 'Send', 'Sum']);
  expect(linesOf('ships')).toEqual(['Ship']);
  const { events } = await client.listProcessEvents(id, { limit: 500 });
  expect(events.filter(({ event }) => event === 'process_retried')).toHaveLength(2);
}, 180_000);

const piece = `
name: piece
input: { n: { type: integer, required: true } }
tasks:
  - name: Cut
    run: echo "$N" >> cut
    env: { N: "\${{ input.n }}" }
  - name: Glue
    needs: [Cut]
    run: |
      echo "$N" >> glued
      case "$N" in
        2|5|9)
          while [ ! -e others ]; do sleep 0.05; done
          test -e glue ;;
      esac
      echo "$N" >> dry
    env: { N: "\${{ input.n }}" }
output: { piece: "\${{ input.n }}" }
`;

const pieces = `
name: pieces
tasks:
  - name: Make
    each: range(12)
    concurrency: 4
    max_failures: 2
    process: { definition: piece, input: { n: "\${{ item }}" } }
  - { name: Put together, needs: [Make], run: "echo $PIECES", env: { PIECES: "\${{ size(tasks.Make.output) }}" } }
output: \${{ tasks.Make.output }}
`;

test('of items that are processes, those that failed go on where they had come to', async ({ database }) => {
  const { client, inFolder, linesOf, run, endOf, tasksOf } = await setScene(database);
  await client.publishDefinition('piece', piece);
  const { id } = await client.startProcess({ source: pieces });
  const children = async () =>
    (await client.listProcesses({ parentProcessId: id }, { limit: 500 })).processes;
  // Of the list too: what fails then is the last that is under way.
  const made = async () =>
    (await tasksOf(id)).filter(({ item_of, state }) => item_of !== null && state === 'completed');
  await until('all others are made', async () => (await made()).length === 9);
  writeFileSync(inFolder('others'), '');
  expect((await endOf(id)).state).toBe('failed');
  const before = await children();
  expect(before.filter(({ state }) => state === 'failed')).toHaveLength(3);
  expect(before.filter(({ state }) => state === 'completed')).toHaveLength(9);

  writeFileSync(inFolder('glue'), '');
  const again = await run('retry', id);
  expect(again.code, again.stderr).toBe(0);
  const all = Array.from({ length: 12 }, (_, n) => n);
  expect(await endOf(id)).toMatchObject({
    state: 'completed',
    output: all.map((n) => ({ piece: n })),
    counts: { completed: 14, failed: 0, cancelled: 0, pending: 0 },
  });
  const after = await children();
  expect(after.map((child) => child.id)).toEqual(before.map((child) => child.id));
  expect(linesOf('cut')).toEqual(all.map(String).toSorted());
  expect(linesOf('glued')).toEqual([...all, 2, 5, 9].map(String).toSorted());
  expect(linesOf('dry')).toEqual(all.map(String).toSorted());
  expect((await tasksOf(id)).every(({ state }) => state === 'completed')).toBe(true);
}, 120_000);
