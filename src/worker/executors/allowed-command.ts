import { constants } from 'node:fs';
import { access, realpath, stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';

/** What a C library looks through when there is no PATH. */
const defaultPath = '/bin:/usr/bin';

export interface Lookup {
  /** The `PATH` of whoever looks. */
  path: string | undefined;
  /** What relative paths are relative to. */
  cwd: string;
}

export type Found =
  /** `file` is what to execute, under the name `argv0`. */
  { kind: 'allowed'; file: string; argv0: string } | { kind: 'not_allowed' } | { kind: 'not_found' };

/**
 * Whether `command`, looked up as the system would, is one of `allow`: the same file, called by the same name.
 *
 * The same file, so that nobody puts another `git` earlier on the PATH. The same name too, because one file may be many
 * programs: where `echo` is a link to busybox, so is `sh`. What is executed is the file that was compared, whatever
 * becomes of the links that led to it.
 */
export async function findAllowed(
  command: string,
  allow: string[],
  { task, worker }: { task: Lookup; worker: Lookup },
): Promise<Found> {
  const name = basename(command);
  const entries = allow.filter((entry) => basename(entry) === name);
  if (entries.length === 0) return { kind: 'not_allowed' };
  const argv0 = await findExecutable(command, task);
  if (argv0 === undefined) return { kind: 'not_found' };
  const file = await realpath(argv0).catch(() => undefined);
  if (file === undefined) return { kind: 'not_found' };
  for (const entry of entries) {
    const allowed = await findExecutable(entry, worker);
    if (allowed !== undefined && (await realpath(allowed).catch(() => undefined)) === file)
      return { kind: 'allowed', file, argv0 };
  }
  return { kind: 'not_allowed' };
}

async function findExecutable(command: string, { path, cwd }: Lookup): Promise<string | undefined> {
  if (command.includes('/')) {
    const file = resolve(cwd, command);
    return (await isExecutable(file)) ? file : undefined;
  }
  for (const folder of (path ?? defaultPath).split(':')) {
    const file = resolve(cwd, folder, command);
    if (await isExecutable(file)) return file;
  }
  return undefined;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return (await stat(file)).isFile();
  } catch {
    return false;
  }
}
