/** Where root keeps what Postgres' user must reach. Only root may write there: programs are started from it. */
import { constants } from 'node:fs';
import { lstat, mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { embeddedFailure } from './failures.ts';
import { findBarrier, type OsUser } from './os-user.ts';

/** The second is for machines whose /var/lib is read-only. */
export const defaultSystemDirectories = ['/var/lib/skipjack', '/var/tmp/skipjack'] as const;

/** The first of `candidates` that is root's alone, or can be made so, and that `user` can reach. */
export async function chooseSystemDirectory(user: OsUser, candidates: readonly string[]): Promise<string> {
  let lastError: unknown;
  for (const candidate of candidates) {
    try {
      await mkdir(dirname(candidate), { recursive: true });
      await mkdir(candidate, { mode: 0o755 }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
      });
      // Not stat: in a directory open to all, somebody else may have put a link there before us.
      const status = await lstat(candidate);
      const isRootsAlone = status.isDirectory() && status.uid === 0 && (status.mode & 0o022) === 0;
      if (isRootsAlone && (await findBarrier(user, candidate, constants.X_OK)) === null) return candidate;
    } catch (error) {
      lastError = error;
    }
  }
  throw embeddedFailure(
    `Postgres runs as ${user.name}, and found no directory of root's that ${user.name} can reach; tried ${candidates.join(' and ')}.`,
    'Choose a --data directory whose parents are open to others (mode o+x)',
    lastError,
  );
}
