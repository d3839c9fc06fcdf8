/**
 * The order in which things took effect, recorded by the database itself: triggers, only in a test's database,
 * log every row that is written with a number from one sequence and with whose connection it was.
 *
 * Whoever moves a process holds its lock from before the first row to the commit, so the rows of two such moves
 * never mix, and each move stands at its last row. Claims and heartbeats hold no such lock; each of their rows is a
 * step by itself. A row of theirs that a move of the process has touched, or touches later, is on the right side of
 * its last row, for row locks last until the commit as well; the others do not matter to it.
 */
import type { TestDatabase } from '../support/database.ts';
import type { Rows } from './observe.ts';

export interface LogRow {
  seq: number;
  xid: string;
  actor: string;
  place: 'processes' | 'tasks' | 'queue_items' | 'dead_letters' | 'attempts' | 'process_events';
  op: 'INSERT' | 'UPDATE' | 'DELETE';
  at: string;
  row: Record<string, unknown>;
  [column: string]: unknown;
}

const places: LogRow['place'][] = [
  'processes',
  'tasks',
  'queue_items',
  'dead_letters',
  'attempts',
  'process_events',
];

export type Sql = TestDatabase['sql'];

export async function installRecord(sql: Sql): Promise<void> {
  await sql(`
    create table model_log (
      seq bigserial primary key, xid text not null default pg_current_xact_id()::text,
      actor text not null default current_setting('application_name'), place text not null, op text not null,
      at timestamptz not null default clock_timestamp(), "row" jsonb not null);
    create function model_record() returns trigger language plpgsql as $$
    begin
      insert into model_log (place, op, "row") values (tg_table_name, tg_op, case tg_op when 'DELETE' then to_jsonb(old) else to_jsonb(new) end);
      return null;
    end $$;
    ${places
      .map(
        (place) => `create trigger model_record after insert or update or delete on skipjack.${place}
          for each row execute function model_record();`,
      )
      .join('\n')}`);
}

/** Everything logged up to now has this number or a lower one, or belongs to a transaction that is under way. */
export async function lastNumber(sql: Sql): Promise<number> {
  const [row] = await sql<{ last: string }>('select last_value as last from model_log_seq_seq');
  return Number(row?.last ?? 0);
}

/** Takes what is recorded; nothing is under way. */
export async function readRecord(sql: Sql): Promise<LogRow[]> {
  const rows = await sql<LogRow>(
    'select seq::integer, xid, actor, place, op, at::text, "row" from model_log order by seq',
  );
  await sql('truncate model_log');
  return rows;
}

type Row = Record<string, unknown>;

/** The rows of one process, as they were after a step. */
export interface Shadow {
  put(logged: LogRow): void;
  item(taskId: string): Row | undefined;
  rows(): Rows;
}

export function createShadow(): Shadow {
  const tasks = new Map<string, Row>();
  const items = new Map<string, Row>();
  const letters = new Map<string, Row>();
  const kept = { process: {} as Row, attempts: [] as Row[], events: [] as Row[] };
  return {
    put({ place, op, row, at }) {
      if (place === 'processes') kept.process = row;
      if (place === 'tasks') tasks.set(row.id as string, row);
      if (place === 'dead_letters') letters.set(row.task_id as string, row);
      if (place === 'attempts') kept.attempts.push(row);
      if (place === 'process_events') kept.events.push(row);
      if (place !== 'queue_items') return;
      const isLater = Date.parse(row.available_at as string) > Date.parse(at) + 60_000;
      if (op === 'DELETE') items.delete(row.task_id as string);
      else items.set(row.task_id as string, { ...row, is_later: isLater });
    },
    item: (taskId) => items.get(taskId),
    rows: () =>
      ({
        ...kept,
        tasks: [...tasks.values()].sort((one, other) => Number(one.ordinal) - Number(other.ordinal)),
        items: [...items.values()],
        letters: [...letters.values()],
      }) as unknown as Rows,
  };
}

/** To which process or task a row belongs. */
export function subjectOf({ place, row }: LogRow): { processId?: string; taskId?: string } {
  switch (place) {
    case 'processes':
      return { processId: row.id as string };
    case 'tasks':
      return { taskId: row.id as string };
    case 'process_events':
      return { processId: row.process_id as string };
    default:
      return { taskId: row.task_id as string };
  }
}
