/** Sub-processes: started for tasks, and what becomes of these when they have ended. */
import { crashPoint } from '../../core/crash-point.ts';
import { newId } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { planLimits } from '../../core/plan.ts';
import { hasProcessEnded } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import { type Child, readChildren } from '../../queue/processes/read-children.ts';
import type { ProcessStanding } from '../../queue/processes/read-standing.ts';
import { type InnerAnswer, type InnerProcess, startWithin } from '../../queue/processes/start-within.ts';
import { planOf, processOf, type Round, type TaskThought } from './context.ts';
import { isCancelled } from './decide-task.ts';
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

export async function startChildren({ tx, turn, acts }: Round, starts: InnerStart[]): Promise<void> {
  const deep = starts.filter(({ process }) => process.depth + 1 > planLimits.depthMax);
  const asked = starts
    .filter((each) => !deep.includes(each))
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
  acts.done.push(...starts.map(({ row }) => row.id));
  for (const { row, process } of deep) {
    const error = tooDeep(process.depth + 1);
    acts.ends.push({ taskId: row.task_id, processId: process.id, state: 'failed', error });
  }
  if (asked.length === 0) return;
  const { answers, hints } = await startWithin(
    tx,
    asked.map(([, request]) => request),
  );
  crashPoint('engine_children_started');
  turn.hints.push(...hints);
  for (const [{ row, process, detached }, request] of asked) {
    const taskId = row.task_id;
    const error = refusalOf(request, answers.get(request.id));
    if (error) acts.ends.push({ taskId, processId: process.id, state: 'failed', error });
    else if (detached) {
      const output = { process_id: request.id };
      acts.ends.push({ taskId, processId: process.id, state: 'completed', output });
    } else acts.parks.push({ taskId, waitsFor: 'process' });
  }
}

export function tooDeep(depth: number): TaskError {
  const message = `It would run ${depth} processes deep; at most ${planLimits.depthMax} start one another.`;
  return { code: 'too_deep', message };
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
      const problems = answer.problems ?? [];
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
  for (const row of rows) {
    const { id, process_id: processId, task_id: taskId } = row;
    acts.done.push(id);
    const child = children.get(childIdOf(row));
    // Of an earlier life: it was started again, and will say when it has ended.
    if (child && (child.parent_task_id !== taskId || !hasProcessEnded(child.state))) continue;
    acts.ends.push({
      taskId,
      processId,
      ...endOf(child, { id: childIdOf(row), isStopped: isStopped(round, row) }),
    });
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
