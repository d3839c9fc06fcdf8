/**
 * The lock of a process: whoever moves a task of it, or the process itself, holds it. Taken first, all that a
 * transaction will need in one statement and by id, so that no two wait for each other in a ring. What is read
 * under it must be read by a later statement: the one that waited sees what was before the wait.
 */
import { crashPoint } from '../../core/crash-point.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { ProcessState } from '../../core/process.ts';
import type { Transaction } from '../../database/connection.ts';

export interface LockedProcess {
  id: string;
  state: ProcessState;
  paused: boolean;
  fail_fast: boolean;
  revision: number;
  /** To the microsecond. */
  finished_at: string | null;
  thinks: boolean;
  finishes: boolean;
  cleans_up: boolean;
}

/** Answers those of which some moves are for an engine: so it is from their start on, whenever it is read. */
export async function lockProcesses(tx: Transaction, ids: string[]): Promise<Set<string>> {
  const { rows } = await tx.query<{ id: string; needs_engine: boolean }>(
    `select id, thinks or finishes or cleans_up as needs_engine
     from skipjack.processes where id = any ($1::uuid[]) order by id for no key update`,
    [ids],
  );
  return new Set(rows.flatMap((row) => (row.needs_engine ? row.id : [])));
}

export function needsEngine(process: LockedProcess): boolean {
  return process.thinks || process.finishes || process.cleans_up;
}

/** Locks one process and reads it as it is then. Null: there is none. */
export async function lockProcess(tx: Transaction, id: string): Promise<LockedProcess | null> {
  await lockProcesses(tx, [id]);
  crashPoint('process_locked');
  const { rows } = await tx.query<Omit<LockedProcess, 'revision'> & { revision: string }>(
    `select id, state, paused, fail_fast, revision, thinks, finishes, cleans_up,
       to_char(finished_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as finished_at
     from skipjack.processes where id = $1`,
    [id],
  );
  crashPoint('process_read');
  return rows[0] ? { ...rows[0], revision: Number(rows[0].revision) } : null;
}

/**
 * Locks the items of the active tasks of locked processes, in the order of their ids, as settle does. Who claims
 * them meanwhile is seen by the next statement.
 */
export async function lockItems(tx: Transaction, processIds: string[]): Promise<void> {
  await tx.query(
    `select
     from (
       select task.id
       from unnest($1::uuid[]) as wanted (id)
       cross join lateral (
         select id from skipjack.tasks where process_id = wanted.id and state = 'active' offset 0
       ) as task
       order by task.id
     ) as task
     cross join lateral (select from skipjack.queue_items where task_id = task.id limit 1 for update) as item`,
    [processIds],
  );
}

/** What a move on a process may bring along: who asks, and which revision they have seen. */
export interface MoveOptions {
  by?: string | null;
  /** Null: any. The move is refused when the process has moved since. */
  ifRevision?: number | null;
}

/** @throws SkipjackError `precondition_failed` */
export function requireRevision(process: LockedProcess, { ifRevision = null }: MoveOptions): void {
  if (ifRevision === null || ifRevision === process.revision) return;
  throw new SkipjackError(
    'precondition_failed',
    `The process has moved since: it is at revision ${process.revision}, not ${ifRevision}. Read it again, then decide.`,
    { extra: { revision: process.revision } },
  );
}
