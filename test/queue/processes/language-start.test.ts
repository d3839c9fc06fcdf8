/** Starting what an engine must think about. */
import { expect } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import type { Plan } from '../../../src/core/plan.ts';
import { keepInlineDefinition, publishDefinition } from '../../../src/engine/publish.ts';
import { type TestDatabase, test } from '../../support/database.ts';
import { makePlan, newProcess, publish, tryStart } from '../../support/processes.ts';

function inboxOf({ sql }: TestDatabase, processId: string) {
  return sql(
    `select thought.kind, task.name as task, round(extract(epoch from thought.available_at - process.created_at))::integer as after_s
     from skipjack.engine_items as thought
     join skipjack.processes as process on process.id = thought.process_id
     left join skipjack.tasks as task on task.id = thought.task_id
     where thought.process_id = $1 order by thought.kind, task.ordinal`,
    [processId],
  );
}

/** As `definition/` would make it; answers the id of its definition. */
async function keep({ db }: TestDatabase, change: (plan: Plan) => void, graph = { a: [], b: [], c: ['a'] }) {
  const plan = makePlan(graph);
  change(plan);
  return keepInlineDefinition(db, { source: JSON.stringify(plan), plan });
}

async function started(database: TestDatabase, definitionId: string, more: Record<string, unknown> = {}) {
  const id = newId();
  const request = { ...newProcess({ id, definition_id: definitionId }), ...more };
  const [answer] = await database.sql<{ outcome: string; lines: [string, number][] | null }>(
    'select outcome, lines from skipjack.start_processes($1::jsonb)',
    [JSON.stringify([request])],
  );
  expect(answer?.outcome).toBe('created');
  const [process] = await database.sql(
    `select thinks, finishes, cleans_up, parent_process_id, parent_task_id, detached, depth from skipjack.processes where id = $1`,
    [id],
  );
  return { id, lines: answer?.lines ?? [], process };
}

const closedFrom = 'select compatible_from from skipjack.compatibility';
const none = { parent_process_id: null, parent_task_id: null, detached: false, depth: 0 };

test('tasks that think wait for an engine, the others for a worker, and each hears of its own', async ({
  database,
}) => {
  const definitionId = await keep(database, (plan) => {
    plan.thinks = true;
    for (const task of plan.tasks.filter(({ name }) => name !== 'b')) task.thinks = true;
    Object.assign(plan.tasks[2] ?? {}, { if: 'always()', runs_on_failure: true, runs_on_cancel: true });
  });
  const { id, lines, process } = await started(database, definitionId);
  expect(process).toEqual({ ...none, thinks: true, finishes: false, cleans_up: true });
  expect(await inboxOf(database, id)).toEqual([{ kind: 'think', task: 'a', after_s: 0 }]);
  expect(
    await database.sql(
      `select name, task.state, waits_for, thinks, runs_on_failure, runs_on_cancel, item.task_id is not null as queued
       from skipjack.tasks as task left join skipjack.queue_items as item on item.task_id = task.id
       where task.process_id = $1 order by ordinal`,
      [id],
    ),
  ).toEqual([
    { ...plain, name: 'a', state: 'active', waits_for: 'engine', thinks: true, queued: false },
    { ...plain, name: 'b', state: 'active', queued: true },
    { ...plain, name: 'c', state: 'pending', thinks: true, runs_on_failure: true, runs_on_cancel: true },
  ]);
  expect(lines).toEqual([
    ['$engine', 0],
    ['default', 5],
  ]);
});

const plain = {
  waits_for: null,
  thinks: false,
  runs_on_failure: false,
  runs_on_cancel: false,
  queued: false,
};

test('a deadline is posted for its time, and an engine ends what has one, an output or on_failure', async ({
  database,
}) => {
  const { sql } = database;
  const [before] = await sql(closedFrom);
  await started(database, await publish(database, { a: [] }));
  expect(await sql(closedFrom)).toEqual([before]);

  const late = await started(
    database,
    await keep(database, (plan) => Object.assign(plan, { deadline_ms: 90_000 })),
  );
  expect(late.process).toEqual({ ...none, thinks: false, finishes: true, cleans_up: false });
  expect(await inboxOf(database, late.id)).toEqual([{ kind: 'deadline', task: null, after_s: 90 }]);
  expect(late.lines).toContainEqual(['$engine', 0]);
  // From the first such process on: servers that know no engine would end it themselves.
  expect(await sql(closedFrom)).toEqual([{ compatible_from: 13 }]);
  for (const change of [{ output: null }, { on_failure: { definition: 'x' } }]) {
    const { process, lines } = await started(
      database,
      await keep(database, (plan) => Object.assign(plan, change)),
    );
    expect(process).toMatchObject({ finishes: true });
    expect(lines).toEqual([['default', 5]]);
  }
});

test('an engine ends what a task waits for; what goes on by itself ends by itself', async ({ database }) => {
  // Nobody has started them: the tasks that they name are not there.
  database.skipAudit();
  const parent = { parent_process_id: newId(), parent_task_id: newId(), depth: 3 };
  const definitionId = await publish(database, { a: [] });
  const attached = await started(database, definitionId, parent);
  expect(attached.process).toMatchObject({ ...parent, finishes: true, detached: false });
  const detached = await started(database, definitionId, { ...parent, detached: true });
  expect(detached.process).toMatchObject({ ...parent, finishes: false, detached: true });
});

test('nothing is started by the name of an inactive definition, in any version, but what a key had started', async ({
  database,
}) => {
  const { db, sql } = database;
  const plan = { ...makePlan({ a: [] }), name: 'off' };
  const { id: definitionId } = await publishDefinition(db, 'off', { source: '{}', plan });
  const key = { definition: 'off', idempotency_key: 'monday' };
  const first = await tryStart(database, key);
  expect(first.kind).toBe('created');
  // One of the same name that is nobody's version.
  const inline = await keepInlineDefinition(db, { source: '{"inline": true}', plan });
  await sql(`insert into skipjack.inactive_definitions (name, since) values ('off', now())`);

  const inactive = { kind: 'definition_inactive' };
  expect(await tryStart(database, { definition: 'off' })).toEqual(inactive);
  expect(await tryStart(database, { definition: 'off', version: 1 })).toEqual(inactive);
  expect(await tryStart(database, { definition_id: definitionId })).toEqual(inactive);
  expect(await tryStart(database, { definition: 'off', idempotency_key: 'tuesday' })).toEqual(inactive);
  expect(await tryStart(database, key)).toEqual({ ...first, kind: 'existing' });
  expect(await tryStart(database, { definition: 'off', version: 2 })).toEqual({ kind: 'no_such_definition' });
  expect(await tryStart(database, { definition_id: inline })).toMatchObject({ kind: 'created' });
  await expect(sql(`select skipjack.start_process('off')`)).rejects.toThrow(
    'definition_inactive: the definition "off" is inactive: nothing is started by it',
  );

  await sql('delete from skipjack.inactive_definitions');
  expect(await tryStart(database, { definition: 'off', idempotency_key: 'tuesday' })).toMatchObject({
    kind: 'created',
  });
});

test('start_process notifies an engine inside the transaction of its caller', async ({ database }) => {
  const plan = { ...makePlan({ a: [] }), thinks: true as const };
  Object.assign(plan.tasks[0] ?? {}, { thinks: true });
  await publishDefinition(database.db, 'thoughtful', { source: '{}', plan });
  const listener = await database.connect();
  const heard: unknown[] = [];
  const notified = new Promise<void>((resolve) => {
    listener.on('notification', ({ payload }) => {
      heard.push(JSON.parse(payload ?? '').lines);
      resolve();
    });
  });
  await listener.query('listen skipjack');
  await database.sql(`select skipjack.start_process('thoughtful')`);
  await notified;
  expect(heard).toEqual([[['$engine', 0]]]);
});
