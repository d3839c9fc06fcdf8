/** A part of a task as the arguments of `create`. Pure; every value is one argument with its flag, so that none can pass for a flag. */
import type { ContainerPart } from '../../../core/spec.ts';
import type { Allowed } from './allowed.ts';
import type { CheckedMount } from './mounts.ts';

export interface CreateOptions {
  name: string;
  labels: Record<string, string>;
  limits: Allowed['limits'];
  capabilities: string[];
  /** The first is joined at birth; null: the runtime's default. */
  network: string | null;
  /** The part's name in that network. */
  alias: string | null;
  gpus: string | null;
  mounts: CheckedMount[];
  /** Name of a volume → where it is mounted. */
  volumes: [name: string, path: string][];
  /** Names whose values are in the command line's own environment. */
  envNames: string[];
  envFile: string | null;
  /** Whether something is written to its stdin. */
  withStdin: boolean;
}

/** Where a part finds its script. */
export const scriptPath = '/skipjack/script.sh';

export function createArguments(part: ContainerPart, options: CreateOptions): string[] {
  const { limits, network, alias, gpus, envFile } = options;
  const [entrypoint, ...args] = programOf(part);
  return [
    'create',
    `--name=${options.name}`,
    // The image has been looked for before; a pull in here could not be told from a hanging create.
    '--pull=never',
    ...Object.entries(options.labels).map(([name, value]) => `--label=${name}=${value}`),
    // Hardening, which neither task nor policy can take away.
    '--cap-drop=ALL',
    ...options.capabilities.map((capability) => `--cap-add=${capability}`),
    '--security-opt=no-new-privileges',
    '--ipc=private',
    '--cgroupns=private',
    // The runtime would keep all that it says on its disk, without a bound.
    '--log-driver=none',
    ...(limits.pids === null ? [] : [`--pids-limit=${limits.pids}`]),
    ...(limits.cpus === null ? [] : [`--cpus=${limits.cpus}`]),
    ...(limits.memoryBytes === null
      ? []
      : [`--memory=${limits.memoryBytes}`, `--memory-swap=${limits.memoryBytes}`]),
    ...(network === null ? [] : [`--network=${network}`]),
    ...(alias === null ? [] : [`--network-alias=${alias}`]),
    ...(gpus === null ? [] : [gpusArgument(gpus)]),
    ...options.mounts.map(mountArgument),
    ...options.volumes.map(([name, path]) => `--volume=${name}:${path}:nocopy`),
    ...(envFile === null ? [] : [`--env-file=${envFile}`]),
    ...options.envNames.map((name) => `--env=${name}`),
    ...(part.workdir === undefined ? [] : [`--workdir=${part.workdir}`]),
    ...(part.user === undefined ? [] : [`--user=${part.user}`]),
    ...(options.withStdin ? ['--interactive'] : []),
    ...(entrypoint === undefined ? [] : [`--entrypoint=${entrypoint}`]),
    part.image,
    ...args,
  ];
}

/** The entrypoint, undefined for the image's own, and its arguments. */
function programOf({ run, entrypoint, cmd = [] }: ContainerPart): [string | undefined, ...string[]] {
  if (run !== undefined) return ['/bin/sh', '-e', scriptPath];
  if (entrypoint === undefined) return [undefined, ...cmd];
  const [file = '', ...args] = entrypoint;
  return [file, ...args, ...cmd];
}

/** Quoted, for a list of devices has commas of its own: docker would take the second one for a count. */
function gpusArgument(gpus: string): string {
  return gpus.startsWith('device=') ? `--gpus="${gpus}"` : `--gpus=${gpus}`;
}

function mountArgument(mount: CheckedMount): string {
  if (mount.type === 'tmpfs')
    return `--mount=type=tmpfs,target=${mount.target},tmpfs-size=${mount.bytes},tmpfs-mode=1777`;
  return `--mount=type=bind,source=${mount.source},target=${mount.target}${mount.readOnly ? ',readonly' : ''}`;
}
