/**
 * What a task of a process runs and what it gets: its part of the plan, the input of its process, the outputs of
 * the tasks before it. Read after the claim has committed, for everything that was claimed at once: outputs of
 * ended needs do not change while a task that needs them is active.
 *
 * Outputs are handed over up to a bound; past it a task gets the ids of the tasks that have them.
 */
import type { Json } from '../../core/json.ts';
import type { Plan } from '../../core/plan.ts';
import { readSpec, referSecrets } from '../../core/spec.ts';
import type { ClaimedTask, ClaimRequest } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';
import type { Place } from '../claimed-task.ts';
import type { PlanCache } from './plans.ts';

/** Of the outputs that come along with one task, and with all that are described at once, as JSON. */
const outputBytesMax = 1024 * 1024;
const outputBytesOfAllMax = 16 * outputBytesMax;

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
  process_id: string;
  ordinal: number;
  id: string;
  name: string;
  bytes: number;
  /** Null, whatever it is, when it is too large to come along with anything. */
  output: Json;
}

/** Answers in the order of `tasks`. */
export async function describeTasks(
  db: Database,
  plans: PlanCache,
  tasks: ToDescribe[],
): Promise<Described[]> {
  const known = await plans.get(tasks.map(({ place }) => place.definition_id));
  const needed = tasks.map(({ place, outputs }) =>
    ordinalsBefore(known.get(place.definition_id), place.ordinal, outputs),
  );
  const [processes, found] = await Promise.all([
    readProcessContexts(db, [...new Set(tasks.map(({ place }) => place.process_id))]),
    readOutputs(db, new Map(tasks.flatMap(({ place }, index) => keysOf(place, needed[index] ?? [])))),
  ]);
  let left = outputBytesOfAllMax;
  return tasks.map(({ place }, index) => {
    const planned = known.get(place.definition_id)?.tasks[place.ordinal - 1];
    const own = keysOf(place, needed[index] ?? []).flatMap(([key]) => found.get(key) ?? []);
    const small = new Set<OutputRow>();
    let leftOfTask = outputBytesMax;
    for (const row of own.toSorted((one, other) => one.bytes - other.bytes)) {
      leftOfTask -= row.bytes;
      left -= row.bytes;
      if (leftOfTask < 0 || left < 0) break;
      small.add(row);
    }
    return {
      spec: referSecrets(readSpec(planned?.spec ?? null)),
      input: planned?.input ?? null,
      process: processes.get(place.process_id) ?? null,
      needs: Object.fromEntries(own.filter((row) => small.has(row)).map((row) => [row.name, row.output])),
      large_needs: Object.fromEntries(own.filter((row) => !small.has(row)).map((row) => [row.name, row.id])),
    };
  });
}

function keysOf({ process_id }: Place, ordinals: number[]): [string, [string, number]][] {
  return ordinals.map((ordinal) => [`${ordinal} ${process_id}`, [process_id, ordinal]]);
}

async function readProcessContexts(db: Database, ids: string[]): Promise<Map<string, ProcessRow>> {
  const { rows } = await db.pool.query<ProcessRow>(
    `select process.id, process.name as definition, definition.version, coalesce(given.input, '{}') as input
     from skipjack.processes as process
     join skipjack.definitions as definition on definition.id = process.definition_id
     left join skipjack.process_inputs as given on given.process_id = process.id
     where process.id = any ($1::uuid[])`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
}

/** Each once, however many need it. What is stored in more than the bound is not even unpacked. */
async function readOutputs(
  db: Database,
  wanted: Map<string, [string, number]>,
): Promise<Map<string, OutputRow>> {
  if (wanted.size === 0) return new Map();
  const { rows } = await db.pool.query<OutputRow>(
    `select task.process_id, task.ordinal, task.id, task.name, sized.bytes,
       case when sized.bytes <= ${outputBytesMax} then task.output end as output
     from unnest($1::uuid[], $2::integer[]) as wanted (process_id, ordinal)
     cross join lateral (
       select * from skipjack.tasks
       where process_id = wanted.process_id and ordinal = wanted.ordinal and state = 'completed'
       limit 1
     ) as task
     cross join lateral (
       select case when task.output is null then 0
         when pg_column_size(task.output) > ${outputBytesMax} then ${outputBytesMax + 1}
         else octet_length(task.output::text) end as bytes
     ) as sized`,
    [[...wanted.values()].map(([id]) => id), [...wanted.values()].map(([, ordinal]) => ordinal)],
  );
  return new Map(rows.map((row) => [`${row.ordinal} ${row.process_id}`, row]));
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
