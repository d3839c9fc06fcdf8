/** Progress and figures as workers over HTTP tell them. */
import { expect } from 'vitest';
import { test } from '../api/support/api.ts';
import { enqueue } from '../support/tasks.ts';

test('a heartbeat over HTTP says how far the attempt is', async ({ api, database }) => {
  const id = await enqueue(database);
  const { token } = (await api.post('/v1/tasks/claim', { queues: ['default'] })).body.tasks[0];
  const progressOf = async () => (await api.get(`/v1/tasks/${id}`)).body.progress;
  expect((await api.post(`/v1/tasks/${id}/heartbeat`, { token, progress: 40 })).status).toBe(200);
  expect(await progressOf()).toBe(40);
  await api.post(`/v1/tasks/${id}/heartbeat`, { token });
  expect(await progressOf()).toBe(40);
  const batch = { leases: [{ id, token, progress: { step: 'upload', done: 3 } }] };
  expect((await api.post('/v1/tasks/heartbeat', batch)).body.results).toMatchObject([{ status: 'extended' }]);
  expect((await api.get('/v1/tasks')).body.tasks[0].progress).toEqual({ step: 'upload', done: 3 });
  await api.post(`/v1/tasks/${id}/heartbeat`, { token, progress: null });
  expect(await progressOf()).toBeNull();
});

test('progress of more than 1 KiB is refused where it stands, and the claim is kept by the others', async ({
  api,
  database,
}) => {
  const ids = [await enqueue(database), await enqueue(database)];
  const { tasks } = (await api.post('/v1/tasks/claim', { queues: ['default'], limit: 2 })).body;
  const [one, other] = tasks;
  const progress = 'é'.repeat(512);
  const alone = await api.post(`/v1/tasks/${one.id}/heartbeat`, { token: one.token, progress });
  expect([alone.status, alone.body.problems[0].pointer]).toEqual([400, '/progress']);
  const bad = await api.post(`/v1/tasks/${one.id}/heartbeat`, { token: one.token, progress: '\u0000' });
  expect([bad.status, bad.body.problems[0].pointer]).toEqual([400, '/progress']);
  const batch = await api.post('/v1/tasks/heartbeat', {
    leases: [
      { id: one.id, token: one.token, progress },
      { id: other.id, token: other.token, progress: progress.slice(1) },
    ],
  });
  expect(batch.body.results).toMatchObject([
    { status: 400, problems: [{ pointer: '/leases/0/progress' }] },
    { status: 'extended' },
  ]);
  expect(ids).toContain(one.id);
});

test('figures come with the outcome, alone or in a batch', async ({ api, database }) => {
  const figures = { exit_code: 0, run_ms: 1_200, cpu_ms: 900, memory_peak_bytes: 5_000_000_000 };
  await enqueue(database);
  await enqueue(database);
  const { tasks } = (await api.post('/v1/tasks/claim', { queues: ['default'], limit: 2 })).body;
  const [one, other] = tasks;
  await api.post(`/v1/tasks/${one.id}/complete`, { token: one.token, output: 1, ...figures });
  expect((await api.get(`/v1/tasks/${one.id}`)).body).toMatchObject({ state: 'completed', ...figures });
  const settlement = { id: other.id, token: other.token, outcome: 'failed', error: 'no', ...figures };
  await api.post('/v1/tasks/settle', { settlements: [settlement] });
  const failed = (await api.get(`/v1/tasks/${other.id}`)).body;
  expect(failed).toMatchObject({ state: 'failed', ...figures, attempts: [figures] });
  const refused = await api.post(`/v1/tasks/${other.id}/fail`, {
    token: other.token,
    error: 'no',
    cpu_ms: -1,
  });
  expect([refused.status, refused.body.problems[0].pointer]).toEqual([400, '/cpu_ms']);
});
