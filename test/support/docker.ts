/**
 * The real container runtime of this machine, and one small image made without any registry.
 *
 * `SKIPJACK_TEST_CONTAINER_RUNTIME` chooses the runtime: `docker` (default), `podman`, or the path of a wrapper. Where
 * it is not there, the tests that need it are skipped, and say why.
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { answers, type ContainerRuntime, findRuntime } from '../../src/worker/executors/container/runtime.ts';

export const testImage = 'skipjack-test/busybox:1';

const ci = join(import.meta.dirname, '../../.ci');
const asked = process.env.SKIPJACK_TEST_CONTAINER_RUNTIME ?? 'docker';
/** Podman runs as it does on the machines of CI. */
const file = asked === 'podman' ? join(ci, 'podman-for-tests') : asked;

/** Null: the tests that need it are skipped. */
export async function findTestRuntime(): Promise<ContainerRuntime | null> {
  const runtime = await findRuntime(file);
  const why = runtime === null || !(await answers(runtime)) ? `${file} does not answer here` : makeImage();
  if (why === null) return runtime;
  console.warn(`container tests are skipped: ${why}`);
  return null;
}

/** One call of the command line; its stdout. */
export function cli(...args: string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim();
}

/** Null, or why the image could not be made. */
function makeImage(): string | null {
  const { status, stderr } = spawnSync(join(ci, 'make-busybox-image'), [file], { encoding: 'utf8' });
  return status === 0 ? null : `${testImage} could not be made of Debian's busybox-static: ${stderr.trim()}`;
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
