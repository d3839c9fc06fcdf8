/**
 * Start: processes and their tasks, in one statement for the whole batch.
 *
 * The work is done by the SQL function `skipjack.start_processes`, which `skipjack.start_process` calls too, so
 * that the ways in cannot drift; the input is checked there. Ids come from here and a known id is passed over: a
 * batch whose commit is unknown is sent again as it is. A process that is there was created, whatever is said of
 * its request the second time: a newer version of its definition may refuse what the first one took.
 */
import { crashPoint } from '../core/crash-point.ts';
import type { Json } from '../core/json.ts';
import { type Database, inTransaction } from '../database/connection.ts';
import { isLockTimeout } from '../database/faults.ts';

export interface NewProcess {
  id: string;
  /** A name, or null when `definition_id` says which. */
  definition: string | null;
  /** The newest one when null. */
  version: number | null;
  definition_id: string | null;
  input: Json;
  idempotency_key: string | null;
  /** Somebody waits for the end: announce it. */
  awaited?: boolean;
}

export interface InputProblem {
  /** JSON pointer into the input. */
  pointer: string;
  code: string;
  message: string;
}

export type StartResult =
  | { kind: 'created'; id: string }
  /** The idempotency key had started this process before, by the same request. */
  | { kind: 'existing'; id: string }
  | { kind: 'key_conflict'; id: string }
  /** Another transaction holds the key and did not end in time. */
  | { kind: 'key_busy' }
  | { kind: 'invalid_input'; problems: InputProblem[] }
  | { kind: 'no_such_definition' }
  /** Nothing is started by its name until it is active again. */
  | { kind: 'definition_inactive' }
  /** The database could not store this one. */
  | { kind: 'invalid'; message: string };

interface StartRow {
  process_id: string;
  outcome:
    | 'created'
    | 'existing'
    | 'key_conflict'
    | 'invalid_input'
    | 'no_such_definition'
    | 'definition_inactive';
  existing_id: string | null;
  problems: InputProblem[] | null;
  lines: [string, number][] | null;
  /** It was there before. */
  known: boolean;
}

/** How long a batch waits for other transactions that use one of its keys; then for each of its halves. */
const keyLockTimeoutMs = 2_000;
const halfLockTimeoutMs = 50;

/**
 * Starts processes and answers in their order. One with an idempotency key may have to wait for a stranger, and the
 * whole batch with it.
 */
export async function startProcesses(
  db: Database,
  processes: NewProcess[],
  { lockTimeoutMs = keyLockTimeoutMs }: { lockTimeoutMs?: number } = {},
): Promise<StartResult[]> {
  try {
    const rows = await insert(db, processes, lockTimeoutMs);
    crashPoint('start_committed');
    const lines = rows.flatMap((row) => row.lines ?? []);
    if (lines.length > 0) db.hints.announce({ lines });
    const byId = new Map(rows.map((row) => [row.process_id, row]));
    return processes.map(({ id }) => toResult(id, byId.get(id)));
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    // One key of the batch is held by a stranger. Halving finds it; its neighbours go through.
    if (processes.length === 1) return [{ kind: 'key_busy' }];
    const middle = Math.ceil(processes.length / 2);
    const options = { lockTimeoutMs: halfLockTimeoutMs };
    return [
      ...(await startProcesses(db, processes.slice(0, middle), options)),
      ...(await startProcesses(db, processes.slice(middle), options)),
    ];
  }
}

async function insert(db: Database, processes: NewProcess[], lockTimeoutMs: number): Promise<StartRow[]> {
  const statement = `select answer.*, coalesce((select true from skipjack.processes where id = answer.process_id), false) as known
    from skipjack.start_processes($1::jsonb) as answer`;
  const values = [JSON.stringify(processes)];
  if (processes.every((process) => process.idempotency_key === null))
    return (await db.pool.query<StartRow>(statement, values)).rows;
  return inTransaction(db, async (tx) => {
    await tx.query(`set local lock_timeout = ${Number(lockTimeoutMs)}`);
    const { rows } = await tx.query<StartRow>(statement, values);
    crashPoint('start_done');
    return rows;
  });
}

function toResult(id: string, row: StartRow | undefined): StartResult {
  if (row?.known) return { kind: 'created', id };
  switch (row?.outcome) {
    case 'created':
      return { kind: 'created', id };
    case 'existing':
    case 'key_conflict':
      return { kind: row.outcome, id: row.existing_id ?? '' };
    case 'invalid_input':
      return { kind: 'invalid_input', problems: row.problems ?? [] };
    case 'no_such_definition':
    case 'definition_inactive':
      return { kind: row.outcome };
    default:
      throw new Error(`no answer for process ${id}`);
  }
}
