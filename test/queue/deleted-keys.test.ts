/** A key that is used again at the moment in which its old task is deleted: whatever is answered exists. */
import type pg from 'pg';
import { expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { deleteTask } from '../../src/queue/delete.ts';
import { enqueueKeyedTasks } from '../../src/queue/enqueue.ts';
import { readTask } from '../../src/queue/read-tasks.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimOne, complete, enqueue, untilBlocked } from '../support/tasks.ts';
import { waitLongIn } from './support/patience.ts';

/** Stops everybody who has inserted keys, before they look at what is there, until the holder commits. */
async function stopAfterInsertingKeys({ sql, connect }: TestDatabase): Promise<pg.Client> {
  await sql(`create function stop() returns trigger language plpgsql as
    $$ begin perform pg_advisory_xact_lock_shared(1); return null; end $$`);
  await sql(
    'create trigger stop after insert on skipjack.idempotency_keys for each statement execute function stop()',
  );
  const holder = await connect();
  await holder.query('begin');
  await holder.query('select pg_advisory_xact_lock(1)');
  return holder;
}

async function completedTask(database: TestDatabase, key: string): Promise<string> {
  const id = await enqueue(database, { idempotency_key: key });
  await complete(database, await claimOne(database));
  return id;
}

test('skipjack.enqueue makes the task anew, and answers the id of one that exists', async ({ database }) => {
  const old = await completedTask(database, 'a');
  const holder = await stopAfterInsertingKeys(database);
  const client = await database.connect();
  const enqueueing = client.query(
    `select skipjack.enqueue('{"command": "true", "idempotency_key": "a"}') as id`,
  );
  await untilBlocked(database);
  expect(await deleteTask(database.db, old)).toEqual({ kind: 'deleted' });
  await holder.query('commit');
  const [{ id }] = (await enqueueing).rows;
  expect(id).not.toBe(old);
  expect(await readTask(database.db, id)).toMatchObject({ state: 'ready' });
});

test('a task alone is made anew without being sent again', async ({ database }) => {
  await waitLongIn(database, 'enqueue_tasks(jsonb)');
  const old = await completedTask(database, 'a');
  const holder = await stopAfterInsertingKeys(database);
  const task = parseTaskInput({ command: 'true', idempotency_key: 'a' });
  const enqueueing = enqueueKeyedTasks(database.db, [task]);
  await untilBlocked(database);
  await deleteTask(database.db, old);
  await holder.query('commit');
  expect(await enqueueing).toEqual([{ kind: 'created', id: task.id }]);
  expect(await readTask(database.db, task.id)).toMatchObject({ state: 'ready' });
});

test('a batch in which one key’s task is deleted meanwhile starts again, and loses none', async ({
  database,
}) => {
  await waitLongIn(database, 'enqueue_tasks(jsonb)');
  const old = await completedTask(database, 'a');
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query(
    `insert into skipjack.idempotency_keys values ('task', 'b', $1, 'another', clock_timestamp())`,
    [newId()],
  );
  const tasks = ['a', 'b'].map((key) => parseTaskInput({ command: 'true', idempotency_key: key }));
  const enqueueing = Promise.all(tasks.map((task) => database.queue.enqueue(task)));
  await untilBlocked(database);
  await deleteTask(database.db, old);
  await holder.query('rollback');
  expect(await enqueueing).toEqual(tasks.map(({ id }) => ({ kind: 'created', id })));
  for (const { id } of tasks) expect(await readTask(database.db, id)).toMatchObject({ state: 'ready' });
});

test('two batches that both find a key gone do not wait for each other in a ring', async ({ database }) => {
  await waitLongIn(database, 'enqueue_tasks(jsonb)');
  const old = await completedTask(database, 'a');
  const holder = await stopAfterInsertingKeys(database);
  const batch = () => ['a', 'b'].map((key) => parseTaskInput({ command: 'true', idempotency_key: key }));
  // The first has key b in hand and finds a gone; the second takes a, then waits for b.
  const first = expect(enqueueKeyedTasks(database.db, batch())).rejects.toMatchObject({ code: '40001' });
  await untilBlocked(database);
  await deleteTask(database.db, old);
  const other = batch();
  const second = enqueueKeyedTasks(database.db, other);
  await untilBlocked(database, 2);
  await holder.query('commit');
  await first;
  expect(await second).toEqual(other.map(({ id }) => ({ kind: 'created', id })));
});

test('a keyed task without an answer is never taken for created', async ({ database }) => {
  await database.sql(
    `create or replace function skipjack.enqueue_tasks(new_tasks jsonb)
     returns table (task_id uuid, outcome text, existing_id uuid) language sql as
     $$ select null::uuid, null::text, null::uuid where false $$`,
  );
  const task = parseTaskInput({ command: 'true', idempotency_key: 'a' });
  await expect(enqueueKeyedTasks(database.db, [task])).rejects.toMatchObject({ code: '40001' });
});
