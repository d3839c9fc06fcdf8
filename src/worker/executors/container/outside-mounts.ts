import { dirname, normalize } from 'node:path/posix';
import type { Attempt } from './attempt.ts';
import { invalid, throwIfStopped } from './errors.ts';
import { lies } from './mounts.ts';
import { takeFile } from './take-file.ts';

/**
 * What a task's `files` are put into is the container, never what is mounted there. The daemon writes them with all of
 * its rights: in a folder of this machine it would write over what the container itself may not touch, and leave it
 * behind. (In a tmpfs they would be hidden: it is mounted over them later.)
 *
 * @throws ContainerFailure `container_spec_invalid`.
 */
export async function checkOutsideMounts(
  { runtime, mounts, context }: Attempt,
  container: string,
  paths: string[],
): Promise<void> {
  for (const path of paths) {
    const mount = mounts.find(({ target }) => lies(path, normalize(`${target}/.`)));
    if (mount !== undefined)
      throw invalid(`files: ${JSON.stringify(path)} lies in what is mounted at ${mount.target}`);
  }
  if (!mounts.some((mount) => mount.type === 'bind' && !mount.readOnly)) return;
  // Parents first: of what lies behind a link nothing can be said.
  const folders = [...new Set(paths.flatMap(foldersAbove))].sort();
  let missing: string | null = null;
  for (const folder of folders) {
    if (missing !== null && lies(folder, missing)) continue;
    throwIfStopped(context.signal);
    const found = await takeFile(runtime, container, folder, 0);
    if (found === null) missing = folder;
    if (found?.kind === 'link')
      throw invalid(
        `files: ${folder} is a link in the image, which could lead into what is mounted; name the folder that it leads to`,
      );
  }
}

function foldersAbove(path: string): string[] {
  const above = dirname(path);
  return above === '/' ? [] : [...foldersAbove(above), above];
}
