/** Definitions on their way in: text, an object, or a file; checked, or refused with every problem in it. */
import { isUtf8 } from 'node:buffer';
import { open } from 'node:fs/promises';
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { planLimits } from '../core/plan.ts';
import type { Database } from '../database/connection.ts';
import { parseDefinition } from '../definition/parse-definition.ts';
import type { DefinitionProblem } from '../definition/problem.ts';
import { parseApart } from './parse-apart.ts';
import type { CheckedDefinition } from './publish.ts';
import { findUnknownDefinitions } from './unknown-definitions.ts';
import { refused, requireJson } from './values.ts';

/** A definition in hand: its text, YAML or JSON; an object; or the path of a file. */
export type DefinitionSource =
  | { source: string }
  | { definition: { [key: string]: Json } }
  | { file: string };

export interface DefinitionText {
  source: string;
  /** Named in problems. */
  file?: string;
}

/** Ten thousand tasks with a few keys each. */
const valuesMax = 500_000;

/** @throws SkipjackError `usage` for a file that cannot be read. */
export async function readSource(given: DefinitionSource): Promise<DefinitionText> {
  const { source, definition, file } = (given ?? {}) as {
    [Key in 'source' | 'definition' | 'file']?: unknown;
  };
  if (typeof source === 'string') return { source };
  if (typeof file === 'string') return { source: await readText(file), file };
  if (typeof definition === 'object' && definition !== null) {
    const bounds = { pointer: '/definition', bytesMax: planLimits.sourceBytesMax, nodesMax: valuesMax };
    const value = requireJson(definition, bounds);
    // With its lines, by which problems are found; unless these alone make it too large.
    const lines = JSON.stringify(value, null, 2);
    return { source: Buffer.byteLength(lines) > planLimits.sourceBytesMax ? JSON.stringify(value) : lines };
  }
  throw refused('invalid_request', [
    { pointer: '/definition', message: 'is missing: hand over { source }, { definition } or { file }' },
  ]);
}

/**
 * Also against what is published: a definition names others, and itself where it is to be published; `as` is then its
 * name, or null for the one in its text.
 *
 * @throws SkipjackError `invalid_definition` with every problem and its place.
 */
export async function checkDefinition(
  db: Database,
  { source, file }: DefinitionText,
  publishing?: { as: string | null },
): Promise<CheckedDefinition> {
  const parsed = await parseApart(source);
  if (parsed.kind === 'invalid') throw invalidDefinition(parsed.problems, file);
  const publishedAs = publishing ? (publishing.as ?? parsed.plan.name) : null;
  const problems = await findUnknownDefinitions(db, parsed.refers, publishedAs);
  if (problems.length > 0) throw invalidDefinition(problems, file);
  return { source, plan: parsed.plan };
}

/** No more of it than a definition may have: the rest only says that it is too large. */
async function readText(file: string): Promise<string> {
  const bytes = Buffer.alloc(planLimits.sourceBytesMax + 1);
  let length = 0;
  try {
    const handle = await open(file);
    try {
      while (length < bytes.length) {
        const { bytesRead } = await handle.read(bytes, length, bytes.length - length);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new SkipjackError('usage', `Cannot read ${file}: ${(cause as Error).message}`, { cause });
  }
  const read = bytes.subarray(0, length);
  if (isUtf8(read)) return read.toString('utf8');
  const parsed = parseDefinition(read);
  throw invalidDefinition(parsed.kind === 'invalid' ? parsed.problems : [], file);
}

function invalidDefinition(problems: DefinitionProblem[], file = 'definition'): SkipjackError {
  const [first] = problems;
  const place = first ? `${file}:${first.line}:${first.column}: ` : '';
  const meant = first?.suggestion === undefined ? '' : ` (did you mean "${first.suggestion}"?)`;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError('invalid_definition', `${place}${first?.message ?? ''}${meant}${more}`, {
    problems,
  });
}
