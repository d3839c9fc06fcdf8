import { readFileSync } from 'node:fs';
import type { CommandPolicy } from '../policy.ts';

/** Whom a worker's programs run as, when that is not whom the worker runs as. */
export interface RunAs {
  uid: number;
  gid: number;
  /** What the environment says of the user; undefined is not to be passed on. */
  environment: Record<'HOME' | 'USER' | 'LOGNAME' | 'SHELL', string | undefined>;
}

/**
 * Null: programs run as whom the worker does.
 *
 * A user's own group comes with the user, so that nothing runs with the group of root because only a uid was named.
 * Supplementary groups are dropped.
 *
 * @throws RangeError when the worker may not run anything as somebody else.
 */
export function readRunAs({ uid, gid }: Pick<CommandPolicy, 'uid' | 'gid'>): RunAs | null {
  const [ownUid, ownGid] = [process.geteuid?.(), process.getegid?.()];
  if (ownUid === undefined || ownGid === undefined) {
    if (uid === null && gid === null) return null;
    throw new RangeError('the policy names a uid or gid, and this system has none');
  }
  if ((uid ?? ownUid) === ownUid && (gid ?? ownGid) === ownGid) return null;
  if (ownUid !== 0) {
    throw new RangeError(
      `the policy lets commands run as uid ${uid ?? ownUid}, gid ${gid ?? ownGid}: only a worker that runs as root can do that`,
    );
  }
  const user = findUser(uid ?? ownUid);
  const { name, home, shell } = user ?? {};
  return {
    uid: uid ?? ownUid,
    gid: gid ?? user?.gid ?? uid ?? ownGid,
    environment: { HOME: home, USER: name, LOGNAME: name, SHELL: shell },
  };
}

function findUser(uid: number): { name?: string; gid: number; home?: string; shell?: string } | undefined {
  for (const line of readUsers().split('\n')) {
    const [name = '', , itsUid, gid, , home = '', shell = ''] = line.split(':');
    if (Number(itsUid) === uid && itsUid !== '' && itsUid !== undefined)
      return { gid: Number(gid), ...(name && { name }), ...(home && { home }), ...(shell && { shell }) };
  }
  return undefined;
}

function readUsers(): string {
  try {
    return readFileSync('/etc/passwd', 'utf8');
  } catch {
    return '';
  }
}
