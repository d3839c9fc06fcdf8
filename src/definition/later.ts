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

/** The values of a task that become templates once expressions can be evaluated. */
const templatedKeys = ['command', 'handler', 'input', 'queue', 'labels'];

/** Reports each `${{` in a task, or in what all tasks have in common; true if there are any. */
export function refuseTemplates(task: JsonMap, { path, report }: { path: Path; report: Report }): boolean {
  let hasAny = false;
  const refuse = (at: Path, code: string, message: string) => {
    hasAny = true;
    report({ path: at, code, message });
  };
  for (const key of templatedKeys) {
    for (const at of findTemplates(task[key] ?? null, [...path, key])) {
      refuse(at, 'not_supported_yet', '${{ … }} is not supported yet: expressions come with a later version');
    }
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
