/**
 * The real container runtime of this machine, and one small image made without any registry.
 *
 * `SKIPJACK_TEST_CONTAINER_RUNTIME` chooses the runtime: `docker` (default), `podman`, or the path of a wrapper. Where
 * it is not there, the tests that need it are skipped, and say why.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { answers, type ContainerRuntime, findRuntime } from '../../src/worker/executors/container/runtime.ts';

export const testImage = 'skipjack-test/busybox:1';

const file = process.env.SKIPJACK_TEST_CONTAINER_RUNTIME ?? 'docker';

/** Null: the tests that need it are skipped. */
export async function findTestRuntime(): Promise<ContainerRuntime | null> {
  const runtime = await findRuntime(file);
  if (runtime?.kind === 'podman') configurePodman();
  const why = runtime === null || !(await answers(runtime)) ? `${file} does not answer here` : makeImage();
  if (why === null) return runtime;
  console.warn(`container tests are skipped: ${why}`);
  return null;
}

/**
 * What Debian's podman needs inside of a machine that is a container itself: runc, and limits that it may set; and
 * what docker does by itself, to speak to a registry on loopback without TLS.
 */
function configurePodman(): void {
  if (process.env.CONTAINERS_CONF !== undefined) return;
  const folder = mkdtempSync(join(tmpdir(), 'skipjack-podman-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const hasRunc = spawnSync('runc', ['--version']).status === 0;
  const limits = '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n';
  process.env.CONTAINERS_CONF = join(folder, 'containers.conf');
  writeFileSync(process.env.CONTAINERS_CONF, `${limits}${hasRunc ? '[engine]\nruntime = "runc"\n' : ''}`);
  process.env.CONTAINERS_REGISTRIES_CONF = join(folder, 'registries.conf');
  writeFileSync(
    process.env.CONTAINERS_REGISTRIES_CONF,
    '[[registry]]\nlocation = "127.0.0.1"\ninsecure = true\n',
  );
}

/** One call of the command line; its stdout. */
export function cli(...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** Null, or why the image could not be made. */
function makeImage(): string | null {
  if (spawnSync(file, ['image', 'inspect', testImage]).status === 0) return null;
  const busybox = ['/bin/busybox', '/usr/bin/busybox'].find((path) => existsSync(path));
  if (busybox === undefined)
    return 'there is no busybox to make an image of (apt-get install busybox-static)';
  const folder = mkdtempSync(join(tmpdir(), 'skipjack-image-'));
  try {
    const root = join(folder, 'root');
    for (const name of ['bin', 'tmp', 'etc', 'proc', 'sys', 'dev'])
      mkdirSync(join(root, name), { recursive: true });
    chmodSync(join(root, 'tmp'), 0o1777);
    copyFileSync(busybox, join(root, 'bin/busybox'));
    chmodSync(join(root, 'bin/busybox'), 0o755);
    for (const applet of execFileSync(busybox, ['--list'], { encoding: 'utf8' }).split('\n'))
      if (applet !== '' && applet !== 'busybox') symlinkSync('busybox', join(root, 'bin', applet));
    const tar = join(folder, 'image.tar');
    execFileSync('tar', ['-C', root, '--owner=0', '--group=0', '-cf', tar, '.']);
    const changes = ['ENV PATH=/bin', 'CMD ["/bin/sh"]'].flatMap((change) => ['--change', change]);
    execFileSync(file, ['import', ...changes, tar, testImage], { stdio: 'pipe' });
    return null;
  } catch (error) {
    return `the image ${testImage} could not be made: ${(error as Error).message}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Names of the containers, volumes and networks that a database's tasks have on this machine now. */
export function leftovers(instance: string): string[] {
  const filter = `--filter=label=skipjack.instance=${instance}`;
  return [
    cli('ps', '--all', filter, '--format={{.Names}}'),
    cli('volume', 'ls', filter, '--format={{.Name}}'),
    cli('network', 'ls', filter, '--format={{.Name}}'),
  ]
    .flatMap((text) => text.split('\n'))
    .filter((name) => name !== '');
}
