import { expect } from 'vitest';
import { parseTaskInput } from '../../src/core/task-input.ts';
import { test } from '../support/database.ts';
import { claimOne, complete, enqueue } from '../support/tasks.ts';
import { type Ended, skipjack } from './support/cli.ts';

function doctor(url: string, ...args: string[]): Promise<Ended> {
  return skipjack(['doctor', ...args], { env: { DATABASE_URL: url } });
}

test('doctor finds nothing wrong with a sound database', async ({ database }) => {
  await enqueue(database);
  await complete(database, await claimOne(database));
  const { code, stdout, stderr } = await doctor(database.url);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^ok {4} schema: version \d+, this version's$/m);
  expect(stdout).toMatch(/^ok {4} audit: \d+ rules hold$/m);
});

test('doctor names a broken row, with exit code 1', async ({ database }) => {
  database.skipAudit();
  const id = await enqueue(database);
  await database.sql('delete from skipjack.queue_items where task_id = $1', [id]);
  const { code, stdout, stderr } = await doctor(database.url, '-o', 'json');
  expect(code).toBe(1);
  expect(stderr).toContain('one thing is wrong');
  expect(JSON.parse(stdout)).toContainEqual({
    check: 'audit: an_active_task_is_on_the_queue',
    status: 'wrong',
    detail: expect.stringContaining(id),
  });
});

test('doctor names claims that nobody took back, and work that nobody serves', async ({ database }) => {
  await enqueue(database, { queue: 'mail' });
  await database.queue.enqueue(parseTaskInput({ name: 'review' }));
  await enqueue(database);
  await database.sql(`update skipjack.queue_items set available_at = clock_timestamp() - interval '1 hour'`);
  const { id } = await claimOne(database);
  await database.sql(
    `update skipjack.queue_items set lease_expires_at = clock_timestamp() - interval '1 hour' where task_id = $1`,
    [id],
  );
  const { code, stdout } = await doctor(database.url);
  expect(code).toBe(1);
  expect(stdout).toMatch(/^wrong +leases: 1 expired and not taken back/m);
  expect(stdout).toMatch(/^wrong +queues: "mail": 1 wait .* Run: skipjack worker --queues mail$/m);
  expect(stdout).toMatch(/^note +queues: "people": 1 wait .* for somebody to claim them$/m);
});

test('without the schema doctor says so and looks no further', async ({ database }) => {
  database.skipAudit();
  await database.sql('drop schema skipjack cascade');
  const { code, stdout } = await doctor(database.url);
  expect(code).toBe(1);
  expect(stdout).toMatch(
    /^wrong +schema: The database has no skipjack schema. Run "skipjack migrate" first.$/m,
  );
  expect(stdout).not.toMatch(/audit/);
});
