import { constants } from 'node:fs';
import { chmod, chown, lstat, mkdir, mkdtemp, open, rm, rmdir, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { type Checked, checkOutputText, outputBytesMax, tooLarge } from '../storable.ts';
import type { RunnableTask } from './executor.ts';
import type { RunAs } from './run-as.ts';

/**
 * The folder through which a program gets its input and gives its output: one for each attempt, readable by
 * the user alone whom it runs as. The program's working directory stays the worker's: commands are written with it
 * in mind, and an empty one would break every relative path.
 *
 * Where programs run as another user than the worker, they have a folder inside, and nothing beside it: what the
 * worker notes for itself, and what a later worker believes, is out of their reach.
 */
export interface ExchangeFolder {
  path: string;
  /** Where the program's files are: `path`, or the folder inside. */
  programPath: string;
  inputPath: string;
  outputPath: string;
  progressPath: string;
  /** Who must own what is read from it; null: whoever. */
  ownerUid: number | null;
}

/** In the folder for temporary files; then six characters. */
export const exchangeFolderPrefix = 'skipjack-attempt-';

const innerFolder = 'program';

export async function makeExchangeFolder(
  { input, process, needs, item }: Pick<RunnableTask, 'input' | 'process' | 'needs' | 'item'>,
  { runAs = null, script }: { runAs?: RunAs | null; script?: string | undefined } = {},
): Promise<ExchangeFolder> {
  const path = await mkdtemp(join(tmpdir(), exchangeFolderPrefix));
  const programPath = runAs === null ? path : join(path, innerFolder);
  const files = [{ name: 'input.json', text: JSON.stringify({ input, process, needs, item }) }];
  if (script !== undefined) files.push({ name: 'script.sh', text: script });
  try {
    if (runAs !== null) await mkdir(programPath, { mode: 0o700 });
    for (const { name, text } of files) await writeFile(join(programPath, name), text, { mode: 0o600 });
    if (runAs !== null) {
      const theirs = [programPath, ...files.map(({ name }) => join(programPath, name))];
      for (const each of theirs.reverse()) await chown(each, runAs.uid, runAs.gid);
      // To pass through, not to look around.
      await chmod(path, 0o711);
    }
  } catch (error) {
    await rm(path, { recursive: true, force: true }).catch(() => {});
    throw error;
  }
  return {
    path,
    programPath,
    inputPath: join(programPath, 'input.json'),
    outputPath: join(programPath, 'output.json'),
    progressPath: join(programPath, 'progress.json'),
    ownerUid: runAs?.uid ?? null,
  };
}

export function scriptPath({ programPath }: ExchangeFolder): string {
  return join(programPath, 'script.sh');
}

/** What the program wrote to its output file; undefined when it wrote nothing. */
export async function readOutputFile({
  outputPath,
  ownerUid,
}: Pick<ExchangeFolder, 'outputPath' | 'ownerUid'>): Promise<Checked | undefined> {
  let file: Awaited<ReturnType<typeof open>>;
  try {
    // O_NONBLOCK: to open a named pipe that the program left there would block a thread for ever.
    // O_NOFOLLOW: a link could lead to what the worker may read and the program's user may not.
    const flags = constants.O_RDONLY | constants.O_NONBLOCK;
    file = await open(outputPath, ownerUid === null ? flags : flags | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    return unreadable((error as Error).message);
  }
  try {
    const found = await file.stat();
    if (!found.isFile()) return unreadable('it is not a regular file');
    if (ownerUid !== null && found.uid !== ownerUid) return unreadable('it belongs to another user');
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

/** The files of an attempt that did nothing out of the ordinary. */
const usualFiles = ['input.json', 'owner.json', 'output.json', 'script.sh', 'progress.json'];

/** False: not all of it could be removed, which is a nuisance in /tmp and no fault of the attempt. */
export async function removeExchangeFolder({ path }: Pick<ExchangeFolder, 'path'>): Promise<boolean> {
  try {
    if (await removeUsual(path)) return true;
    const inner = join(path, innerFolder);
    const found = await lstat(inner).catch(() => undefined);
    if (found?.isDirectory() && found.uid !== process.geteuid?.() && !(await removeUsual(inner)))
      await removeTree(inner, found);
    await removeTree(path);
    return true;
  } catch {
    return false;
  }
}

/** False: there is more in it. */
async function removeUsual(path: string): Promise<boolean> {
  await Promise.all(usualFiles.map((name) => unlink(join(path, name)).catch(() => {})));
  try {
    await rmdir(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

/** A program may have made a million files. */
const removeMsMax = 10_000;

/**
 * By a program of its own, which can be stopped, and gets into folders whose paths are too long for Node.
 *
 * Another user's folder is removed with that user's rights: what still runs of theirs could put a link in the place of
 * a folder while we are on our way into it.
 */
async function removeTree(path: string, owner?: { uid: number; gid: number }): Promise<void> {
  await execa('rm', ['-rf', '--', path], {
    ...(owner === undefined ? {} : { uid: owner.uid, gid: owner.gid }),
    env: {},
    extendEnv: false,
    stdio: 'ignore',
    reject: false,
    timeout: removeMsMax,
  });
  // The folder itself stands in one that is not theirs.
  await rmdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}
