/**
 * Folders of this machine in a container: only what lies in a source that the policy lists, symbolic links followed,
 * and never the socket of a container runtime, by which a container could make others without any of these limits.
 *
 * The path is looked at here and mounted by the daemon a moment later: somebody who may write to a listed source from
 * outside could swap a folder for a link in between. List folders that tasks themselves cannot rearrange, or `:ro`.
 */
import { realpath, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { parseBytes } from '../../../core/bytes.ts';
import type { ContainerSpec, Mount } from '../../../core/spec.ts';
import type { ContainerPolicy } from '../../policy.ts';
import { invalid, notAllowed } from './errors.ts';
import type { ContainerRuntime } from './runtime.ts';

export type CheckedMount =
  | { type: 'bind'; source: string; target: string; readOnly: boolean }
  | { type: 'tmpfs'; target: string; bytes: number };

/** The size of a tmpfs that asks for none: its pages are memory, and the runtimes' own default is half the machine's. */
const tmpfsBytes = 64 * 1024 * 1024;
/** The largest where nothing limits a container's memory. */
const tmpfsBytesMax = 1024 * 1024 * 1024;

/** @throws ContainerFailure `not_allowed` or `container_spec_invalid`. */
export async function checkMounts(
  spec: ContainerSpec,
  policy: ContainerPolicy,
  { runtime, memoryBytes }: { runtime: ContainerRuntime; memoryBytes: number | null },
): Promise<CheckedMount[]> {
  const checked: CheckedMount[] = [];
  for (const mount of spec.mounts ?? []) {
    checkTarget(mount.target);
    checked.push(
      mount.type === 'tmpfs'
        ? checkTmpfs(mount, memoryBytes)
        : await checkBind(mount, policy.mounts, runtime),
    );
  }
  for (const path of spec.volumes ?? []) {
    const around = checked.find(
      ({ type, target }) => type === 'bind' && lies(resolve(path), resolve(target)),
    );
    // The runtime would make a folder for it in the one of this machine, and leave it there.
    if (around !== undefined) throw invalid(`volumes: ${path} lies in what is mounted at ${around.target}`);
  }
  return checked;
}

/** An absolute path in a container that may be something else's place than the image's. */
export function checkTarget(target: string): void {
  // Commas, colons and quotes mean something to the command lines.
  if (!/^\/[^,:"\\\n\r\0]*$/.test(target) || target.split('/').includes('..'))
    throw invalid(`${JSON.stringify(target)} is not an absolute path that can be mounted`);
  const path = resolve(target);
  if (path === '/' || path === '/skipjack' || path.startsWith('/skipjack/'))
    throw invalid(`${target} cannot be mounted over: ${path === '/' ? 'it is the image' : 'it is ours'}`);
}

function checkTmpfs(
  { target, size }: Extract<Mount, { type: 'tmpfs' }>,
  memoryBytes: number | null,
): CheckedMount {
  const most = memoryBytes ?? tmpfsBytesMax;
  const bytes = size === undefined ? Math.min(tmpfsBytes, most) : parseBytes(size);
  if (bytes === null || bytes <= 0) throw invalid(`mounts: ${JSON.stringify(size)} is not a size`);
  if (bytes > most)
    throw notAllowed(`a tmpfs of ${bytes} bytes is larger than the ${most} that this worker gives`);
  return { type: 'tmpfs', target, bytes };
}

async function checkBind(
  { source, target, read_only = false }: Extract<Mount, { type: 'bind' }>,
  listed: string[],
  runtime: ContainerRuntime,
): Promise<CheckedMount> {
  const shown = JSON.stringify(source);
  if (!source.startsWith('/')) throw invalid(`mounts: ${shown} is not an absolute path`);
  const refused = notAllowed(`this worker does not let containers mount ${shown}`);
  if (listed.length === 0) throw refused;
  const real = await realpath(source).catch(() => null);
  // The same words as for what is not listed: what else this machine has is nobody's business.
  if (real === null) throw refused;
  if (/[,"\n\r]/.test(real))
    throw invalid(`mounts: ${shown} has a comma, a quote or a line break in its path`);
  const entries: { real: string; readOnly: boolean }[] = [];
  for (const entry of listed) {
    const readOnly = entry.endsWith(':ro');
    const path = await realpath(readOnly ? entry.slice(0, -3) : entry).catch(() => null);
    if (path !== null && lies(real, path)) entries.push({ real: path, readOnly });
  }
  if (entries.length === 0) throw refused;
  if (await holdsSocket(real, runtime))
    throw notAllowed(`${shown} is or holds the container runtime's own socket`);
  return { type: 'bind', source: real, target, readOnly: read_only || entries.some((each) => each.readOnly) };
}

/** Whether `path` is `folder` or lies in it. */
export function lies(path: string, folder: string): boolean {
  return path === folder || path.startsWith(folder.endsWith('/') ? folder : `${folder}/`);
}

async function holdsSocket(source: string, runtime: ContainerRuntime): Promise<boolean> {
  const found = await stat(source);
  for (const socket of socketPaths(runtime)) {
    const real = await realpath(socket).catch(() => socket);
    if (lies(real, source)) return true;
    const its = await stat(real).catch(() => null);
    // The same one under another name: a hard link, a mount.
    if (its !== null && its.dev === found.dev && its.ino === found.ino) return true;
  }
  return false;
}

function socketPaths({ kind }: ContainerRuntime): string[] {
  const { DOCKER_HOST, CONTAINER_HOST, XDG_RUNTIME_DIR } = process.env;
  const own = kind === 'docker' ? DOCKER_HOST : CONTAINER_HOST;
  return [
    '/var/run/docker.sock',
    '/run/podman/podman.sock',
    '/run/containerd/containerd.sock',
    '/run/crio/crio.sock',
    ...(own?.startsWith('unix://') ? [own.slice('unix://'.length)] : []),
    ...(XDG_RUNTIME_DIR === undefined
      ? []
      : [join(XDG_RUNTIME_DIR, 'docker.sock'), join(XDG_RUNTIME_DIR, 'podman/podman.sock')]),
  ];
}
