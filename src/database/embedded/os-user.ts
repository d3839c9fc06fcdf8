/** As whom Postgres runs, and what that user can reach. Postgres refuses to run as root. */
import { constants } from 'node:fs';
import { access, readFile, realpath, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { embeddedFailure } from './failures.ts';

export interface OsUser {
  name: string;
  uid: number;
  gid: number;
}

export function isRoot(): boolean {
  return process.geteuid?.() === 0;
}

/** What spawn needs to run something as `user`; null stands for ourselves. */
export function runAs(user: OsUser | null): { uid?: number; gid?: number } {
  return user === null ? {} : { uid: user.uid, gid: user.gid };
}

/** The user that root hands Postgres to: `postgres` where a package has made one, else `nobody`. */
export async function findUnprivilegedUser(): Promise<OsUser> {
  const lines = (await readFile('/etc/passwd', 'utf8').catch(() => '')).split('\n');
  for (const wanted of ['postgres', 'nobody']) {
    const fields = lines.find((line) => line.startsWith(`${wanted}:`))?.split(':') ?? [];
    const [uid, gid] = [Number(fields[2]), Number(fields[3])];
    if (uid > 0 && gid >= 0) return { name: wanted, uid, gid };
  }
  throw embeddedFailure(
    'Postgres does not run as root, and /etc/passwd has neither a user postgres nor nobody to run it as.',
    'Run skipjack as an ordinary user, add one of them (useradd --system postgres)',
  );
}

/**
 * The file or directory on the way to `path` that keeps `user` (null: ourselves) from it, or null.
 *
 * `needed` are bits of fs.constants, asked of `path` itself. For another user they are read from the mode bits;
 * access lists are not looked at, as they seldom take away what the mode grants.
 */
export async function findBarrier(user: OsUser | null, path: string, needed: number): Promise<string | null> {
  if (user === null) {
    return access(path, needed).then(
      () => null,
      () => path,
    );
  }
  const real = await realpath(path);
  if (!(await allows(user, real, needed))) return real;
  for (let directory = dirname(real); ; directory = dirname(directory)) {
    if (!(await allows(user, directory, constants.X_OK))) return directory;
    if (directory === dirname(directory)) return null;
  }
}

async function allows(user: OsUser, path: string, needed: number): Promise<boolean> {
  const { mode, uid, gid } = await stat(path);
  const granted = uid === user.uid ? mode >> 6 : gid === user.gid ? mode >> 3 : mode;
  return (granted & needed) === needed;
}
