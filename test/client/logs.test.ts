/** Logs through the client and through a worker's task source over HTTP. */
import { connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import { startServer } from '../../src/api/server.ts';
import { createClient } from '../../src/client/client.ts';
import type { FollowedLine, LogEnd } from '../../src/client/logs.ts';
import { createHttpTaskSource } from '../../src/client/task-source.ts';
import type { ClaimedTask, LogLine } from '../../src/core/task-source.ts';
import { Engine } from '../../src/engine/engine.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimNamed, start } from '../support/processes.ts';
import { claimOne, complete, enqueue } from '../support/tasks.ts';

/** A server behind a way that can be cut. */
async function startCuttable({ queue }: TestDatabase) {
  const server = await startServer(new Engine({ queue }), { port: 0 });
  const sockets = new Set<Socket>();
  const way = createServer((incoming) => {
    const outgoing = connect(server.port, '127.0.0.1');
    for (const socket of [incoming, outgoing]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        incoming.destroy();
        outgoing.destroy();
      });
    }
    incoming.pipe(outgoing).pipe(incoming);
  });
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve));
  onTestFinished(async () => {
    way.close();
    cut();
    await server.close();
  });
  return { url: `http://127.0.0.1:${(way.address() as { port: number }).port}`, cut, server };
}

async function claimed(database: TestDatabase): Promise<ClaimedTask> {
  await enqueue(database);
  return claimOne(database);
}

async function collect(lines: AsyncGenerator<FollowedLine, LogEnd, void>) {
  const texts: string[] = [];
  for (;;) {
    const { done, value } = await lines.next();
    if (done) return { texts, end: value };
    texts.push(value.text);
  }
}

test('lines are added, listed and followed', async ({ database }) => {
  const client = createClient({ url: (await startCuttable(database)).url });
  const id = await start(database, { a: [] });
  const task = await claimNamed(database, id, 'a');
  const added = await client.appendLog(
    task,
    ['one\ntwo\n', { text: 'three', stream: 'stderr', agoMs: 500 }],
    {
      firstLine: 1,
    },
  );
  expect(added).toEqual({ kept: 3, full: false });
  const { lines, next_cursor } = await client.listTaskLogs(task.id, { limit: 2 });
  expect(lines.map(({ text }) => text)).toEqual(['one', 'two']);
  const rest = await client.listProcessLogs(id, { tail: 1 });
  expect(rest.lines).toMatchObject([{ task: 'a', text: 'three', stream: 'stderr' }]);
  const following = [
    collect(client.followLogs({ process: id })),
    collect(client.followLogs({ task: task.id }, { cursor: next_cursor ?? '' })),
    collect(client.followLogs({ task: task.id }, { tail: 1 })),
  ];
  await client.appendLog(task, ['four']);
  await client.complete(task);
  expect(await Promise.all(following)).toEqual([
    { texts: ['one', 'two', 'three', 'four'], end: { state: 'completed' } },
    { texts: ['three', 'four'], end: { state: 'completed' } },
    { texts: expect.arrayContaining(['four']), end: { state: 'completed' } },
  ]);
  await expect(client.appendLog(task, ['late'])).rejects.toMatchObject({ code: 'already_settled' });
});

test('a connection that is lost is made again, and goes on behind the last line', async ({ database }) => {
  const { url, cut, server } = await startCuttable(database);
  const direct = createClient({ url: server.url });
  const task = await claimed(database);
  const lost: string[] = [];
  const lines = createClient({ url }).followLogs(
    { task: task.id },
    { onLost: ({ code }) => lost.push(code) },
  );
  const texts: string[] = [];
  for (let round = 1; round <= 3; round += 1) {
    await direct.appendLog(task, [`${round} a`, `${round} b`]);
    for (let count = 0; count < 2; count += 1) {
      const { value } = await lines.next();
      texts.push(value && 'text' in value ? value.text : '');
    }
    cut();
  }
  await complete(database, task);
  expect(await collect(lines)).toEqual({ texts: [], end: { state: 'completed' } });
  expect(texts).toEqual(['1 a', '1 b', '2 a', '2 b', '3 a', '3 b']);
  expect(lost).toContain('server_unreachable');
});

test('who follows hears at once what there is no use in waiting for', async ({ database }) => {
  const { url, server } = await startCuttable(database);
  const client = createClient({ url });
  const nowhere = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';
  await expect(client.followLogs({ task: nowhere }).next()).rejects.toMatchObject({ code: 'not_found' });
  const task = await claimed(database);
  const leaving = new AbortController();
  const lines = client.followLogs({ task: task.id }, { signal: leaving.signal });
  await client.appendLog(task, ['one']);
  expect((await lines.next()).value).toMatchObject({ text: 'one' });
  const next = lines.next();
  leaving.abort();
  await expect(next).rejects.toThrow();
  await server.close();
  await expect(client.followLogs({ task: task.id }).next()).rejects.toMatchObject({
    code: 'server_unreachable',
  });
});

test('a worker over HTTP adds what the server takes, whatever its programs say', async ({ database }) => {
  const { url, server } = await startCuttable(database);
  const ended = new AbortController();
  const source = createHttpTaskSource({ url, signal: ended.signal });
  const client = createClient({ url });
  const [task, over] = [await claimed(database), await claimed(database)];
  await complete(database, over);
  const line = (text: string, more: Partial<LogLine> = {}): LogLine => ({
    agoMs: 0,
    stream: 'stdout',
    part: null,
    text,
    ...more,
  });
  const many = Array.from({ length: 2_500 }, (_, index) => line(`${index} ${'é'.repeat(900)}`));
  const odd = [
    line('\u0000'),
    line('\ud800'),
    line('é'.repeat(40_000)),
    line('x', { agoMs: -5, part: 'pre 1' }),
  ];
  const lines = [...many, ...odd];
  const chunk = { id: task.id, token: task.token, firstLine: 1, lines };
  const late = { id: over.id, token: over.token, firstLine: 1, lines: [line('late')] };
  // The same again, as after an answer that was lost.
  for (const _again of [1, 2]) {
    expect(await source.appendLogs([late, chunk])).toEqual([{ kind: 'lease_lost' }, { kind: 'kept' }]);
  }
  const [counted] = await database.sql(
    'select sum(line_count)::integer as lines, max(line_count) as most from skipjack.task_logs',
  );
  expect(counted?.lines).toBe(lines.length);
  const { lines: last } = await client.listTaskLogs(task.id, { tail: 4 });
  expect(last.map(({ text }) => text.slice(0, 3))).toEqual(['\ufffd', '\ufffd', 'ééé', 'x']);
  expect(Buffer.byteLength(last[2]?.text ?? '')).toBe(64 * 1024);

  const { held, instance } = await source.findHeld([over, task]);
  expect(held).toEqual([false, true]);
  expect(await source.findHeld([])).toEqual({ instance, held: [] });

  await server.close();
  await expect(source.appendLogs([chunk])).rejects.toMatchObject({ code: 'server_unreachable' });
  ended.abort();
});
