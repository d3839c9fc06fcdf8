/** Sub-processes: started for tasks, and what becomes of these when they have ended. */
import { crashPoint } from '../../core/crash-point.ts';
import { newId } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { planLimits } from '../../core/plan.ts';
import { hasProcessEnded } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import { engineLine } from '../../queue/processes/inbox.ts';
import { type Child, readChildren, readFailedChildren } from '../../queue/processes/read-children.ts';
import type { ProcessStanding } from '../../queue/processes/read-standing.ts';
import { type InnerAnswer, type InnerProcess, startWithin } from '../../queue/processes/start-within.ts';
import { planOf, processOf, type Round, type TaskThought } from './context.ts';
import { isCancelled } from './decide-task.ts';
import { descendantsMax, findTooMany } from './families.ts';
import { thoughtOf } from './thoughts.ts';

export interface InnerStart {
  row: TaskThought;
  process: ProcessStanding;
  definition: string;
  version: number | null;
  input: Json;
  detached: boolean;
}

const outputBytesMax = 1024 * 1024;

/** In one statement, for each may have ten thousand tasks: it must end long before its connection is given up. */
const startsMax = 10;

export async function startChildren(round: Round, all: InnerStart[]): Promise<void> {
  const { tx, turn, acts } = round;
  const starts = await retryChildren(round, all);
  const deep = starts.filter(({ process }) => process.depth + 1 > planLimits.depthMax);
  const tooMany = await findTooMany(
    tx,
    starts.filter((each) => !deep.includes(each)),
  );
  const asked = starts
    .filter((each) => !deep.includes(each) && !tooMany.has(each))
    .map((each): [InnerStart, InnerProcess] => [
      each,
      {
        id: newId(),
        definition: each.definition,
        version: each.version,
        input: each.input,
        parent_process_id: each.process.id,
        parent_task_id: each.row.task_id,
        depth: each.process.depth + 1,
        detached: each.detached,
      },
    ]);
  for (const each of [...deep, ...tooMany]) {
    const { row, process } = each;
    acts.done.push(row.id);
    const error = tooMany.has(each) ? tooManyProcesses() : tooDeep(process.depth + 1);
    acts.ends.push({ taskId: row.task_id, processId: process.id, state: 'failed', error });
  }
  for (let first = 0; first < asked.length; first += startsMax) {
    // The rest is started in the next turn.
    if (first > 0 && performance.now() > turn.endsAt) return;
    await startSome({ tx, turn, acts }, asked.slice(first, first + startsMax));
  }
}

async function startSome(
  { tx, turn, acts }: Pick<Round, 'tx' | 'turn' | 'acts'>,
  asked: [InnerStart, InnerProcess][],
): Promise<void> {
  const { answers, hints } = await startWithin(
    tx,
    asked.map(([, request]) => request),
  );
  crashPoint('engine_children_started');
  turn.hints.push(...hints);
  for (const [{ row, process, detached }, request] of asked) {
    const taskId = row.task_id;
    acts.done.push(row.id);
    const error = refusalOf(request, answers.get(request.id));
    if (error) acts.ends.push({ taskId, processId: process.id, state: 'failed', error });
    else if (detached) {
      // Before the ends of others, of which one may stop the process: it has been started.
      const output = { process_id: request.id };
      acts.ends.unshift({ taskId, processId: process.id, state: 'completed', output });
    } else acts.parks.push({ taskId, waitsFor: 'process' });
  }
}

/**
 * An item that is tried again, and had to wait for its turn, goes on with the process that it had started, if that
 * failed: what has completed of it is not done twice. Answers the others.
 */
async function retryChildren({ tx, turn, acts }: Round, starts: InnerStart[]): Promise<InnerStart[]> {
  const items = starts.filter(({ row, detached }) => row.task.item_of !== null && !detached);
  const children = await readFailedChildren(
    tx,
    items.map(({ row }) => ({ processId: row.process_id, taskId: row.task_id })),
  );
  if (items.length > 0) crashPoint('engine_children_looked_for');
  for (const { row } of items) {
    const childId = children.get(row.task_id);
    if (childId === undefined) continue;
    acts.done.push(row.id);
    acts.parks.push({ taskId: row.task_id, waitsFor: 'process' });
    acts.posts.push({ processId: childId, kind: 'retry' });
  }
  if (children.size > 0) turn.hints.push({ lines: [engineLine] });
  return starts.filter(({ row }) => !children.has(row.task_id));
}

export function tooDeep(depth: number): TaskError {
  const message = `It would run ${depth} processes deep; at most ${planLimits.depthMax} start one another.`;
  return { code: 'too_deep', message };
}

function tooManyProcesses(): TaskError {
  const message = `There are ${descendantsMax} processes already beneath the one at the top; more are not started.`;
  return { code: 'too_many_processes', message };
}

const problemsMax = 20;
const problemLettersMax = 300;

function cutText(text: string): string {
  return text.length > problemLettersMax ? `${text.slice(0, problemLettersMax).toWellFormed()}…` : text;
}

/** Why it was not started; null: it was. */
export function refusalOf(
  { definition, version }: Pick<InnerProcess, 'definition' | 'version'>,
  answer: InnerAnswer | undefined,
): TaskError | null {
  if (!answer) throw new Error('no answer for a process that was to be started');
  const name = `definition "${definition}"${version === null ? '' : ` in version ${version}`}`;
  switch (answer.outcome) {
    case 'created':
      return null;
    case 'no_such_definition':
      return { code: answer.outcome, message: `There is no ${name}.` };
    case 'definition_inactive':
      return { code: answer.outcome, message: `The ${name} is inactive: nothing is started by it.` };
    case 'invalid_input': {
      // They name inputs that there should not be, whose names may have any length.
      const problems = (answer.problems ?? []).slice(0, problemsMax).map(({ pointer, message, ...more }) => ({
        ...more,
        pointer: cutText(pointer),
        message: cutText(message),
      }));
      const said = problems.slice(0, 10).map(({ pointer, message }) => `${pointer || 'input'}: ${message}`);
      return {
        code: answer.outcome,
        message: `The input does not fit the ${name}: ${said.join('; ')}`,
        details: { problems } as unknown as Json,
      };
    }
    default:
      return {
        code: answer.outcome,
        message: `The ${name} was not started: ${answer.outcome.replaceAll('_', ' ')}.`,
      };
  }
}

/** Their processes have ended. */
export async function takeUpChildren(round: Round, rows: TaskThought[]): Promise<void> {
  const { tx, acts } = round;
  const children = new Map(
    (await readChildren(tx, rows.map(childIdOf), outputBytesMax)).map((child) => [child.id, child]),
  );
  crashPoint('engine_children_read');
  /** Of lists, in this round. */
  const failures = new Map<string, number>();
  for (const row of rows) {
    const { id, process_id: processId, task_id: taskId, task } = row;
    acts.done.push(id);
    const child = children.get(childIdOf(row));
    // Of an earlier life: it was started again, and will say when it has ended.
    if (child && (child.parent_task_id !== taskId || !hasProcessEnded(child.state))) continue;
    const list = `${task.item_of} ${processId}`;
    const before = failures.get(list) ?? 0;
    // Too many have failed: one that was cancelled was stopped with the other items, and so did not fail.
    const isGivenUp =
      child?.state === 'cancelled' && child.failures_left !== null && child.failures_left < before;
    const end = endOf(child, { id: childIdOf(row), isStopped: isStopped(round, row) || isGivenUp });
    if (end.state === 'failed') failures.set(list, before + 1);
    acts.ends.push({ taskId, processId, ...end });
  }
}

function isStopped(round: Round, row: TaskThought): boolean {
  const process = processOf(round, row);
  const thought = thoughtOf(planOf(round, process), row.task.item_of ?? row.task.ordinal);
  return thought !== null && isCancelled(thought, { state: process.state, failFast: process.fail_fast });
}

function endOf(child: Child | undefined, { id, isStopped }: { id: string; isStopped: boolean }) {
  if (child?.state === 'completed' && !child.is_large)
    return { state: 'completed', output: child.output } as const;
  if (isStopped) return { state: 'cancelled' } as const;
  return { state: 'failed', error: errorOf(child, id) } as const;
}

function errorOf(child: Child | undefined, id: string): TaskError {
  if (!child) return { code: 'process_failed', message: `The process ${id} is not there any more.` };
  const name = `The process ${id}${child.definition === null ? '' : ` ("${child.definition}")`}`;
  const details = { process_id: id };
  switch (child.state) {
    case 'completed':
      return {
        code: 'output_too_large',
        message: `${name} has an output larger than ${outputBytesMax} bytes.`,
        details,
      };
    case 'cancelled':
      return { code: 'process_cancelled', message: `${name} was cancelled.`, details };
    default: {
      const { error, task } = child;
      const place = task === null ? '' : ` in task "${task}"`;
      const said = error ? `: ${error.message.slice(0, 1_000).toWellFormed()}` : '.';
      return {
        code: 'process_failed',
        message: `${name} failed${place}${said}`,
        details: {
          ...details,
          error: error && { code: error.code, message: error.message, ...(task === null ? {} : { task }) },
        },
      };
    }
  }
}

function childIdOf({ details }: { details: Json }): string {
  const { process_id: id } = details as { process_id: string };
  return id;
}
