/** Reading: how far a process is, what became of it, and lists of many. */
import { randomBytes } from 'node:crypto';
import { describe, expect } from 'vitest';
import type { Engine } from '../../src/engine/engine.ts';
import {
  type HistoryPlace,
  listProcesses,
  type ProcessFilter,
  readHistory,
  readProcess,
} from '../../src/engine/read-processes.ts';
import { settleTasks } from '../../src/queue/settle.ts';
import { claimNamed, failure, run, settlementOf } from '../support/processes.ts';
import { makeDue } from '../support/tasks.ts';
import { loan, oneTask, test } from './support/engine.ts';

const open = 'Open Loan Application';

describe('the progress of a process', () => {
  test('counts its tasks as people see them, in percent of those that have ended', async ({
    database,
    engine,
  }) => {
    await engine.publish({ source: loan });
    const process = await engine.startProcess('loan', { input: { amount: 1 } });
    const started = await process.read();
    expect(started).toEqual({
      id: process.id,
      definition: 'loan',
      version: 1,
      definition_id: expect.any(String),
      state: 'running',
      paused: false,
      revision: 1,
      tasks: 4,
      unfinished: 4,
      percent: 0,
      created_at: expect.stringMatching(/^\d{4}-.*Z$/),
      finished_at: null,
      parent: null,
      detached: false,
      depth: 0,
      failure_process_id: null,
      error: null,
      input: { amount: 1 },
      counts: {
        pending: 3,
        scheduled: 0,
        ready: 1,
        running: 0,
        waiting: 0,
        completed: 0,
        failed: 0,
        cancelled: 0,
        skipped: 0,
      },
      active: [open],
      last_error: null,
      output: null,
    });
    await process.complete(open);
    const running = await claimNamed(database, process.id, 'Review Assets');
    expect(await process.read()).toMatchObject({
      revision: 2,
      unfinished: 3,
      percent: 25,
      counts: { pending: 1, ready: 1, running: 1, completed: 1 },
      active: ['Review Credit', 'Review Assets'],
    });
    await database.queue.settle(settlementOf(running, 'completes'));
    await process.complete('Review Credit');
    expect((await process.read()).percent).toBe(75);
    await process.complete('Send Email');
    expect(await process.read()).toMatchObject({
      state: 'completed',
      percent: 100,
      unfinished: 0,
      active: [],
      counts: { completed: 4, ready: 0 },
      finished_at: expect.any(String),
    });
  });

  test('rounds down: only the end is a hundred percent', async ({ engine }) => {
    const tasks = Array.from({ length: 201 }, (_, number) => ({ name: `t${number}` }));
    const process = await engine.startProcess({ definition: { tasks } });
    await endAllBut(engine, process.id, 1);
    expect(await process.read()).toMatchObject({ percent: 99, unfinished: 1, active: ['t200'] });
  });

  test('names the first hundred active tasks, and shows one that waits for its next try as scheduled', async ({
    database,
    engine,
  }) => {
    const tasks = Array.from({ length: 150 }, (_, number) => ({
      name: `t${number}`,
      retry: { attempts: 2, delay: '1h' },
    }));
    const process = await engine.startProcess({ definition: { tasks } });
    const claimed = await claimNamed(database, process.id, 't0');
    await database.queue.settle(settlementOf(claimed, { kind: 'failed', error: failure }));
    const view = await process.read();
    expect(view.active).toEqual(tasks.slice(0, 100).map(({ name }) => name));
    expect(view).toMatchObject({
      counts: { scheduled: 1, ready: 149 },
      last_error: { ...failure, task: 't0' },
      state: 'running',
    });
  });

  test('shows the error of the last attempt that went wrong, whoever made it', async ({
    database,
    engine,
  }) => {
    const definition = {
      fail_fast: false,
      tasks: [
        { name: 'a', retry: { attempts: 3, delay: '1h' } },
        { name: 'b' },
        { name: 'c', continue_on_error: true },
      ],
    };
    const process = await engine.startProcess({ definition });
    for (const message of ['first', 'second']) {
      const task = await claimNamed(database, process.id, 'a');
      await database.queue.settle(settlementOf(task, { kind: 'failed', error: { code: 'x', message } }));
      expect((await process.read()).last_error).toEqual({ code: 'x', message, task: 'a' });
      await makeDue(database, task.id);
    }
    await process.fail('c', 'third');
    expect((await process.read()).last_error).toEqual({ code: 'failed', message: 'third', task: 'c' });
    await process.complete('a');
    await process.complete('b');
    // It has completed all the same, and says what went wrong on the way.
    expect(await process.read()).toMatchObject({
      state: 'completed',
      last_error: { task: 'c' },
      counts: { completed: 2, failed: 1 },
      output: { a: null, b: null },
    });
  });
});

/** Completes the tasks of a process in the order of their places, but for so many. */
async function endAllBut(engine: Engine, id: string, left: number): Promise<void> {
  const { tasks } = await engine.process(id).read();
  for (let ordinal = 1; ordinal <= tasks - left; ordinal += 1)
    await engine.process(id).complete(String(ordinal));
}

describe('the output of a process', () => {
  test('is that of the tasks that no other needs, by name, once it has completed', async ({ engine }) => {
    const definition = {
      tasks: [{ name: 'a' }, { name: 'b', needs: ['a'] }, { name: 'c', needs: ['a'] }, { name: 'd' }],
    };
    const process = await engine.startProcess({ definition });
    await process.complete('a', 'not this');
    await process.complete('b', { n: 1 });
    await process.complete('c');
    expect((await process.read()).output).toBeNull();
    await process.complete('d', [2]);
    expect((await process.read()).output).toEqual({ b: { n: 1 }, c: null, d: [2] });
  });

  test('is empty where its last tasks failed and were to be continued', async ({ engine }) => {
    const process = await engine.startProcess({
      definition: { tasks: [{ name: 'a', continue_on_error: true }] },
    });
    await process.fail('a', 'no');
    expect(await process.read()).toMatchObject({ state: 'completed', output: {} });
  });

  test('leaves out what is too large to come along, and says which tasks have it', async ({ engine }) => {
    const process = await engine.startProcess({
      definition: { tasks: ['a', 'b', 'c', 'd'].map((name) => ({ name })) },
    });
    // Postgres cannot make it smaller: of three, two and a bit fit.
    const large = () => randomBytes(750_000).toString('base64');
    for (const name of ['a', 'b', 'c']) await process.complete(name, large());
    await process.complete('d', 'small');
    const { output, large_outputs = {} } = await process.read();
    const names = Object.keys(output as object);
    expect(names).toContain('d');
    expect([...names, ...Object.keys(large_outputs)].sort()).toEqual(['a', 'b', 'c', 'd']);
    expect(Object.keys(large_outputs).length).toBeGreaterThan(0);
  });
});

describe('a list of processes', () => {
  test('is newest first, by state, name and time, page by page as the whole', async ({ engine }) => {
    await engine.publish({ source: loan });
    const ids: Record<string, string> = {};
    for (const name of ['running', 'failed', 'cancelled', 'completed', 'inline', 'paused']) {
      const toStart = name === 'inline' ? { source: oneTask } : 'loan';
      ids[name] = (await engine.startProcess(toStart)).id;
    }
    const of = (name: string) => engine.process(ids[name] as string);
    await of('failed').fail(open, 'no');
    await of('cancelled').cancel();
    await of('paused').pause();
    for (const task of [open, 'Review Credit', 'Review Assets', 'Send Email'])
      await of('completed').complete(task);

    const listed = async (filter: ProcessFilter) => {
      const names = new Map(Object.entries(ids).map(([name, id]) => [id, name]));
      return (await listProcesses(engine.db, filter, { limit: 100 })).map(({ id }) => names.get(id));
    };
    expect(await listed({})).toEqual(['paused', 'inline', 'completed', 'cancelled', 'failed', 'running']);
    expect(await listed({ state: 'live' })).toEqual(['paused', 'inline', 'running']);
    expect(await listed({ state: 'running', definition: 'loan' })).toEqual(['paused', 'running']);
    for (const state of ['completed', 'cancelled', 'failed'] as const)
      expect(await listed({ state })).toEqual([state]);
    expect(await listed({ state: 'failing' })).toEqual([]);
    expect(await listed({ definition: 'loan', state: 'completed' })).toEqual(['completed']);
    expect(await listed({ definition: 'unknown' })).toEqual([]);
    const { created_at } = await of('cancelled').read();
    const before = await listed({ createdBefore: new Date(created_at) });
    const after = await listed({ createdAfter: new Date(created_at) });
    expect(before).not.toContain('completed');
    expect(after).toEqual(expect.arrayContaining(['paused', 'inline']));
    expect(after).not.toContain('running');

    const whole = await listProcesses(engine.db, { definition: 'loan' }, { limit: 100 });
    expect(whole[0]).toEqual({
      id: ids.paused,
      definition: 'loan',
      version: 1,
      state: 'running',
      paused: true,
      tasks: 4,
      unfinished: 4,
      percent: 0,
      created_at: expect.any(String),
      finished_at: null,
      parent: null,
      detached: false,
    });
    for (const limit of [1, 2, 3]) {
      const paged = [];
      for (let after: string | undefined; ; ) {
        const page = await listProcesses(
          engine.db,
          { definition: 'loan' },
          { limit, ...(after ? { after } : {}) },
        );
        paged.push(...page);
        after = page.at(-1)?.id;
        if (after === undefined) break;
      }
      expect(paged, `by ${limit}`).toEqual(whole);
    }
  });
});

describe('what happened to a process', () => {
  /** Everything, in pages of so many. */
  async function history(engine: Engine, id: string, limit: number) {
    const all = [];
    for (let after: HistoryPlace | null = null; ; ) {
      const page = await readHistory(engine.db, id, { limit, ...(after ? { after } : {}) });
      all.push(...page.entries);
      after = page.last;
      if (after === null) return all;
    }
  }

  test('is told in order, by whom, from its start to its end', async ({ database, engine }) => {
    const process = await engine.startProcess({ source: loan });
    await process.pause({ by: 'ada' });
    await process.resume();
    await run(database, process.id, open);
    await process.fail('Review Credit', 'too low', { by: 'bob' });
    await process.retry({ by: 'ada' });
    await process.complete('Review Credit', null, { by: 'bob' });
    await process.cancel({ by: 'ada' });
    const told = (await history(engine, process.id, 100)).map(({ event, task, by }) =>
      [event, task, by].filter((each) => each !== null).join(' | '),
    );
    expect(told).toEqual([
      'process_started',
      'process_paused | ada',
      'process_resumed',
      `task_started | ${open} | tester`,
      `task_completed | ${open} | tester`,
      'task_failed_by_name | Review Credit | bob',
      'attempt_failed | Review Credit | bob',
      'process_failed',
      'process_retried | ada',
      'task_started | Review Credit | bob',
      'task_completed_by_name | Review Credit | bob',
      'task_completed | Review Credit | bob',
      'process_cancel_requested | ada',
      'task_cancelled | Review Assets',
      'task_cancelled | Send Email',
      'process_cancelled',
    ]);
  });

  test('page by page is the whole, where many things happened in the same microsecond too', async ({
    database,
    engine,
  }) => {
    const tasks = Array.from({ length: 12 }, (_, number) => ({ name: `t${number}` }));
    const process = await engine.startProcess({ definition: { fail_fast: false, tasks } });
    const claimed = [];
    for (const { name } of tasks) claimed.push(await claimNamed(database, process.id, name));
    await settleTasks(
      engine.db,
      claimed.map((task, number) => settlementOf(task, number % 3 === 0 ? 'fails' : 'completes')),
    );
    await database.sql(
      `update skipjack.tasks set started_at = (select created_at from skipjack.processes) where ordinal < 6`,
    );
    const whole = await history(engine, process.id, 1_000);
    expect(whole.map(({ event }) => event).filter((event) => event === 'task_completed')).toHaveLength(8);
    expect(new Set(whole.map((entry) => JSON.stringify(entry))).size).toBe(whole.length);
    const times = whole.map(({ at }) => at);
    expect(times).toEqual(times.toSorted());
    expect(whole.at(-1)?.event).toBe('process_failed');
    for (const limit of [1, 2, 5, 7, whole.length])
      expect(await history(engine, process.id, limit), `by ${limit}`).toEqual(whole);
  });

  test('of an unknown process is nothing', async ({ engine }) => {
    const id = '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60';
    expect(await readHistory(engine.db, id, { limit: 10 })).toEqual({ entries: [], last: null });
    expect(await readProcess(engine.db, id)).toBeNull();
  });
});
