import { expect } from 'vitest';
import type { TestDatabase } from '../support/database.ts';
import { claimOne, enqueue, fail } from '../support/tasks.ts';
import { test } from './support/api.ts';

async function bury(database: TestDatabase, task: Parameters<typeof enqueue>[1] = {}): Promise<string> {
  const id = await enqueue(database, task);
  await fail(database, await claimOne(database, { queues: [task.queue ?? 'default'] }));
  return id;
}

test('a dead letter shows what ran and every attempt', async ({ api, database }) => {
  const id = await bury(database, { command: 'false', args: ['x'], input: { n: 1 } });
  const { status, body } = await api.get(`/v1/dead-letters/${id}`);
  expect(status).toBe(200);
  expect(body).toMatchObject({
    id,
    reason: 'failed',
    type: 'command',
    command: 'false',
    args: ['x'],
    input: { n: 1 },
    error: { code: 'exit_code' },
    replayed_at: null,
    attempts: [{ attempt: 1, outcome: 'failed', worker: 'tester', error: { code: 'exit_code' } }],
  });
});

test('a replayed letter brings its task back once', async ({ api, database }) => {
  const id = await bury(database);
  const first = await api.post(`/v1/dead-letters/${id}/replay`);
  expect([first.status, first.body.state, first.body.attempt]).toEqual([200, 'ready', 1]);
  const second = await api.post(`/v1/dead-letters/${id}/replay`);
  expect(second.status).toBe(409);
  expect(second.body).toMatchObject({ code: 'already_replayed', replayed_at: expect.any(String) });
});

test('letters are listed newest first, by pages and by filters', async ({ api, database }) => {
  const ids: string[] = [];
  for (const queue of ['a', 'b', 'a']) ids.unshift(await bury(database, { queue }));
  await api.post(`/v1/dead-letters/${ids[0]}/replay`);
  const page = async (query: string) => (await api.get(`/v1/dead-letters?${query}`)).body;
  const idsOf = (list: { dead_letters: { id: string }[] }) => list.dead_letters.map((letter) => letter.id);
  const first = await page('limit=2');
  const second = await page(`limit=2&cursor=${first.next_cursor}`);
  expect([...idsOf(first), ...idsOf(second)]).toEqual(ids);
  expect(second.next_cursor).toBeNull();
  expect(idsOf(await page('queue=b'))).toEqual([ids[1]]);
  expect(idsOf(await page('replayed=true'))).toEqual([ids[0]]);
  expect(idsOf(await page('replayed=false&queue=a'))).toEqual([ids[2]]);
  expect(idsOf(await page('reason=lost_too_often'))).toEqual([]);
  expect(idsOf(await page('failed_after=2999-01-01T00:00:00Z'))).toEqual([]);
});

test('a replay by filter says first what it would do', async ({ api, database }) => {
  const ids = [await bury(database, { queue: 'a' }), await bury(database, { queue: 'a' })];
  const other = await bury(database, { queue: 'b' });
  const dry = await api.post('/v1/dead-letters/replay', { queue: 'a', dry_run: true });
  expect(dry.body).toEqual({ ids, count: 2, dry_run: true });
  const one = await api.post('/v1/dead-letters/replay', { queue: 'a', limit: 1 });
  expect(one.body).toEqual({ ids: ids.slice(0, 1), count: 1, dry_run: false });
  const rest = await api.post('/v1/dead-letters/replay', {});
  expect(rest.body.ids).toEqual([ids[1], other]);
  expect((await api.get('/v1/tasks?state=ready')).body.tasks).toHaveLength(3);
});

test('a deleted letter leaves its task in the record', async ({ api, database }) => {
  const id = await bury(database);
  expect((await api.send('DELETE', `/v1/dead-letters/${id}`)).status).toBe(204);
  expect((await api.send('DELETE', `/v1/dead-letters/${id}`)).status).toBe(404);
  expect((await api.get(`/v1/tasks/${id}`)).body.state).toBe('failed');
});

test.for([
  `["2026-13-99 99:99:99+00","0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60"]`,
  `["now","0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60"]`,
  `["2026-01-01 00:00:00+00","x"]`,
  `["2026-02-31 00:00:00+99:99:99","0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60"]`,
  `{}`,
])('the forged cursor %s is refused', async (text, { api }) => {
  const answer = await api.get(`/v1/dead-letters?cursor=${Buffer.from(text).toString('base64url')}`);
  expect([answer.status, answer.body.code]).toEqual([400, 'invalid_request']);
});
