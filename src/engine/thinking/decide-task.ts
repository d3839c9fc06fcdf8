/** What becomes of a task whose needs have ended. Pure: what it depends on is handed in. */
import { findTextProblem, type Json } from '../../core/json.ts';
import type { ProcessState } from '../../core/process.ts';
import type { TaskError } from '../../core/task.ts';
import { evaluateCondition } from '../../expression/condition.ts';
import type { Scope } from '../../expression/evaluate.ts';
import { FillFailure } from '../../expression/fill-failure.ts';
import { expressionLimits } from '../../expression/limits.ts';
import { fillValue } from '../../expression/value-template.ts';
import { combine, readItems } from './items.ts';
import type { Thought } from './thoughts.ts';
import { readSleep, readTime, show, sleepMsMax } from './times.ts';

/** How things stand around the task. */
export interface Standing {
  state: ProcessState;
  failFast: boolean;
  /** Every need ended well. */
  success: boolean;
  /** Something that it follows from failed for good. */
  failure: boolean;
  /** An item of an `each`, which has stood its condition. */
  isItem: boolean;
  /** It has waited for its time: its condition is not asked again. */
  isDelayed: boolean;
  scope: Scope;
  now: number;
}

export type Decision =
  | { kind: 'end'; state: 'completed' | 'failed' | 'skipped' | 'cancelled'; output?: Json; error?: TaskError }
  | { kind: 'queue'; delayMs?: number; runAt?: string }
  /** It goes on when its time has come. */
  | { kind: 'delay'; delayMs?: number; runAt?: string }
  | { kind: 'sleep'; delayMs?: number; runAt?: string }
  | { kind: 'expand'; items: Json[] }
  | { kind: 'start'; definition: string; version: number | null; input: Json; detached: boolean }
  | { kind: 'await'; name: string; key: string; timeoutMs: number | null };

export function decideTask(thought: Thought, standing: Standing): Decision {
  try {
    return decide(thought, standing);
  } catch (error) {
    if (!(error instanceof FillFailure)) throw error;
    return failed({ code: 'expression_failed', message: error.message, details: error.details });
  }
}

/** A process that stops spares its clean-up tasks. */
export function isCancelled(
  { planned }: Thought,
  { state, failFast }: Pick<Standing, 'state' | 'failFast'>,
): boolean {
  if (state === 'cancelling') return !planned.runs_on_cancel;
  return state === 'failing' && failFast && !planned.runs_on_failure;
}

function decide(thought: Thought, standing: Standing): Decision {
  const { planned } = thought;
  const { isItem, isDelayed, scope, now } = standing;
  if (isCancelled(thought, standing)) return { kind: 'end', state: 'cancelled' };
  if (!isItem && !isDelayed && !mayRun(thought, standing)) return { kind: 'end', state: 'skipped' };
  if (!isItem && (thought.each || thought.matrix)) return expand(thought, standing);
  const due = isDelayed ? {} : readDue(thought, standing);
  if ('error' in due) return failed(due.error);
  const isParked = thought.process !== null || thought.sleep !== null || thought.event !== null;
  if (isParked && (due.delayMs !== undefined || due.runAt !== undefined)) return { kind: 'delay', ...due };

  if (thought.process)
    return start(fillValue(thought.process, scope, { now }), Boolean(planned.process?.detached));
  if (thought.sleep) return sleep(fillValue(thought.sleep, scope, { now }), now);
  if (thought.event)
    return awaitEvent(fillValue(thought.event, scope, { now }), planned.wait_for?.timeout_ms);
  return { kind: 'queue', ...due };
}

function mayRun({ condition, impliesSuccess }: Thought, standing: Standing): boolean {
  const { state, success, failure, scope, now } = standing;
  if (impliesSuccess && !success) return false;
  if (condition === null) return true;
  const status = { success, failure, cancelled: state === 'cancelling' };
  return evaluateCondition(condition, { ...scope, status }, { now });
}

function readDue(
  { planned, runAt }: Thought,
  { scope, now }: Standing,
): { delayMs?: number; runAt?: string } | { error: TaskError } {
  if (runAt) {
    const time = readTime(fillValue(runAt, scope, { now }), { place: 'run_at', sleptTo: null });
    return 'error' in time ? time : { runAt: time.at };
  }
  return planned.delay_ms === undefined ? {} : { delayMs: planned.delay_ms };
}

function expand({ each, matrix }: Thought, { scope, now }: Standing): Decision {
  const bounds = { now, lettersMax: expressionLimits.itemsLettersMax };
  const found = each
    ? readItems(fillValue(each, scope, bounds))
    : combine((matrix ?? []).map(({ name, values }) => ({ name, values: fillValue(values, scope, bounds) })));
  if ('error' in found) return failed(found.error);
  return found.items.length === 0
    ? { kind: 'end', state: 'completed', output: [] }
    : { kind: 'expand', items: found.items };
}

function start(filled: Json, detached: boolean): Decision {
  const { definition, version, input } = filled as { [key: string]: Json };
  if (typeof definition !== 'string' || definition === '')
    return failed({
      code: 'no_such_definition',
      message: `process.definition is ${show(definition ?? null)}, not the name of a definition`,
    });
  return {
    kind: 'start',
    definition,
    version: typeof version === 'number' ? version : null,
    input: input ?? {},
    detached,
  };
}

function sleep(filled: Json, now: number): Decision {
  const given = filled as { for: Json } | { until: Json };
  if ('for' in given) {
    const read = readSleep(given.for);
    return 'error' in read ? failed(read.error) : { kind: 'sleep', ...read };
  }
  const time = readTime(given.until, { place: 'sleep.until', sleptTo: now + sleepMsMax });
  return 'error' in time ? failed(time.error) : { kind: 'sleep', runAt: time.at };
}

const nameLettersMax = 200;

function awaitEvent(filled: Json, timeoutMs: number | undefined): Decision {
  const { event, key } = filled as { event: Json; key: Json };
  const name = textOf(event);
  const keyText = key === null ? '' : textOf(key);
  const wrong =
    name === null || name === ''
      ? `wait_for.event is ${show(event)}, not a name of 1 to ${nameLettersMax} letters`
      : keyText === null
        ? `wait_for.key is ${show(key)}, not a text of at most ${nameLettersMax} letters`
        : null;
  if (wrong !== null || name === null || keyText === null)
    return failed({ code: 'invalid_event', message: wrong ?? '' });
  return { kind: 'await', name, key: keyText, timeoutMs: timeoutMs ?? null };
}

/** Numbers are keys, too: `key: ${{ input.order }}`. */
function textOf(value: Json): string | null {
  const text = typeof value === 'number' || typeof value === 'boolean' ? String(value) : value;
  if (typeof text !== 'string' || findTextProblem(text)) return null;
  return [...text].length <= nameLettersMax ? text : null;
}

function failed(error: TaskError): Decision {
  return { kind: 'end', state: 'failed', error };
}
