/** Logs over HTTP: pages, events, and lines from workers of any kind. */
import { connect } from 'node:net';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, onTestFinished } from 'vitest';
import { type ReceivedEvent, readEvents } from '../../src/client/event-stream.ts';
import type { ClaimedTask } from '../../src/core/task-source.ts';
import { deleteTask } from '../../src/queue/delete.ts';
import { reapExpiredClaims } from '../../src/queue/reap.ts';
import type { TestDatabase } from '../support/database.ts';
import { claimNamed, start } from '../support/processes.ts';
import { claimOne, complete, enqueue, expireLease, untilBlocked } from '../support/tasks.ts';
import { startTestApi, type TestApi, test } from './support/api.ts';

const nowhere = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';

async function claimed(database: TestDatabase): Promise<ClaimedTask> {
  await enqueue(database);
  return claimOne(database);
}

function say(api: TestApi, { id, token }: ClaimedTask, lines: unknown[], more: object = {}) {
  return api.post(`/v1/tasks/${id}/logs`, { token, lines, ...more });
}

interface Follower {
  /** Held: fetch ends the stream of a response that nobody refers to any more. */
  response: Response;
  /** Resolves with so many more events. */
  next(count: number): Promise<ReceivedEvent[]>;
  /** Resolves with all that come until the server ends the answer. */
  rest(): Promise<ReceivedEvent[]>;
  leave(): void;
}

async function follow(api: TestApi, path: string, headers: Record<string, string> = {}): Promise<Follower> {
  const leaving = new AbortController();
  const response = await fetch(api.url + path, {
    headers: { accept: 'text/event-stream', ...headers },
    signal: leaving.signal,
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('text/event-stream');
  const events = readEvents(response.body as ReadableStream<Uint8Array>);
  async function take(count: number) {
    const taken: ReceivedEvent[] = [];
    while (taken.length < count) {
      const { done, value } = await events.next();
      if (done) break;
      taken.push(value as ReceivedEvent);
    }
    return taken;
  }
  onTestFinished(() => leaving.abort());
  return { response, next: take, rest: () => take(Number.POSITIVE_INFINITY), leave: () => leaving.abort() };
}

/** A server hears that a reader has left when it hears of it. */
async function followOnceThereIsRoom(api: TestApi, path: string): Promise<Follower> {
  for (;;) {
    try {
      return await follow(api, `${path}?tail=0`);
    } catch {
      await setTimeout(100);
    }
  }
}

const textOf = ({ data }: ReceivedEvent) => JSON.parse(data).text;

describe('reading', () => {
  test('a log is read in pages, whose cursor ends with the task', async ({ api, database }) => {
    const task = await claimed(database);
    const path = `/v1/tasks/${task.id}/logs`;
    const empty = await api.get(path);
    expect(empty.body.lines).toEqual([]);
    await say(api, task, ['one', { text: 'two', stream: 'stderr', part: 'post 1', ago: '2s' }, 'three']);
    const first = await api.get(`${path}?limit=2&cursor=${empty.body.next_cursor}`);
    expect(first.body.lines).toMatchObject([
      { task_id: task.id, task: 'true', attempt: 1, line: 1, stream: 'stdout', part: null, text: 'one' },
      { line: 2, stream: 'stderr', part: 'post 1', text: 'two' },
    ]);
    const second = await api.get(`${path}?limit=2&cursor=${first.body.next_cursor}`);
    expect(second.body.lines).toMatchObject([{ line: 3, text: 'three' }]);
    expect(second.body.next_cursor).not.toBeNull();
    expect((await api.get(`${path}?cursor=${second.body.next_cursor}`)).body).toEqual({
      lines: [],
      next_cursor: second.body.next_cursor,
    });
    await complete(database, task);
    expect((await api.get(`${path}?limit=2`)).body.next_cursor).not.toBeNull();
    expect((await api.get(`${path}?limit=3`)).body.next_cursor).toBeNull();
  });

  test('the log of a process names its tasks; attempt, stream and tail choose lines', async ({
    api,
    database,
  }) => {
    const id = await start(database, { a: [], b: [] });
    const [a, b] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'b')];
    await say(api, a, ['a1', { text: 'a2', stream: 'stderr' }]);
    await say(api, b, ['b1', { text: 'b2', stream: 'stderr' }]);
    const path = `/v1/processes/${id}/logs`;
    const all = await api.get(path);
    expect(all.body.lines.map(({ task, text }: Record<string, string>) => `${task} ${text}`)).toEqual([
      'a a1',
      'a a2',
      'b b1',
      'b b2',
    ]);
    const texts = async (query: string) =>
      (await api.get(`${path}?${query}`)).body.lines.map(({ text }: { text: string }) => text);
    expect(await texts('stream=stderr')).toEqual(['a2', 'b2']);
    expect(await texts('tail=3')).toEqual(['a2', 'b1', 'b2']);
    expect(await texts('tail=1&stream=stdout')).toEqual(['b1']);
    expect(await texts('tail=0')).toEqual([]);
    expect(await texts('attempt=2')).toEqual([]);
  });

  test('what cannot be read is refused', async ({ api }) => {
    for (const what of ['tasks', 'processes']) {
      for (const id of [nowhere, 'no-id']) {
        for (const accept of ['application/json', 'text/event-stream']) {
          const answer = await api.get(`/v1/${what}/${id}/logs`, { accept });
          expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } });
        }
      }
      for (const query of [
        'cursor=x',
        'tail=10001',
        'tail=-1',
        'stream=other',
        'attempt=x',
        'limit=0',
        'what=1',
      ]) {
        expect((await api.get(`/v1/${what}/${nowhere}/logs?${query}`)).status).toBe(400);
      }
    }
  });
});

describe('following', () => {
  test('events replay what was said, follow what is said, and end with the task', async ({
    api,
    database,
  }) => {
    const task = await claimed(database);
    await say(api, task, ['one', 'two']);
    const follower = await follow(api, `/v1/tasks/${task.id}/logs`);
    expect((await follower.next(2)).map(textOf)).toEqual(['one', 'two']);
    await say(api, task, ['three']);
    expect((await follower.next(1)).map(textOf)).toEqual(['three']);
    await say(api, task, ['four']);
    await complete(database, task);
    const rest = await follower.rest();
    expect(rest.map(({ event }) => event)).toEqual(['message', 'end']);
    expect(textOf(rest[0] as ReceivedEvent)).toBe('four');
    expect(JSON.parse(rest[1]?.data ?? '')).toEqual({ state: 'completed' });
  });

  test('the id of an event goes on exactly behind it, as header and as cursor, within a chunk too', async ({
    api,
    database,
  }) => {
    const id = await start(database, { a: [], b: [] });
    const [a, b] = [await claimNamed(database, id, 'a'), await claimNamed(database, id, 'b')];
    await say(api, a, ['a1', 'a2', 'a3']);
    await say(api, b, ['b1', 'b2']);
    for (const task of [a, b]) await complete(database, task);
    for (const path of [`/v1/tasks/${a.id}/logs`, `/v1/processes/${id}/logs`]) {
      const all = await (await follow(api, path)).rest();
      const lines = all.filter(({ event }) => event === 'message');
      for (const [index, { id: lastId }] of lines.entries()) {
        const expected = lines.slice(index + 1).map(textOf);
        const byHeader = await (await follow(api, path, { 'last-event-id': lastId })).rest();
        expect(byHeader.slice(0, -1).map(textOf)).toEqual(expected);
        const byCursor = await api.get(`${path}?cursor=${lastId}`);
        expect(byCursor.body.lines.map(({ text }: { text: string }) => text)).toEqual(expected);
      }
      const tail = await (await follow(api, `${path}?tail=2`)).rest();
      expect(tail.slice(0, -1).map(textOf)).toEqual(lines.slice(-2).map(textOf));
    }
  });

  test('a process that is followed ends with its final state; a deleted task too', async ({
    api,
    database,
  }) => {
    const id = await start(database, { a: [] });
    const ofProcess = await follow(api, `/v1/processes/${id}/logs`);
    const task = await claimNamed(database, id, 'a');
    await complete(database, task);
    expect((await ofProcess.rest()).map(({ event, data }) => [event, JSON.parse(data)])).toEqual([
      ['end', { state: 'completed' }],
    ]);
    const alone = await claimed(database);
    await complete(database, alone);
    const path = `/v1/tasks/${alone.id}/logs`;
    expect((await (await follow(api, path)).rest()).map(({ event }) => event)).toEqual(['end']);
    await deleteTask(database.db, alone.id);
    expect((await api.get(path, { accept: 'text/event-stream' })).status).toBe(404);
  });

  test('closing the server ends all who follow, a reader that takes nothing among them', async ({
    database,
  }) => {
    // Far longer than a test may take: whoever had to be waited for would be seen.
    const api = await startTestApi(database, { closeMs: 3_600_000 });
    const task = await claimed(database);
    const texts = Array.from({ length: 60 }, () => 'x'.repeat(60_000));
    for (let round = 0; round < 4; round += 1) await say(api, task, texts);
    const path = `/v1/tasks/${task.id}/logs`;
    const follower = await follow(api, `${path}?tail=0`);
    const stuck = connect(Number(new URL(api.url).port), '127.0.0.1');
    stuck.on('error', () => {});
    stuck.write(`GET ${path} HTTP/1.1\r\nhost: 127.0.0.1\r\naccept: text/event-stream\r\n\r\n`);
    await new Promise((resolve) => stuck.once('readable', resolve));
    // Lines are under way, and not the headers alone.
    await expect.poll(() => stuck.readableLength).toBeGreaterThan(10_000);
    const rest = follower.rest();
    await api.server.close();
    expect(await rest).toEqual([]);
    stuck.destroy();
  });

  test('followers live through a database that is away', async ({ api, database }) => {
    const task = await claimed(database);
    const follower = await follow(api, `/v1/tasks/${task.id}/logs`);
    await say(api, task, ['before']);
    expect((await follower.next(1)).map(textOf)).toEqual(['before']);
    await database.sql(
      'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    );
    await expect.poll(async () => (await say(api, task, ['after'], { first_line: 2 })).status).toBe(200);
    expect((await follower.next(1)).map(textOf)).toEqual(['after']);
    follower.leave();
  });

  test('two hundred follow one task and all read everything; when they leave there is room again', async ({
    api,
    database,
  }) => {
    const task = await claimed(database);
    const path = `/v1/tasks/${task.id}/logs`;
    const followers = await Promise.all(Array.from({ length: 200 }, () => follow(api, path)));
    await say(api, task, ['one', 'two']);
    for (const follower of followers) expect((await follower.next(2)).map(textOf)).toEqual(['one', 'two']);
    for (const follower of followers.slice(1)) follower.leave();
    const others = await Promise.all(Array.from({ length: 450 }, () => followOnceThereIsRoom(api, path)));
    for (const other of others) other.leave();
    await complete(database, task);
    expect((await followers[0]?.rest())?.map(({ event }) => event)).toEqual(['end']);
  });

  test('past 500 followers a reader is asked to come later', async ({ api, database }) => {
    const task = await claimed(database);
    const path = `/v1/tasks/${task.id}/logs`;
    const followers = await Promise.all(Array.from({ length: 500 }, () => follow(api, path)));
    expect(await api.get(path, { accept: 'text/event-stream' })).toMatchObject({
      status: 503,
      body: { code: 'overloaded' },
    });
    expect((await api.get(path)).status).toBe(200);
    // To HEAD there is no body to follow.
    expect((await api.send('HEAD', path, undefined, { accept: 'text/event-stream' })).status).toBe(200);
    for (const follower of followers) follower.leave();
  });
});

describe('adding', () => {
  test('a worker adds lines while it holds the task; numbered ones count once', async ({ api, database }) => {
    const task = await claimed(database);
    expect(await say(api, task, ['a', 'b'], { first_line: 1 })).toMatchObject({
      status: 200,
      body: { kept: 2, full: false },
    });
    expect((await say(api, task, ['a', 'b'], { first_line: 1 })).body).toEqual({ kept: 2, full: false });
    expect((await say(api, task, [])).body).toEqual({ kept: 0, full: false });
    expect((await api.get(`/v1/tasks/${task.id}/logs`)).body.lines).toHaveLength(2);
  });

  test('a claim that is over is refused, with the reason', async ({ api, database }) => {
    const [lost, over, gone] = [await claimed(database), await claimed(database), await claimed(database)];
    await expireLease(database, lost.id);
    await reapExpiredClaims(database.db);
    await complete(database, over);
    await complete(database, gone);
    await deleteTask(database.db, gone.id);
    expect((await say(api, lost, ['x'])).body).toMatchObject({ status: 409, code: 'lease_lost' });
    expect((await say(api, over, ['x'])).body).toMatchObject({
      status: 409,
      code: 'already_settled',
      state: 'completed',
    });
    expect((await say(api, gone, ['x'])).body).toMatchObject({ status: 404, code: 'not_found' });
    expect((await say(api, { ...lost, token: over.token }, ['x'])).body).toMatchObject({
      code: 'token_mismatch',
    });
    expect((await say(api, { ...lost, id: 'no-id' }, ['x'])).status).toBe(404);
  });

  test('lines that cannot be kept are refused with their place', async ({ api, database }) => {
    const task = await claimed(database);
    const bad: [unknown, string][] = [
      ['a\u0000b', '/lines/1'],
      [{ text: '\ud800' }, '/lines/1/text'],
      ['two\nlines', '/lines/1/text'],
      ['é'.repeat(40_000), '/lines/1/text'],
      [7, '/lines/1'],
      [{ text: 'x', stream: 'other' }, '/lines/1/stream'],
      [{ text: 'x', what: 1 }, '/lines/1/what'],
      [{ text: 'x', ago: 'soon' }, '/lines/1/ago'],
    ];
    for (const [line, pointer] of bad) {
      const { status, body } = await say(api, task, ['fine', line]);
      expect({ status, pointer: body.problems?.[0]?.pointer }, JSON.stringify(body)).toEqual({
        status: 400,
        pointer,
      });
    }
    const many = Array.from({ length: 1_001 }, () => 'x');
    expect((await say(api, task, many)).body.problems[0].pointer).toBe('/lines');
    expect((await api.get(`/v1/tasks/${task.id}/logs`)).body.lines).toEqual([]);
  });

  test('of a batch each chunk is judged alone', async ({ api, database }) => {
    const [one, two, over] = [await claimed(database), await claimed(database), await claimed(database)];
    await complete(database, over);
    const chunk = ({ id, token }: ClaimedTask, lines: unknown[], first_line = 1) => ({
      id,
      token,
      first_line,
      lines,
    });
    const { body } = await api.post('/v1/tasks/logs', {
      chunks: [
        chunk(one, ['a']),
        chunk(over, ['x']),
        chunk(two, ['bad\u0000']),
        chunk(two, ['b']),
        chunk(one, ['c'], 2),
        'what',
        { ...chunk(one, ['x']), token: two.token },
      ],
    });
    expect(
      body.results.map(({ status, code, kept }: Record<string, unknown>) => code ?? `${status} ${kept}`),
    ).toEqual([
      '200 1',
      'already_settled',
      'invalid_request',
      '200 1',
      '200 1',
      'invalid_request',
      'token_mismatch',
    ]);
    expect(body.results[2].problems[0].pointer).toBe('/chunks/2/lines/0');
    expect((await api.get(`/v1/tasks/${one.id}/logs`)).body.lines).toHaveLength(2);
    expect((await api.post('/v1/tasks/logs', { chunks: [] })).status).toBe(400);
  });

  test('chunks of one claim in one call are kept in their order, whoever else sends meanwhile', async ({
    api,
    database,
  }) => {
    const { sql, connect } = database;
    const [one, two, mine, noisy] = [
      await claimed(database),
      await claimed(database),
      await claimed(database),
      await claimed(database),
    ];
    const lock = async (...tasks: ClaimedTask[]) => {
      const holder = await connect();
      await holder.query('begin');
      await holder.query('select skipjack.lock_logs($1::uuid[])', [tasks.map(({ id }) => id)]);
      return () => holder.query('commit');
    };
    const sayMany = (task: ClaimedTask, count: number) =>
      api.post('/v1/tasks/logs', {
        chunks: Array.from({ length: count }, (_, index) => ({
          id: task.id,
          token: task.token,
          first_line: index + 1,
          lines: [`line ${index + 1}`],
        })),
      });
    // Whoever shares a statement with the noisy one waits for another replica; what is behind it must not overtake.
    const unlockNoisy = await lock(noisy);
    const unlockOthers = await lock(one, two);
    const calls = [sayMany(one, 1), sayMany(two, 1)];
    await untilBlocked(database);
    for (const task of [noisy, mine]) {
      calls.push(sayMany(task, 700));
      await setTimeout(200);
    }
    await unlockOthers();
    await setTimeout(500);
    await unlockNoisy();
    for (const { body } of await Promise.all(calls))
      expect(body.results.map(({ kept }: { kept: number }) => kept)).toEqual(body.results.map(() => 1));
    const [row] = await sql('select count(*)::integer as lines from skipjack.log_lines where task_id = $1', [
      mine.id,
    ]);
    expect(row).toEqual({ lines: 700 });
  });

  test('claims that are held are told from those that are not; without any it says which database this is', async ({
    api,
    database,
  }) => {
    const [held, over] = [await claimed(database), await claimed(database)];
    await complete(database, over);
    const of = ({ id, token }: ClaimedTask) => ({ id, token });
    const { body } = await api.post('/v1/tasks/held', {
      claims: [of(held), of(over), { ...of(held), token: 'x' }],
    });
    expect(body).toEqual({ instance: expect.stringMatching(/^[0-9a-f-]{36}$/), held: [true, false, false] });
    expect((await api.post('/v1/tasks/held', { claims: [] })).body).toEqual({
      instance: body.instance,
      held: [],
    });
    expect((await api.post('/v1/tasks/held', {})).status).toBe(400);
  });
});
