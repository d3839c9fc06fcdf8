import type { Database } from '../../database/connection.ts';
import { type Check, ok, wrong } from './check.ts';

/** Older ones keep vacuum from the dead rows of the queue, and claims walk over them. */
const ageMax = '5 minutes';

/** Long transactions, also prepared ones and replication slots that hold back vacuum. */
export async function checkTransactions(db: Database): Promise<Check[]> {
  const { rows } = await db.pool.query<{ what: string }>(
    `select format('pid %s (%s, %s) has been in a transaction since %s: pg_terminate_backend(%s) ends it',
       pid, usename, coalesce(nullif(application_name, ''), 'unnamed'), xact_start::timestamptz(0), pid) as what
     from pg_stat_activity
     where datname = current_database() and pid <> pg_backend_pid() and backend_type = 'client backend'
       and xact_start < clock_timestamp() - $1::interval
     union all
     select format('the prepared transaction "%s" stands since %s: commit prepared or rollback prepared ends it',
       gid, prepared::timestamptz(0))
     from pg_prepared_xacts
     where database = current_database() and prepared < clock_timestamp() - $1::interval
     union all
     select format('the replication slot "%s" is not in use and holds back vacuum: pg_drop_replication_slot removes it', slot_name)
     from pg_replication_slots
     where not active and xmin is not null`,
    [ageMax],
  );
  if (rows.length === 0) return [ok('transactions', `none is older than ${ageMax}`)];
  return rows.map(({ what }) => wrong('transactions', what));
}
