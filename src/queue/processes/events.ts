import type { Json } from '../../core/json.ts';
import type { ProcessEvent } from '../../core/process.ts';
import type { Transaction } from '../../database/connection.ts';

/** Records a move that leaves no time elsewhere. */
export async function recordEvent(
  tx: Transaction,
  event: {
    processId: string;
    event: ProcessEvent;
    taskId?: string;
    by?: string | null | undefined;
    details?: Json;
  },
): Promise<void> {
  await tx.query(
    `insert into skipjack.process_events (process_id, id, at, event, task_id, by, details)
     values ($1, skipjack.new_id(), clock_timestamp(), $2, $3, $4, $5::jsonb)`,
    [
      event.processId,
      event.event,
      event.taskId ?? null,
      event.by ?? null,
      event.details === undefined ? null : JSON.stringify(event.details),
    ],
  );
}
