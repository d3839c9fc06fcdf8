import { expect } from 'vitest';
import { type Client, createClient } from '../../src/client/client.ts';
import { test as databaseTest } from '../support/database.ts';
import { startLossyServer } from './support/server.ts';

const test = databaseTest.extend<{ client: Client }>({
  client: async ({ database }, use) => {
    const { url } = await startLossyServer(database.queue);
    await use(createClient({ url }));
  },
});

const text = `tasks:
  - name: Open Loan Application
  - name: Review Credit/Ä
    needs: [Open Loan Application]
`;

test('a definition is published as text or as an object, and read by its version', async ({ client }) => {
  const first = await client.publishDefinition('loan/ä', text);
  expect(first).toMatchObject({ name: 'loan/ä', version: 1, tasks: 2, created: true });
  expect(await client.publishDefinition('loan/ä', text)).toEqual({ ...first, created: false });
  const other = { tasks: [{ name: 'A' }] };
  expect(await client.publishDefinition('loan/ä', other)).toMatchObject({ version: 2, created: true });
  expect(await client.getDefinition('loan/ä')).toMatchObject({
    version: 2,
    source: JSON.stringify(other, null, 2),
    plan: { tasks: [{ name: 'A' }] },
  });
  expect((await client.getDefinition('loan/ä', { version: 1 })).source).toBe(text);
  await expect(client.getDefinition('loan/ä', { version: 3 })).rejects.toMatchObject({ code: 'not_found' });
  const { versions, next_cursor } = await client.listDefinitionVersions('loan/ä', { limit: 1 });
  expect([versions.map(({ version }) => version), next_cursor]).toEqual([[2], expect.any(String)]);
  await client.publishDefinition('another', text);
  const page = await client.listDefinitions({ limit: 1 });
  const rest = await client.listDefinitions({ limit: 1, cursor: page.next_cursor ?? '' });
  expect([...page.definitions, ...rest.definitions].map(({ name }) => name)).toEqual(['another', 'loan/ä']);
});

test('mistakes have their places, thrown by a publish and answered by a check', async ({ client }) => {
  const wrong = text.replace('[Open Loan', '[Open Load');
  const problems = [
    {
      pointer: '/tasks/1/needs/0',
      line: 4,
      column: 13,
      code: 'unknown_need',
      suggestion: 'Open Loan Application',
    },
  ];
  await expect(client.publishDefinition('loan', wrong)).rejects.toMatchObject({
    code: 'invalid_definition',
    exitCode: 5,
    problems,
  });
  expect(await client.validateDefinition(wrong)).toMatchObject({ valid: false, problems });
  expect(await client.validateDefinition(text)).toMatchObject({ valid: true, tasks: 2, name: null });
  expect(await client.validateDefinition({ tasks: [] })).toMatchObject({ valid: false });
});

test('a process goes from its start over its tasks to its end', async ({ client }) => {
  await client.publishDefinition('loan', text);
  const process = await client.startProcess(
    { definition: 'loan', input: { amount: 5 }, idempotencyKey: 'one' },
    { waitMs: 0 },
  );
  expect(process).toMatchObject({ state: 'running', version: 1, input: { amount: 5 }, percent: 0 });
  const { id, revision } = process;
  const again = { definition: 'loan', input: { amount: 5 }, idempotencyKey: 'one', version: undefined };
  expect((await client.startProcess(again)).id).toBe(id);
  expect((await client.pauseProcess(id, { by: 'ada', ifRevision: revision })).paused).toBe(true);
  await expect(client.resumeProcess(id, { ifRevision: revision })).rejects.toMatchObject({
    code: 'precondition_failed',
    status: 412,
    extra: { revision: revision + 1 },
  });
  expect((await client.resumeProcess(id)).paused).toBe(false);

  const first = await client.completeTaskByName(id, 'Open Loan Application', {
    output: { ok: true },
    by: 'ada',
  });
  expect(first).toMatchObject({ repeated: false, percent: 50, active: ['Review Credit/Ä'] });
  expect(
    await client.completeTaskByName(id, 'Open Loan Application', { output: { ok: true }, by: 'ada' }),
  ).toMatchObject({ repeated: true });
  const failed = await client.failTaskByName(id, 'Review Credit/Ä', {
    error: { message: 'too low', details: { score: 3 } },
    by: 'bob',
    ifRevision: first.revision,
  });
  expect(failed).toMatchObject({
    state: 'failed',
    last_error: { task: 'Review Credit/Ä', message: 'too low' },
  });
  const waiting = client.waitForProcess(id, { waitMs: 0 });
  expect(await waiting).toMatchObject({ state: 'failed' });

  const retried = await client.retryProcess(id, { by: 'ada', ifRevision: failed.revision });
  expect(retried).toMatchObject({ state: 'running', retried: ['Review Credit/Ä'] });
  const ending = client.waitForProcess(id, { waitMs: 30_000 });
  await client.completeTaskByName(id, '2', { output: 'fine' });
  expect(await ending).toMatchObject({ state: 'completed', output: { 'Review Credit/Ä': 'fine' } });

  const tasks = await client.listProcessTasks(id, { limit: 1 });
  expect(tasks.tasks).toMatchObject([{ name: 'Open Loan Application', state: 'completed' }]);
  const more = await client.listProcessTasks(id, { limit: 1, cursor: tasks.next_cursor ?? '' });
  expect([more.tasks[0]?.name, more.next_cursor]).toEqual(['Review Credit/Ä', null]);
  const { events } = await client.listProcessEvents(id, { limit: 500 });
  expect(events.filter(({ by }) => by === 'bob').map(({ event }) => event)).toContain('task_failed_by_name');
  expect(events[0]).toMatchObject({ event: 'process_started', task: null, by: null });
  expect(events.map(({ event }) => event)).toContain('process_completed');
  expect((await client.listTasks({ processId: id })).tasks).toHaveLength(2);
  expect((await client.listTasks({ definition: 'loan', state: 'completed' })).tasks).toHaveLength(2);

  await expect(client.deleteProcess(id, { ifRevision: 0 })).rejects.toMatchObject({
    code: 'precondition_failed',
  });
  await client.deleteProcess(id);
  await expect(client.getProcess(id)).rejects.toMatchObject({ code: 'not_found' });
});

test('a definition in hand starts as an object or as text; who waits gets the end', async ({ client }) => {
  const started = client.startProcess({ definition: { tasks: [{ name: 'A' }] } }, { waitMs: 30_000 });
  await expect.poll(async () => (await client.listProcesses({ state: 'live' })).processes).toHaveLength(1);
  const [live] = (await client.listProcesses({ state: 'live' })).processes;
  await client.completeTaskByName(live?.id ?? '', 'A', { output: 7 });
  expect(await started).toMatchObject({ state: 'completed', output: { A: 7 }, definition: null });
  const other = await client.startProcess({ source: text });
  expect(await client.cancelProcess(other.id, { by: 'ada' })).toMatchObject({ state: 'cancelled' });
  await expect(client.cancelProcess(String(live?.id))).rejects.toMatchObject({
    code: 'already_ended',
    extra: { state: 'completed' },
  });
  const page = await client.listProcesses({ createdAfter: '2020-01-01T00:00:00Z' }, { limit: 1 });
  const rest = await client.listProcesses({}, { limit: 1, cursor: page.next_cursor ?? '' });
  expect([...page.processes, ...rest.processes].map(({ id }) => id)).toEqual([other.id, live?.id]);
});

test('of a task that is held the holder is named, of one that waits what it waits for', async ({
  client,
}) => {
  const { id } = await client.startProcess({ source: text });
  await client.claim({ queues: ['people'], worker: 'ada' });
  await expect(client.completeTaskByName(id, 'Open Loan Application')).rejects.toMatchObject({
    code: 'already_claimed',
    extra: { worker: 'ada', lease_expires_at: expect.any(String) },
  });
  await expect(client.failTaskByName(id, 'Review Credit/Ä', { error: 'no' })).rejects.toMatchObject({
    code: 'not_active',
    extra: { needs: ['Open Loan Application'] },
  });
  await expect(client.completeTaskByName(id, 'Review')).rejects.toMatchObject({ code: 'not_found' });
});

test('a worker that is narrowed to a definition gets the outputs before its task', async ({ client }) => {
  await client.publishDefinition('loan', text);
  const { id } = await client.startProcess({ definition: 'loan' });
  await client.startProcess({ source: text });
  await client.completeTaskByName(id, '1', { output: 'opened' });
  const claimed = await client.claim({ queues: ['people'], limit: 10, definition: 'loan', outputs: 'all' });
  expect(claimed).toMatchObject([
    { name: 'Review Credit/Ä', needs: { 'Open Loan Application': 'opened' }, process: { id } },
  ]);
});
