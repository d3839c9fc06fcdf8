/** What `run` shows of tasks that wait, of items, of what was skipped, and of processes below the one that it runs. */
import { execFileSync } from 'node:child_process';
import { describe, expect } from 'vitest';
import { noPaint } from '../../src/cli/paint.ts';
import { describeChange } from '../../src/cli/run/describe.ts';
import { drawProgress } from '../../src/cli/run/draw.ts';
import { explainFailure } from '../../src/cli/run/explain-failure.ts';
import { lookAtProcess, type TaskLook } from '../../src/cli/run/look.ts';
import { beginProgress, noteLook, type Progress } from '../../src/cli/run/progress.ts';
import { readFailures } from '../../src/cli/run/read-failures.ts';
import { sendByCurl } from '../../src/cli/run/send-by-curl.ts';
import type { PlannedTask } from '../../src/core/plan.ts';
import type { Spec } from '../../src/core/spec.ts';
import { test as base, type TestDatabase } from '../support/database.ts';
import { type Graph, makePlan, start, taskIdOf } from '../support/processes.ts';

// Rows are put where the engine would put them, one by one: what it does is for other tests.
const test = base.extend<{ database: TestDatabase }>({
  database: async ({ database }, use) => {
    database.skipAudit();
    await use(database);
  },
});

const command: Spec = { type: 'command', command: 'true', args: [] };
const ownQueues = ['default'];

function begin(graph: Graph, more: Record<string, Partial<PlannedTask>> = {}): Progress {
  const plan = makePlan(graph);
  const tasks = plan.tasks.map((task) => ({ ...task, ...more[task.name] }));
  return beginProgress({ ...plan, tasks }, { id: 'an-id', name: 'loan' });
}

function seen(ordinal: number, fields: Partial<TaskLook>): TaskLook {
  return {
    id: `task-${ordinal}`,
    ordinal,
    state: 'waiting',
    attempt: 1,
    attempts_max: 1,
    failures: 0,
    losses: 0,
    queue: 'default',
    worker: null,
    available_at: null,
    started_at: null,
    finished_at: null,
    run_ms: null,
    error: null,
    held: false,
    queue_paused: false,
    served: true,
    waits_for: null,
    awaiting: null,
    item_name: null,
    ...fields,
  };
}

function note(progress: Progress, tasks: TaskLook[], at = 10_000): (string | null)[] {
  const look = {
    at,
    state: 'running',
    paused: false,
    started_at: 0,
    finished_at: null,
    tasks,
  } as const;
  return noteLook(progress, look, { ownQueues }).map((change) => describeChange(change, progress.at));
}

/** The status of the first task. */
function draw(progress: Progress): string | undefined {
  return drawProgress(progress, {
    columns: 100,
    rows: 24,
    paint: noPaint,
    nowMs: progress.at,
    ownQueues,
  })[1];
}

const items = { all: 100, unended: 88, failed: 1 };

describe('a task that waits', () => {
  test('for its items is one line, however many there are', () => {
    const progress = begin({ Papers: { spec: command } });
    expect(note(progress, [seen(1, { waits_for: 'items', awaiting: { items } })])).toEqual([
      'Papers has 100 items',
    ]);
    expect(draw(progress)).toBe('○ Papers  12/100 items, 1 failed');
    expect(note(progress, [seen(1, { waits_for: 'items', awaiting: { items } })])).toEqual([]);
    expect(note(progress, [seen(1, { state: 'completed', finished_at: 9_999 })])).toEqual([
      'Papers completed',
    ]);
    expect(draw(progress)).toBe('✓ Papers  100/100 items, 1 failed');
  });

  test('for its items says every ten seconds how many have ended, if any have', () => {
    const progress = begin({ Papers: { spec: command } });
    const left = (unended: number) => [
      seen(1, { waits_for: 'items', awaiting: { items: { ...items, unended } } }),
    ];
    note(progress, left(88));
    expect(note(progress, left(60), 19_999)).toEqual([]);
    expect(note(progress, left(50), 20_000)).toEqual(['Papers: 50/100 items, 1 failed']);
    expect(note(progress, left(50), 30_000)).toEqual([]);
    expect(note(progress, left(49), 30_100)).toEqual(['Papers: 51/100 items, 1 failed']);
  });

  test('for items that people complete names them, one after the other', () => {
    const progress = begin({ Papers: { queue: 'people' } });
    const waits = { waits_for: 'items', awaiting: { items }, queue: 'people', served: false } as const;
    expect(note(progress, [seen(1, { ...waits, item_name: 'Papers[0]' })])).toEqual([
      'Papers has 100 items',
      'Papers[0] waits for somebody to complete it',
    ]);
    expect(draw(progress)).toBe('○ Papers  12/100 items, 1 failed, waits for somebody');
    expect(note(progress, [seen(1, { ...waits, item_name: 'Papers[0]' })])).toEqual([]);
    expect(note(progress, [seen(1, { ...waits, item_name: 'Papers[1]' })])).toEqual([
      'Papers[1] waits for somebody to complete it',
    ]);
  });

  test('for a process says which, and how far it is', () => {
    const progress = begin({ Pay: [] }, { Pay: { process: { definition: 'payout' } } });
    const process = { id: '0199', state: 'running', tasks: 7, unfinished: 4 } as const;
    expect(note(progress, [seen(1, { waits_for: 'process', awaiting: { process } })])).toEqual([
      'Pay waits for process 0199',
    ]);
    expect(draw(progress)).toBe('○ Pay  3/7 tasks of process 0199');
  });

  test('for a time says how long; for an event which', () => {
    const progress = begin(
      { Nap: [], Paid: [] },
      { Nap: { sleep: { for: '2s' } }, Paid: { wait_for: { event: 'paid' } } },
    );
    const nap = seen(1, { waits_for: 'time', awaiting: { until_ms: 12_500 } });
    const paid = seen(2, { waits_for: 'event', awaiting: { event: { name: 'paid', key: '42' } } });
    expect(note(progress, [nap, paid])).toEqual([
      'Nap waits until 1970-01-01T00:00:12.500Z',
      'Paid waits for the event "paid" with key "42"',
    ]);
    expect(draw(progress)).toBe('○ Nap   for another 2.5 s');
  });

  test('for an engine is not worth a line', () => {
    const progress = begin({ A: { spec: command } });
    expect(note(progress, [seen(1, { waits_for: 'engine' })])).toEqual([]);
    expect(draw(progress)).toBe('○ A');
  });
});

test('a task that is due later is told from one that is tried again', () => {
  const progress = begin({ A: { spec: command } });
  note(progress, [seen(1, { state: 'scheduled', available_at: 12_500 })]);
  expect(draw(progress)).toBe('○ A  due in 2.5 s');
});

test('a skipped task has a sign of its own', () => {
  const progress = begin({ A: { spec: command }, B: { spec: command } });
  expect(
    note(progress, [
      seen(1, { state: 'skipped', finished_at: 9_000 }),
      seen(2, { state: 'cancelled', finished_at: 9_001 }),
    ]),
  ).toEqual(['A skipped', 'B cancelled']);
  expect(draw(progress)).toBe('» A  skipped');
});

test('the command that sends an event survives every name and key', () => {
  const event = { name: "it's $PAID `now`", key: '"\\' };
  const text = sendByCurl({ serverUrl: 'http://127.0.0.1:1', event, needsKey: true });
  expect(text).toContain('$SKIPJACK_API_KEY');
  const said = execFileSync('sh', ['-c', `curl() { printf '%s\\n' "$@"; }\n${text}`], { encoding: 'utf8' });
  const body = said.trimEnd().split('\n').at(-1) ?? '';
  expect(JSON.parse(body)).toEqual({ ...event, payload: {} });
});

describe('a look at a process', () => {
  test('tells items by their task', async ({ database }) => {
    const processId = await start(database, { A: { queue: 'people' }, B: ['A'] });
    const taskId = await taskIdOf(database, processId, 'A');
    await database.sql('delete from skipjack.queue_items where task_id = $1', [taskId]);
    await database.sql(`update skipjack.tasks set waits_for = 'items' where id = $1`, [taskId]);
    await database.sql(
      `with made as (
         insert into skipjack.tasks (id, name, queue, priority, created_at, process_id, ordinal, item_of, item_index, state, finished_at)
         select skipjack.new_id(), 'A[' || place || ']', 'people', 5, clock_timestamp(), $1, 3 + place, 1, place,
           case when place = 0 then 'completed' else 'active' end, case when place = 0 then clock_timestamp() end
         from generate_series(0, 2) as place
         returning *
       ), queued as (
         insert into skipjack.queue_items (task_id, queue, priority, available_at, process_id)
         select id, queue, priority, created_at, process_id from made where state = 'active'
       )
       insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended, failures_max, concurrency)
       values ($1, 1, $2, 3, 5, 6, 2, 0, 3)`,
      [processId, taskId],
    );
    const look = await lookAtProcess(database.db, processId, null);
    expect(look?.tasks).toMatchObject([
      {
        ordinal: 1,
        state: 'waiting',
        waits_for: 'items',
        awaiting: { items: { all: 3, unended: 2, failed: 0 } },
        item_name: 'A[1]',
      },
      { ordinal: 2, state: 'pending', waits_for: null, awaiting: null },
    ]);
    const since = (look?.at ?? 0) + 60_000;
    expect((await lookAtProcess(database.db, processId, since))?.tasks).toMatchObject([{ ordinal: 1 }]);
  });
});

describe('why a process failed', () => {
  test('is told by the tasks of the process that it had started', async ({ database }) => {
    const fail = async (processId: string, name: string, error: object) =>
      database.sql(
        `update skipjack.tasks set state = 'failed', finished_at = clock_timestamp(), error = $3
         where process_id = $1 and name = $2`,
        [processId, name, JSON.stringify(error)],
      );
    const parent = await start(database, { Pay: [], Other: { continueOnError: true } });
    const child = await start(database, { Transfer: [], Fine: [] });
    await fail(child, 'Transfer', { code: 'exit_code', message: 'no money' });
    await fail(parent, 'Other', { code: 'exit_code', message: 'never mind' });
    await fail(parent, 'Pay', {
      code: 'process_failed',
      message: 'The process failed.',
      details: { process_id: child },
    });
    const failures = await readFailures(database.db, parent);
    expect(explainFailure(failures)).toBe(
      'skipjack: the process failed.\n"Pay" > "Transfer" failed: exit_code: no money',
    );
  });

  test('is told by the process itself, and by items', () => {
    const error = { code: 'deadline_exceeded', message: 'It took longer than 1h.' };
    const failed = {
      name: 'Papers',
      output: null,
      error: {
        code: 'items_failed',
        message: '2 of 3 items failed.',
        details: {
          failed: 2,
          items: [
            { index: 0, error: { code: 'exit_code', message: 'no\nmore' } },
            { index: 2, error: null },
          ],
        },
      },
    };
    expect(explainFailure([failed], error).split('\n')).toEqual([
      'skipjack: the process failed: deadline_exceeded: It took longer than 1h.',
      '"Papers" failed: items_failed: 2 of 3 items failed.',
      '  item 0: exit_code: no',
      '  item 2: failed',
    ]);
  });
});
