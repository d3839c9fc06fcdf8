/** Each rule is proved by breaking one row and seeing the auditor name it. */
import { describe, expect } from 'vitest';
import { auditDatabase, auditRules } from '../../src/database/auditor.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { type HandItems, type HandProcess, place, think } from '../queue/processes/support/by-hand.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { claimNamed, run, start, taskIdOf } from '../support/processes.ts';
import { claimOne, complete, enqueue, fail } from '../support/tasks.ts';

/** Makes one sound task or process and answers its id; then `sql` breaks it. */
interface Breakage {
  make: (database: TestDatabase) => Promise<string>;
  sql: string;
}

const waiting = (database: TestDatabase) => enqueue(database, { retry: { attempts: 3 } });
const completed = async (database: TestDatabase) => {
  const id = await enqueue(database);
  await complete(database, await claimOne(database));
  return id;
};
const failed = async (database: TestDatabase) => {
  const id = await enqueue(database);
  await fail(database, await claimOne(database));
  return id;
};

const started = (database: TestDatabase) => start(database, { a: [], b: ['a'] });
const taskOf = (name: string) => async (database: TestDatabase) =>
  taskIdOf(database, await started(database), name);

const logged = async (database: TestDatabase) => {
  const id = await enqueue(database);
  const { token } = await claimOne(database);
  const said = (text: string) => ({ agoMs: 0, stream: 'stdout', part: null, text }) as const;
  const source = createDatabaseTaskSource(database.queue, { signal: new AbortController().signal });
  await source.appendLogs([{ id, token, firstLine: 1, lines: [said('a'), said('b')] }]);
  await source.appendLogs([{ id, token, firstLine: 3, lines: [said('c')] }]);
  return id;
};

const placed = (process: HandProcess) => (database: TestDatabase) => place(database, process);
const taskPlaced = (name: string, process: HandProcess) => async (database: TestDatabase) =>
  taskIdOf(database, await place(database, process), name);

/** A process that goes on, of one parked task. */
const parked = (waitsFor: NonNullable<HandProcess['tasks'][string]['waitsFor']>): HandProcess => ({
  state: 'running',
  tasks: { a: { state: 'active', waitsFor, thinks: true } },
});
const listed = (items: HandItems) =>
  taskPlaced('a', { state: 'running', tasks: { a: { state: 'active', waitsFor: 'items', items } } });
const waitsForEvent = async (database: TestDatabase) => {
  const processId = await place(database, parked('event'));
  const taskId = await taskIdOf(database, processId, 'a');
  await database.sql('delete from skipjack.engine_items');
  await database.sql(
    'insert into skipjack.event_waits (task_id, process_id, name, key) values ($1, $2, $3, $4)',
    [taskId, processId, 'paid', '17'],
  );
  return taskId;
};
/** A process with a task that waits for another; answers the task. */
const waitsForProcess = async (database: TestDatabase, state: HandProcess['state'] = 'running') => {
  const processId = await place(database, parked('process'));
  const taskId = await taskIdOf(database, processId, 'a');
  await place(database, {
    state,
    parent: { processId, taskId },
    tasks: { a: { state: state === 'running' ? 'active' : state === 'completed' ? 'completed' : 'failed' } },
  });
  return taskId;
};
const childOf = async (database: TestDatabase, taskId: string) => {
  const [row] = await database.sql<{ id: string }>(
    'select id from skipjack.processes where parent_task_id = $1',
    [taskId],
  );
  if (!row) throw new Error('no child');
  return row.id;
};

const breakages: Record<string, Breakage> = {
  a_task_behind_a_skipped_one_is_thought_about: {
    make: taskPlaced('b', {
      state: 'running',
      tasks: {
        a: { state: 'skipped' },
        b: { state: 'pending', needs: ['a', 'c'], thinks: true },
        c: { state: 'active' },
      },
    }),
    sql: 'update skipjack.tasks set thinks = false where id = $1',
  },
  a_skipped_task_has_nothing_to_say: {
    make: taskPlaced('a', { state: 'completed', tasks: { a: { state: 'skipped' } } }),
    sql: `update skipjack.tasks set output = '1' where id = $1`,
  },
  a_result_is_of_a_process_that_ended_so: {
    make: placed({ state: 'completed', result: { output: 1 }, tasks: { a: { state: 'completed' } } }),
    sql: `update skipjack.process_results set failure_process_id = skipjack.new_id() where process_id = $1`,
  },
  a_parked_task_is_on_no_queue: {
    make: taskPlaced('a', parked('engine')),
    sql: `insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
      select id, process_id, queue, priority, now() from skipjack.tasks where id = $1`,
  },
  a_parked_task_will_be_woken: {
    make: taskPlaced('a', parked('time')),
    sql: 'delete from skipjack.engine_items where task_id = $1',
  },
  a_thought_finds_the_task_it_is_about: {
    make: taskPlaced('a', parked('time')),
    sql: `update skipjack.engine_items set kind = 'event' where task_id = $1`,
  },
  an_ended_process_gives_no_thoughts: {
    make: placed({ state: 'completed', tasks: { a: { state: 'completed' } }, thoughts: ['cancel'] }),
    sql: `update skipjack.engine_items set kind = 'cleanup' where process_id = $1`,
  },
  a_thought_is_postponed_only_while_its_process_is_paused: {
    make: async (database) => {
      const id = await place(database, { ...parked('engine'), paused: true });
      await database.sql(`update skipjack.engine_items set available_at = 'infinity'`);
      return id;
    },
    sql: 'update skipjack.processes set paused = false where id = $1',
  },
  a_list_agrees_with_its_items: {
    make: listed({ states: ['completed', 'failed', 'active'], failuresMax: 1 }),
    sql: 'update skipjack.item_lists set failed = 0 where task_id = $1',
  },
  an_item_is_in_a_list: {
    make: async (database) => {
      await listed({ states: ['active', 'pending'], concurrency: 1 })(database);
      const [row] = await database.sql<{ id: string }>(`select id from skipjack.tasks where name = 'a[1]'`);
      return row?.id ?? '';
    },
    sql: `update skipjack.item_lists set last_ordinal = last_ordinal - 1, unended = 1
      where process_id = (select process_id from skipjack.tasks where id = $1)`,
  },
  a_list_passes_over_no_item: {
    make: async (database) => {
      await listed({ states: ['active', 'pending'], concurrency: 1 })(database);
      const [row] = await database.sql<{ id: string }>(`select id from skipjack.tasks where name = 'a[1]'`);
      return row?.id ?? '';
    },
    sql: `update skipjack.item_lists set next_ordinal = next_ordinal + 1
      where process_id = (select process_id from skipjack.tasks where id = $1)`,
  },
  a_list_goes_on: {
    make: listed({ states: ['completed', 'active', 'pending'], concurrency: 1 }),
    sql: 'update skipjack.item_lists set concurrency = 2 where task_id = $1',
  },
  an_attached_process_has_a_task_that_waits_for_it: {
    make: async (database) => childOf(database, await waitsForProcess(database)),
    sql: 'update skipjack.processes set finishes = false where id = $1',
  },
  a_task_waits_for_one_process: {
    make: waitsForProcess,
    sql: `with second as (
        insert into skipjack.processes (id, definition_id, fail_fast, tasks, unfinished, created_at, finishes, parent_task_id, parent_process_id)
        select skipjack.new_id(), definition_id, true, 1, 1, now(), true, parent_task_id, parent_process_id
        from skipjack.processes where parent_task_id = $1
        returning id
      ), task as (
        insert into skipjack.tasks (id, name, queue, priority, created_at, process_id, ordinal)
        select skipjack.new_id(), 'a', 'default', 5, now(), id, 1 from second
        returning id, process_id
      )
      insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
      select id, process_id, 'default', 5, now() from task`,
  },
  who_waits_for_an_event_is_a_parked_task: {
    make: waitsForEvent,
    sql: `with timer as (
        insert into skipjack.engine_items (process_id, task_id, kind, available_at)
        select process_id, task_id, 'timer', now() from skipjack.event_waits where task_id = $1)
      update skipjack.tasks set waits_for = 'time' where id = $1`,
  },
  nobody_waits_for_an_event_that_is_kept: {
    make: async (database) => {
      await waitsForEvent(database);
      const [row] = await database.sql<{ id: string }>(
        `insert into skipjack.events (id, name, key, created_at) values (skipjack.new_id(), 'paid', '18', now()) returning id`,
      );
      return row?.id ?? '';
    },
    sql: `update skipjack.events set key = '17' where id = $1`,
  },
  a_log_is_of_a_claim_that_was: {
    make: logged,
    sql: 'update skipjack.task_logs set claim_no = 7 where task_id = $1 and first_line = 3',
  },
  a_log_only_grows: {
    make: logged,
    sql: 'update skipjack.task_logs set first_line = 2 where task_id = $1 and first_line = 3',
  },
  a_chunk_has_the_lines_it_counts: {
    make: logged,
    sql: 'update skipjack.task_logs set line_count = 5 where task_id = $1 and first_line = 3',
  },
  an_active_task_is_on_the_queue: {
    make: waiting,
    sql: 'delete from skipjack.queue_items where task_id = $1',
  },
  a_queue_item_has_an_active_task: {
    make: waiting,
    sql: `update skipjack.tasks set state = 'completed', finished_at = clock_timestamp() where id = $1`,
  },
  a_queue_item_agrees_with_its_task: {
    make: waiting,
    sql: `update skipjack.queue_items set queue = 'other' where task_id = $1`,
  },
  a_claim_number_never_goes_down: {
    make: failed,
    sql: 'update skipjack.tasks set claim_no = 0 where id = $1',
  },
  a_live_task_has_attempts_left: {
    make: waiting,
    sql: 'update skipjack.queue_items set losses = 5 where task_id = $1',
  },
  failures_and_losses_are_recorded: { make: failed, sql: 'delete from skipjack.attempts where task_id = $1' },
  a_recorded_attempt_has_a_task: { make: failed, sql: 'delete from skipjack.tasks where id = $1' },
  a_waiting_dead_letter_is_of_a_failed_task: {
    make: failed,
    sql: `update skipjack.tasks set state = 'cancelled' where id = $1`,
  },
  a_replayed_dead_letter_was_revived: {
    make: failed,
    sql: 'update skipjack.dead_letters set replayed_at = clock_timestamp() where task_id = $1',
  },
  an_ended_task_is_after_its_creation: {
    make: completed,
    sql: `update skipjack.tasks set finished_at = created_at - interval '1 second' where id = $1`,
  },
  an_idempotency_key_has_made_something: {
    make: completed,
    sql: `insert into skipjack.idempotency_keys select 'task', id::text, skipjack.new_id(), 'f', clock_timestamp() from skipjack.tasks where id = $1`,
  },
  a_task_of_a_process_has_a_process: {
    make: async (database) => taskIdOf(database, await start(database, { a: [] }), 'a'),
    sql: 'delete from skipjack.processes where id = (select process_id from skipjack.tasks where id = $1)',
  },
  a_queue_item_knows_its_process: {
    make: taskOf('a'),
    sql: 'update skipjack.queue_items set process_id = null where task_id = $1',
  },
  a_process_runs_a_definition: {
    make: started,
    sql: 'delete from skipjack.definitions where id = (select definition_id from skipjack.processes where id = $1)',
  },
  a_process_has_the_tasks_it_counts: {
    make: started,
    sql: 'update skipjack.processes set unfinished = 1 where id = $1',
  },
  a_pending_task_counts_its_unended_needs: {
    make: taskOf('b'),
    sql: 'update skipjack.tasks set unmet = 2 where id = $1',
  },
  a_task_that_may_not_run_is_not_live: {
    make: async (database) => {
      const id = await start(database, { a: [], b: ['a'], c: [] }, { failFast: false });
      await run(database, id, 'a', 'fails');
      return taskIdOf(database, id, 'b');
    },
    sql: `update skipjack.tasks set state = 'completed' where id = $1`,
  },
  a_live_process_has_an_active_task: {
    make: started,
    sql: `update skipjack.tasks set state = 'pending', unmet = 1 where process_id = $1 and state = 'active'`,
  },
  a_stopping_process_only_waits_for_workers: {
    make: async (database) => {
      const id = await start(database, { a: [], b: [] });
      const task = await claimNamed(database, id, 'a');
      await cancelProcess(database.db, id);
      return task.id;
    },
    sql: 'update skipjack.queue_items set cancel_requested = false where task_id = $1',
  },
  a_process_ended_as_its_tasks_did: {
    make: async (database) => {
      const id = await start(database, { a: [] });
      await run(database, id, 'a');
      return id;
    },
    sql: `update skipjack.processes set state = 'failed' where id = $1`,
  },
  an_item_is_held_while_its_process_is_paused: {
    make: taskOf('a'),
    sql: 'update skipjack.queue_items set held = true where task_id = $1',
  },
};

describe('the auditor names the row that breaks the rule', () => {
  test('there is a breakage for every rule', async () => {
    expect(Object.keys(breakages).sort()).toEqual(Object.keys(auditRules).sort());
  });

  for (const [rule, { make, sql }] of Object.entries(breakages)) {
    test(rule, async ({ database }) => {
      const id = await make(database);
      expect(await auditDatabase(database.db.pool)).toEqual([]);
      await database.sql(sql, [id]);
      const findings = await auditDatabase(database.db.pool);
      expect(findings.filter((finding) => finding.rule === rule)).toEqual([
        { rule, subject: expect.stringContaining(id), detail: expect.any(String) },
      ]);
      database.skipAudit();
    });
  }
});

describe('the auditor sees what only some processes have:', () => {
  const cases: Record<string, Breakage & { rule: string }> = {
    'a thought that is never had': {
      rule: 'a_parked_task_will_be_woken',
      make: taskPlaced('a', parked('engine')),
      sql: 'delete from skipjack.engine_items where task_id = $1',
    },
    'an event that comes to nobody': {
      rule: 'a_parked_task_will_be_woken',
      make: waitsForEvent,
      sql: 'delete from skipjack.event_waits where task_id = $1',
    },
    'the last item ended, and no engine was told': {
      rule: 'a_parked_task_will_be_woken',
      make: async (database) => {
        const taskId = await listed({ states: ['completed'] })(database);
        await database.sql(
          `insert into skipjack.engine_items (process_id, task_id, kind, available_at)
           select process_id, id, 'items', now() from skipjack.tasks where id = $1`,
          [taskId],
        );
        return taskId;
      },
      sql: 'delete from skipjack.engine_items where task_id = $1',
    },
    'a process that has ended without a word to its parent': {
      rule: 'a_parked_task_will_be_woken',
      make: async (database) => {
        const taskId = await waitsForProcess(database, 'completed');
        await database.sql(
          `insert into skipjack.engine_items (process_id, task_id, kind, available_at)
           select process_id, id, 'child_ended', now() from skipjack.tasks where id = $1`,
          [taskId],
        );
        return taskId;
      },
      sql: 'delete from skipjack.engine_items where task_id = $1',
    },
    'a process that was to be retried with its parent': {
      rule: 'a_parked_task_will_be_woken',
      make: async (database) => {
        const taskId = await waitsForProcess(database, 'failed');
        await think(database, { processId: await childOf(database, taskId), kind: 'retry' });
        return taskId;
      },
      sql: 'delete from skipjack.engine_items where process_id = (select id from skipjack.processes where parent_task_id = $1)',
    },
    'an end that is for an engine, which was not told': {
      rule: 'a_live_process_has_an_active_task',
      make: placed({
        state: 'running',
        finishes: true,
        tasks: { a: { state: 'completed' } },
        thoughts: ['finish'],
      }),
      sql: 'delete from skipjack.engine_items where process_id = $1',
    },
    'clean-ups that nobody will begin': {
      rule: 'a_live_process_has_an_active_task',
      make: placed({
        state: 'failing',
        tasks: {
          a: { state: 'failed' },
          b: { state: 'pending', needs: ['a'], unmet: 1, thinks: true, runsOnFailure: true },
        },
        thoughts: ['cleanup'],
      }),
      sql: 'delete from skipjack.engine_items where process_id = $1',
    },
    'a clean-up of the other kind that was not stopped': {
      rule: 'a_stopping_process_only_waits_for_workers',
      make: taskPlaced('b', {
        state: 'failing',
        tasks: {
          a: { state: 'failed' },
          b: { state: 'active', waitsFor: 'engine', needs: ['a'], thinks: true, runsOnFailure: true },
        },
      }),
      sql: 'update skipjack.tasks set runs_on_failure = false, runs_on_cancel = true where id = $1',
    },
    'a process whose parent stops, and that was not told': {
      rule: 'a_stopping_process_only_waits_for_workers',
      make: async (database) => {
        const taskId = await waitsForProcess(database);
        await database.sql(`update skipjack.processes set state = 'cancelling' where parent_task_id is null`);
        await think(database, { processId: await childOf(database, taskId), kind: 'cancel' });
        return taskId;
      },
      sql: 'delete from skipjack.engine_items where process_id = (select id from skipjack.processes where parent_task_id = $1)',
    },
    'a failure without a reason': {
      rule: 'a_process_ended_as_its_tasks_did',
      make: placed({
        state: 'failed',
        result: { error: { code: 'deadline_exceeded', message: 'too late' } },
        tasks: { a: { state: 'cancelled' } },
      }),
      sql: 'delete from skipjack.process_results where process_id = $1',
    },
    'items that ended without their task': {
      rule: 'a_list_goes_on',
      make: listed({ states: ['completed', 'active'] }),
      sql: `update skipjack.tasks set state = 'completed', finished_at = now(), waits_for = null where id = $1`,
    },
    'an item that nobody will begin': {
      rule: 'a_list_goes_on',
      make: listed({ states: ['completed', 'active', 'pending'], concurrency: 1 }),
      sql: `update skipjack.tasks set state = 'pending', unmet = 1
        where name = 'a[1]' and process_id = (select process_id from skipjack.tasks where id = $1)`,
    },
    'a parent that has ended before its process': {
      rule: 'an_attached_process_has_a_task_that_waits_for_it',
      make: async (database) => childOf(database, await waitsForProcess(database)),
      sql: `update skipjack.tasks set waits_for = 'engine' where id = (select parent_task_id from skipjack.processes where id = $1)`,
    },
    'a thought of a process that was deleted': {
      rule: 'an_ended_process_gives_no_thoughts',
      make: placed({ state: 'completed', tasks: { a: { state: 'completed' } }, thoughts: ['cancel'] }),
      sql: 'update skipjack.engine_items set process_id = task.id from skipjack.tasks as task where task.process_id = $1',
    },
  };
  for (const [name, { rule, make, sql }] of Object.entries(cases)) {
    test(name, async ({ database }) => {
      const id = await make(database);
      expect(await auditDatabase(database.db.pool)).toEqual([]);
      await database.sql(sql, [id]);
      const findings = await auditDatabase(database.db.pool);
      expect(findings.map((finding) => finding.rule)).toContain(rule);
      database.skipAudit();
    });
  }
});
