/**
 * The inbox as an engine reads it: which processes have something due, which of them are free, what it is.
 *
 * Candidates come in the order in which they are due (`engine_items_due`), outside any lock. Then the processes are
 * locked with `skip locked`, by the first statement of a transaction that waits for no other process; what is due is
 * read by the next, and so is not less than what the locked processes show.
 */
import type { Json } from '../../core/json.ts';
import type { ThoughtKind } from '../../core/process.ts';
import type { Parking, TaskState } from '../../core/task.ts';
import type { Database, Transaction } from '../../database/connection.ts';

export interface DueProcess {
  id: string;
  /** Null: there is no such process any more. */
  definition_id: string | null;
}

/** Rows looked at for candidates; a process may have many. */
const rowsMax = 500;
export const dueProcessesMax = 50;
/** Each has a plan, which may be large. */
const definitionsMax = 20;

/** `passOver`: processes that were found locked a moment ago. Without any that is due: when the next one is. */
export async function findDueProcesses(
  db: Database,
  { passOver, limit = dueProcessesMax }: { passOver: string[]; limit?: number },
): Promise<{ due: DueProcess[]; nextDueMs: number | null }> {
  const { rows } = await db.pool.query<{ due: DueProcess[] | null; next_due_ms: number | null }>(
    `with due as materialized (
       select process_id, available_at, id
       from skipjack.engine_items
       where available_at <= now() and process_id <> all ($1::uuid[])
       order by available_at, id
       limit ${rowsMax}
     ), firsts as materialized (
       select process_id, min(available_at) as at, min(id) as id from due group by process_id
       order by at, id
       limit ${Number(limit)}
     )
     select
       (select json_agg(json_build_object('id', firsts.process_id, 'definition_id', process.definition_id) order by firsts.at, firsts.id)
        from firsts
        left join lateral (select definition_id from skipjack.processes where id = firsts.process_id limit 1) as process on true) as due,
       case when not exists (select from due) then (
         select extract(epoch from available_at - clock_timestamp()) * 1000
         from skipjack.engine_items
         where available_at > now() and available_at < 'infinity'
         order by available_at
         limit 1
       ) end::float8 as next_due_ms`,
    [passOver],
  );
  const due = rows[0]?.due ?? [];
  const definitions = new Set(
    [...new Set(due.map((process) => process.definition_id))].slice(0, definitionsMax),
  );
  return {
    due: due.filter((process) => definitions.has(process.definition_id)),
    nextDueMs: rows[0]?.next_due_ms ?? null,
  };
}

/**
 * Those of them that nobody holds, locked. Postgres ends any later statement of the transaction before the caller's
 * patience does: what is hung up on runs on, and keeps the locks. A limit that is shorter stays.
 */
export async function lockFreeProcesses(
  tx: Transaction,
  ids: string[],
  { patienceMs }: { patienceMs: number },
): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    `with limited as materialized (
       select set_config('statement_timeout', $2::integer::text, true)
       where current_setting('statement_timeout')::interval not between interval '1 ms' and $2::integer * interval '1 ms'
     )
     select process.id from skipjack.processes as process, (select count(*) from limited) as limits
     where process.id = any ($1::uuid[]) order by process.id for no key update of process skip locked`,
    [ids, Math.floor(patienceMs * 0.8)],
  );
  return rows.map(({ id }) => id);
}

/** A row of the inbox, with the task that it is about; null where it is about the process, or the task is gone. */
export interface DueThought {
  id: string;
  process_id: string;
  kind: ThoughtKind;
  details: Json;
  task_id: string | null;
  task: ThoughtTask | null;
}

export interface ThoughtTask {
  ordinal: number;
  name: string;
  state: TaskState;
  waits_for: Parking | null;
  item_of: number | null;
  item_index: number | null;
  item: Json;
}

/** The most urgent first; of processes that the caller has locked, unless it only looks. */
export async function readDueThoughts(
  tx: Transaction,
  { processIds, limit, only }: { processIds: string[]; limit: number; only: string | null },
): Promise<DueThought[]> {
  const { rows } = await tx.query<DueThought>(
    `select due.id::text, due.process_id, due.kind, due.details, due.task_id,
       case when task.id is not null then json_build_object('ordinal', task.ordinal, 'name', task.name, 'state', task.state,
         'waits_for', task.waits_for, 'item_of', task.item_of, 'item_index', task.item_index, 'item', task.item) end as task
     from (
       select own.id, own.process_id, own.kind, own.details, own.task_id, own.available_at
       from unnest($1::uuid[]) as wanted (id)
       cross join lateral (
         select * from skipjack.engine_items
         where process_id = wanted.id and available_at <= clock_timestamp() and ($2::bigint is null or id = $2)
         -- Else they may be looked for among all that lies there, the most urgent first.
         offset 0
       ) as own
       order by own.available_at, own.id
       limit ${Number(limit)}
     ) as due
     left join lateral (
       select * from skipjack.tasks where id = due.task_id and process_id = due.process_id limit 1
     ) as task on true
     order by due.available_at, due.id`,
    [processIds, only],
  );
  return rows;
}

/** What is due in paused processes lies there without a time; all but a cancel. Answers how many there were. */
export async function holdThoughts(tx: Transaction, processIds: string[]): Promise<number> {
  const { rowCount } = await tx.query(
    `update skipjack.engine_items set available_at = 'infinity'
     where process_id = any ($1::uuid[]) and kind <> 'cancel' and available_at <= clock_timestamp()`,
    [processIds],
  );
  return rowCount ?? 0;
}

/** Rows that were thought about. Answers how many of them were there. */
export async function dropThoughts(tx: Transaction, ids: string[]): Promise<number> {
  // As an array that is made there: of a list that is given Postgres counts the ids, and may rather read all that lies there.
  const { rowCount } = await tx.query(
    'delete from skipjack.engine_items where id = any (array(select unnest($1::bigint[])))',
    [ids],
  );
  return rowCount ?? 0;
}

/** Rows that cannot be thought about just now. */
export async function putOffThoughts(tx: Transaction, ids: string[], delayMs: number): Promise<void> {
  await tx.query(
    `update skipjack.engine_items set available_at = clock_timestamp() + $2 * interval '1 millisecond'
     where id = any ($1::bigint[])`,
    [ids, delayMs],
  );
}

/** Rows of processes that were deleted. A process is there before the first row of it, so none is young. */
export async function dropThoughtsOfGone(db: Database, processIds: string[]): Promise<void> {
  await db.pool.query(
    `delete from skipjack.engine_items as item
     where item.process_id = any ($1::uuid[])
       and not exists (select from skipjack.processes where id = item.process_id)`,
    [processIds],
  );
}

/** Counts that thinking about a row threw, and puts it off for a while. Null: it is not there any more. */
export async function countThrow(
  db: Database,
  id: string,
): Promise<{ process_id: string; task_id: string | null; kind: ThoughtKind; failures: number } | null> {
  const { rows } = await db.pool.query<{
    process_id: string;
    task_id: string | null;
    kind: ThoughtKind;
    failures: number;
  }>(
    `update skipjack.engine_items set failures = least(failures + 1, 1000),
       available_at = clock_timestamp() + least(60, 2 ^ least(failures, 10)) * interval '1 second'
     where id = $1
     returning process_id, task_id, kind, failures`,
    [id],
  );
  return rows[0] ?? null;
}
