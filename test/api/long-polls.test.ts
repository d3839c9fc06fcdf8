/** Many requests that wait for ends at once: the database is asked for all of them together. */
import { describe, expect } from 'vitest';
import { type Database, openDatabase } from '../../src/database/connection.ts';
import { Engine } from '../../src/engine/engine.ts';
import { openQueue, type Queue } from '../../src/queue/queue.ts';
import type { TestDatabase } from '../support/database.ts';
import { claim, complete, enqueue } from '../support/tasks.ts';
import { startTestApi, test } from './support/api.ts';

const many = 400;

/** How many statements go to the pool from now on. */
function countStatements({ pool }: Database): { count: number } {
  const counted = { count: 0 };
  pool.on('acquire', () => {
    counted.count += 1;
  });
  return counted;
}

async function startMany({ queue }: Pick<TestDatabase, 'queue'>): Promise<string[]> {
  const engine = new Engine({ queue });
  await engine.publish({
    source:
      'name: lonely\ntasks: [{ name: A, queue: nobody, run: "true" }, { name: B, run: "true", needs: [A] }]',
  });
  return Promise.all(Array.from({ length: many }, async () => (await engine.start('lonely')).process.id));
}

function enqueueMany(database: Pick<TestDatabase, 'queue'>): Promise<string[]> {
  return Promise.all(Array.from({ length: many }, () => enqueue(database, { queue: 'nobody' })));
}

describe.each([
  { what: 'processes', make: startMany },
  { what: 'tasks', make: enqueueMany },
])('hundreds who wait for $what', ({ what, make }) => {
  test('are answered that they have not ended, by few statements', async ({ database }) => {
    const ids = await make(database);
    const { queue } = database;
    let asked = 0;
    const waitForEnd: Queue['waitForEnd'] = (...given) => {
      asked += 1;
      return queue.waitForEnd(...given);
    };
    const api = await startTestApi({ queue: { ...queue, waitForEnd } });
    // Nobody gets on until all have come: else the machine says how many meet.
    const holder = await database.connect();
    await holder.query(`begin; lock table skipjack.${what} in access exclusive mode`);
    const statements = countStatements(database.db);
    const answering = Promise.all(ids.map((id) => api.get(`/v1/${what}/${id}?wait=1ms`)));
    await expect.poll(() => asked).toBe(many);
    await holder.query('rollback');
    const answers = await answering;
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([202]));
    expect(answers.map(({ body }) => body.id)).toEqual(ids);
    // A statement for each would be three times as many as they are at least.
    expect(statements.count).toBeLessThan(many / 2);
    await api.server.close();
  });

  test('are told together that the one has ended for which all wait', async ({ database, api }) => {
    const [id] = await make(database);
    const waiting = Promise.all(Array.from({ length: many }, () => api.get(`/v1/${what}/${id}?wait=60s`)));
    const marks =
      what === 'tasks'
        ? 'select from skipjack.queue_items where awaited'
        : 'select from skipjack.processes where awaited';
    await expect.poll(() => database.sql(marks)).toHaveLength(1);
    await api.post(`/v1/${what}/${id}/cancel`, {});
    const answers = await waiting;
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200]));
    expect(answers[0]?.body.state).toBe('cancelled');
  });
});

test('what somebody holds for long keeps no other from its mark, and is marked as soon as it is free', async ({
  database,
}) => {
  const [held = '', free = ''] = await Promise.all([enqueue(database), enqueue(database)]);
  const holder = await database.connect();
  await holder.query('begin');
  await holder.query('select from skipjack.queue_items where task_id = $1 for update', [held]);
  const waits = [held, free].map((id) => database.queue.waitForEnd('task', id, { waitMs: 60_000 }));
  const marked = () =>
    database.sql<{ id: string }>('select task_id as id from skipjack.queue_items where awaited order by 1');
  await expect.poll(marked).toEqual([{ id: free }]);
  await holder.query('rollback');
  await expect.poll(marked).toHaveLength(2);
  for (const task of await claim(database, { limit: 2, waitMs: 60_000 })) await complete(database, task);
  expect(await Promise.all(waits)).toEqual(['ended', 'ended']);
});

test('who finds all connections lent is told so, not that the database cannot be reached', async ({
  database,
}) => {
  const db = openDatabase({ url: database.url, poolSize: 1, listenUrl: null });
  const queue = openQueue(db);
  const api = await startTestApi({ queue });
  const lent = await db.pool.connect();
  const { status, body, headers } = await api.get('/v1/queues');
  expect([status, body.code, headers.get('retry-after')]).toEqual([503, 'overloaded', '1']);
  lent.release();
  expect((await api.get('/v1/queues')).status).toBe(200);
  await api.server.close();
  await queue.close();
  await db.close();
});
