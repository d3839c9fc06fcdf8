/** What the engine does itself, without a worker: `process`, `sleep`, `wait_for`; and `on_failure`. */
import type { Json } from '../core/json.ts';
import type { Plan, PlannedTask } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import { inputBytesMax } from '../core/task-input.ts';
import { isOneExpression } from '../expression/template.ts';
import { type Check, check, isJsonMap, type JsonMap, subjectOf } from './check.ts';
import { readDuration } from './durations.ts';
import type { Path, Report } from './problem.ts';
import { notReferred, onFailureSchema, processSchema, sleepSchema, waitForSchema } from './schemas.ts';

const engineKinds = ['process', 'sleep', 'wait_for'] as const;
type EngineKind = (typeof engineKinds)[number];

/** What may stand beside them. */
const besides = new Set<string>([
  ...engineKinds,
  ...['name', 'description', 'needs', 'labels', 'continue_on_error', 'if', 'delay', 'run_at'],
  ...['each', 'matrix', 'concurrency', 'max_failures'],
]);

const elsewhere: Record<EngineKind, Record<string, string>> = {
  process: {
    input: 'write it as process.input',
    timeout: 'the definition that it starts can have a "deadline"',
  },
  sleep: { timeout: 'it sleeps as long as "sleep" says' },
  wait_for: { timeout: 'write it as wait_for.timeout' },
};

export function engineKindOf(task: JsonMap): EngineKind | null {
  return engineKinds.find((kind) => task[kind] !== undefined) ?? null;
}

/** Null if there is something wrong, which has been reported. */
export function readEngineTask(
  task: JsonMap,
  path: Path,
  checks: Check,
): Pick<PlannedTask, EngineKind> | null {
  const kind = engineKindOf(task);
  if (kind === null) return {};
  const isAlone = refuseOthers(task, kind, { path, ...checks });
  const at = [...path, kind];
  const value = task[kind] ?? null;
  const read = { process: readProcess, sleep: readSleep, wait_for: readWaitFor }[kind](value, at, checks);
  return read && isAlone ? { [kind]: read } : null;
}

function refuseOthers(
  task: JsonMap,
  kind: EngineKind,
  { path, report }: Pick<Check, 'report'> & { path: Path },
): boolean {
  const others = Object.keys(task).filter(
    (key) => !besides.has(key) || (key !== kind && (engineKinds as readonly string[]).includes(key)),
  );
  for (const key of others) {
    const hint = elsewhere[kind][key] ?? 'the engine does it, and no worker';
    const message = `${key} does not go with "${kind}": ${hint}`;
    report({ path: [...path, key], of: 'key', code: 'invalid_value', message });
  }
  return others.length === 0;
}

function readProcess(value: Json, path: Path, checks: Check): PlannedTask['process'] | null {
  const referred = toReferred(value, path, { schema: processSchema, example: 'payout', checks });
  if (referred === null) return null;
  const { definition, version, input, detached } = referred as Record<string, Json>;
  if (input !== undefined && !isInput(input, [...path, 'input'], checks)) return null;
  return {
    definition: definition as string,
    ...(version === undefined ? {} : { version: version as number }),
    ...(input === undefined ? {} : { input }),
    ...(detached === true ? { detached } : {}),
  };
}

function isInput(input: Json, path: Path, { report }: Check): boolean {
  const isWhole = typeof input === 'string' && isOneExpression(input);
  if (!isJsonMap(input) && !isWhole) {
    const message = `process.input must be a map, or one \${{ … }} that yields one, not ${nameKind(input)}`;
    report({ path, code: 'wrong_type', message });
    return false;
  }
  if (Buffer.byteLength(JSON.stringify(input)) <= inputBytesMax) return true;
  report({ path, code: 'invalid_value', message: `process.input is larger than ${inputBytesMax} bytes` });
  return false;
}

export function readOnFailure(value: Json, checks: Check): Plan['on_failure'] | null {
  const schema = onFailureSchema;
  const referred = toReferred(value, ['on_failure'], { schema, example: 'clean-up', checks });
  return referred as Plan['on_failure'] | null;
}

/** A name alone, or a map with it. */
function toReferred(
  value: Json,
  path: Path,
  {
    schema,
    example,
    checks,
  }: { schema: typeof processSchema | typeof onFailureSchema; example: string; checks: Check },
): JsonMap | null {
  if (isJsonMap(value)) return check(schema, value, path, checks) ? value : null;
  const { report } = checks;
  if (typeof value !== 'string') {
    const message = `${subjectOf(path)} must be the name of a definition, or a map such as { definition: ${example} }, not ${nameKind(value)}`;
    report({ path, code: 'wrong_type', message });
    return null;
  }
  const parsed = schema.shape.definition.safeParse(value);
  if (parsed.success) return { definition: value };
  if (value.includes('${{')) {
    report({ path, code: 'misplaced_expression', message: `${subjectOf(path)} ${notReferred}` });
    return null;
  }
  const why = value === '' ? 'must not be empty' : 'is longer than 200 letters';
  report({ path, code: 'invalid_value', message: `${subjectOf(path)} ${why}` });
  return null;
}

function readSleep(value: Json, path: Path, checks: Check): PlannedTask['sleep'] | null {
  if (!isJsonMap(value)) {
    if (typeof value === 'string' && value.includes('${{')) return { for: value };
    return readDuration(value, path, { ...checks, msMin: 0 }) === null ? null : { for: value as string };
  }
  if (!check(sleepSchema, value, path, checks)) return null;
  return value as { until: string };
}

function readWaitFor(value: Json, path: Path, checks: Check): PlannedTask['wait_for'] | null {
  if (!isJsonMap(value) && typeof value !== 'string') {
    const message = `wait_for must be the name of an event, or a map such as { event: paid }, not ${nameKind(value)}`;
    checks.report({ path, code: 'wrong_type', message });
    return null;
  }
  const given = isJsonMap(value) ? value : { event: value };
  const report: Report = (finding) =>
    // A name alone is blamed where it stands.
    checks.report(isJsonMap(value) ? finding : { ...finding, path });
  if (!check(waitForSchema, given, path, { ...checks, report })) return null;
  const { event, key, timeout } = given as { event: string; key?: string; timeout?: Json };
  const timeout_ms =
    timeout === undefined ? undefined : readDuration(timeout, [...path, 'timeout'], { ...checks, msMin: 1 });
  if (timeout_ms === null) return null;
  return {
    event,
    ...(key === undefined ? {} : { key }),
    ...(timeout_ms === undefined ? {} : { timeout_ms }),
  };
}
