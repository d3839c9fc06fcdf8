/** People and services end tasks of a process by their names. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Json } from '../../../src/core/json.ts';
import { cancelProcess } from '../../../src/queue/processes/cancel.ts';
import { endTaskByName } from '../../../src/queue/processes/end-by-name.ts';
import { setProcessPaused } from '../../../src/queue/processes/pause.ts';
import { retryProcess } from '../../../src/queue/processes/retry.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import {
  claimNamed,
  failure,
  lettersOf,
  processOf,
  run,
  start,
  stateOf,
  statesOf,
  taskIdOf,
} from '../../support/processes.ts';
import { claim, complete } from '../../support/tasks.ts';

function completeNamed(
  { db }: TestDatabase,
  id: string,
  name: string,
  output: Json = null,
  by: string | null = null,
) {
  return endTaskByName(db, id, name, { kind: 'completed', output }, { by });
}
function failNamed({ db }: TestDatabase, id: string, name: string, error = failure) {
  return endTaskByName(db, id, name, { kind: 'failed', error });
}

test('completing a task by its name goes on with what needs it, and says who did it', async ({
  database,
}) => {
  const id = await start(database, { a: [], b: ['a'] });
  const taskId = await taskIdOf(database, id, 'a');
  expect(await completeNamed(database, id, 'a', { ok: true }, 'Ann')).toEqual({
    kind: 'ended',
    taskId,
    repeated: false,
  });
  const [task] = await claim(database);
  expect(task).toMatchObject({ name: 'b', needs: { a: { ok: true } } });
  const events = await database.sql('select event, by, task_id from skipjack.process_events');
  expect(events).toEqual([{ event: 'completed_by_name', by: 'Ann', task_id: taskId }]);
  const history = await database.sql(
    `select event, task, by from skipjack.process_history where process_id = $1 and task = 'a' order by at, step`,
    [id],
  );
  expect(history.map((row) => row.event).sort()).toEqual([
    'task_completed',
    'task_completed_by_name',
    'task_started',
  ]);
});

test('failing one by its name is final, whatever its retry policy, and fails the process', async ({
  database,
}) => {
  const id = await start(database, { a: { attempts: 5 }, b: ['a'] });
  expect(await failNamed(database, id, 'a')).toMatchObject({ kind: 'ended', repeated: false });
  expect(await statesOf(database, id)).toEqual({ a: 'failed', b: 'cancelled' });
  expect(await stateOf(database, id)).toBe('failed');
  expect(await lettersOf(database, id)).toEqual(['a']);
  expect(await failNamed(database, id, 'a')).toMatchObject({ kind: 'ended', repeated: true });
  await retryProcess(database.db, id);
  expect(await failNamed(database, id, 'a')).toMatchObject({ kind: 'ended', repeated: false });
});

test('a task is also found by its place; one that is called "2" comes before the second', async ({
  database,
}) => {
  const graph = { first: [], second: [], third: [] };
  const id = await start(database, graph);
  await completeNamed(database, id, '2');
  expect(await statesOf(database, id)).toMatchObject({
    first: 'waiting',
    second: 'completed',
    third: 'waiting',
  });
  // JavaScript puts a key that is a number first; its place is 1.
  const other = await start(database, { ...graph, 2: [] });
  await completeNamed(database, other, '2');
  expect(await statesOf(database, other)).toMatchObject({ '2': 'completed', first: 'waiting' });
  await completeNamed(database, other, '3');
  expect(await statesOf(database, other)).toMatchObject({ second: 'completed', first: 'waiting' });
  for (const unknown of ['0', '5', '03', '1.0', ' first', 'FIRST', '99999999999', ''])
    expect(await completeNamed(database, other, unknown), unknown).toMatchObject({ kind: 'no_such_task' });
  const answer = await completeNamed(database, other, 'forth');
  expect(answer).toEqual({ kind: 'no_such_task', names: ['first', 'third', '2', 'second'] });
});

test('the same call again is told the same, another call that it is too late', async ({ database }) => {
  const outputs: Json[] = [
    null,
    0,
    -0,
    1e300,
    0.1,
    '',
    'Zoë 🐟',
    [],
    {},
    { b: 1, a: [null, { c: 2 }] },
    2 ** 64,
  ];
  const names = outputs.map((_, index) => `t${index}`);
  const id = await start(database, Object.fromEntries(names.map((name) => [name, []])));
  for (const [index, name] of names.entries()) {
    const output = outputs[index] as Json;
    const first = await completeNamed(database, id, name, output, 'Ann');
    const told = { ...first, repeated: true };
    expect(await completeNamed(database, id, name, output, 'Ann'), JSON.stringify(output)).toEqual(told);
    const late = { kind: 'already_settled', taskId: await taskIdOf(database, id, name), state: 'completed' };
    expect(await completeNamed(database, id, name, ['other'], 'Ann')).toEqual(late);
    expect(await completeNamed(database, id, name, output, 'Bob')).toEqual(late);
    expect(await failNamed(database, id, name)).toEqual(late);
  }
  expect(await completeNamed(database, id, 't9', { a: [null, { c: 2 }], b: 1 }, 'Ann')).toMatchObject({
    repeated: true,
  });
  expect(await database.sql('select from skipjack.process_events')).toHaveLength(names.length);
});

test('a task whose needs have not ended is refused with their names', async ({ database }) => {
  const id = await start(database, { a: [], b: [], c: ['a'], d: ['b', 'c'] });
  const refused = { kind: 'pending', taskId: await taskIdOf(database, id, 'd') };
  expect(await completeNamed(database, id, 'd')).toEqual({ ...refused, needs: ['b', 'c'] });
  await completeNamed(database, id, 'b');
  expect(await completeNamed(database, id, 'd')).toEqual({ ...refused, needs: ['c'] });
});

test('a task in the hands of a worker is refused with its name; after the worker it is too late', async ({
  database,
}) => {
  const id = await start(database, { a: [] });
  const task = await claimNamed(database, id, 'a', 'worker 7');
  expect(await completeNamed(database, id, 'a')).toEqual({
    kind: 'already_claimed',
    taskId: task.id,
    worker: 'worker 7',
    leaseExpiresAt: expect.stringMatching(/^\d{4}-.*Z$/),
  });
  await complete(database, task, 'by the worker');
  expect(await completeNamed(database, id, 'a', 'by the worker')).toMatchObject({ kind: 'already_settled' });
});

test('a task that waits for its next try, or whose process is paused, may be ended all the same', async ({
  database,
}) => {
  const id = await start(database, { a: { attempts: 2 }, b: [] });
  await run(database, id, 'a', { kind: 'failed', error: failure });
  await setProcessPaused(database.db, id, true);
  expect(await completeNamed(database, id, 'a')).toMatchObject({ kind: 'ended' });
  expect(await completeNamed(database, id, 'b')).toMatchObject({ kind: 'ended' });
  expect(await processOf(database, id)).toMatchObject({ state: 'completed', paused: true });
});

test('what a cancelled process, another revision or no process says', async ({ database }) => {
  const id = await start(database, { a: [] });
  const stale = endTaskByName(database.db, id, 'a', { kind: 'completed', output: 1 }, { ifRevision: 99 });
  await expect(stale).rejects.toMatchObject({ code: 'precondition_failed' });
  await cancelProcess(database.db, id);
  expect(await completeNamed(database, id, 'a')).toMatchObject({
    kind: 'already_settled',
    state: 'cancelled',
  });
  expect(await completeNamed(database, newId(), 'a')).toEqual({ kind: 'not_found' });
});
