/**
 * Where the data of a `--data` directory lies, and as whom Postgres runs on it.
 *
 * Normally in the directory itself. When root starts it, Postgres runs as an unprivileged user, and that user
 * may be unable to get there: a checkout below /root, which is closed to others, is common. Then the data
 * lies in a directory of the system, and a note in the `--data` directory says where.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { chmod, mkdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { replaceFile } from './drafts.ts';
import { embeddedFailure, unlessMissing } from './failures.ts';
import type { Logger } from './logger.ts';
import { findBarrier, findUnprivilegedUser, isRoot, type OsUser } from './os-user.ts';
import { chooseSystemDirectory } from './system-directory.ts';

export interface Place {
  /** The `--data` directory: lock, owner, log, and the port used last. */
  directory: string;
  /** Put in place whole, by one rename: `data` for Postgres, and the password that fits it. */
  clusterDirectory: string;
  dataDirectory: string;
  passwordFile: string;
  /** Null: as ourselves. */
  user: OsUser | null;
}

const noteFile = 'cluster-location';

/** Makes the `--data` directory where it is missing; answers its real path. */
export async function openDirectory(data: string): Promise<string> {
  const directory = resolve(data);
  const mode = isRoot() ? 0o755 : 0o700;
  const made = await mkdir(directory, { recursive: true, mode });
  // The mode given to mkdir is narrowed by the umask; root's directory must be open to Postgres' user.
  if (made !== undefined) await chmod(directory, mode);
  return realpath(directory);
}

/** The real path of the `--data` directory, or undefined where there is none. */
export function findDirectory(data: string): Promise<string | undefined> {
  return unlessMissing(realpath(resolve(data)));
}

/** The place of a cluster that is there already, or null. */
export async function findPlace(directory: string): Promise<Place | null> {
  const here = await findClusterAt(directory, join(directory, 'cluster'));
  if (here !== null) return here;
  const noted = await readNote(directory);
  if (noted === undefined) return null;
  if (!isRoot()) {
    throw embeddedFailure(
      `The data of ${directory} lies in ${noted}, as root has started it before.`,
      'Run this as root, choose another --data directory',
    );
  }
  // A directory that was moved or copied has brought the note of another one along.
  return basename(noted) === clusterNameElsewhere(directory) ? findClusterAt(directory, noted) : null;
}

/** Where a cluster shall be made. Nothing is made yet but the note. */
export async function choosePlace(
  directory: string,
  { systemDirectories, logger }: { systemDirectories: readonly string[]; logger: Logger },
): Promise<Place> {
  const here = join(directory, 'cluster');
  if (!isRoot()) return placeAt(directory, here, null);
  const user = await findUnprivilegedUser();
  if ((await findBarrier(user, directory, constants.X_OK)) === null) return placeAt(directory, here, user);

  const systemDirectory = await chooseSystemDirectory(user, systemDirectories);
  const elsewhere = join(systemDirectory, clusterNameElsewhere(directory));
  const earlier = await readNote(directory);
  if (earlier !== undefined && earlier !== elsewhere) {
    const message = 'this directory was moved or copied and starts empty; its earlier data is kept';
    logger.warn({ directory, earlier }, message);
  }
  await replaceFile(join(directory, noteFile), `${elsewhere}\n`);
  return (await findClusterAt(directory, elsewhere)) ?? placeAt(directory, elsewhere, user);
}

function placeAt(directory: string, clusterDirectory: string, user: OsUser | null): Place {
  return {
    directory,
    clusterDirectory,
    dataDirectory: join(clusterDirectory, 'data'),
    passwordFile: join(clusterDirectory, 'password'),
    user,
  };
}

/** Whoever owns the data runs Postgres: it accepts no other. */
async function findClusterAt(directory: string, clusterDirectory: string): Promise<Place | null> {
  const status = await unlessMissing(stat(clusterDirectory));
  if (status === undefined) return null;
  const { uid, gid } = status;
  if (!isRoot()) {
    if (uid === process.geteuid?.()) return placeAt(directory, clusterDirectory, null);
    throw embeddedFailure(
      `The data in ${clusterDirectory} belongs to the user with uid ${uid}.`,
      'Run this as the user who has started it first, choose another --data directory',
    );
  }
  if (uid === 0) {
    throw embeddedFailure(
      `The data in ${clusterDirectory} belongs to root, and Postgres does not run as root.`,
      `Give it to another user (chown -R nobody ${clusterDirectory})`,
    );
  }
  const place = placeAt(directory, clusterDirectory, { name: `uid ${uid}`, uid, gid });
  const barrier = await findBarrier(place.user, clusterDirectory, constants.X_OK);
  if (barrier === null) return place;
  throw embeddedFailure(
    `Postgres runs as the user with uid ${uid}, who owns ${clusterDirectory} but cannot pass ${barrier}.`,
    `Open it (chmod o+x ${barrier})`,
  );
}

async function readNote(directory: string): Promise<string | undefined> {
  return (await unlessMissing(readFile(join(directory, noteFile), 'utf8')))?.trim();
}

function clusterNameElsewhere(directory: string): string {
  return createHash('sha256').update(directory).digest('hex').slice(0, 16);
}
