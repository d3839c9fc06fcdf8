/**
 * What people ask of one process in SQL reads that process, whatever the statistics say of the others: tables are found
 * by index, or every question costs what all processes together do.
 */
import { expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { type TestDatabase, test } from '../support/database.ts';
import { publish } from '../support/processes.ts';

/** Of a process of five tasks and two below it. */
const rowsMax = 400;
const tables = ['processes', 'tasks', 'queue_items', 'attempts', 'process_events'];

interface Others {
  processes: number;
  tasksEach: number;
  /** How many processes have started them all. */
  parents: number;
}

/** Processes of others: half have ended, half wait; each task has been tried once. */
async function fill({ sql }: TestDatabase, definitionId: string, { processes, tasksEach, parents }: Others) {
  await sql(
    `with starters as materialized (
       select array(select skipjack.new_id() from generate_series(1, ${parents})) as ids
     ), made as (
       insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, parent_process_id,
         parent_task_id, created_at, finished_at)
       select skipjack.new_id(), $1, case when n % 2 = 0 then 'running' else 'completed' end, true, ${tasksEach},
         case when n % 2 = 0 then ${tasksEach} else 0 end, ids[1 + n % ${parents}], skipjack.new_id(),
         clock_timestamp(), case when n % 2 = 1 then clock_timestamp() end
       from starters, generate_series(1, ${processes}) as n
       returning id, finished_at
     ), tasks as (
       insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, created_at, started_at, finished_at)
       select skipjack.new_id(), made.id, place, 'other', 'default', 5,
         case when finished_at is null then 'active' else 'completed' end, clock_timestamp(), finished_at, finished_at
       from made cross join generate_series(1, ${tasksEach}) as place
       returning id, process_id, state
     ), items as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
       select id, process_id, 'default', 5, clock_timestamp() from tasks where state = 'active'
     ), tried as (
       insert into skipjack.attempts (task_id, claim_no, attempt, outcome, worker, claimed_at, ended_at, error)
       select id, 1, 1, 'failed', 'w', clock_timestamp(), clock_timestamp(), '{"code": "x"}' from tasks
     )
     insert into skipjack.process_events (process_id, id, at, event)
     select process_id, skipjack.new_id(), clock_timestamp(), 'paused' from tasks`,
    [definitionId],
  );
}

/** A process that has started one, which has started another; each has five tasks, and one of them has failed once. */
async function makeOwn({ sql }: TestDatabase, definitionId: string): Promise<string> {
  const ids = [newId(), newId(), newId()];
  for (const [index, id] of ids.entries()) {
    await sql(
      `with made as (
         insert into skipjack.processes (id, definition_id, state, fail_fast, tasks, unfinished, parent_process_id, depth, created_at)
         values ($1, $2, 'running', true, 5, 5, $3, $4, clock_timestamp())
       ), tasks as (
         insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, state, created_at)
         select skipjack.new_id(), $1, place, 'own', 'default', 5, 'active', clock_timestamp()
         from generate_series(1, 5) as place
         returning id, ordinal
       ), items as (
         insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at)
         select id, $1, 'default', 5, clock_timestamp() from tasks
       )
       insert into skipjack.attempts (task_id, claim_no, attempt, outcome, worker, claimed_at, ended_at, error)
       select id, 1, 1, 'failed', 'w', clock_timestamp(), clock_timestamp(), '{"code": "x"}' from tasks where ordinal = 1`,
      [id, definitionId, ids[index - 1] ?? null, index],
    );
  }
  return ids[0] as string;
}

const questions = {
  process_history: 'select event from skipjack.process_history where process_id = $1 order by at, step',
  process_tree: 'select level from skipjack.process_tree($1)',
};

/** Rows that each question reads, from end to end or by an index. */
async function measure({ sql }: TestDatabase, processId: string) {
  const counters = `select sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::integer as rows from pg_stat_xact_user_tables where schemaname = 'skipjack'`;
  const read: Record<string, number> = {};
  for (const [name, question] of Object.entries(questions)) {
    await sql('begin');
    const [before] = await sql<{ rows: number }>(counters);
    const answer = await sql(question, [processId]);
    const [after] = await sql<{ rows: number }>(counters);
    await sql('commit');
    read[name] = (after?.rows ?? 0) - (before?.rows ?? 0);
    expect(answer, name).toHaveLength(name === 'process_tree' ? 3 : 2);
  }
  return read;
}

const standings: Record<
  string,
  (database: TestDatabase, fillWith: (others: Others) => Promise<void>) => Promise<void>
> = {
  'never analyzed': async (_, fillWith) => fillWith({ processes: 200, tasksEach: 100, parents: 7 }),
  'analyzed when empty': async ({ sql }, fillWith) => {
    await sql('analyze');
    await fillWith({ processes: 200, tasksEach: 100, parents: 7 });
  },
  analyzed: async ({ sql }, fillWith) => {
    await fillWith({ processes: 200, tasksEach: 100, parents: 7 });
    await sql('analyze');
  },
  'analyzed, all started by one': async ({ sql }, fillWith) => {
    await fillWith({ processes: 20_000, tasksEach: 1, parents: 1 });
    await sql('analyze');
  },
  'with the statistics of a day when there was one process': async ({ sql }, fillWith) => {
    await fillWith({ processes: 1, tasksEach: 200, parents: 1 });
    await sql('analyze');
    await fillWith({ processes: 200, tasksEach: 100, parents: 1 });
  },
};

test.for(Object.keys(standings))(
  'a process is asked for by index beside 20,000 tasks of others, %s',
  async (name, { database }) => {
    // What is laid out is more than a database that was used could hold.
    database.skipAudit();
    const { sql } = database;
    // Nothing analyses but we: the statistics are what each line says.
    for (const table of tables) await sql(`alter table skipjack.${table} set (autovacuum_enabled = false)`);
    const definitionId = await publish(database, { a: [] });
    await standings[name]?.(database, (others) => fill(database, definitionId, others));
    const processId = await makeOwn(database, definitionId);
    for (const [question, rows] of Object.entries(await measure(database, processId))) {
      expect(rows, question).toBeLessThan(rowsMax);
    }
  },
);
