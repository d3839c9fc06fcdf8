/** Values of a task that are no templates: what they say is what runs, and where. A name is any text. */
import type { Json } from '../core/json.ts';
import { isJsonMap, type JsonMap } from './check.ts';
import type { Path, Report } from './problem.ts';

const plainKeys = {
  command: 'it says which program runs: hand values over in "args" and "env"',
  handler: 'it says which function runs: hand values over in "input"',
  queue: 'it is the same in every process: write a task for each queue, each with an "if"',
  labels: 'it is the same in every process: hand values over in "env", "args" or "input"',
  delay: '"run_at" is one, as in run_at: "${{ add_time(now(), input.pause) }}"',
};

/** Reports each `${{` where it would not be seen; true if there are any. */
export function refuseTemplates(task: JsonMap, { path, report }: { path: Path; report: Report }): boolean {
  let hasAny = false;
  const refuse = (at: Path, code: string, message: string) => {
    hasAny = true;
    report({ path: at, code, message });
  };
  for (const [key, hint] of Object.entries(plainKeys)) {
    for (const at of findTemplates(task[key] ?? null, [...path, key])) {
      refuse(at, 'misplaced_expression', `${key} is no template: ${hint}`);
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
