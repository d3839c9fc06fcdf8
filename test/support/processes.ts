/** Short ways to say what most tests of processes say. */
import { newId } from '../../src/core/ids.ts';
import type { Json } from '../../src/core/json.ts';
import type { Plan, PlannedTask } from '../../src/core/plan.ts';
import type { ClaimedTask, Outcome, SettleResult } from '../../src/core/task-source.ts';
import { keepInlineDefinition, publishDefinition } from '../../src/engine/publish.ts';
import { type NewProcess, type StartResult, startProcesses } from '../../src/engine/start.ts';
import type { ClaimOutcome } from '../../src/queue/settle.ts';
import type { TestDatabase } from './database.ts';
import { claimOf } from './tasks.ts';

type With = Pick<TestDatabase, 'db' | 'sql'>;

/** What a task needs, or that and more: `{ a: [], b: ['a'], c: { needs: ['a'], attempts: 3 } }`. */
export type Graph = Record<string, string[] | GraphTask>;

export interface GraphTask
  extends Partial<Pick<PlannedTask, 'queue' | 'priority' | 'spec' | 'input' | 'labels' | 'timeout_ms'>> {
  needs?: string[];
  continueOnError?: boolean;
  /** Tries in all; a minute between two. */
  attempts?: number;
  /** The whole policy instead. */
  retry?: PlannedTask['retry'];
}

export interface PlanOptions {
  failFast?: boolean;
  input?: Plan['input'];
  name?: string | null;
}

/** A plan as `definition/` would make it. A name that looks like a number comes first, as in every JS object. */
export function makePlan(
  graph: Graph,
  { failFast = true, input = null, name = null }: PlanOptions = {},
): Plan {
  const tasks = Object.entries(graph).map(([key, value]): [string, GraphTask] => [
    key,
    Array.isArray(value) ? { needs: value } : value,
  ]);
  const ordinals = new Map(tasks.map(([key], index) => [key, index + 1]));
  const needsOf = (task: GraphTask) =>
    (task.needs ?? [])
      .map((need) => {
        const ordinal = ordinals.get(need);
        if (!ordinal) throw new Error(`no task ${need}`);
        return ordinal;
      })
      .sort((one, other) => one - other);
  return {
    name,
    fail_fast: failFast,
    input,
    tasks: tasks.map(([key, task], index) => ({
      name: key,
      queue: task.queue ?? 'default',
      priority: task.priority ?? 5,
      spec: task.spec ?? null,
      input: task.input ?? null,
      labels: task.labels ?? null,
      retry: task.retry ?? (task.attempts === undefined ? null : retryOf(task.attempts)),
      timeout_ms: task.timeout_ms ?? null,
      continue_on_error: task.continueOnError ?? false,
      needs: needsOf(task),
      dependents: tasks.flatMap(([, other], place) =>
        needsOf(other).includes(index + 1) ? [place + 1] : [],
      ),
    })),
  };
}

export function retryOf(attempts: number): NonNullable<PlannedTask['retry']> {
  return { attempts, backoff: 'fixed', delay_ms: 60_000, max_delay_ms: 60_000, jitter: false };
}

/** Keeps the graph as an inline definition, or under `name` as a version of it; answers its id. */
export async function publish(
  { db }: Pick<With, 'db'>,
  graph: Graph,
  options: PlanOptions = {},
): Promise<string> {
  const plan = makePlan(graph, options);
  const checked = { source: JSON.stringify(plan), plan };
  return plan.name === null
    ? keepInlineDefinition(db, checked)
    : (await publishDefinition(db, plan.name, checked)).id;
}

export function newProcess(request: Partial<NewProcess>): NewProcess {
  return {
    id: newId(),
    definition: null,
    version: null,
    definition_id: null,
    input: null,
    idempotency_key: null,
    ...request,
  };
}

export async function tryStart({ db }: Pick<With, 'db'>, request: Partial<NewProcess>): Promise<StartResult> {
  const [result] = await startProcesses(db, [newProcess(request)]);
  if (!result) throw new Error('no answer');
  return result;
}

/** A process that runs the graph; answers its id. */
export async function start(
  database: Pick<With, 'db'>,
  graph: Graph,
  options: PlanOptions = {},
  given: Json = null,
): Promise<string> {
  const definitionId = await publish(database, graph, options);
  const result = await tryStart(database, { definition_id: definitionId, input: given });
  if (result.kind !== 'created') throw new Error(JSON.stringify(result));
  return result.id;
}

export async function taskIdOf({ sql }: Pick<With, 'sql'>, processId: string, name: string): Promise<string> {
  const [row] = await sql<{ id: string }>(
    'select id from skipjack.tasks where process_id = $1 and name = $2',
    [processId, name],
  );
  if (!row) throw new Error(`no task ${name}`);
  return row.id;
}

/** Claims one task of the process, whatever else waits. */
export async function claimNamed(
  database: TestDatabase,
  processId: string,
  name: string,
  worker = 'tester',
): Promise<ClaimedTask> {
  const answer = await database.queue.claimOne(await taskIdOf(database, processId, name), {
    worker,
    leaseMs: 30_000,
    timeoutGraceMs: 0,
    claimId: newId(),
  });
  if (answer.kind !== 'claimed') throw new Error(`${name}: ${JSON.stringify(answer)}`);
  return answer.task;
}

export const failure = { code: 'exit_code', message: 'it failed' };

/** An outcome in a word, or whole. */
export type Saying = 'completes' | 'fails' | Outcome;

export function outcomeOf(saying: Saying): Outcome {
  if (saying === 'completes') return { kind: 'completed', output: null };
  if (saying === 'fails') return { kind: 'failed', error: failure, retry: false };
  return saying;
}

/** What a worker hands in for what it has claimed. */
export function settlementOf(task: Pick<ClaimedTask, 'id' | 'token'>, saying: Saying): ClaimOutcome {
  return { ...claimOf(task), ...outcomeOf(saying) };
}

/** Claims the task and settles it at once. */
export async function run(
  database: TestDatabase,
  processId: string,
  name: string,
  saying: Saying = 'completes',
): Promise<SettleResult> {
  const task = await claimNamed(database, processId, name);
  return database.queue.settle(settlementOf(task, saying));
}

/** States by name; `waiting` for an active task that nobody has claimed, `running` for one that is. */
export async function statesOf(
  { sql }: Pick<With, 'sql'>,
  processId: string,
): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; state: string }>(
    `select task.name, case when task.state <> 'active' then task.state when item.worker is null then 'waiting'
       when item.cancel_requested then 'stopping' else 'running' end as state
     from skipjack.tasks as task left join skipjack.queue_items as item on item.task_id = task.id
     where task.process_id = $1 order by task.ordinal`,
    [processId],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.state]));
}

export async function processOf(
  { sql }: Pick<With, 'sql'>,
  processId: string,
): Promise<{ state: string; paused: boolean; unfinished: number; revision: number }> {
  const [row] = await sql<{ state: string; paused: boolean; unfinished: number; revision: number }>(
    'select state, paused, unfinished, revision::integer from skipjack.processes where id = $1',
    [processId],
  );
  if (!row) throw new Error('no such process');
  return row;
}

export async function stateOf(database: Pick<With, 'sql'>, processId: string): Promise<string> {
  return (await processOf(database, processId)).state;
}

/** Names of tasks whose dead letters wait. */
export async function lettersOf({ sql }: Pick<With, 'sql'>, processId: string): Promise<string[]> {
  const rows = await sql<{ name: string }>(
    `select letter.name from skipjack.dead_letters as letter join skipjack.tasks as task on task.id = letter.task_id
     where task.process_id = $1 and letter.replayed_at is null order by task.ordinal`,
    [processId],
  );
  return rows.map((row) => row.name);
}
