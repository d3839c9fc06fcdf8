/** What zod finds wrong, in the words that all ways in have for it: text, list and map, as in YAML. */
import type { z } from 'zod';

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

/** Of one issue, after the name of what it is about; undefined: zod's own words. */
export function describeIssue(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case 'invalid_type': {
      if (issue.input === undefined) return 'is missing';
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
