/**
 * What a task of a process runs and what it gets: its part of the plan, the input of its process, the outputs of
 * the tasks before it. Read after the claim has committed, for everything that was claimed at once: outputs of
 * ended needs do not change while a task that needs them is active.
 *
 * Outputs are handed over up to a bound; past it a task gets the ids of the tasks that have them.
 */
import type { Json } from '../../core/json.ts';
import type { Plan } from '../../core/plan.ts';
import { readSpec } from '../../core/task.ts';
import type { ClaimedTask, ClaimRequest } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';
import type { Place } from '../claimed-task.ts';
import type { PlanCache } from './plans.ts';

/** Of the outputs that come along with one task, as JSON. */
const outputBytesMax = 1024 * 1024;

export interface ToDescribe {
  place: Place;
  outputs: NonNullable<ClaimRequest['outputs']>;
}

/** What the process gives to a task. */
export type Described = Pick<ClaimedTask, 'spec' | 'input' | 'process' | 'needs' | 'large_needs'>;

interface ProcessRow {
  id: string;
  definition: string | null;
  version: number | null;
  input: Json;
}

interface OutputRow {
  wanted_by: number;
  id: string;
  name: string;
  output: Json;
  is_large: boolean;
}

/** Answers in the order of `tasks`. */
export async function describeTasks(
  db: Database,
  plans: PlanCache,
  tasks: ToDescribe[],
): Promise<Described[]> {
  const known = await plans.get(tasks.map(({ place }) => place.definition_id));
  const wanted = tasks.map(({ place, outputs }, number) => ({
    number,
    process_id: place.process_id,
    ordinals: ordinalsBefore(known.get(place.definition_id), place.ordinal, outputs),
  }));
  const { rows } = await db.pool.query<{ processes: ProcessRow[] | null; outputs: OutputRow[] | null }>(
    `with wanted as materialized (
       select * from jsonb_to_recordset($2::jsonb) as wanted (number integer, process_id uuid, ordinals integer[])
     ), found as materialized (
       select wanted.number, task.id, task.name, task.ordinal,
         sum(task.bytes) over (
           partition by wanted.number order by task.bytes, task.ordinal rows unbounded preceding) > ${outputBytesMax} as is_large
       from wanted
       cross join lateral unnest(wanted.ordinals) as need (ordinal)
       cross join lateral (
         select task.id, task.name, task.ordinal, coalesce(octet_length(task.output::text), 0) as bytes
         from skipjack.tasks as task
         where task.process_id = wanted.process_id and task.ordinal = need.ordinal and task.state = 'completed'
         limit 1
       ) as task
     )
     select
       (select jsonb_agg(jsonb_build_object('id', process.id, 'definition', process.name, 'version', definition.version,
          'input', coalesce(given.input, '{}')))
        from skipjack.processes as process
        join skipjack.definitions as definition on definition.id = process.definition_id
        left join skipjack.process_inputs as given on given.process_id = process.id
        where process.id = any ($1::uuid[])) as processes,
       (select jsonb_agg(jsonb_build_object('wanted_by', found.number, 'id', found.id, 'name', found.name,
          'is_large', found.is_large, 'output', case when not found.is_large then (
            select output from skipjack.tasks where id = found.id) end) order by found.ordinal)
        from found) as outputs`,
    [[...new Set(tasks.map(({ place }) => place.process_id))], JSON.stringify(wanted)],
  );
  const processes = new Map((rows[0]?.processes ?? []).map((row) => [row.id, row]));
  const outputs = tasks.map((): OutputRow[] => []);
  for (const row of rows[0]?.outputs ?? []) outputs[row.wanted_by]?.push(row);
  return tasks.map(({ place }, number) => {
    const planned = known.get(place.definition_id)?.tasks[place.ordinal - 1];
    const own = outputs[number] ?? [];
    return {
      spec: readSpec(planned?.spec ?? null),
      input: planned?.input ?? null,
      process: processes.get(place.process_id) ?? null,
      needs: Object.fromEntries(own.filter((row) => !row.is_large).map((row) => [row.name, row.output])),
      large_needs: Object.fromEntries(own.filter((row) => row.is_large).map((row) => [row.name, row.id])),
    };
  });
}

/** Ordinals of the direct needs, or of all that the task follows from. */
function ordinalsBefore(plan: Plan | undefined, ordinal: number, outputs: ToDescribe['outputs']): number[] {
  const direct = plan?.tasks[ordinal - 1]?.needs ?? [];
  if (outputs === 'direct') return direct;
  const before = new Set(direct);
  // A set is walked in the order of insertion, and what is added on the way is still visited.
  for (const need of before) for (const earlier of plan?.tasks[need - 1]?.needs ?? []) before.add(earlier);
  return [...before];
}
