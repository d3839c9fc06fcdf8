/**
 * A process is to be cancelled by the word of an engine: a task of another process had started it, and was stopped.
 * The caller has locked it, and stops it (`stop.ts`) by the next statement. A pause holds nothing back any more.
 */
import type { Transaction } from '../../database/connection.ts';

/** Answers which of them are cancelled by it: those that have ended, or are being cancelled, are not. */
export async function markCancelling(tx: Transaction, ids: string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string }>(
    `with cancelling as (
       update skipjack.processes set state = 'cancelling', revision = revision + 1
       where id = any ($1::uuid[]) and state in ('running', 'failing')
       returning id
     ), woken as (
       update skipjack.engine_items set available_at = clock_timestamp()
       where process_id = any (array(select id from cancelling)) and available_at = 'infinity'
     )
     select id from cancelling`,
    [ids],
  );
  return rows.map(({ id }) => id);
}
