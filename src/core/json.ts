/**
 * JSON values and what we refuse to take in of them.
 *
 * A value that Postgres would refuse (`\u0000`, a lone surrogate) or that would change on its way
 * (`1e999` becomes `null`, `__proto__` vanishes) is named here, before it can fail a batch of strangers.
 */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Bounds on a JSON value that comes from outside. */
export const jsonLimits = { depthMax: 64, nodesMax: 100_000 } as const;

export interface JsonProblem {
  /** JSON pointer (RFC 6901) to the offending value. */
  pointer: string;
  message: string;
}

/**
 * Finds the first thing in `value` that cannot be stored as it is, or null.
 *
 * Walks with its own stack: a value nested a million deep is a problem to report, not a stack overflow.
 */
export function findJsonProblem(value: unknown, limits: { depthMax: number; nodesMax: number } = jsonLimits) {
  const stack: { value: unknown; pointer: string; depth: number }[] = [{ value, pointer: '', depth: 1 }];
  let nodes = 0;
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    nodes += 1;
    if (nodes > limits.nodesMax) return problem(next.pointer, `more than ${limits.nodesMax} values`);
    if (next.depth > limits.depthMax) return problem(next.pointer, `nested deeper than ${limits.depthMax}`);
    const current = next.value;
    if (typeof current === 'string') {
      const bad = findTextProblem(current);
      if (bad) return problem(next.pointer, bad);
    } else if (typeof current === 'number') {
      if (!Number.isFinite(current))
        return problem(
          next.pointer,
          Number.isNaN(current) ? 'NaN, which is no JSON value' : 'a number too large for JSON',
        );
    } else if (Array.isArray(current)) {
      // Before they are put on the stack: eight megabytes of "0," are four million values.
      if (nodes + stack.length + current.length > limits.nodesMax) {
        return problem(next.pointer, `more than ${limits.nodesMax} values`);
      }
      for (let index = current.length - 1; index >= 0; index -= 1) {
        stack.push({ value: current[index], pointer: `${next.pointer}/${index}`, depth: next.depth + 1 });
      }
    } else if (typeof current === 'object' && current !== null) {
      const keys = Object.keys(current);
      if (nodes + stack.length + keys.length > limits.nodesMax) {
        return problem(next.pointer, `more than ${limits.nodesMax} values`);
      }
      for (const key of keys.reverse()) {
        const pointer = `${next.pointer}/${escapePointer(key)}`;
        if (key === '__proto__') return problem(next.pointer, 'the key "__proto__" is not accepted');
        const bad = findTextProblem(key);
        if (bad) return problem(next.pointer, `a key with ${bad}`);
        stack.push({ value: (current as Record<string, unknown>)[key], pointer, depth: next.depth + 1 });
      }
    } else if (current !== null && typeof current !== 'boolean') {
      return problem(next.pointer, `${typeof current} is not a JSON value`);
    }
  }
  return null;
}

/** Says why Postgres could not store this text, or null. */
export function findTextProblem(text: string): string | null {
  if (text.includes('\u0000')) return 'the character \\u0000, which Postgres cannot store';
  if (!text.isWellFormed()) return 'half of a surrogate pair, which is not valid Unicode';
  return null;
}

function problem(pointer: string, message: string): JsonProblem {
  return { pointer, message };
}

/** One part of a JSON pointer (RFC 6901). */
export function escapePointer(part: string): string {
  return part.replaceAll('~', '~0').replaceAll('/', '~1');
}
