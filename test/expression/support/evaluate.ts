/** Expressions in tests: from their text to their value. */
import type { Json } from '../../../src/core/json.ts';
import { evaluate, type Scope } from '../../../src/expression/evaluate.ts';
import { Meter } from '../../../src/expression/limits.ts';
import type { Node } from '../../../src/expression/node.ts';
import { parseExpression } from '../../../src/expression/parse.ts';

export const now = Date.parse('2026-01-31T08:00:00.123Z');

const build = { output: { n: 5, list: ['a'] }, state: 'completed', error: null, attempts: 2 };

export function scopeOf(input: Json): Scope {
  return {
    input,
    process: { id: 'p1', definition: 'loan', version: 3 },
    task: (_name, member) => build[member],
  };
}

export function nodeOf(text: string): Node {
  const parsed = parseExpression(text);
  if (parsed.kind === 'problem') throw new Error(`${text}: ${parsed.problem.message}`);
  return parsed.node;
}

export function resultOf(text: string, input: Json = {}): Json {
  return evaluate(nodeOf(text), scopeOf(input), { meter: new Meter(), now, random: () => 0.5 });
}
