/** Who started whom, up and down: by primary keys, and by `processes_by_parent`. */
import { crashPoint } from '../../core/crash-point.ts';
import type { Transaction } from '../../database/connection.ts';

/** Of each process the one at the top, as far as its record is there; itself, if nothing started it. */
export async function readRoots(tx: Transaction, processIds: string[]): Promise<Map<string, string>> {
  const { rows } = await tx.query<{ asked: string; root: string }>(
    `with recursive line as (
       select id as asked, id, parent_process_id, 0 as steps
       from skipjack.processes where id = any ($1::uuid[])
       union all
       select line.asked, parent.id, parent.parent_process_id, line.steps + 1
       from line
       cross join lateral (
         select id, parent_process_id from skipjack.processes where id = line.parent_process_id offset 0
       ) as parent
     )
     select distinct on (asked) asked, id as root from line order by asked, steps desc`,
    [processIds],
  );
  return new Map(rows.map(({ asked, root }) => [asked, root]));
}

/**
 * How many lie beneath each, at every depth; no further than to `max`. Where one process has started most of them, the
 * statistics say so of every other, and all would be read for each: for this statement that is ruled out.
 */
export async function countDescendants(
  tx: Transaction,
  rootIds: string[],
  max: number,
): Promise<Map<string, number>> {
  await tx.query('set local enable_seqscan = off');
  const { rows } = await tx.query<{ root: string; count: number }>(
    `select wanted.id as root, counted.count
     from unnest($1::uuid[]) as wanted (id)
     cross join lateral (
       with recursive below as (
         select id from skipjack.processes where parent_process_id = wanted.id
         union all
         select child.id
         from below
         cross join lateral (select id from skipjack.processes where parent_process_id = below.id offset 0) as child
       )
       select count(*)::integer as count from (select from below limit ${Number(max)}) as found
     ) as counted`,
    [rootIds],
  );
  crashPoint('engine_descendants_counted');
  await tx.query('set local enable_seqscan = default');
  return new Map(rows.map(({ root, count }) => [root, count]));
}
