/**
 * Processes as they would be after a while, put there row by row: so that what is tested of one move does not hang on
 * all the others. What is not said is what the states imply; the auditor finds what does not fit.
 */
import { newId } from '../../../../src/core/ids.ts';
import type { Json } from '../../../../src/core/json.ts';
import type { PlannedTask } from '../../../../src/core/plan.ts';
import type { ProcessState, ThoughtKind } from '../../../../src/core/process.ts';
import type { Parking, TaskState } from '../../../../src/core/task.ts';
import type { TestDatabase } from '../../../support/database.ts';

type With = Pick<TestDatabase, 'sql'>;

export interface HandTask {
  state: TaskState;
  needs?: string[];
  /** More of its place in the plan: `each`, `process`, … */
  plan?: Partial<PlannedTask>;
  waitsFor?: Parking;
  /** By default those which its needs count. */
  unmet?: number;
  thinks?: boolean;
  runsOnFailure?: boolean;
  runsOnCancel?: boolean;
  continueOnError?: boolean;
  output?: Json;
  /** Claims of its life, each with an attempt that failed. */
  claims?: number;
  /** Its dead letter waits; by default that of a failed task without `continue_on_error` that was claimed. */
  letter?: boolean;
  items?: HandItems;
}

export interface HandItems {
  /** In their order; they are named `Name[0]`, … */
  states: TaskState[];
  concurrency?: number;
  failuresMax?: number;
  /** By default where the first pending one is. */
  next?: number;
  failed?: number;
  thinks?: boolean;
  waitsFor?: Parking;
}

export interface HandProcess {
  state: ProcessState;
  tasks: Record<string, HandTask>;
  failFast?: boolean;
  /** What the plan says, where it differs by now. */
  plannedFailFast?: boolean;
  paused?: boolean;
  finishes?: boolean;
  cleansUp?: boolean;
  deadlineMs?: number;
  parent?: { processId: string; taskId: string; detached?: boolean };
  result?: { output?: Json; error?: Json; failureProcessId?: string };
  /** Kinds of rows in its inbox that are about no task. */
  thoughts?: ThoughtKind[];
}

const ended = (state: string) => !['pending', 'active'].includes(state);
const failure = { code: 'exit_code', message: 'it failed' };
const wake: Partial<Record<Parking, ThoughtKind>> = { engine: 'think', time: 'timer', event: 'event' };

/** Answers its id. */
export async function place({ sql }: With, given: HandProcess): Promise<string> {
  const { state, failFast = true, paused = false, parent, result } = given;
  const processId = newId();
  const names = Object.keys(given.tasks);
  const tasks = Object.entries(given.tasks);
  const ordinalOf = (name: string) => names.indexOf(name) + 1;
  const dependentsOf = (name: string) =>
    tasks.flatMap(([other, { needs = [] }]) => (needs.includes(name) ? [ordinalOf(other)] : []));
  const plan = {
    name: null,
    fail_fast: given.plannedFailFast ?? failFast,
    input: null,
    tasks: tasks.map(([name, task]) => ({
      name,
      queue: 'default',
      priority: 5,
      spec: null,
      input: null,
      labels: null,
      retry: null,
      timeout_ms: null,
      continue_on_error: task.continueOnError ?? false,
      needs: (task.needs ?? []).map(ordinalOf).sort((one, other) => one - other),
      dependents: dependentsOf(name),
      ...task.plan,
    })),
    ...(given.deadlineMs === undefined ? {} : { deadline_ms: given.deadlineMs }),
  };
  const [definition] = await sql<{ id: string }>(
    `insert into skipjack.definitions (id, checksum, source, plan, created_at)
     values ($1, $2, $3::text, $3::text::jsonb, now()) returning id`,
    [newId(), processId, JSON.stringify(plan)],
  );
  const rows: (HandTask & { name: string; ordinal: number; of?: number; index?: number })[] = tasks.map(
    ([name, task]) => ({ name, ordinal: ordinalOf(name), ...task }),
  );
  const lists: { name: string; first: number; items: HandItems }[] = [];
  for (const [name, { items, continueOnError = false }] of tasks) {
    if (!items) continue;
    lists.push({ name, first: rows.length + 1, items });
    for (const [index, itemState] of items.states.entries()) {
      rows.push({
        name: `${name}[${index}]`,
        ordinal: rows.length + 1,
        state: itemState,
        of: ordinalOf(name),
        index,
        continueOnError: continueOnError || (items.failuresMax ?? 0) > 0,
        thinks: items.thinks ?? false,
        ...(itemState === 'active' && items.waitsFor ? { waitsFor: items.waitsFor } : {}),
        ...(itemState === 'pending' ? { unmet: 1 } : {}),
      });
    }
  }
  const unfinished = rows.filter((task) => !ended(task.state)).length;
  await sql(
    `insert into skipjack.processes (id, definition_id, state, paused, fail_fast, tasks, unfinished, created_at, finished_at,
       thinks, finishes, cleans_up, parent_task_id, parent_process_id, detached, depth)
     values ($1, $2, $3, $4, $5, $6, $7, now() - interval '1 hour', $8, $9, $10, $11, $12, $13, $14, $15)`,
    [
      processId,
      definition?.id,
      state,
      paused,
      failFast,
      rows.length,
      unfinished,
      ['completed', 'failed', 'cancelled'].includes(state) ? new Date() : null,
      rows.some((task) => task.thinks),
      given.finishes ?? (parent !== undefined || result !== undefined || given.deadlineMs !== undefined),
      given.cleansUp ?? rows.some((task) => task.runsOnFailure || task.runsOnCancel),
      parent?.taskId ?? null,
      parent?.processId ?? null,
      parent?.detached ?? false,
      parent ? 1 : 0,
    ],
  );
  for (const task of rows) await placeTask(processId, task);
  for (const { name, first, items } of lists) {
    const pending = items.states.indexOf('pending');
    const failed = items.states.filter((each) => each === 'failed').length;
    await sql(
      `insert into skipjack.item_lists (process_id, ordinal, task_id, first_ordinal, last_ordinal, next_ordinal, unended,
         failed, failures_max, concurrency)
       values ($1, $2, (select id from skipjack.tasks where process_id = $1 and ordinal = $2), $3, $4, $5, $6, $7, $8, $9)`,
      [
        processId,
        ordinalOf(name),
        first,
        first + items.states.length - 1,
        first + (items.next ?? (pending === -1 ? items.states.length : pending)),
        items.states.filter((each) => !ended(each)).length,
        items.failed ?? failed,
        items.failuresMax ?? 0,
        items.concurrency ?? items.states.length,
      ],
    );
  }
  if (result) {
    await sql(
      'insert into skipjack.process_results (process_id, output, error, failure_process_id) values ($1, $2, $3, $4)',
      [
        processId,
        result.output === undefined ? null : JSON.stringify(result.output),
        result.error === undefined ? null : JSON.stringify(result.error),
        result.failureProcessId ?? null,
      ],
    );
  }
  for (const kind of given.thoughts ?? []) await think({ sql }, { processId, kind });
  return processId;

  async function placeTask(
    ofProcess: string,
    task: HandTask & { name: string; ordinal: number; of?: number; index?: number },
  ): Promise<void> {
    const id = newId();
    const { claims = 0, waitsFor = null, continueOnError = false } = task;
    const isFailed = task.state === 'failed';
    const needed = (task.needs ?? []).filter((need) => !ended(given.tasks[need]?.state ?? ''));
    await sql(
      `insert into skipjack.tasks (id, name, queue, priority, state, created_at, claim_no, failures, worker, started_at,
         finished_at, output, error, process_id, ordinal, unmet, dependents, continue_on_error, waits_for, thinks,
         runs_on_failure, runs_on_cancel, item_of, item_index, item)
       values ($1, $2, 'default', 5, $3, now() - interval '1 hour', $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16,
         $17, $18, $19, $20, $21, $22)`,
      [
        id,
        task.name,
        task.state,
        claims,
        isFailed ? claims : 0,
        claims > 0 && ended(task.state) ? 'tester' : null,
        claims > 0 && ended(task.state) ? new Date() : null,
        ended(task.state) ? new Date() : null,
        task.output === undefined ? null : JSON.stringify(task.output),
        isFailed ? JSON.stringify(failure) : null,
        ofProcess,
        task.ordinal,
        task.unmet ?? (ended(task.state) ? 0 : needed.length),
        task.of === undefined && dependentsOf(task.name).length > 0 ? dependentsOf(task.name) : null,
        continueOnError,
        waitsFor,
        task.thinks ?? false,
        task.runsOnFailure ?? false,
        task.runsOnCancel ?? false,
        task.of ?? null,
        task.index ?? null,
        task.index === undefined ? null : JSON.stringify(`item ${task.index}`),
      ],
    );
    for (let claim = 1; claim <= claims; claim += 1) {
      await sql(
        `insert into skipjack.attempts (task_id, claim_no, attempt, outcome, error, worker, claimed_at, ended_at)
         values ($1, $2, $2, $3, $4, 'tester', now(), now())`,
        [id, claim, isFailed ? 'failed' : 'cancelled', JSON.stringify(failure)],
      );
    }
    if (task.letter ?? (isFailed && !continueOnError)) {
      await sql(
        `insert into skipjack.dead_letters (task_id, name, queue, reason, failed_at) values ($1, $2, 'default', 'failed', now())`,
        [id, task.name],
      );
    }
    if (task.state !== 'active') return;
    if (waitsFor === null) {
      await sql(
        `insert into skipjack.queue_items (task_id, process_id, queue, priority, available_at, claim_no, held)
         values ($1, $2, 'default', 5, now(), $3, $4)`,
        [id, ofProcess, claims, paused],
      );
    }
    const kind = waitsFor && wake[waitsFor];
    if (kind) await think({ sql }, { processId: ofProcess, taskId: id, kind });
  }
}

export async function think(
  { sql }: With,
  {
    processId,
    taskId = null,
    kind,
    at = '-infinity',
  }: { processId: string; taskId?: string | null; kind: ThoughtKind; at?: string },
): Promise<void> {
  await sql(
    `insert into skipjack.engine_items (process_id, task_id, kind, available_at)
     values ($1, $2, $3, greatest(now(), $4::timestamptz))`,
    [processId, taskId, kind, at],
  );
}

/** Its inbox: kinds with the names of the tasks they are about, in words. */
export async function thoughtsOf({ sql }: With, processId: string): Promise<string[]> {
  const rows = await sql<{ thought: string }>(
    `select kind || coalesce(' ' || task.name, '') as thought
     from skipjack.engine_items as thought left join skipjack.tasks as task on task.id = thought.task_id
     where thought.process_id = $1 order by thought.id`,
    [processId],
  );
  return rows.map((row) => row.thought);
}

/** States by name: for an active task `queued`, or what it waits for. */
export async function placesOf({ sql }: With, processId: string): Promise<Record<string, string>> {
  const rows = await sql<{ name: string; state: string }>(
    `select task.name, case when task.state <> 'active' then task.state when item.task_id is not null then 'queued'
       else 'for ' || task.waits_for end as state
     from skipjack.tasks as task left join skipjack.queue_items as item on item.task_id = task.id
     where task.process_id = $1 order by task.ordinal`,
    [processId],
  );
  return Object.fromEntries(rows.map((row) => [row.name, row.state]));
}
