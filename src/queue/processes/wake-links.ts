import type { Transaction } from '../../database/connection.ts';

/** A task that needs one other alone, which is the one at the place before it, or is ended with it. */
export interface Link {
  processId: string;
  ordinal: number;
  /** In the chain, from 0. */
  place: number;
}

/**
 * Pending tasks, of which each but the first of a process waits for the one before it, are parked for the engine, which
 * ends them all in this transaction: nothing is posted for them. A chain goes as far as its tasks are pending. Their
 * processes must have been locked by an earlier statement. Answers those that are parked, in their order.
 */
export async function wakeLinks(
  tx: Transaction,
  links: Link[],
): Promise<{ processId: string; taskId: string }[]> {
  if (links.length === 0) return [];
  const { rows } = await tx.query<{ process_id: string; id: string; place: number }>(
    `with wanted as materialized (
       select * from unnest($1::uuid[], $2::integer[], $3::integer[]) as wanted (process_id, ordinal, place)
       limit ${links.length}
     ), found as materialized (
       select wanted.process_id, wanted.place, task.id,
         bool_and(coalesce(task.waits, false)) over (
           partition by wanted.process_id order by wanted.place) as goes
       from wanted
       left join lateral (
         select id, state = 'pending' and unmet = 1 as waits
         from skipjack.tasks where process_id = wanted.process_id and ordinal = wanted.ordinal limit 1
       ) as task on true
     )
     update skipjack.tasks as task set state = 'active', waits_for = 'engine', thinks = true, unmet = 0
     from found
     where found.goes and task.id = found.id and task.id = any (array(select id from found where goes))
     returning task.process_id, task.id, found.place`,
    [
      links.map(({ processId }) => processId),
      links.map(({ ordinal }) => ordinal),
      links.map(({ place }) => place),
    ],
  );
  return rows
    .toSorted((one, other) => one.place - other.place)
    .map((row) => ({ processId: row.process_id, taskId: row.id }));
}
