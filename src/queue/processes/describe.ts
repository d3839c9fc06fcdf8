/**
 * What a task of a process runs and what it gets: its part of the plan, the input of its process, the outputs of
 * the tasks before it. Read after the claim has committed, for everything that was claimed at once: outputs of
 * ended needs do not change while a task that needs them is active.
 *
 * Outputs are handed over up to a bound; past it a task gets the ids of the tasks that have them. Expressions get
 * every output that they name, with a bound of its own (expressions.ts).
 */
import { setImmediate } from 'node:timers/promises';
import type { Json } from '../../core/json.ts';
import type { Plan } from '../../core/plan.ts';
import { readSpec, referSecrets } from '../../core/spec.ts';
import type { TaskError } from '../../core/task.ts';
import type { ClaimedTask, ClaimRequest } from '../../core/task-source.ts';
import type { Database } from '../../database/connection.ts';
import type { Place } from '../claimed-task.ts';
import { fillExpressions } from './expressions.ts';
import type { PlanCache } from './plans.ts';
import { keyOf, outputLimits, readOutputs, type TaskOutput, type TaskPlace } from './read-outputs.ts';

/** How long expressions may be evaluated before others get their turn; one task takes some 50 ms at most. */
const turnMs = 10;

export interface ToDescribe {
  place: Place;
  outputs: NonNullable<ClaimRequest['outputs']>;
}

/** What the process gives to a task. */
export type Described = Pick<ClaimedTask, 'spec' | 'input' | 'process' | 'needs' | 'large_needs'>;

/** Why there is nothing to run: an expression failed. */
export interface Undescribable {
  error: TaskError;
}

interface ProcessRow {
  id: string;
  definition: string | null;
  version: number | null;
  input: Json;
}

/** For whoever claimed them, with the values of their expressions. Answers in the order of `tasks`. */
export async function describeTasks(
  db: Database,
  plans: PlanCache,
  tasks: ToDescribe[],
): Promise<(Described | Undescribable)[]> {
  const known = await plans.get(tasks.map(({ place }) => place.definition_id));
  const asked = tasks.map(({ place }) => {
    const plan = known.get(place.definition_id);
    return plan ? plans.templateOf(plan, place.ordinal) : null;
  });
  const { written, find } = await readWritten(db, {
    tasks,
    known,
    more: asked.map((each) => each?.asks.map(({ ordinal }) => ordinal) ?? []),
  });
  let turnEnds = performance.now() + turnMs;
  const described: (Described | Undescribable)[] = [];
  for (const [index, { place }] of tasks.entries()) {
    const own = written[index] as Described;
    const asks = asked[index];
    if (!asks) {
      described.push(own);
      continue;
    }
    if (performance.now() > turnEnds) {
      await setImmediate();
      turnEnds = performance.now() + turnMs;
    }
    const filled = await fillExpressions(db, asks, {
      process: own.process,
      item: place.item ?? null,
      // What somebody said in place of the plan's input is no template.
      input: place.input ?? null,
      find: (ordinal) => find(place, ordinal),
    });
    described.push('error' in filled ? filled : { ...own, ...filled });
  }
  return described;
}

/** As the definition says it, with expressions as they were written, for whoever looks. In the order of `tasks`. */
export async function describeAsWritten(
  db: Database,
  plans: PlanCache,
  tasks: ToDescribe[],
): Promise<Described[]> {
  const known = await plans.get(tasks.map(({ place }) => place.definition_id));
  return (await readWritten(db, { tasks, known, more: [] })).written;
}

/** `more`: for each task, ordinals of tasks to be read besides those it needs. */
async function readWritten(
  db: Database,
  { tasks, known, more }: { tasks: ToDescribe[]; known: Map<string, Plan>; more: number[][] },
): Promise<{ written: Described[]; find: (place: Place, ordinal: number) => TaskOutput | undefined }> {
  const needed = tasks.map(({ place, outputs }) =>
    ordinalsBefore(known.get(place.definition_id), place.ordinal, outputs),
  );
  const wanted = tasks.flatMap(({ place }, index) => [
    ...keysOf(place, needed[index] ?? []),
    ...keysOf(place, more[index] ?? []),
  ]);
  const [processes, outputs] = await Promise.all([
    readProcessContexts(db, [...new Set(tasks.map(({ place }) => place.process_id))]),
    // Each once, however many need it.
    readOutputs(db.pool, [...new Map(wanted).values()]),
  ]);
  const found = new Map(outputs.map((row) => [keyOf(row.process_id, row.ordinal), row]));
  let left: number = outputLimits.bytesOfAllMax;
  const written = tasks.map(({ place }, index) => {
    const planned = known.get(place.definition_id)?.tasks[place.ordinal - 1];
    const own = keysOf(place, needed[index] ?? []).flatMap(([key]) => {
      const row = found.get(key);
      return row?.state === 'completed' ? row : [];
    });
    const small = new Set<TaskOutput>();
    let leftOfTask: number = outputLimits.bytesMax;
    for (const row of own.toSorted((one, other) => one.bytes - other.bytes)) {
      leftOfTask -= row.bytes;
      left -= row.bytes;
      if (leftOfTask < 0 || left < 0) break;
      small.add(row);
    }
    return {
      spec: referSecrets(readSpec(planned?.spec ?? null)),
      input: place.input ? place.input.value : (planned?.input ?? null),
      process: processes.get(place.process_id) ?? null,
      needs: Object.fromEntries(own.filter((row) => small.has(row)).map((row) => [row.name, row.output])),
      large_needs: Object.fromEntries(own.filter((row) => !small.has(row)).map((row) => [row.name, row.id])),
    };
  });
  return { written, find: (place, ordinal) => found.get(keyOf(place.process_id, ordinal)) };
}

function keysOf(place: Place, ordinals: number[]): [string, TaskPlace][] {
  return ordinals.map((ordinal) => [keyOf(place.process_id, ordinal), [place.process_id, ordinal]]);
}

async function readProcessContexts(db: Database, ids: string[]): Promise<Map<string, ProcessRow>> {
  const { rows } = await db.pool.query<ProcessRow>(
    `select process.id, process.name as definition, definition.version, coalesce(given.input, '{}') as input
     from unnest($1::uuid[]) as wanted (id)
     cross join lateral (select * from skipjack.processes where id = wanted.id limit 1) as process
     cross join lateral (
       select version from skipjack.definitions where id = process.definition_id limit 1
     ) as definition
     left join lateral (
       select input from skipjack.process_inputs where process_id = process.id limit 1
     ) as given on true`,
    [ids],
  );
  return new Map(rows.map((row) => [row.id, row]));
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
