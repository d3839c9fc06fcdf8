/**
 * What a task runs; a task without a spec waits for whoever claims it.
 *
 * A spec is stored, and shown, as it was written. Where references to secrets may stand (`${{ secrets.NAME }}`) the
 * type is `Text`: a string in what is stored and in what an executor gets, `SecretText` in between, on the way from
 * whoever serves a claim to the worker that resolves them. So what a secret's value, or any other value, happens to
 * say is never taken for a reference.
 */
import { type SecretText, toSecretText } from './secret-text.ts';

export type Spec<Text = string> = CommandSpec<Text> | ScriptSpec<Text> | ContainerSpec<Text> | HandlerSpec;

export interface HandlerSpec {
  type: 'handler';
  handler: string;
}

/** A spec as it stands flat beside the rest of a task. */
export type Work<Text = string> = { type: Spec['type'] | null } & Partial<
  Omit<CommandSpec<Text>, 'type'> &
    Omit<ScriptSpec<Text>, 'type'> &
    Omit<ContainerSpec<Text>, 'type'> &
    Omit<HandlerSpec, 'type'>
>;

export interface CommandSpec<Text = string> {
  type: 'command';
  command: string;
  args: Text[];
  env?: Record<string, Text>;
  stdin?: string;
}

export interface ScriptSpec<Text = string> {
  type: 'run';
  run: string;
  env?: Record<string, Text>;
  stdin?: string;
}

/** What a container runs: the task's own, or a part of it that runs before, after or beside. */
export interface ContainerPart<Text = string> {
  image: string;
  /** Arguments of the image's entrypoint. */
  cmd?: Text[];
  /** In place of the image's. */
  entrypoint?: Text[];
  /** A script for the image's `/bin/sh -e`, in place of both. */
  run?: string;
  env?: Record<string, Text>;
  /** Name → content; they lie in the working directory. A name may be an absolute path. */
  files?: Record<string, string>;
  workdir?: string;
  /** `uid`, `uid:gid` or names that the image knows. */
  user?: string;
}

export interface ContainerSpec<Text = string> extends ContainerPart<Text> {
  type: 'container';
  stdin?: string;
  /** Absolute paths, empty at first, that pre, main and post share. */
  volumes?: string[];
  mounts?: Mount[];
  networks?: string[];
  limits?: Limits;
  /** `all`, a count, or what the runtime's `--gpus` takes. */
  gpus?: string | number;
  registry?: { username: Text; password: Text };
  pull?: 'missing' | 'always' | 'never';
  pre?: NamedPart<Text>[];
  post?: NamedPart<Text>[];
  sidecars?: Sidecar<Text>[];
}

/** Before or after the task's own container, one after the other. */
export interface NamedPart<Text = string> extends ContainerPart<Text> {
  name?: string;
  /** A duration. */
  timeout?: string;
}

/** Beside all the others, which reach it by its name. */
export interface Sidecar<Text = string> extends ContainerPart<Text> {
  name: string;
  probe?: Probe;
}

/** When a sidecar is ready: a command in it that exits with 0, or an HTTP answer below 400. */
export interface Probe {
  cmd?: string[];
  port?: number;
  path?: string;
  /** Durations. */
  interval?: string;
  timeout?: string;
}

export type Mount =
  | { type: 'bind'; source: string; target: string; read_only?: boolean }
  | { type: 'tmpfs'; target: string; size?: string };

export interface Limits {
  /** Of one core's time; 0.5 is half a core. */
  cpus?: number;
  /** Bytes, as `512m` or `2g`. */
  memory?: string;
  /** Processes and threads at once. */
  pids?: number;
}

/** The keys of each type in the order in which people see them. Postgres keeps them in one of its own. */
const keysOfType: Record<Spec['type'], readonly string[]> = {
  command: ['command', 'args', 'env', 'stdin'],
  run: ['run', 'env', 'stdin'],
  handler: ['handler'],
  container: [
    'image',
    'entrypoint',
    'cmd',
    'run',
    'env',
    'stdin',
    'files',
    'workdir',
    'user',
    'volumes',
    'mounts',
    'networks',
    'limits',
    'gpus',
    'registry',
    'pull',
    'pre',
    'post',
    'sidecars',
  ],
};

export const specTypes = ['command', 'run', 'handler', 'container'] as const;

type WorkKey = Exclude<keyof Work, 'type'>;

/** Every key that says what a task runs, but `type`. */
export const workKeys = [...new Set(specTypes.flatMap((type) => keysOfType[type]))] as WorkKey[];

/** What a task runs, of what stands flat beside it. */
export function pickWork<Text>(from: Work<Text>): Work<Text> {
  const known = workKeys.filter((key) => from[key] !== undefined).map((key) => [key, from[key]]);
  return { type: from.type, ...Object.fromEntries(known) };
}

/** A spec with its keys in order; of a type that we do not know, as it is: whoever cannot run it says so. */
export function readSpec<Text = string>(stored: Spec<Text> | null): Spec<Text> | null {
  if (stored === null || !Object.hasOwn(keysOfType, stored.type)) return stored;
  const given = stored as unknown as Record<string, unknown>;
  const known = keysOfType[stored.type].filter((key) => given[key] !== undefined && given[key] !== null);
  return Object.fromEntries([['type', stored.type], ...known.map((key) => [key, given[key]])]);
}

/** The spec for a worker: each text that holds references to secrets taken apart, once. */
export function referSecrets(spec: Spec | null): Spec<SecretText> | null {
  return spec === null ? null : mapTexts(spec, (text) => toSecretText(text));
}

/**
 * The same spec with each text in which secrets and expressions may stand changed by `change`, which is told where it
 * stands: `env.NAME`, `args[2]`, `pre[0].cmd[1]`.
 */
export function mapTexts<From, To>(spec: Spec<From>, change: Change<From, To>): Spec<To> {
  switch (spec.type) {
    case 'command':
      return {
        ...spec,
        args: mapList(spec.args, 'args', change),
        ...mapEnv(spec, '', change),
      } as CommandSpec<To>;
    case 'run':
      return { ...spec, ...mapEnv(spec, '', change) } as ScriptSpec<To>;
    case 'container': {
      const { registry, pre, post, sidecars } = spec;
      const mapParts = <Part extends ContainerPart<From>>(parts: Part[], name: string) =>
        parts.map((part, index): Omit<Part, keyof MappedPart<To>> & MappedPart<To> => ({
          ...part,
          ...mapPart(part, `${name}[${index}].`, change),
        }));
      return {
        ...spec,
        ...mapPart(spec, '', change),
        ...(registry && {
          registry: {
            username: change(registry.username, 'registry.username'),
            password: change(registry.password, 'registry.password'),
          },
        }),
        ...(pre && { pre: mapParts(pre, 'pre') }),
        ...(post && { post: mapParts(post, 'post') }),
        ...(sidecars && { sidecars: mapParts(sidecars, 'sidecars') }),
      } as ContainerSpec<To>;
    }
    default:
      return spec;
  }
}

type Change<From, To> = (text: From, place: string) => To;
type MappedPart<To> = Pick<ContainerPart<To>, 'cmd' | 'entrypoint' | 'env'>;

function mapPart<From, To>(part: ContainerPart<From>, at: string, change: Change<From, To>): MappedPart<To> {
  return {
    ...(part.cmd && { cmd: mapList(part.cmd, `${at}cmd`, change) }),
    ...(part.entrypoint && { entrypoint: mapList(part.entrypoint, `${at}entrypoint`, change) }),
    ...mapEnv(part, at, change),
  };
}

function mapList<From, To>(texts: From[], at: string, change: Change<From, To>): To[] {
  return texts.map((text, index) => change(text, `${at}[${index}]`));
}

function mapEnv<From, To>(
  { env }: { env?: Record<string, From> | undefined },
  at: string,
  change: Change<From, To>,
): { env?: Record<string, To> } {
  if (env === undefined) return {};
  return {
    env: Object.fromEntries(
      Object.entries(env).map(([name, value]) => [name, change(value, `${at}env.${name}`)]),
    ),
  };
}
