/** A map against its schema: zod's issues become problems in the words of people who write definitions. */
import { z } from 'zod';
import type { Json } from '../core/json.ts';
import { describeIssue } from '../core/schema-words.ts';
import { type Path, quote, type Report } from './problem.ts';
import type { Suggester } from './suggest.ts';

export interface Check {
  report: Report;
  suggester: Suggester;
}

export type JsonMap = { [key: string]: Json };

export function isJsonMap(value: Json | undefined): value is JsonMap {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** True if `value` fits; otherwise everything that does not has been reported. */
export function check<Schema extends z.ZodObject>(
  schema: Schema,
  value: Json,
  path: Path,
  { report, suggester }: Check,
): value is Json & z.input<Schema> {
  const parsed = schema.safeParse(value, { error: describeIssue });
  if (parsed.success) return true;
  for (const issue of parsed.error.issues) {
    const at = [...path, ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part))];
    const subject = subjectOf(at);
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) {
        report({
          path: [...at, key],
          of: 'key',
          code: 'unknown_key',
          message: `unknown key ${quote(key)}`,
          suggest: () => suggester.nearest(key, keysAt(schema, issue.path)),
        });
      }
    } else if (issue.code === 'invalid_key') {
      const [first] = issue.issues;
      report({ path: at, of: 'key', code: 'invalid_value', message: `${subject} ${first?.message}` });
    } else if (issue.code === 'invalid_type' && find(value, issue.path) === undefined) {
      report({ path: at, of: 'map', code: 'missing_key', message: `${subject} is missing` });
    } else if (isMisplaced(issue, value)) {
      report({
        path: at,
        code: 'misplaced_expression',
        message: `${subject} is no template: ${expected(issue)}`,
      });
    } else if (issue.code === 'invalid_value') {
      const given = find(value, issue.path);
      const words = issue.values.filter((each) => typeof each === 'string');
      const suggest = () => (typeof given === 'string' ? suggester.nearest(given, words) : undefined);
      report({ path: at, code: 'invalid_value', message: `${subject} ${issue.message}`, suggest });
    } else {
      const own = issue.code === 'custom' ? issue.params?.code : undefined;
      const code = own ?? (issue.code === 'invalid_type' ? 'wrong_type' : 'invalid_value');
      report({ path: at, code, message: `${subject} ${issue.message}` });
    }
  }
  return false;
}

/** A text with `${{` where no text fits, or only one that says something of its own. */
function isMisplaced(issue: z.core.$ZodIssue, value: Json): boolean {
  const given = find(value, issue.path);
  const isOfKind = ['invalid_type', 'invalid_format', 'invalid_value'].includes(issue.code);
  return isOfKind && typeof given === 'string' && given.includes('${{');
}

/** What there must be instead, of a message such as `must be a number, not text`. */
function expected({ message }: z.core.$ZodIssue): string {
  return message
    .replace(/^must /, 'it must ')
    .replace(/, not .*$/, '')
    .replace(/^is .*?: /, '');
}

/** The keys that a map within the schema knows. */
function keysAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema;
  for (const part of [null, ...path]) {
    if (part !== null)
      at =
        at instanceof z.ZodArray ? at.element : at instanceof z.ZodObject ? at.shape[part as string] : null;
    while (at instanceof z.ZodOptional) at = at.unwrap();
  }
  return at instanceof z.ZodObject ? Object.keys(at.shape) : [];
}

/** `retry.attempts`, `args[2]`: within its task, or within the definition. */
export function subjectOf(path: Path): string {
  const isInTask = path[0] === 'tasks' && typeof path[1] === 'number';
  const subject = (isInTask ? path.slice(2) : path)
    .map((part) => {
      if (typeof part === 'number') return `[${part}]`;
      return /^[\w-]{1,60}$/.test(part) ? `.${part}` : `[${quote(part)}]`;
    })
    .join('');
  return subject.replace(/^\./, '') || 'this';
}

function find(value: Json, path: readonly PropertyKey[]): Json | undefined {
  let at: Json | undefined = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, Json>)[part];
  }
  return at;
}
