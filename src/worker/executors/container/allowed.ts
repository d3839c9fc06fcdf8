/**
 * What of a task's wishes its worker's policy grants. Pure; mounts, which need the file system, are in `mounts.ts`.
 */
import { parseBytes } from '../../../core/bytes.ts';
import type { ContainerSpec } from '../../../core/spec.ts';
import type { ContainerPolicy } from '../../policy.ts';
import { invalid, notAllowed } from './errors.ts';

export interface Allowed {
  limits: { cpus: number | null; memoryBytes: number | null; pids: number | null };
  /** Networks to join, of those that the policy lists. Empty: the runtime's default. */
  networks: string[];
  /** No network at all. */
  isolated: boolean;
  gpus: string | null;
}

/** @throws ContainerFailure `not_allowed` or `container_spec_invalid`. */
export function checkAllowed(spec: ContainerSpec, policy: ContainerPolicy): Allowed {
  for (const { image } of partsOf(spec)) checkImage(image, policy.images);
  return {
    limits: checkLimits(spec.limits ?? {}, policy.limits),
    ...checkNetworks(spec.networks ?? [], policy.networks),
    gpus: checkGpus(spec.gpus, policy.gpus),
  };
}

export function partsOf(spec: ContainerSpec) {
  return [spec, ...(spec.pre ?? []), ...(spec.post ?? []), ...(spec.sidecars ?? [])];
}

function checkImage(image: string, patterns: string[] | null): void {
  // An image that begins with a dash would be an option of the command line.
  if (!/^[a-z0-9][\w./:@-]*$/i.test(image) || image.length > 500)
    throw invalid(`${JSON.stringify(image)} is not the name of an image`);
  if (patterns === null || patterns.some((pattern) => matchesImage(pattern, image))) return;
  throw notAllowed(`this worker does not run the image ${image}`);
}

/** Whether the image is one of those that `pattern` means, as it was written or in full. */
export function matchesImage(pattern: string, image: string): boolean {
  const source = pattern
    .split('*')
    .map((text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  const whole = new RegExp(`^${source}$`);
  return whole.test(image) || (!mayBeId.test(image) && whole.test(fullName(image)));
}

/** By its id, or the beginning of it, the runtimes take any image that they have, whatever it is called. */
const mayBeId = /^(sha256:)?[0-9a-f]+$/i;

/** `busybox` → `docker.io/library/busybox:latest`. */
function fullName(image: string): string {
  const host = registryHost(image);
  const path = image.startsWith(`${host}/`) ? image.slice(host.length + 1) : image;
  const folder = host === 'docker.io' && !path.includes('/') ? 'library/' : '';
  const tag = /[:@][^/]*$/.test(path) ? '' : ':latest';
  return `${host}/${folder}${path}${tag}`;
}

/** The registry that an image comes from: the first part of its name if that looks like a host. */
export function registryHost(image: string): string {
  const first = image.includes('/') ? image.slice(0, image.indexOf('/')) : '';
  if (first === 'index.docker.io') return 'docker.io';
  return /[.:]/.test(first) || first === 'localhost' ? first : 'docker.io';
}

function checkLimits(
  asked: NonNullable<ContainerSpec['limits']>,
  most: ContainerPolicy['limits'],
): Allowed['limits'] {
  const memoryBytes = asked.memory === undefined ? undefined : parseBytes(asked.memory);
  if (memoryBytes === null) throw invalid(`limits.memory: ${JSON.stringify(asked.memory)} is not a size`);
  return {
    cpus: atMost('cpus', asked.cpus, most.cpus),
    memoryBytes: atMost('bytes of memory', memoryBytes, most.memoryBytes),
    pids: atMost('processes', asked.pids, most.pids),
  };
}

function atMost(what: string, asked: number | undefined, most: number | null): number | null {
  if (asked === undefined) return most;
  // To the runtimes 0 and less mean "no limit".
  if (!Number.isFinite(asked) || asked <= 0) throw invalid(`limits: ${asked} ${what} are no limit`);
  if (most !== null && asked > most)
    throw notAllowed(`the task asks for ${asked} ${what} and this worker gives ${most} at most`);
  return asked;
}

function checkNetworks(asked: string[], listed: string[]): Pick<Allowed, 'networks' | 'isolated'> {
  if (asked.includes('none')) {
    if (asked.length > 1) throw invalid('networks: "none" goes with no other network');
    return { networks: [], isolated: true };
  }
  for (const name of asked) {
    // Whatever the policy lists: these are the networks of the host and of other containers.
    const isShared = name === 'host' || !/^[a-z0-9][\w.-]*$/i.test(name);
    if (isShared || !listed.includes(name))
      throw notAllowed(`this worker does not let containers join the network ${JSON.stringify(name)}`);
  }
  return { networks: [...new Set(asked)], isolated: false };
}

function checkGpus(asked: string | number | undefined, allowed: boolean): string | null {
  if (asked === undefined || asked === 0) return null;
  if (!allowed) throw notAllowed('this worker gives no GPUs to containers');
  return String(asked);
}
