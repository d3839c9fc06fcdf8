/** Each rule is proved by breaking one row and seeing the auditor name it. */
import { describe, expect } from 'vitest';
import { auditDatabase, auditRules } from '../../src/database/auditor.ts';
import { cancelProcess } from '../../src/queue/processes/cancel.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
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

const breakages: Record<string, Breakage> = {
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
