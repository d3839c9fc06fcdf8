/** Starts processes inside a transaction that has to do with them: what an engine starts. */
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';

export interface InnerProcess {
  id: string;
  definition: string;
  version: number | null;
  input: Json;
  parent_process_id: string;
  parent_task_id: string | null;
  depth: number;
  detached: boolean;
}

export interface InnerAnswer {
  process_id: string;
  /** `created`, or what stands against it. */
  outcome: string;
  problems: { pointer: string; message: string }[] | null;
}

export async function startWithin(
  tx: Transaction,
  processes: InnerProcess[],
): Promise<{ answers: Map<string, InnerAnswer>; hints: Hint[] }> {
  const { rows } = await tx.query<InnerAnswer & { lines: [string, number][] | null }>(
    'select process_id, outcome, problems, lines from skipjack.start_processes($1::jsonb)',
    [JSON.stringify(processes)],
  );
  const lines = rows.flatMap((row) => row.lines ?? []);
  return {
    answers: new Map(rows.map((row) => [row.process_id, row])),
    hints: lines.length > 0 ? [{ lines }] : [],
  };
}

/** The names of inputs that a definition declares; null: it says nothing of its input, or is not there. */
export async function readDeclaredInputs(
  tx: Transaction,
  { definition, version }: { definition: string; version: number | null },
): Promise<string[] | null> {
  const { rows } = await tx.query<{ names: string[] | null }>(
    `select case when jsonb_typeof(plan -> 'input') = 'object'
       then array(select jsonb_object_keys(plan -> 'input')) end as names
     from skipjack.definitions
     where name = $1 and ($2::integer is null or version = $2)
     order by version desc
     limit 1`,
    [definition, version],
  );
  return rows[0]?.names ?? null;
}
