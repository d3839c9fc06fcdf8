/** Items of an `each`, once there is something to decide about all of them. */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';

export interface ItemList {
  process_id: string;
  ordinal: number;
  task_id: string;
  first_ordinal: number;
  last_ordinal: number;
  unended: number;
  failed: number;
  failures_max: number;
}

export async function readItemLists(
  tx: Transaction,
  places: [processId: string, ordinal: number][],
): Promise<ItemList[]> {
  const { rows } = await tx.query<ItemList>(
    `select list.process_id, list.ordinal, list.task_id, list.first_ordinal, list.last_ordinal, list.unended, list.failed,
       list.failures_max
     from unnest($1::uuid[], $2::integer[]) as wanted (process_id, ordinal)
     cross join lateral (
       select * from skipjack.item_lists where process_id = wanted.process_id and ordinal = wanted.ordinal limit 1
     ) as list`,
    [places.map(([id]) => id), places.map(([, ordinal]) => ordinal)],
  );
  return rows;
}

/** The outputs in the order of the items, null for one that did not complete; null: larger than `bytesMax`. */
export async function readItemOutputs(
  tx: Transaction,
  list: ItemList,
  bytesMax: number,
): Promise<Json[] | null> {
  const place = [list.process_id, list.first_ordinal, list.last_ordinal];
  const { rows: sizes } = await tx.query<{ bytes: number }>(
    `select coalesce(sum(coalesce(octet_length(output::text), 4) + 2), 0)::float8 as bytes
     from skipjack.tasks where process_id = $1 and ordinal between $2 and $3`,
    place,
  );
  crashPoint('engine_item_outputs_sized');
  if ((sizes[0]?.bytes ?? 0) > bytesMax) return null;
  const { rows } = await tx.query<{ output: Json }>(
    `select case when state = 'completed' then output end as output
     from skipjack.tasks where process_id = $1 and ordinal between $2 and $3 order by ordinal`,
    place,
  );
  return rows.map(({ output }) => output);
}

/** How many items failed, and why the first of them did. */
export async function readItemFailures(
  tx: Transaction,
  list: ItemList,
  { errorsMax, lettersMax }: { errorsMax: number; lettersMax: number },
): Promise<{ failed: number; items: { index: number; error: { code: string; message: string } }[] }> {
  const { rows } = await tx.query<{ index: number; code: string; message: string; failed: string }>(
    `select item_index as index, error ->> 'code' as code, left(error ->> 'message', ${Number(lettersMax)}) as message,
       count(*) over () as failed
     from skipjack.tasks
     where process_id = $1 and ordinal between $2 and $3 and state = 'failed'
     order by ordinal
     limit ${Number(errorsMax)}`,
    [list.process_id, list.first_ordinal, list.last_ordinal],
  );
  return {
    failed: Number(rows[0]?.failed ?? 0),
    items: rows.map(({ index, code, message }) => ({ index, error: { code, message } })),
  };
}
