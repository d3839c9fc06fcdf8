/**
 * Clean-up tasks whose turn has come in a process that stops, by the word of an engine: they are active, and it thinks
 * about each of them next. The processes must have been locked by an earlier statement.
 */
import type { Transaction } from '../../database/connection.ts';

export async function activateCleanups(tx: Transaction, taskIds: string[]): Promise<void> {
  await tx.query(
    `with due as (
       update skipjack.tasks set state = 'active', unmet = 0, waits_for = 'engine'
       where id = any ($1::uuid[]) and state = 'pending'
       returning id, process_id
     ), moved as (
       update skipjack.processes set revision = revision + 1
       where id = any (array(select process_id from due))
     )
     insert into skipjack.engine_items (process_id, task_id, kind, available_at)
     select process_id, id, 'think', clock_timestamp() from due`,
    [taskIds],
  );
}
