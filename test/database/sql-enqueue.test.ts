/** Enqueueing from SQL, inside the caller's own transaction; and that it agrees with the way over TypeScript. */
import { describe, expect } from 'vitest';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { test } from '../support/database.ts';
import { claim } from '../support/tasks.ts';

/** Bodies that both ways must take, and store alike. */
const accepted: object[] = [
  { type: 'command', command: 'echo', args: ['hello', 'world'] },
  { command: 'true' },
  { command: 'env', env: { A: '1' }, name: 'named', labels: { team: 'blue' } },
  { run: 'echo $A', env: { A: 'x' }, timeout: '90s' },
  { handler: 'send-email', input: { to: ['a', 'b'], deep: { n: null } } },
  { name: 'review', queue: 'people', input: 7 },
  { name: 'review' },
  { command: 'x', queue: 'q', priority: 0, delay: '2h' },
  { command: 'x', run_at: '2031-01-02T03:04:05Z' },
  { command: 'x', retry: {} },
  {
    command: 'x',
    retry: { attempts: 5, backoff: 'linear', delay: '500ms', max_delay: '1.5m', jitter: false },
  },
  { command: 'x', labels: {} },
];

/** Bodies that both ways must refuse. */
const refused: unknown[] = [
  null,
  7,
  [],
  {},
  { command: '' },
  { command: 7 },
  { command: 'x', run: 'y' },
  { type: 'command' },
  { type: 'run', command: 'x' },
  { command: 'x', args: 'y' },
  { command: 'x', args: [1] },
  { run: 'x', args: ['y'] },
  { handler: 'x', env: { A: '1' } },
  { command: 'x', env: { A: 1 } },
  { command: 'x', priority: 10 },
  { command: 'x', priority: -1 },
  { command: 'x', queue: '$engine' },
  { command: 'x', queue: '' },
  { command: 'x', name: '' },
  { command: 'x', name: 'n'.repeat(201) },
  { command: 'x', delay: 'soon' },
  { command: 'x', delay: '1s', run_at: '2031-01-02T03:04:05Z' },
  { command: 'x', timeout: '0s' },
  { command: 'x', timeout: '9999d' },
  { command: 'x', retry: { attempts: 0 } },
  { command: 'x', retry: { attempts: 2000 } },
  { command: 'x', retry: { tries: 3 } },
  { command: 'x', retry: { backoff: 'sometimes' } },
  { command: 'x', retry: 3 },
  { command: 'x', labels: { a: 1 } },
  { command: 'x', labels: ['a'] },
  { command: 'x', unknown: 1 },
  { command: 'x', timeout: null },
  { command: 'x', env: { '': 'x' } },
  { command: 'x', env: { 'A=B': 'x' } },
  { command: 'x', priority: '5' },
  { command: 'x', priority: 1.5 },
  { command: 'x', name: 7 },
  { command: 'x', queue: 7 },
  { command: 'x', retry: { jitter: 'yes' } },
  { command: 'x', retry: { attempts: '3' } },
  { command: 'x', delay: 5 },
  { command: 'x', run_at: 'tomorrow' },
  { command: 'x', run_at: '2031-01-02' },
  { command: 'x', idempotency_key: 7 },
  { command: 'x', labels: { '': 'x' } },
  { command: 'x', idempotency_key: '' },
  { image: 'busybox', cmd: ['echo'] },
  { command: 'x', args: ['${{ input.a }}'] },
  { run: 'echo ${{ input.a }}' },
];

const rowOf = `select task.name, task.queue, task.priority, task.spec, task.input, task.labels, task.retry, task.timeout_ms,
    round(extract(epoch from item.available_at - task.created_at))::integer as delay
  from skipjack.tasks as task join skipjack.queue_items as item on item.task_id = task.id where task.id = $1`;

describe('skipjack.enqueue', () => {
  test('stores what POST /v1/tasks would store', async ({ database }) => {
    for (const body of accepted) {
      const over = await database.queue.enqueue(parseTaskInput(body));
      const [made] = await database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [
        JSON.stringify(body),
      ]);
      const [fromTypeScript] = await database.sql(rowOf, ['id' in over ? over.id : null]);
      const [fromSql] = await database.sql(rowOf, [made?.id]);
      expect(fromSql, JSON.stringify(body)).toEqual(fromTypeScript);
      expect(fromSql).toBeDefined();
    }
  });

  test('refuses what POST /v1/tasks refuses', async ({ database }) => {
    for (const body of refused) {
      expect(() => parseTaskInput(body), `TypeScript: ${JSON.stringify(body)}`).toThrow();
      await expect(
        database.sql('select skipjack.enqueue($1)', [JSON.stringify(body)]),
        `SQL: ${JSON.stringify(body)}`,
      ).rejects.toThrow();
    }
    expect(await claim(database, { limit: 100 })).toEqual([]);
  });

  test('refuses in a sentence of its own, never with the row and its values', async ({ database }) => {
    const env = { PASSWORD: 'hunter2' };
    for (const bad of [
      { priority: 12 },
      { name: '' },
      { queue: '$q' },
      { timeout: '0s' },
      { idempotency_key: '' },
    ]) {
      const refusal = database.sql('select skipjack.enqueue($1)', [
        JSON.stringify({ command: 'x', env, ...bad }),
      ]);
      const error = await refusal.catch((each) => each);
      expect(error).toMatchObject({
        code: '22023',
        message: expect.stringContaining(Object.keys(bad)[0] ?? ''),
      });
      expect(JSON.stringify(error)).not.toContain('hunter2');
    }
  });

  test('leaves nothing when the transaction rolls back, and wakes a waiting claim when it commits', async ({
    database,
  }) => {
    const client = await database.connect();
    await client.query('begin');
    await client.query(`select skipjack.enqueue('{"command": "true"}')`);
    await client.query('rollback');
    expect(await database.sql('select from skipjack.tasks')).toEqual([]);

    const waiting = claim(database, { waitMs: 60_000 });
    await client.query(`select skipjack.enqueue('{"command": "true"}')`);
    expect(await waiting).toHaveLength(1);
  });

  test('answers the same task for the same key and request, and refuses another request', async ({
    database,
  }) => {
    const call = (body: object) =>
      database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [JSON.stringify(body)]);
    const body = { command: 'true', idempotency_key: 'k', delay: '1h' };
    const [first] = await call(body);
    expect(await call(body)).toEqual([first]);
    expect(await database.queue.enqueue(parseTaskInput(body))).toEqual({ kind: 'existing', id: first?.id });
    await expect(call({ ...body, command: 'false' })).rejects.toThrow('idempotency_conflict');
    expect(await database.queue.enqueue(parseTaskInput({ ...body, command: 'false' }))).toEqual({
      kind: 'key_conflict',
      id: first?.id,
    });
  });

  test('knows a request again that came over TypeScript, and the other way round, whatever it says', async ({
    database,
  }) => {
    const times = ['2031-01-02T03:04:05Z', '2031-01-02T05:04:05.5+02:00', '2031-01-02T03:04:05.123456Z'];
    const bodies = [...accepted, ...times.map((run_at) => ({ command: 'x', run_at }))];
    await database.sql(`set time zone 'Asia/Kolkata'`);
    for (const [index, body] of bodies.entries()) {
      const overTypeScript = async (key: string) =>
        database.queue.enqueue(parseTaskInput({ ...body, idempotency_key: key }));
      const bySql = async (key: string) => {
        const text = JSON.stringify({ ...body, idempotency_key: key });
        const [row] = await database.sql<{ id: string }>('select skipjack.enqueue($1) as id', [text]);
        return row?.id;
      };
      const first = await overTypeScript(`a ${index}`);
      expect(await bySql(`a ${index}`), JSON.stringify(body)).toBe('id' in first && first.id);
      const id = await bySql(`b ${index}`);
      expect(await overTypeScript(`b ${index}`), JSON.stringify(body)).toEqual({ kind: 'existing', id });
    }
  });

  test('tells two requests apart that differ only in their time', async ({ database }) => {
    const at = (run_at: string) =>
      database.queue.enqueue(parseTaskInput({ command: 'x', run_at, idempotency_key: 'k' }));
    expect((await at('2031-01-02T03:04:05Z')).kind).toBe('created');
    expect((await at('2031-01-02T04:04:05+01:00')).kind).toBe('existing');
    expect((await at('2031-01-02T03:04:05+01:00')).kind).toBe('key_conflict');
  });

  test('takes times of the years 1970 to 9998 and no others, and neither can any way in store one', async ({
    database,
  }) => {
    const enqueueAt = (run_at: string) =>
      database.sql('select skipjack.enqueue($1)', [JSON.stringify({ command: 'x', run_at })]);
    const storeAt = (run_at: string) =>
      database.sql('select from skipjack.enqueue_tasks($1)', [
        JSON.stringify([{ ...parseTaskInput({ command: 'x' }), run_at }]),
      ]);
    for (const run_at of ['1970-01-01T00:00:00Z', '9998-12-31T23:59:59.999Z', '1969-12-31T23:00:00-01:00']) {
      await enqueueAt(run_at);
      await storeAt(run_at);
    }
    for (const run_at of [
      '1969-12-31T23:59:59Z',
      '9999-01-01T00:00:00Z',
      '9999-12-31T23:59:59-12:00',
      '1970-01-01T00:00:00+01:00',
    ]) {
      await expect(enqueueAt(run_at), run_at).rejects.toMatchObject({
        code: '22023',
        message: expect.stringContaining('1970 to 9998'),
      });
      await expect(storeAt(run_at), run_at).rejects.toThrow('a_time_is_between_1970_and_9999');
    }
  });

  test('makes ids that sort in the order in which they were made', async ({ database }) => {
    const rows = await database.sql<{ id: string }>(
      'select skipjack.new_id()::text as id from generate_series(1, 1000)',
    );
    const ids = rows.map((row) => row.id);
    // Neighbours of one microsecond may be in either order.
    const prefix = (id: string) => id.slice(0, 18);
    expect(ids.map(prefix)).toEqual(ids.map(prefix).sort());
    expect(new Set(ids).size).toBe(1000);
    expect(ids.every((id) => /^.{14}7.{4}[89ab]/.test(id.replace(/^(.{8})-(.{4})-/, '$1-$2-')))).toBe(true);
  });
});
