/** Processes that an engine must think about, of plans as `definition/` makes them. */
import type { Json } from '../../../../src/core/json.ts';
import type { Plan, PlannedTask } from '../../../../src/core/plan.ts';
import { keepInlineDefinition, publishDefinition } from '../../../../src/engine/publish.ts';
import { compileCondition } from '../../../../src/expression/condition.ts';
import type { TestDatabase } from '../../../support/database.ts';
import { makePlan, tryStart } from '../../../support/processes.ts';

type With = Pick<TestDatabase, 'db' | 'sql'>;

/** What a task needs, and what else is said of it in the words of plans. */
export type Thoughtful = Record<string, { needs?: string[] } & Partial<Omit<PlannedTask, 'needs'>>>;

/** What else is said of the definition. */
export type Whole = Partial<
  Pick<Plan, 'input' | 'output' | 'on_failure' | 'deadline_ms' | 'fail_fast' | 'name'>
>;

const thoughtful = ['if', 'each', 'matrix', 'process', 'sleep', 'wait_for', 'delay_ms', 'run_at'] as const;

export function planOf(graph: Thoughtful, whole: Whole = {}): Plan {
  const needs = Object.fromEntries(Object.entries(graph).map(([name, task]) => [name, task.needs ?? []]));
  const bare = makePlan(needs);
  const tasks = bare.tasks.map((task): PlannedTask => {
    const { needs: _needs, ...said } = graph[task.name] ?? {};
    const calls = said.if === undefined ? null : compileCondition(said.if).calls;
    return {
      ...task,
      ...said,
      ...(thoughtful.some((key) => said[key] !== undefined) ? { thinks: true } : {}),
      ...(calls?.always || calls?.failure ? { runs_on_failure: true } : {}),
      ...(calls?.always || calls?.cancelled ? { runs_on_cancel: true } : {}),
    };
  });
  const thinks =
    tasks.some((task) => task.thinks) || ['output', 'on_failure', 'deadline_ms'].some((key) => key in whole);
  return { ...bare, ...whole, tasks, ...(thinks ? { thinks: true } : {}) };
}

/** Under `name` a version of it, else inline. Answers its id. */
export async function publishPlan(
  { db }: Pick<With, 'db'>,
  graph: Thoughtful,
  whole: Whole = {},
): Promise<string> {
  const plan = planOf(graph, whole);
  const checked = { source: JSON.stringify(plan), plan };
  return plan.name === null
    ? keepInlineDefinition(db, checked)
    : (await publishDefinition(db, plan.name, checked)).id;
}

/** A process of it with this input; answers its id. */
export async function startPlan(
  database: With,
  graph: Thoughtful,
  whole: Whole = {},
  given: Json = null,
): Promise<string> {
  const result = await tryStart(database, {
    definition_id: await publishPlan(database, graph, whole),
    input: given,
  });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

/** States by name; of a parked task what it waits for. */
export async function standOf(
  { sql }: Pick<With, 'sql'>,
  processId: string,
): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; state: string }>(
    `select task.name, case when task.waits_for is not null then 'waits for ' || task.waits_for
       when task.state <> 'active' then task.state
       when item.worker is null then 'ready' when item.cancel_requested then 'stopping' else 'running' end as state
     from skipjack.tasks as task left join skipjack.queue_items as item on item.task_id = task.id
     where task.process_id = $1 order by task.ordinal`,
    [processId],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.state]));
}

export async function endOf(
  { sql }: Pick<With, 'sql'>,
  processId: string,
  name: string,
): Promise<{ state: string; output: Json; error: { code: string; message: string; details?: Json } | null }> {
  const [row] = await sql<{ state: string; output: Json; error: { code: string; message: string } | null }>(
    'select state, output, error from skipjack.tasks where process_id = $1 and name = $2',
    [processId, name],
  );
  if (!row) throw new Error(`no task ${name}`);
  return row;
}

/** Time is moved by moving the times of what waits for it. */
export async function passTime({ sql }: Pick<With, 'sql'>): Promise<void> {
  await sql(
    `update skipjack.engine_items set available_at = clock_timestamp() where available_at < 'infinity'`,
  );
}

/** Kinds of what lies in the inbox. */
export async function inboxOf({ sql }: Pick<With, 'sql'>, processId: string): Promise<string[]> {
  const rows = await sql<{ kind: string }>(
    'select kind from skipjack.engine_items where process_id = $1 order by id',
    [processId],
  );
  return rows.map(({ kind }) => kind);
}

/** What a task or a process has started, the oldest first. */
export async function childrenOf(
  { sql }: Pick<With, 'sql'>,
  processId: string,
): Promise<{ id: string; name: string | null; state: string; detached: boolean; depth: number }[]> {
  return sql(
    'select id, name, state, detached, depth from skipjack.processes where parent_process_id = $1 order by id',
    [processId],
  );
}
