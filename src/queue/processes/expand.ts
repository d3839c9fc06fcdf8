/**
 * The items of an `each`: tasks of the same process, with ordinals beyond all that it has, of which so many are active
 * at once as may. The others are pending; each that ends gives its turn to the next (advance.ts), so that no engine is
 * needed between two items. The list counts them in one narrow row of its own.
 *
 * An item is spared when its process stops if its `each` is, and leaves no dead letter where its failure is expected:
 * where others may fail too, or where what follows does not mind.
 */
import type { Json } from '../../core/json.ts';
import type { Transaction } from '../../database/connection.ts';
import type { Hint } from '../../database/hints.ts';
import { engineLine } from './inbox.ts';

export { stopItems } from './stop.ts';

export interface Each {
  processId: string;
  taskId: string;
  ordinal: number;
  /** At least one. */
  items: Json[];
  /** Items that may be active at once; null: all of them. */
  concurrency: number | null;
  failuresMax: number;
}

/**
 * The process must have been locked by an earlier statement, and the task be parked; afterwards it waits for its
 * items. Answers the hints to give after the commit.
 */
export async function expandItems(tx: Transaction, each: Each): Promise<Hint[]> {
  const { processId, taskId, ordinal, items, failuresMax } = each;
  if (items.length === 0) throw new Error(`no items for task ${taskId}: nothing would ever wake it`);
  const concurrency = Math.min(each.concurrency ?? items.length, items.length);
  const { rows } = await tx.query<{ thinks: boolean; queue: string; priority: number }>(
    `with clock as materialized (
       select clock_timestamp() as at
     ), owner as (
       update skipjack.tasks as task set waits_for = 'items'
       where task.id = $2 and task.process_id = $1 and task.waits_for is not null
       returning task.*
     ), process as materialized (
       select process.paused and process.state in ('running', 'failing') as held,
         -- What an item must be thought about for: all that its task is but a list.
         coalesce(definition.plan #> array['tasks', ($3::integer - 1)::text] ?| '{process,sleep,wait_for,delay_ms,run_at}',
           false) as thinks,
         (select max(ordinal) from skipjack.tasks where process_id = $1) as ordinal_max
       from skipjack.processes as process
       join skipjack.definitions as definition on definition.id = process.definition_id
       where process.id = $1
     ), item as materialized (
       select skipjack.new_id() as id, ordered.*
       from (
         select value, (place - 1)::integer as index, place <= $5::integer as active
         from jsonb_array_elements($4::jsonb) with ordinality as item (value, place)
         order by place
         limit ${items.length}
       ) as ordered
     ), made as (
       insert into skipjack.tasks (id, process_id, ordinal, name, queue, priority, labels, retry, timeout_ms,
         continue_on_error, runs_on_failure, runs_on_cancel, thinks, state, waits_for, unmet, item_of, item_index, item,
         created_at)
       select item.id, $1, process.ordinal_max + 1 + item.index, left(owner.name, 190) || '[' || item.index || ']',
         owner.queue, owner.priority, owner.labels, owner.retry, owner.timeout_ms,
         owner.continue_on_error or $6::integer > 0, owner.runs_on_failure, owner.runs_on_cancel, process.thinks,
         case when item.active then 'active' else 'pending' end, case when item.active and process.thinks then 'engine' end,
         (not item.active)::integer, $3::integer, item.index, item.value, clock.at
       from item cross join owner cross join process cross join clock
     ), queued as (
       insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, timeout_ms, held)
       select item.id, $1, owner.queue, owner.priority, clock.at, owner.timeout_ms, process.held
       from item cross join owner cross join process cross join clock
       where item.active and not process.thinks
     ), posted as (
       insert into skipjack.engine_items (process_id, task_id, kind, available_at)
       select $1, item.id, 'think', clock.at
       from item cross join owner cross join process cross join clock
       where item.active and process.thinks
     ), listed as (
       insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended,
         failures_max, concurrency)
       select $1, $3, $2, process.ordinal_max + 1, process.ordinal_max + ${items.length}, process.ordinal_max + 1 + $5::integer,
         ${items.length}, $6, $5
       from owner cross join process
     ), counted as (
       update skipjack.processes set tasks = tasks + ${items.length}, unfinished = unfinished + ${items.length},
         revision = revision + 1
       where id = $1 and exists (select from owner)
     )
     select owner.queue, owner.priority, process.thinks
     from owner cross join process`,
    [processId, taskId, ordinal, JSON.stringify(items), concurrency, failuresMax],
  );
  if (!rows[0]) throw new Error(`task ${taskId} is not parked, and cannot become a list of items`);
  return [{ lines: [rows[0].thinks ? engineLine : [rows[0].queue, rows[0].priority]] }];
}
