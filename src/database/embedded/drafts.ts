/**
 * Everything here comes into being under another name and is renamed into place when it is whole: whoever dies
 * on the way leaves a draft behind, and never half of the thing.
 */
import { randomUUID } from 'node:crypto';
import { readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { unlessMissing } from './failures.ts';

const mark = '.new-';

export function draftOf(path: string): string {
  return `${path}${mark}${randomUUID()}`;
}

export async function replaceFile(path: string, text: string): Promise<void> {
  const draft = draftOf(path);
  await writeFile(draft, text, { flag: 'wx', mode: 0o644 });
  await rename(draft, path);
}

/** Removes what others left when they died; the caller knows that nobody is still drafting what it names. */
export async function removeDrafts(
  directory: string,
  { namePrefix = '', olderThanMs = 0 }: { namePrefix?: string; olderThanMs?: number },
): Promise<void> {
  for (const name of await readdir(directory)) {
    if (!name.startsWith(namePrefix) || !name.includes(mark)) continue;
    const path = join(directory, name);
    const status = await unlessMissing(stat(path));
    if (status === undefined || Date.now() - status.mtimeMs < olderThanMs) continue;
    // An initdb whose parent was killed may still be writing; what cannot be removed now is removed next time.
    await rm(path, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
  }
}
