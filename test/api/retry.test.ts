/** What only a retry may bring along, and what it refuses. */
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { place } from '../queue/processes/support/by-hand.ts';
import { taskIdOf } from '../support/processes.ts';
import { claimOne } from '../support/tasks.ts';
import { test } from './support/api.ts';
import { startInline, taskPath } from './support/definitions.ts';

const definition = { tasks: [{ name: 'Open Loan', input: { n: 1 } }, { name: 'a/b~c' }, { name: 'Wait' }] };
const failed = { state: 'failed', claims: 1 } as const;

describe('a retry with other inputs', () => {
  test('gives them to the tasks that failed', async ({ api, database }) => {
    const path = await startInline(api, definition);
    await api.post(taskPath(path, 'Open Loan', 'fail'), { error: 'no' });
    const inputs = { 'Open Loan': { n: 2, list: [null] } };
    const { status, body } = await api.post(`${path}/retry`, { inputs, by: 'ada' });
    expect([status, body.retried]).toEqual([200, ['Open Loan']]);
    const [row] = await database.sql(`select input from skipjack.tasks where name = 'Open Loan'`);
    expect(row).toEqual({ input: inputs['Open Loan'] });
    expect((await claimOne(database, { queues: ['people'] })).name).toBe('Open Loan');
  });

  test('refuses each that cannot be changed, by its pointer, and changes nothing', async ({ api }) => {
    const path = await startInline(api, definition);
    await api.post(taskPath(path, 'Open Loan', 'fail'), { error: 'no' });
    const { status, body } = await api.post(`${path}/retry`, { inputs: { 'a/b~c': 1, 'Open Loan': 2 } });
    expect([status, body.code]).toEqual([422, 'invalid_input']);
    expect(body.problems).toEqual([
      {
        pointer: '/inputs/a~1b~0c',
        code: 'not_failed',
        message: '"a/b~c" is no task that failed. The input can be changed of "Open Loan".',
      },
    ]);
    expect((await api.get(path)).body.state).toBe('failed');
    for (const inputs of [[1], 'x', { 'Open Loan': 'x'.repeat(1024 * 1024) }])
      expect((await api.post(`${path}/retry`, { inputs })).body.code).toBe('invalid_request');
    expect((await api.post(`${path}/retry`)).status).toBe(200);
    expect(await api.post(`${path}/retry`, { inputs: {} })).toMatchObject({
      status: 409,
      body: { code: 'not_failed', state: 'running' },
    });
  });
});

describe('a retry of what cannot go on by itself is refused, of the dead letter as well,', () => {
  test('when another waits for it', async ({ api, database }) => {
    const parentId = await place(database, { state: 'failed', tasks: { a: { ...failed, thinks: true } } });
    const parent = { processId: parentId, taskId: await taskIdOf(database, parentId, 'a') };
    const id = await place(database, { state: 'failed', tasks: { x: failed }, parent });
    const letter = `/v1/dead-letters/${await taskIdOf(database, id, 'x')}/replay`;
    for (const asked of [`/v1/processes/${id}/retry`, letter]) {
      const { status, body } = await api.post(asked);
      expect(status).toBe(409);
      expect(body).toMatchObject({ code: 'has_parent', root_id: parentId });
      expect(body.detail).toContain(`Retry that one, ${parentId}`);
    }
    await api.post(`/v1/processes/${parentId}/retry`);
    const deleted = await api.send('DELETE', `/v1/processes/${id}`);
    expect(deleted).toMatchObject({ status: 409, body: { code: 'not_ended' } });
  });

  test('when its failure has started another', async ({ api, database }) => {
    const failureProcessId = newId();
    const id = await place(database, { state: 'failed', tasks: { a: failed }, result: { failureProcessId } });
    const letter = `/v1/dead-letters/${await taskIdOf(database, id, 'a')}/replay`;
    for (const asked of [`/v1/processes/${id}/retry`, letter]) {
      const { status, body } = await api.post(asked);
      expect(status).toBe(409);
      expect(body).toMatchObject({ code: 'compensated', failure_process_id: failureProcessId });
    }
  });
});
