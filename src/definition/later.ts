/** What later versions bring: refused by name, so that nothing that was asked for is silently left out. */
import type { Json } from '../core/json.ts';
import type { JsonMap } from './check.ts';
import type { Path, Report } from './problem.ts';

const containerKeys = Object.fromEntries(
  [
    'image',
    'cmd',
    'entrypoint',
    'pre',
    'post',
    'volumes',
    'mounts',
    'networks',
    'limits',
    'gpus',
    'registry',
    'files',
    'workdir',
    'user',
    'pull',
    'sidecars',
  ].map((key) => [key, 'tasks in containers come']),
);

export const laterDefinitionKeys = {
  output: 'outputs of processes come',
  on_failure: 'cleaning up after a failed process comes',
  deadline: 'deadlines of processes come',
};

export const laterTaskKeys = {
  ...containerKeys,
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

/** In `defaults` people write the limits of containers. */
export const laterDefaultsKeys = containerKeys;

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
const templatedKeys = ['command', 'args', 'handler', 'env', 'input', 'queue', 'labels'];

/** Reports each `${{` in a task, or in what all tasks have in common. */
export function refuseTemplates(task: JsonMap, { path, report }: { path: Path; report: Report }): void {
  for (const key of templatedKeys) {
    if (Object.hasOwn(task, key)) refuseIn(task[key] ?? null, [...path, key], report);
  }
  if (typeof task.run === 'string' && task.run.includes('${{')) {
    report({
      path: [...path, 'run'],
      code: 'template_in_script',
      message:
        'a script is never a template: hand values over in "env", or read them from $SKIPJACK_INPUT, instead of ${{ … }}',
    });
  }
}

/** Values nest no deeper than the document may. */
function refuseIn(value: Json, path: Path, report: Report): void {
  if (typeof value === 'string') {
    if (!value.includes('${{')) return;
    report({
      path,
      code: 'not_supported_yet',
      message: '${{ … }} is not supported yet: expressions come with a later version',
    });
  } else if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) refuseIn(item, [...path, index], report);
  } else if (typeof value === 'object' && value !== null) {
    for (const [key, item] of Object.entries(value)) refuseIn(item, [...path, key], report);
  }
}
