/** Definitions on their way in: text, an object, or a file; checked, or refused with every problem in it. */
import { readFile } from 'node:fs/promises';
import { SkipjackError } from '../core/errors.ts';
import type { Json } from '../core/json.ts';
import { parseDefinition } from '../definition/parse-definition.ts';
import type { CheckedDefinition } from './publish.ts';

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

/** @throws SkipjackError `usage` for a file that cannot be read. */
export async function readSource(given: DefinitionSource): Promise<DefinitionText> {
  if ('source' in given) return { source: given.source };
  if ('definition' in given) return { source: JSON.stringify(given.definition, null, 2) };
  try {
    return { source: await readFile(given.file, 'utf8'), file: given.file };
  } catch (cause) {
    throw new SkipjackError('usage', `Cannot read ${given.file}: ${(cause as Error).message}`, { cause });
  }
}

/** @throws SkipjackError `invalid_definition` with every problem and its place. */
export function checkDefinition({ source, file }: DefinitionText): CheckedDefinition {
  const parsed = parseDefinition(source);
  if (parsed.kind === 'valid') return { source, plan: parsed.plan };
  const [first] = parsed.problems;
  const place = first ? `${file ?? 'definition'}:${first.line}:${first.column}: ` : '';
  const more = parsed.problems.length > 1 ? ` (and ${parsed.problems.length - 1} more)` : '';
  throw new SkipjackError('invalid_definition', `${place}${first?.message ?? ''}${more}`, {
    problems: parsed.problems,
  });
}
