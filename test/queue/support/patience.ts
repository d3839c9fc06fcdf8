/** For tests in which somebody comes to wait for a stranger who lets go at last: on a busy machine that may take seconds. */
import type { TestDatabase } from '../../support/database.ts';

/** A function that waits for the locks of others, with its parameters. */
type Waiting = 'enqueue_tasks(jsonb)' | 'send_events(jsonb, boolean)';

/** In this database it waits a minute, however little the program that calls it would: two seconds are soon over. */
export async function waitLongIn({ sql }: Pick<TestDatabase, 'sql'>, waiting: Waiting): Promise<void> {
  await sql(`alter function skipjack.${waiting} set lock_timeout = '1min'`);
}
