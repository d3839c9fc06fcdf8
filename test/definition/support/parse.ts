/** Definitions in tests: what they become, and what is wrong with them. */
import { expect } from 'vitest';
import type { Plan } from '../../../src/core/plan.ts';
import { parseDefinition } from '../../../src/definition/parse-definition.ts';
import type { DefinitionProblem } from '../../../src/definition/problem.ts';

export function planOf(source: string): Plan {
  const parsed = parseDefinition(source);
  if (parsed.kind === 'invalid') expect(parsed.problems, source).toEqual([]);
  return (parsed as { plan: Plan }).plan;
}

export function problemsOf(source: string | Uint8Array): DefinitionProblem[] {
  const parsed = parseDefinition(source);
  return parsed.kind === 'invalid' ? parsed.problems : [];
}

/** `line:column code`, in the order they are told. */
export function placesOf(source: string | Uint8Array): string[] {
  return problemsOf(source).map(({ line, column, code }) => `${line}:${column} ${code}`);
}

/** A source with ▸ before what is wrong, without the mark and with its place. Each line's characters are plain. */
export function unmark(marked: string): { source: string; line: number; column: number } {
  const before = marked.slice(0, marked.indexOf('▸')).split('\n');
  return { source: marked.replace('▸', ''), line: before.length, column: (before.at(-1)?.length ?? 0) + 1 };
}
