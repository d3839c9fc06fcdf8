/** Values of a task that are no templates: what they say is what runs, and where. A name is any text. */
import type { Json } from '../core/json.ts';
import { isJsonMap, type JsonMap } from './check.ts';
import type { Path, Report } from './problem.ts';

const plainKeys = ['command', 'handler', 'queue', 'labels', 'delay'];

/** Reports each `${{` where it would not be seen; true if there are any. */
export function refuseTemplates(task: JsonMap, { path, report }: { path: Path; report: Report }): boolean {
  let hasAny = false;
  const refuse = (at: Path, code: string, message: string) => {
    hasAny = true;
    report({ path: at, code, message });
  };
  for (const key of plainKeys) {
    for (const at of findTemplates(task[key] ?? null, [...path, key])) {
      const message =
        key === 'delay'
          ? '${{ … }} is not supported in "delay": it can stand in "run_at", and in "sleep" of a task before this one'
          : `\${{ … }} is not supported in "${key}": expressions can stand in "env", "args", "cmd", "entrypoint", "registry" and "input"`;
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
