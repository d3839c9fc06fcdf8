/** `tasks` and `defaults`: each task is checked, and made what the engine reads. */
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { PlannedTask } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import { parseTemplateTask, retrySchema } from '../core/task-input.ts';
import { unwrapExpression } from '../expression/template.ts';
import { type Check, check, isJsonMap, type JsonMap, subjectOf } from './check.ts';
import { engineKindOf, readEngineTask } from './engine-tasks.ts';
import { readItems } from './items.ts';
import { refuseTemplates } from './plain-texts.ts';
import type { Path } from './problem.ts';
import { defaultsSchema, taskSchema } from './schemas.ts';

/** A task without its place in the graph. */
export type LooseTask = Omit<PlannedTask, 'needs' | 'dependents'>;

/** What every task begins with; null if there is something wrong with it, which has been reported. */
export function readDefaults(value: Json | undefined, checks: Check): JsonMap | null {
  if (value === undefined) return {};
  const path = ['defaults'];
  if (!isJsonMap(value)) {
    checks.report({ path, code: 'wrong_type', message: `defaults must be a map, not ${nameKind(value)}` });
    return null;
  }
  const hasTemplates = refuseTemplates(value, { path, report: checks.report });
  const isRetryFine = checkRetry(value.retry, path, checks);
  const isFine = check(defaultsSchema, value, path, checks);
  return isRetryFine && isFine && !hasTemplates ? value : null;
}

/**
 * One task as it will run, by the same rules as a task on its own; null if there is something wrong with it, which
 * has been reported.
 */
export function readTask(
  value: Json,
  index: number,
  { defaults, ...checks }: Check & { defaults: JsonMap },
): LooseTask | null {
  const path: Path = ['tasks', index];
  const { report } = checks;
  if (!isJsonMap(value)) {
    const message = `a task is a map with a name, not ${nameKind(value)}`;
    report({ path, code: 'wrong_type', message });
    return null;
  }
  const hasTemplates = refuseTemplates(value, { path, report });
  const isRetryFine = checkRetry(value.retry, path, checks);
  const isFine = check(taskSchema, value, path, checks);
  const condition = readCondition(value.if, path, checks);
  const items = readItems(value, path, checks);
  const engine = readEngineTask(value, path, checks);
  if (!isRetryFine || !isFine || hasTemplates || condition === null || items === null || engine === null) {
    return null;
  }
  if (value.delay !== undefined && value.run_at !== undefined) {
    report({
      path: [...path, 'run_at'],
      of: 'key',
      code: 'invalid_value',
      message: 'run_at cannot go with "delay"',
    });
    return null;
  }
  const isEngines = engineKindOf(value) !== null;
  const merged = isEngines ? withOwnDefaults(value, defaults) : withDefaults(value, defaults);
  const task = normalise(merged, path, checks);
  if (task === null) return null;
  return {
    ...task,
    ...(isEngines ? { queue: engineQueue } : {}),
    ...(thinks(value) ? { thinks: true } : {}),
    ...condition,
    ...items,
    ...engine,
  };
}

/** Where tasks are said to be that never come to a queue. */
const engineQueue = 'engine';

const thinkingKeys = ['if', 'each', 'matrix', 'process', 'sleep', 'wait_for', 'delay', 'run_at'];

function thinks(task: JsonMap): boolean {
  return thinkingKeys.some((key) => task[key] !== undefined);
}

/** What it comes to is the expression's own affair. */
function readCondition(
  value: Json | undefined,
  path: Path,
  { report }: Check,
): Pick<PlannedTask, 'if'> | null {
  if (value === undefined) return {};
  if (typeof value === 'boolean') return { if: String(value) };
  if (typeof value === 'string') return { if: unwrapExpression(value).text };
  const message = `if must be an expression, not ${nameKind(value)}`;
  report({ path: [...path, 'if'], code: 'wrong_type', message });
  return null;
}

function checkRetry(retry: Json | undefined, path: Path, checks: Check): boolean {
  if (retry === undefined) return true;
  if (isJsonMap(retry)) return check(retrySchema, retry, [...path, 'retry'], checks);
  const message = `retry must be a map, not ${nameKind(retry)}`;
  checks.report({ path: [...path, 'retry'], code: 'wrong_type', message });
  return false;
}

/** `retry`, `env` and `limits` key by key; what only programs or containers have only where there is one. */
function withDefaults(task: JsonMap, defaults: JsonMap): JsonMap {
  const { env, retry, limits, networks, pull, registry, ...others } = defaults;
  const isContainer = task.image !== undefined;
  const merged: JsonMap = { ...others };
  for (const [key, own] of Object.entries({ networks, pull, registry })) {
    if (isContainer && own !== undefined) merged[key] = own;
  }
  Object.assign(merged, task);
  const mergeMap = (key: string, own: Json | undefined) => {
    if (isJsonMap(own)) merged[key] = { ...own, ...(task[key] as JsonMap) };
  };
  mergeMap('retry', retry);
  if (isContainer) mergeMap('limits', limits);
  if (isContainer || task.command !== undefined || task.run !== undefined) mergeMap('env', env);
  return merged;
}

/** Of what no worker runs: the rest of the defaults says how workers do it. */
function withOwnDefaults(task: JsonMap, { continue_on_error }: JsonMap): JsonMap {
  return continue_on_error === undefined ? task : { continue_on_error, ...task };
}

function normalise(merged: JsonMap, path: Path, { report }: Check): LooseTask | null {
  const {
    description: _description,
    needs: _needs,
    if: _if,
    each: _each,
    matrix: _matrix,
    concurrency: _concurrency,
    max_failures: _maxFailures,
    process: _process,
    sleep: _sleep,
    wait_for: _waitFor,
    run_at,
    continue_on_error,
    ...single
  } = merged;
  try {
    const task = parseTemplateTask(single);
    const { name, queue, priority, spec, input, labels, retry, timeout_ms, delay_ms } = task;
    return {
      name,
      queue,
      priority,
      spec,
      input,
      labels,
      retry,
      timeout_ms,
      continue_on_error: continue_on_error === true,
      ...(delay_ms === null ? {} : { delay_ms }),
      ...(typeof run_at === 'string' ? { run_at } : {}),
    };
  } catch (error) {
    if (!(error instanceof SkipjackError)) throw error;
    for (const { pointer = '', code = '', message } of error.problems) {
      const at = [...path, ...fromPointer(pointer, merged)];
      const text = /^a (task|script) /.test(message) ? message : `${subjectOf(at)} ${message}`;
      report({ path: at, code: ownCodes.includes(code) ? code : 'invalid_value', message: text });
    }
    return null;
  }
}

/** Codes of a single task's problems that definitions have too. */
const ownCodes = ['template_in_script', 'misplaced_expression'];

/** A pointer's numbers are indexes where there is a list. */
function fromPointer(pointer: string, task: JsonMap): (string | number)[] {
  let at: Json | undefined = task;
  return pointer
    .split('/')
    .slice(1)
    .map((part) => {
      const key = part.replaceAll('~1', '/').replaceAll('~0', '~');
      const isIndex = Array.isArray(at);
      at = Array.isArray(at)
        ? at[Number(key)]
        : isJsonMap(at) && Object.hasOwn(at, key)
          ? at[key]
          : undefined;
      return isIndex ? Number(key) : key;
    });
}
