/** Events: nobody who waits misses one, nothing that was sent is lost, and nobody waits for strangers. */
import type pg from 'pg';
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { openDatabase } from '../../src/database/connection.ts';
import { pruneEvents } from '../../src/queue/events/prune.ts';
import { listEvents, readEvent } from '../../src/queue/events/read.ts';
import { type NewEvent, sendEvents, sendFreeEvents } from '../../src/queue/events/send.ts';
import { createEventSender } from '../../src/queue/events/sender.ts';
import { startUpkeep } from '../../src/queue/upkeep.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { run, start, taskIdOf } from '../support/processes.ts';
import { untilBlocked } from '../support/tasks.ts';
import { waitLongIn } from './support/patience.ts';

const day = 24 * 3_600_000;

function newEvent(event: Partial<NewEvent> = {}): NewEvent {
  return { id: newId(), name: 'paid', key: '', payload: null, idempotency_key: null, ...event };
}

interface Waiter {
  processId: string;
  taskId: string;
}

async function makeWaiter(database: TestDatabase): Promise<Waiter> {
  const processId = await start(database, { A: [] });
  return { processId, taskId: await taskIdOf(database, processId, 'A') };
}

/** As an engine comes to wait, in an open transaction. Answers whether an event was there. */
async function lookOrWait(
  client: pg.ClientBase,
  { processId, taskId }: Waiter,
  { name = 'paid', key = '' }: { name?: string; key?: string } = {},
): Promise<boolean> {
  await client.query('select from skipjack.processes where id = $1 for update', [processId]);
  await client.query('select pg_advisory_xact_lock(skipjack.event_lock($1, $2))', [name, key]);
  const taken = await client.query(
    `update skipjack.events set taken_at = clock_timestamp() where id = (
       select id from skipjack.events where name = $1 and key = $2 and taken_at is null
       order by id limit 1 for update skip locked)`,
    [name, key],
  );
  if (taken.rowCount === 1) return true;
  await client.query('delete from skipjack.queue_items where task_id = $1', [taskId]);
  await client.query(`update skipjack.tasks set waits_for = 'event' where id = $1`, [taskId]);
  await client.query(
    'insert into skipjack.event_waits (task_id, process_id, name, key) values ($1, $2, $3, $4)',
    [taskId, processId, name, key],
  );
  return false;
}

async function wait(database: TestDatabase, event: { name?: string; key?: string } = {}): Promise<Waiter> {
  const waiter = await makeWaiter(database);
  const client = await database.connect();
  await client.query('begin');
  expect(await lookOrWait(client, waiter, event)).toBe(false);
  await client.query('commit');
  return waiter;
}

/** The tasks to which the engine is to hand an event, and which event. */
async function handed({ sql }: TestDatabase): Promise<Record<string, string>> {
  const rows = await sql<{ task_id: string; event_id: string }>(
    `select task_id, details ->> 'event_id' as event_id from skipjack.engine_items where kind = 'event'`,
  );
  return Object.fromEntries(rows.map((row) => [row.task_id, row.event_id]));
}

describe('an event', () => {
  test('for which nobody waits is kept', async ({ database }) => {
    const event = newEvent({ key: 'order 7', payload: { amount: 10 } });
    expect(await sendEvents(database.db, [event])).toEqual([{ kind: 'created', id: event.id, woken: 0 }]);
    expect(await readEvent(database.db, event.id)).toEqual({
      id: event.id,
      name: 'paid',
      key: 'order 7',
      payload: { amount: 10 },
      woken: 0,
      created_at: expect.any(String),
      taken_at: null,
    });
  });

  test('goes to all who wait for its name and key, and to nobody else', async ({ database }) => {
    const [one, two] = [await wait(database, { key: 'a' }), await wait(database, { key: 'a' })];
    const others = [
      await wait(database),
      await wait(database, { key: 'b' }),
      await wait(database, { name: 'x', key: 'a' }),
    ];
    const event = newEvent({ key: 'a' });
    expect(await sendEvents(database.db, [event])).toEqual([{ kind: 'created', id: event.id, woken: 2 }]);
    expect(await handed(database)).toEqual({ [one.taskId]: event.id, [two.taskId]: event.id });
    expect((await readEvent(database.db, event.id))?.taken_at).not.toBeNull();
    const waits = await database.sql<{ task_id: string }>('select task_id from skipjack.event_waits');
    expect(new Set(waits.map((row) => row.task_id))).toEqual(new Set(others.map(({ taskId }) => taskId)));
  });

  test('takes those who wait before the next of its batch, which is kept', async ({ database }) => {
    const { taskId } = await wait(database);
    const [first, second, third] = [newEvent(), newEvent(), newEvent({ key: 'a' })];
    expect(await sendEvents(database.db, [first, second, third])).toMatchObject([
      { woken: 1 },
      { woken: 0 },
      { woken: 0 },
    ]);
    expect(await handed(database)).toEqual({ [taskId]: first.id });
  });

  test('is there once, however often its batch is sent, and answers what it did', async ({ database }) => {
    const { taskId } = await wait(database);
    const batch = [newEvent(), newEvent({ key: 'kept' }), newEvent({ idempotency_key: 'k', key: 'b' })];
    const answers = await sendEvents(database.db, batch);
    expect(answers).toMatchObject([{ woken: 1 }, { woken: 0 }, { woken: 0 }]);
    // Somebody has come to wait since, and found the kept one.
    const client = await database.connect();
    await client.query('begin');
    expect(await lookOrWait(client, await makeWaiter(database), { key: 'kept' })).toBe(true);
    await client.query('commit');
    await wait(database, { key: 'kept' });
    expect(await sendEvents(database.db, batch)).toEqual(answers);
    expect(await database.sql('select from skipjack.events')).toHaveLength(3);
    expect(Object.keys(await handed(database))).toEqual([taskId]);
  });
});

test('an event is not taken by the wait of a task that has ended', async ({ database }) => {
  const { processId, taskId } = await makeWaiter(database);
  await run(database, processId, 'A');
  await database.sql(`insert into skipjack.event_waits (task_id, process_id, name) values ($1, $2, 'paid')`, [
    taskId,
    processId,
  ]);
  expect(await sendEvents(database.db, [newEvent()])).toMatchObject([{ woken: 0 }]);
  expect(await database.sql('select from skipjack.event_waits')).toEqual([]);
  expect(await handed(database)).toEqual({});
});

describe('a key', () => {
  test('sends once, and answers the same; another event with it is refused', async ({ database }) => {
    await wait(database);
    const event = newEvent({ idempotency_key: 'k', payload: { n: 1 } });
    const again = () => ({ ...event, id: newId() });
    expect(await sendEvents(database.db, [event])).toEqual([{ kind: 'created', id: event.id, woken: 1 }]);
    expect(
      await sendEvents(database.db, [
        again(),
        { ...again(), payload: { n: 2 } },
        { ...again(), key: 'b' },
        { ...again(), name: 'x' },
      ]),
    ).toEqual([
      { kind: 'existing', id: event.id, woken: 1 },
      ...Array.from({ length: 3 }, () => ({ kind: 'key_conflict', id: event.id })),
    ]);
    expect(await database.sql('select from skipjack.events')).toHaveLength(1);
  });

  test('twice in a batch is sent once', async ({ database }) => {
    await wait(database);
    const batch = [newEvent({ idempotency_key: 'k' }), newEvent({ idempotency_key: 'k' })];
    const answers = await sendEvents(database.db, batch);
    expect(answers.map(({ kind }) => kind).sort()).toEqual(['created', 'existing']);
    expect(answers).toMatchObject([{ woken: 1 }, { woken: 1 }]);
  });
});

describe('who sends and who comes to wait at the same time', () => {
  test('meet when the waiter is first: the sender waits for it, and wakes it', async ({ database }) => {
    await waitLongIn(database, 'send_events(jsonb, boolean)');
    const waiter = await makeWaiter(database);
    const client = await database.connect();
    await client.query('begin');
    expect(await lookOrWait(client, waiter)).toBe(false);
    const sender = createEventSender(database.db, database.queue.repeated);
    const sending = sender.send(newEvent());
    await untilBlocked(database);
    await client.query('commit');
    expect(await sending).toMatchObject({ kind: 'created', woken: 1 });
    expect(Object.keys(await handed(database))).toEqual([waiter.taskId]);
  });

  test('meet when the sender is first: the waiter waits for it, and finds the event', async ({
    database,
  }) => {
    const waiter = await makeWaiter(database);
    const [sending, waiting] = [await database.connect(), await database.connect()];
    await sending.query('begin');
    await sending.query(`select skipjack.send_event('paid')`);
    await waiting.query('begin');
    const found = lookOrWait(waiting, waiter);
    await untilBlocked(database);
    await sending.query('commit');
    expect(await found).toBe(true);
    await waiting.query('commit');
    expect(await handed(database)).toEqual({});
  });

  test('and the sender rolls back: the waiter waits', async ({ database }) => {
    const waiter = await makeWaiter(database);
    const [sending, waiting] = [await database.connect(), await database.connect()];
    await sending.query('begin');
    await sending.query(`select skipjack.send_event('paid')`);
    await waiting.query('begin');
    const found = lookOrWait(waiting, waiter);
    await untilBlocked(database);
    await sending.query('rollback');
    expect(await found).toBe(false);
    await waiting.query('commit');
    expect(await database.sql('select from skipjack.events')).toEqual([]);
  });

  test('whose wait is just being given up: the event is kept for another', async ({ database }) => {
    await waitLongIn(database, 'send_events(jsonb, boolean)');
    const { taskId } = await wait(database);
    const client = await database.connect();
    await client.query('begin');
    await client.query('delete from skipjack.event_waits where task_id = $1', [taskId]);
    const sending = sendEvents(database.db, [newEvent()]);
    await untilBlocked(database);
    await client.query(`update skipjack.tasks set waits_for = null where id = $1`, [taskId]);
    await client.query(
      `insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
       select id, process_id, queue, priority, created_at from skipjack.tasks where id = $1`,
      [taskId],
    );
    await client.query('commit');
    expect(await sending).toMatchObject([{ woken: 0 }]);
    expect(await handed(database)).toEqual({});
  });

  test('in any number miss nothing', { timeout: 60_000 }, async ({ database }) => {
    await waitLongIn(database, 'send_events(jsonb, boolean)');
    const names = ['paid', 'sent', 'lost'];
    const waiters: Waiter[] = [];
    while (waiters.length < 30) waiters.push(await makeWaiter(database));
    const sender = createEventSender(database.db, database.queue.repeated);
    const clients = await Promise.all(Array.from({ length: 5 }, () => database.connect()));
    const coming = clients.map(async (client, place) => {
      for (const [index, waiter] of waiters.entries()) {
        if (index % clients.length !== place) continue;
        await client.query('begin');
        await lookOrWait(client, waiter, { name: names[index % names.length] ?? '' });
        await client.query('commit');
      }
    });
    // As many at once as there are connections for, beside the four of the sender.
    const sending = Array.from({ length: 6 }, async (_line, place) => {
      for (let index = place; index < 60; index += 6) {
        const batch = names.map((name) => newEvent({ name }));
        if (place % 2 === 0) await sendEvents(database.db, batch.reverse());
        else await Promise.all(batch.map((event) => sender.send(event)));
      }
    });
    await Promise.all([...coming, ...sending]);
    // The auditor finds nobody who waits beside an event that is kept.
    expect(await database.sql('select from skipjack.events')).toHaveLength(180);
    expect(await database.sql('select from skipjack.event_waits')).toEqual([]);
  });
});

describe("a stranger's open transaction", () => {
  test('that sends an event holds up those who send the same, and nobody else', async ({ database }) => {
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.send_event('paid', key => 'a')`);
    const [held, free] = [newEvent({ key: 'a' }), newEvent({ key: 'b' })];
    expect(await sendFreeEvents(database.db, [held, free])).toEqual([
      { kind: 'busy' },
      { kind: 'created', id: free.id, woken: 0 },
    ]);
    const other = newEvent({ idempotency_key: 'k' });
    expect(await sendEvents(database.db, [held, other], { lockTimeoutMs: 20 })).toEqual([
      { kind: 'busy' },
      { kind: 'created', id: other.id, woken: 0 },
    ]);
    await waitLongIn(database, 'send_events(jsonb, boolean)');
    const sending = createEventSender(database.db, database.queue.repeated).send(held);
    await untilBlocked(database);
    await client.query('commit');
    expect(await sending).toEqual({ kind: 'created', id: held.id, woken: 0 });
  });

  test('that uses an idempotency key holds up that key alone', async ({ database }) => {
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.send_event('paid', idempotency_key => 'k')`);
    const [held, free] = [
      newEvent({ name: 'x', idempotency_key: 'k' }),
      newEvent({ name: 'y', idempotency_key: 'l' }),
    ];
    expect(await sendEvents(database.db, [held, free], { lockTimeoutMs: 20 })).toMatchObject([
      { kind: 'busy' },
      { kind: 'created' },
    ]);
    await client.query('rollback');
    expect(await sendEvents(database.db, [held])).toMatchObject([{ kind: 'created' }]);
  });
});

describe('skipjack.send_event', () => {
  test('wakes in the transaction that it is part of, and tells the engine at its commit', async ({
    database,
  }) => {
    const { taskId } = await wait(database);
    const db = openDatabase({ url: database.url });
    await db.hints.ready();
    // Those of the start may still be on their way.
    const isForEngine = ([line]: [string, number]) => line === '$engine';
    const heard = new Promise((resolve) =>
      db.hints.subscribe((hint) => hint?.lines?.some(isForEngine) && resolve(hint.lines)),
    );
    const client = await database.connect();
    await client.query('begin');
    const { rows } = await client.query(`select skipjack.send_event('paid', payload => '{"n": 1}') as id`);
    expect(await handed(database)).toEqual({});
    await client.query('commit');
    expect(await heard).toEqual([['$engine', 0]]);
    expect(await handed(database)).toEqual({ [taskId]: rows[0].id });
    expect(await readEvent(database.db, rows[0].id)).toMatchObject({
      key: null,
      payload: { n: 1 },
      woken: 1,
    });
    await db.close();
  });

  test('rolled back leaves nothing', async ({ database }) => {
    const { taskId } = await wait(database);
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.send_event('paid', idempotency_key => 'k')`);
    await client.query('rollback');
    expect(await database.sql('select from skipjack.events')).toEqual([]);
    expect(await database.sql('select from skipjack.idempotency_keys')).toEqual([]);
    expect(await database.sql('select task_id from skipjack.event_waits')).toEqual([{ task_id: taskId }]);
  });

  test('answers the same id to the same key, and refuses another event with it', async ({ database }) => {
    const send = `select skipjack.send_event('paid', 'a', '{"n": 1}', 'k') as id`;
    const [first] = await database.sql(send);
    expect(await database.sql(send)).toEqual([first]);
    await expect(database.sql(send.replace('1', '2'))).rejects.toThrow(
      `idempotency_conflict: the key "k" sent event ${first?.id} by another request`,
    );
  });

  test.for([
    ['null', 'an event has a name'],
    [`''`, 'an event has a name'],
    [`repeat('x', 201)`, 'an event has a name'],
    [`'a', repeat('x', 201)`, '"key" has more than 200 letters'],
    [`'a', idempotency_key => ''`, '"idempotency_key" has fewer than 1'],
    [`'a', payload => to_jsonb(repeat('x', 1048575))`, '"payload" is larger than 1048576 bytes'],
  ] as const)('(%s) is refused', async ([given, message], { database }) => {
    await expect(database.sql(`select skipjack.send_event(${given})`)).rejects.toThrow(message);
    expect(await database.sql('select from skipjack.events')).toEqual([]);
  });

  test.for(['repeatable read', 'serializable'])(
    'is refused at the isolation level %s, whose snapshot may be older than those who wait',
    async (level, { database }) => {
      const client = await database.connect();
      await client.query(`begin isolation level ${level}`);
      await expect(client.query(`select skipjack.send_event('paid')`)).rejects.toThrow(
        `events are not sent at the isolation level ${level}`,
      );
      await client.query('rollback');
    },
  );
});

describe('old events', () => {
  async function age({ sql }: TestDatabase, ids: string[], ms: number): Promise<void> {
    await sql(
      `update skipjack.events set created_at = created_at - $2 * interval '1 millisecond' where id = any ($1::uuid[])`,
      [ids, ms],
    );
  }

  test('are deleted with their keys, whether they were taken or not; but not before a task has one', async ({
    database,
  }) => {
    await wait(database);
    const taken = newEvent();
    const kept = Array.from({ length: 1_001 }, (_, index) => newEvent({ key: `${index}` }));
    const keyed = newEvent({ key: 'k', idempotency_key: 'k' });
    await sendEvents(database.db, [taken, keyed]);
    await sendEvents(database.db, kept);
    const young = newEvent();
    await sendEvents(database.db, [young]);
    await age(
      database,
      [taken, keyed, ...kept].map(({ id }) => id),
      8 * day,
    );
    expect(await pruneEvents(database.db, { retentionMs: 7 * day })).toBe(1_002);
    expect(await database.sql('select from skipjack.idempotency_keys')).toEqual([]);
    expect((await listEvents(database.db, {}, { limit: 10 })).events.map(({ id }) => id)).toEqual([
      young.id,
      taken.id,
    ]);
    // The key is free again.
    expect(await sendEvents(database.db, [{ ...keyed, name: 'x' }])).toMatchObject([{ kind: 'created' }]);
  });

  test('are passed over while somebody holds them', async ({ database }) => {
    const [held, free] = [newEvent({ key: 'a' }), newEvent({ key: 'b' })];
    await sendEvents(database.db, [held, free]);
    await age(database, [held.id, free.id], 8 * day);
    const client = await database.connect();
    await client.query('begin');
    await client.query('select from skipjack.events where id = $1 for update', [held.id]);
    expect(await pruneEvents(database.db, { retentionMs: 7 * day })).toBe(1);
    await client.query('rollback');
    expect(await pruneEvents(database.db, { retentionMs: 7 * day })).toBe(1);
  });

  test('are deleted by the upkeep', async ({ database }) => {
    await sendEvents(database.db, [newEvent()]);
    const upkeep = startUpkeep(database.db, { eventRetentionMs: 0 });
    await expect.poll(() => database.sql('select from skipjack.events')).toEqual([]);
    await upkeep.stop();
  });
});

test('events are listed newest first, by name, by key, or both', async ({ database }) => {
  const sent = [
    newEvent({ name: 'a', key: '1' }),
    newEvent({ name: 'a' }),
    newEvent({ name: 'b', key: '1' }),
    newEvent({ name: 'a', key: '1' }),
  ];
  // One statement, one time: their ids say which is newer.
  await sendEvents(database.db, sent.slice(0, 2));
  await sendEvents(database.db, sent.slice(2));
  const places = async (filter: { name?: string; key?: string }) =>
    (await listEvents(database.db, filter, { limit: 10 })).events.map(({ id }) =>
      sent.findIndex((event) => event.id === id),
    );
  expect(await places({})).toEqual([3, 2, 1, 0]);
  expect(await places({ name: 'a' })).toEqual([3, 1, 0]);
  expect(await places({ key: '1' })).toEqual([3, 2, 0]);
  expect(await places({ name: 'a', key: '' })).toEqual([1]);
  const first = await listEvents(database.db, {}, { limit: 2 });
  const rest = await listEvents(database.db, {}, { limit: 10, ...(first.last ? { after: first.last } : {}) });
  expect([...first.events, ...rest.events].map(({ id }) => id)).toEqual(sent.map(({ id }) => id).reverse());
});
