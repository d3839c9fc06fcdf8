import { createReadStream } from 'node:fs';
import { SkipjackError } from '../core/errors.ts';
import { type Plan, planLimits } from '../core/plan.ts';
import { parseDefinition } from '../definition/parse-definition.ts';
import { usage } from './options.ts';

export interface DefinitionFile {
  file: string;
  source: string;
  plan: Plan;
}

/**
 * Reads and checks a definition; `-` is stdin.
 *
 * @throws SkipjackError `not_found` for a file that is not there, `invalid_definition` with every problem and its
 * place.
 */
export async function readDefinitionFile(file: string): Promise<DefinitionFile> {
  const bytes = await readBounded(file);
  const parsed = parseDefinition(bytes);
  if (parsed.kind === 'valid') return { file, source: bytes.toString('utf8'), plan: parsed.plan };
  const { problems } = parsed;
  throw new SkipjackError('invalid_definition', describeProblems(file, problems.length), {
    problems,
    extra: { file },
  });
}

export function describeProblems(file: string, count: number): string {
  return `${file === '-' ? 'The definition' : file} has ${count === 1 ? 'a problem' : `${count} problems`}.`;
}

/** What an engine finds wrong with a definition that by itself is fine, with its place in the file. */
export function inFile(error: unknown, file: string): unknown {
  if (!(error instanceof SkipjackError) || error.code !== 'invalid_definition') return error;
  const { problems, extra } = error;
  // An engine says "definition" and the place, of which we know the file.
  const message = problems.some(({ line }) => line !== undefined)
    ? describeProblems(file, problems.length)
    : error.message;
  return new SkipjackError(error.code, message, { problems, extra: { ...extra, file }, cause: error });
}

/** One byte more than a definition may have is enough to refuse it, be it /dev/zero. */
export async function readBounded(file: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of file === '-' ? process.stdin : createReadStream(file)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > planLimits.sourceBytesMax) break;
    }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT')
      throw new SkipjackError('not_found', `There is no file ${file}.`, { cause: error });
    throw usage(`${file} cannot be read: ${code === 'EISDIR' ? 'it is a directory' : message}.`);
  }
  return Buffer.concat(chunks);
}
