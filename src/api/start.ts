/** The body that starts a process, as JSON or as a definition in YAML, and what it starts. */
import { z } from 'zod';
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import type { ToStart } from '../engine/engine.ts';
import { parseJson, type TextBody } from './http/body.ts';
import { parseWhole } from './http/endpoint.ts';
import { invalidRequest } from './http/problem.ts';
import { startSchema } from './schemas/process.ts';

export interface Start {
  toStart: ToStart;
  /** The body was a definition, and had no room for anything else. */
  isBare: boolean;
  version?: number | undefined;
  input?: Json | undefined;
  idempotencyKey?: string | undefined;
}

/** @throws SkipjackError `invalid_request`, `invalid_json`. */
export function parseStart({ type, text }: TextBody): Start {
  if (type === 'yaml') return { toStart: { source: text }, isBare: true };
  const value = parseJson(text);
  const inline = findInline(value);
  // The definition has bounds of its own, which the engine keeps.
  const rest = inline ? { ...(value as object), definition: {} } : value;
  const { definition, source, version, input, idempotency_key } = parseWhole(startSchema, rest);
  return {
    toStart: inline
      ? { definition: inline }
      : typeof definition === 'string'
        ? definition
        : { source: source ?? '' },
    isBare: false,
    version,
    input,
    idempotencyKey: idempotency_key,
  };
}

function findInline(value: unknown): { [key: string]: Json } | null {
  if (!isObject(value)) return null;
  const { definition, source, tasks } = value;
  if (definition === undefined && source === undefined && tasks !== undefined) {
    throw invalidRequest([
      {
        pointer: '/tasks',
        code: 'unknown_key',
        message: 'unknown key "tasks": in JSON, a definition in hand goes under "definition"',
      },
    ]);
  }
  return isObject(definition) ? (definition as { [key: string]: Json }) : null;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** `?input=`, for a body that has no room for it. */
export function parseInput(text: string): Json {
  try {
    return parseWhole(z.unknown(), JSON.parse(text)) as Json;
  } catch (error) {
    const problem =
      error instanceof SkipjackError
        ? `${error.problems[0]?.pointer}: ${error.problems[0]?.message}`
        : 'is not JSON';
    throw invalidRequest([{ pointer: 'input', message: problem }]);
  }
}

/**
 * A definition in hand was written out anew to be checked: its problems point into the body, and lines and
 * columns of a text that nobody has seen are left out.
 */
export function pointIntoBody(error: unknown): unknown {
  if (!(error instanceof SkipjackError) || error.code !== 'invalid_definition') return error;
  const problems = error.problems.map(({ line: _line, column: _column, related: _related, ...problem }) => ({
    ...problem,
    pointer: `/definition${problem.pointer ?? ''}`,
  }));
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError('invalid_definition', `${first?.pointer}: ${first?.message}${more}`, { problems });
}
