/**
 * The end of a process, where more is to be done than to count to zero: its output is made, what its failure starts is
 * started, and the task that waits for it is told. One transaction: a process has ended with all of that, or not yet.
 */
import { crashPoint } from '../../core/crash-point.ts';
import { newId } from '../../core/ids.ts';
import type { Json } from '../../core/json.ts';
import { type Plan, planLimits } from '../../core/plan.ts';
import { hasProcessEnded } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import { FillFailure } from '../../expression/fill-failure.ts';
import { fillValue } from '../../expression/value-template.ts';
import type { DueThought } from '../../queue/processes/due-thoughts.ts';
import {
  endProcess,
  type Failures,
  type ProcessEnd,
  readFailures,
} from '../../queue/processes/end-process.ts';
import { recordEvent } from '../../queue/processes/events.ts';
import { type ProcessStanding, readInputs, readStandings } from '../../queue/processes/read-standing.ts';
import { readDeclaredInputs, startWithin } from '../../queue/processes/start-within.ts';
import { refusalOf, tooDeep } from './children.ts';
import { planOf, type Round } from './context.ts';
import { Scopes } from './scopes.ts';
import { tellParent } from './stops.ts';
import { outputOf } from './thoughts.ts';

const failuresMax = 20;
/** Of all that is told of failures, as JSON: with the input it fits into what a process takes. */
const failureLettersMax = 256 * 1024;

/** After all that the round has stopped: how they stand is read anew. */
export async function finishProcesses(round: Round, rows: DueThought[]): Promise<void> {
  const standings = await readStandings(round.tx, [...new Set(rows.map(({ process_id }) => process_id))]);
  crashPoint('engine_standings_read');
  for (const process of standings) {
    if (process.unfinished > 0 || !process.finishes || hasProcessEnded(process.state)) continue;
    await finish(round, process, await endOf(round, process));
  }
}

/** As failed, without an output of its own: how it ends cannot be thought about. */
export async function finishFailed(round: Round, process: ProcessStanding, error: TaskError): Promise<void> {
  await finish(round, process, { processId: process.id, state: 'failed', error });
}

async function finish(round: Round, process: ProcessStanding, end: ProcessEnd): Promise<void> {
  await endProcess(round.tx, end);
  crashPoint('engine_process_ended');
  if (process.awaited) round.turn.hints.push({ ended: [process.id] });
  await tellParent(round, process);
}

async function endOf(round: Round, process: ProcessStanding): Promise<ProcessEnd> {
  const processId = process.id;
  if (process.state === 'cancelling') return { processId, state: 'cancelled' };
  const plan = planOf(round, process);
  const made = process.state === 'running' ? await makeOutput(round, process, plan) : {};
  if (process.state === 'running' && !('error' in made)) return { processId, state: 'completed', ...made };
  const error = 'error' in made ? { error: made.error } : {};
  const failureProcessId = plan.on_failure ? await startOnFailure(round, process, plan, error) : null;
  return { processId, state: 'failed', ...error, ...(failureProcessId === null ? {} : { failureProcessId }) };
}

async function makeOutput(
  { tx }: Round,
  process: ProcessStanding,
  plan: Plan,
): Promise<{ output?: Json } | { error: TaskError }> {
  const output = outputOf(plan);
  if (output === null) return {};
  const asking = { process, asks: output.asks };
  const scopes = await Scopes.read(tx, [asking]);
  try {
    return { output: fillValue(output.template, await scopes.of(tx, asking), { now: Date.now() }) };
  } catch (error) {
    if (!(error instanceof FillFailure)) throw error;
    return { error: { code: 'expression_failed', message: error.message, details: error.details } };
  }
}

/** Answers the id of what was started; null: it was refused, as the history says. */
async function startOnFailure(
  round: Round,
  process: ProcessStanding,
  plan: Plan,
  own: { error?: TaskError },
): Promise<string | null> {
  const { tx, turn } = round;
  const { definition, version = null } = plan.on_failure ?? { definition: '' };
  const depth = process.depth + 1;
  const request = {
    id: newId(),
    definition,
    version,
    input: await describeFailure(round, process, { definition, version }, own),
    parent_process_id: process.id,
    parent_task_id: null,
    depth,
    detached: true,
  };
  let refusal = depth > planLimits.depthMax ? tooDeep(depth) : null;
  if (refusal === null) {
    const { answers, hints } = await startWithin(tx, [request]);
    crashPoint('engine_failure_process_started');
    turn.hints.push(...hints);
    refusal = refusalOf(request, answers.get(request.id));
  }
  await recordEvent(tx, {
    processId: process.id,
    event: refusal ? 'failure_process_refused' : 'failure_process_started',
    details: {
      definition,
      ...(refusal ? { code: refusal.code, message: refusal.message } : { process_id: request.id }),
    },
  });
  crashPoint('engine_failure_process_recorded');
  return refusal ? null : request.id;
}

/** What happened: of this the definition gets what it declares. */
async function describeFailure(
  { tx }: Round,
  process: ProcessStanding,
  asked: { definition: string; version: number | null },
  own: { error?: TaskError },
): Promise<Json> {
  const declared = await readDeclaredInputs(tx, asked);
  crashPoint('engine_declared_read');
  const failures = await readFailures(tx, process.id, { failuresMax });
  crashPoint('engine_failures_read');
  const input = (await readInputs(tx, [process.id])).get(process.id) ?? {};
  crashPoint('engine_failed_input_read');
  const told = cut({ ...failures, error: own.error ?? failures.error });
  const first = told.tasks[0];
  const all: { [key: string]: Json } = {
    process: { id: process.id, definition: process.name, version: process.version, input },
    task: first?.task ?? null,
    error: (told.error ?? first?.error ?? null) as unknown as Json,
    failures: told.tasks as unknown as Json,
  };
  if (declared === null) return all;
  return Object.fromEntries(Object.entries(all).filter(([name]) => declared.includes(name)));
}

/** The first failures, as many as fit; of the very first at least what it says. */
function cut({ error, tasks }: Failures): Failures {
  let left = failureLettersMax;
  const kept: Failures['tasks'] = [];
  for (const each of tasks) {
    const size = JSON.stringify(each).length;
    if (size > left && kept.length > 0) break;
    left -= size;
    kept.push(each);
  }
  return { error, tasks: kept };
}
