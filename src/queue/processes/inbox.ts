/**
 * The inbox of the engine: what it must think about, written by whoever moves a process, in that transaction. Posting
 * takes no lock, so a process may be told of without being locked.
 */
import type { Json } from '../../core/json.ts';
import type { ThoughtKind } from '../../core/process.ts';
import type { Transaction } from '../../database/connection.ts';

/** In `Hint.lines`: something was posted. */
export const engineLine: [string, number] = ['$engine', 0];

export interface NewThought {
  processId: string;
  taskId?: string;
  kind: ThoughtKind;
  /** From now; or `availableAt` in RFC 3339; without either at once. */
  delayMs?: number;
  availableAt?: string;
  details?: Json;
}

/** Whoever posts what is due at once gives the hint `{ lines: [engineLine] }` after the commit. */
export async function postThoughts(tx: Transaction, rows: NewThought[]): Promise<void> {
  if (rows.length === 0) return;
  const thoughts = rows.map(({ processId, taskId, kind, delayMs, availableAt, details }) => ({
    process_id: processId,
    task_id: taskId,
    kind,
    delay_ms: delayMs,
    available_at: availableAt,
    details,
  }));
  await tx.query(
    `insert into skipjack.engine_items (process_id, task_id, kind, available_at, details)
     select process_id, task_id, kind,
       coalesce(available_at, clock_timestamp() + coalesce(delay_ms, 0) * interval '1 millisecond'), details
     from jsonb_to_recordset($1::jsonb) as thought (
       process_id uuid, task_id uuid, kind text, delay_ms bigint, available_at timestamptz, details jsonb)`,
    [JSON.stringify(thoughts)],
  );
}
