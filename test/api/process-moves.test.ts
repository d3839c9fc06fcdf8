import { describe, expect } from 'vitest';
import { claim, claimOne } from '../support/tasks.ts';
import { test } from './support/api.ts';
import { startInline, taskPath } from './support/definitions.ts';

const definition = { tasks: [{ name: 'Open Loan' }, { name: 'Review 100 %/ä', needs: ['Open Loan'] }] };

describe('ending a task by its name', () => {
  test('a person completes one after the other, by name or by place', async ({ api }) => {
    const path = await startInline(api, definition);
    const first = await api.post(taskPath(path, 'Open Loan', 'complete'), {
      output: { amount: 1 },
      by: 'ada',
    });
    expect([first.status, first.body.repeated, first.body.active]).toEqual([200, false, ['Review 100 %/ä']]);
    expect(first.headers.get('etag')).toBe(`"${first.body.revision}"`);
    const second = await api.post(taskPath(path, 'Review 100 %/ä', 'complete'));
    expect(second.body).toMatchObject({
      state: 'completed',
      percent: 100,
      output: { 'Review 100 %/ä': null },
    });

    const again = await startInline(api, definition);
    expect((await api.post(taskPath(again, '1', 'complete'), {})).body.percent).toBe(50);
  });

  test('a task that failed by name fails its process, whatever its retry policy says', async ({ api }) => {
    const path = await startInline(api, { tasks: [{ name: 'A', retry: { attempts: 5 } }, { name: 'B' }] });
    const error = { code: 'score', message: 'too low', details: { score: 3 } };
    const { status, body } = await api.post(taskPath(path, 'A', 'fail'), { error, by: 'ada' });
    expect(status).toBe(200);
    expect(body).toMatchObject({
      state: 'failed',
      repeated: false,
      last_error: { ...error, task: 'A' },
      counts: { failed: 1, cancelled: 1 },
    });
    const again = await api.post(taskPath(path, 'A', 'fail'), { error, by: 'ada' });
    expect([again.status, again.body.repeated]).toEqual([200, true]);
  });

  test('of two people at one task one wins; the other hears that it is settled', async ({ api }) => {
    const path = await startInline(api, definition);
    const ask = (by: string) => api.post(taskPath(path, 'Open Loan', 'complete'), { output: by, by });
    const answers = await Promise.all([ask('ada'), ask('bob')]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    expect(answers.find(({ status }) => status === 409)?.body).toMatchObject({
      code: 'already_settled',
      state: 'completed',
    });
  });

  test('of two identical calls both answer the same', async ({ api }) => {
    const path = await startInline(api, definition);
    const ask = () => api.post(taskPath(path, 'Open Loan', 'complete'), { output: [1.5, null], by: 'ada' });
    const answers = await Promise.all([ask(), ask()]);
    expect(answers.map(({ status }) => status)).toEqual([200, 200]);
    expect(answers.map(({ body }) => body.repeated).sort()).toEqual([false, true]);
    expect(
      (await api.get(`${path}/events`)).body.events.filter(named('task_completed_by_name')),
    ).toHaveLength(1);
  });

  test('a task that somebody holds is theirs to settle', async ({ api, database }) => {
    const path = await startInline(api, definition);
    const held = await claimOne(database, { queues: ['people'], worker: 'worker-1' });
    const { status, body } = await api.post(taskPath(path, 'Open Loan', 'complete'), {});
    expect([status, body]).toMatchObject([
      409,
      { code: 'already_claimed', worker: 'worker-1', lease_expires_at: held.lease_expires_at },
    ]);
  });

  test('one whose needs have not ended names them, one that is not there names those that are', async ({
    api,
  }) => {
    const path = await startInline(api, definition);
    const early = await api.post(taskPath(path, 'Review 100 %/ä', 'complete'), {});
    expect([early.status, early.body]).toMatchObject([409, { code: 'not_active', needs: ['Open Loan'] }]);
    const lost = await api.post(taskPath(path, 'Open Load', 'fail'), { error: 'no' });
    expect([lost.status, lost.body.code]).toEqual([404, 'not_found']);
    expect(lost.body.detail).toContain('"Open Loan"');
  });

  test.for([
    ['fail', {}, '/error'],
    ['fail', undefined, undefined],
    ['fail', { error: 5 }, '/error'],
    ['fail', { error: 'no', retry: true }, '/retry'],
    ['complete', { token: 'x' }, '/token'],
    ['complete', { by: '' }, '/by'],
    ['complete', { output: 'x'.repeat(1024 * 1024) }, '/output'],
  ] as const)('%s with %j is refused', async ([move, body, pointer], { api }) => {
    const path = await startInline(api, definition);
    const answer = await api.post(taskPath(path, 'Open Loan', move), body);
    expect([answer.status, answer.body.problems[0]?.pointer]).toEqual([400, pointer]);
    expect((await api.get(path)).body.percent).toBe(0);
  });
});

describe('moving a process', () => {
  test('cancel ends what waits at once', async ({ api }) => {
    const path = await startInline(api, definition);
    for (const time of [1, 2]) {
      const { status, body } = await api.post(`${path}/cancel`, { by: 'ada' });
      expect([time, status, body.state, body.counts.cancelled]).toEqual([time, 200, 'cancelled', 2]);
    }
  });

  test('cancel asks what runs to stop', async ({ api, database }) => {
    const path = await startInline(api, definition);
    const held = await claimOne(database, { queues: ['people'] });
    const { status, body } = await api.post(`${path}/cancel`);
    expect([status, body.state]).toEqual([202, 'cancelling']);
    const beat = await api.post(`/v1/tasks/${held.id}/heartbeat`, { token: held.token });
    expect(beat.body).toEqual({ status: 'stop', reason: 'cancelled' });
    const settled = { settlements: [{ id: held.id, token: held.token, outcome: 'cancelled' }] };
    await api.post('/v1/tasks/settle', settled);
    expect((await api.get(`${path}?wait=30s`)).body.state).toBe('cancelled');
  });

  test('pause holds what waits until it is resumed', async ({ api, database }) => {
    const path = await startInline(api, definition);
    const paused = await api.post(`${path}/pause`);
    expect([paused.status, paused.body.paused]).toEqual([200, true]);
    expect(await claim(database, { queues: ['people'] })).toEqual([]);
    const resumed = await api.post(`${path}/resume`, { by: 'ada' });
    expect([resumed.status, resumed.body.paused]).toEqual([200, false]);
    expect(await claim(database, { queues: ['people'] })).toHaveLength(1);
  });

  test('retry goes on from what failed, and names it', async ({ api }) => {
    const path = await startInline(api, definition);
    const early = await api.post(`${path}/retry`);
    expect([early.status, early.body]).toMatchObject([409, { code: 'not_failed', state: 'running' }]);
    await api.post(taskPath(path, 'Open Loan', 'fail'), { error: 'no' });
    const { status, body, headers } = await api.post(`${path}/retry`, { by: 'ada' });
    expect(status).toBe(200);
    expect(body).toMatchObject({ state: 'running', retried: ['Open Loan'], active: ['Open Loan'] });
    expect(headers.get('etag')).toBe(`"${body.revision}"`);
  });

  test('a process that has ended is moved no more, but deleted', async ({ api }) => {
    const path = await startInline(api, { tasks: [{ name: 'A' }] });
    const early = await api.send('DELETE', path);
    expect([early.status, early.body]).toMatchObject([409, { code: 'not_ended', state: 'running' }]);
    await api.post(taskPath(path, 'A', 'complete'));
    for (const move of ['cancel', 'pause', 'resume']) {
      const { status, body } = await api.post(`${path}/${move}`);
      expect([move, status, body]).toMatchObject([move, 409, { code: 'already_ended', state: 'completed' }]);
    }
    const [task] = (await api.get(`${path}/tasks`)).body.tasks;
    expect((await api.send('DELETE', path)).status).toBe(204);
    expect((await api.get(path)).status).toBe(404);
    expect((await api.get(`/v1/tasks/${task.id}`)).status).toBe(404);
  });

  test.for([{ by: 5 }, { by: '' }, { reason: 'x' }, []])('the body %j is refused', async (body, { api }) => {
    const path = await startInline(api, definition);
    for (const move of ['cancel', 'pause', 'resume', 'retry']) {
      expect((await api.post(`${path}/${move}`, body)).status).toBe(400);
    }
  });
});

describe('If-Match', () => {
  const moves = ['cancel', 'pause', 'retry', 'tasks/Open%20Loan/complete', 'tasks/Open%20Loan/fail'];
  const bodyOf = (move: string) => (move.endsWith('fail') ? { error: 'no' } : {});

  test('lets a move pass on the process that was seen', async ({ api }) => {
    for (const [index, move] of moves.entries()) {
      const path = await startInline(api, definition);
      if (move === 'retry') await api.post(taskPath(path, 'Open Loan', 'fail'), { error: 'no' });
      const etag = (await api.get(path)).headers.get('etag') ?? '';
      const ifMatch = [etag, `"77", ${etag}`, '*', `"other",W/"1" , ${etag}`, `${etag},"78"`][index] ?? '';
      const { status, body } = await api.post(`${path}/${move}`, bodyOf(move), { 'if-match': ifMatch });
      expect([move, ifMatch, status, body.code]).toEqual([move, ifMatch, 200, undefined]);
    }
  });

  test('refuses it on one that has moved since, and changes nothing', async ({ api }) => {
    const path = await startInline(api, definition);
    const { body: before, headers } = await api.get(path);
    const etag = headers.get('etag') ?? '';
    for (const ifMatch of ['"77"', '"77", "78"', `W/${etag}`, '"abc"', '""', `"${'9'.repeat(40)}"`]) {
      for (const move of moves) {
        const { status, body } = await api.post(`${path}/${move}`, bodyOf(move), { 'if-match': ifMatch });
        expect([ifMatch, move, status, body]).toMatchObject([
          ifMatch,
          move,
          412,
          { code: 'precondition_failed', revision: before.revision },
        ]);
      }
      const gone = await api.send('DELETE', path, undefined, { 'if-match': ifMatch });
      expect([gone.status, gone.body.code]).toEqual([412, 'precondition_failed']);
    }
    expect((await api.get(path)).body).toEqual(before);
  });

  test('of two who saw the same, one moves the process', async ({ api }) => {
    const path = await startInline(api, { tasks: [{ name: 'A' }, { name: 'B' }] });
    const etag = (await api.get(path)).headers.get('etag') ?? '';
    const answers = await Promise.all([
      api.post(taskPath(path, 'A', 'complete'), {}, { 'if-match': etag }),
      api.post(taskPath(path, 'B', 'complete'), {}, { 'if-match': etag }),
    ]);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 412]);
    const now = answers.find(({ status }) => status === 200)?.headers.get('etag') ?? '';
    expect((await api.post(`${path}/pause`, {}, { 'if-match': now })).status).toBe(200);
  });

  test('an answer that got lost is asked for again with the same tag', async ({ api }) => {
    const path = await startInline(api, definition);
    const ifMatch = { 'if-match': (await api.get(path)).headers.get('etag') ?? '' };
    for (const repeated of [false, true]) {
      const { status, body } = await api.post(taskPath(path, 'Open Loan', 'complete'), {}, ifMatch);
      expect([status, body.repeated]).toEqual([200, repeated]);
    }
  });

  test.for(['1', 'abc', '"1', '"1",', '"1" "2"', '"1",,"2"', '*, "1"', 'w/"1"', ''])(
    'the header %j is malformed',
    async (ifMatch, { api }) => {
      const path = await startInline(api, definition);
      const { status, body } = await api.post(`${path}/cancel`, {}, { 'if-match': ifMatch });
      expect([status, body.code, body.problems[0].pointer]).toEqual([400, 'invalid_request', 'if-match']);
      expect((await api.get(path)).body.state).toBe('running');
    },
  );
});

function named(event: string) {
  return (each: { event: string }) => each.event === event;
}
