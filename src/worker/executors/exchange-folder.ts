import { constants } from 'node:fs';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ClaimedTask } from '../../core/task-source.ts';
import { type Checked, checkOutputText, outputBytesMax, tooLarge } from '../storable.ts';

/**
 * The folder through which a program gets its input and gives its output: one for each attempt, readable by
 * the worker's user alone. The program's working directory stays the worker's: commands are written with it
 * in mind, and an empty one would break every relative path.
 */
export interface ExchangeFolder {
  path: string;
  inputPath: string;
  outputPath: string;
}

export async function makeExchangeFolder({
  input,
  process,
  needs,
}: Pick<ClaimedTask, 'input' | 'process' | 'needs'>): Promise<ExchangeFolder> {
  const path = await mkdtemp(join(tmpdir(), 'skipjack-'));
  const inputPath = join(path, 'input.json');
  try {
    await writeFile(inputPath, JSON.stringify({ input, process, needs }), { mode: 0o600 });
  } catch (error) {
    await rm(path, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  return { path, inputPath, outputPath: join(path, 'output.json') };
}

/** What the program wrote to its output file; undefined when it wrote nothing. */
export async function readOutputFile({ outputPath }: ExchangeFolder): Promise<Checked | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // O_NONBLOCK: to open a named pipe that the program left there would block a thread for ever.
    file = await open(outputPath, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return unreadable((error as Error).message);
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) return unreadable('it is not a regular file');
    if (found.size > outputBytesMax) return tooLarge(`$SKIPJACK_OUTPUT has ${found.size} bytes`);
    const bytes = Buffer.alloc(found.size);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(0, bytesRead));
    return text.trim() === '' ? undefined : checkOutputText(text);
  } catch (error) {
    return unreadable((error as Error).message);
  } finally {
    await file.close();
  }
}

function unreadable(why: string): Checked {
  return { ok: false, code: 'output_invalid', message: `cannot read $SKIPJACK_OUTPUT: ${why}` };
}

export async function removeExchangeFolder({ path }: ExchangeFolder): Promise<void> {
  // What cannot be removed (a program may have made it so) is a nuisance in /tmp and no fault of the attempt.
  await rm(path, { recursive: true, force: true, maxRetries: 2 }).catch(() => {});
}
