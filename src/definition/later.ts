/** What later versions bring: refused by name, so that nothing that was asked for is silently left out. */
import type { Json } from '../core/json.ts';
import { isJsonMap, type JsonMap } from './check.ts';
import type { Path, Report } from './problem.ts';

export const laterDefinitionKeys = {
  output: 'outputs of processes come',
  on_failure: 'cleaning up after a failed process comes',
  deadline: 'deadlines of processes come',
};

export const laterTaskKeys = {
  if: 'conditions come',
  each: 'running a task for each of many items comes',
  matrix: 'running a task for each of many items comes',
  concurrency: 'running a task for each of many items comes',
  max_failures: 'running a task for each of many items comes',
  process: 'starting a process from a task comes',
  sleep: 'tasks that wait for a time come',
  delay: 'tasks that wait for a time come',
  run_at: 'tasks that wait for a time come',
  wait_for: 'tasks that wait for an event come',
};

/** The map without the keys of later versions, each of which is reported. */
export function refuseLaterKeys(
  map: JsonMap,
  later: Record<string, string>,
  { path, report }: { path: Path; report: Report },
): JsonMap {
  const found = Object.keys(map).filter((key) => Object.hasOwn(later, key));
  if (found.length === 0) return map;
  for (const key of found) {
    report({
      path: [...path, key],
      of: 'key',
      code: 'not_supported_yet',
      message: `"${key}" is not supported yet: ${later[key]} with a later version`,
    });
  }
  return Object.fromEntries(Object.entries(map).filter(([key]) => !Object.hasOwn(later, key)));
}

/** Values of a task that are no templates: what they say is what runs, and where. A name is any text. */
const plainKeys = ['command', 'handler', 'queue', 'labels'];

/** Reports each `${{` where it would not be seen; true if there are any. */
export function refuseTemplates(task: JsonMap, { path, report }: { path: Path; report: Report }): boolean {
  let hasAny = false;
  const refuse = (at: Path, code: string, message: string) => {
    hasAny = true;
    report({ path: at, code, message });
  };
  for (const key of plainKeys) {
    for (const at of findTemplates(task[key] ?? null, [...path, key])) {
      const message = `\${{ … }} is not supported in "${key}": expressions can stand in "env", "args", "cmd", "entrypoint", "registry" and "input"`;
      refuse(at, 'not_supported_yet', message);
    }
  }
  if (typeof task.stdin === 'string' && task.stdin.includes('${{')) {
    const message = 'stdin is no template: hand values over in "env" or "input" instead of ${{ … }}';
    refuse([...path, 'stdin'], 'template_in_script', message);
  }
  return hasAny;
}

/** It recurses: values nest no deeper than a document may. */
function* findTemplates(value: Json, path: Path): Generator<Path> {
  if (typeof value === 'string') {
    if (value.includes('${{')) yield path;
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) yield* findTemplates(item, [...path, index]);
  } else if (isJsonMap(value)) {
    for (const [key, item] of Object.entries(value)) yield* findTemplates(item, [...path, key]);
  }
}
