/** A map against its schema: zod's issues become problems in the words of people who write definitions. */
import { z } from 'zod';
import type { Json } from '../core/json.ts';
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
  const parsed = schema.safeParse(value, { error: describe });
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

/** What is there instead of what was expected. */
export function nameKind(value: unknown): string {
  if (value === null) return 'nothing';
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object') return 'a map';
  return typeof value === 'string' ? 'text' : `a ${typeof value}`;
}

const kinds: Record<string, string> = {
  string: 'text',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a map',
  record: 'a map',
};

/** Says what is wrong in the words of YAML; undefined where the schema has its own. */
function describe(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return undefined;
      const expected = kinds[issue.expected] ?? issue.expected;
      if (issue.input === null) return `must be ${expected}, but there is nothing`;
      const isPlain = typeof issue.input === 'number' || typeof issue.input === 'boolean';
      if (issue.expected === 'string' && isPlain) {
        return `must be text, not ${nameKind(issue.input)}: write it in quotes`;
      }
      if (issue.expected === 'int' && typeof issue.input === 'number') return `must be ${expected}`;
      return `must be ${expected}, not ${nameKind(issue.input)}`;
    }
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? 'must not be empty'
        : `must be at least ${issue.minimum}`;
    case 'too_big':
      if (issue.origin === 'string') return `is longer than ${issue.maximum} letters`;
      if (issue.origin === 'array') return `has more than ${issue.maximum} elements`;
      return `must be at most ${issue.maximum}`;
    case 'invalid_value':
      return `must be one of ${issue.values.map(String).join(', ')}`;
    default:
      return undefined;
  }
}

function find(value: Json, path: readonly PropertyKey[]): Json | undefined {
  let at: Json | undefined = value;
  for (const part of path) {
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, part)) return undefined;
    at = (at as Record<PropertyKey, Json>)[part];
  }
  return at;
}
