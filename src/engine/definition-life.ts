/**
 * Active or not: by the name of an inactive definition nothing more is started, by no way in; what runs goes on. It
 * is said of the name, whatever its versions: a new version does not make it active.
 */
import type { Database } from '../database/connection.ts';

/** Asked again it changes nothing: who said it first stays on record. A name that is not published is passed over. */
export async function setActive(
  db: Database,
  name: string,
  { active, by }: { active: boolean; by: string | null },
): Promise<void> {
  if (active) {
    await db.pool.query('delete from skipjack.inactive_definitions where name = $1', [name]);
    return;
  }
  await db.pool.query(
    `insert into skipjack.inactive_definitions (name, since, by)
     select $1, clock_timestamp(), $2
     where exists (select from skipjack.definitions where name = $1)
     on conflict (name) do nothing`,
    [name, by],
  );
}
