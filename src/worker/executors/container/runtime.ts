/**
 * The container runtime as its command line: docker's and podman's are the same for what we use of them, and work with
 * whatever daemon the machine's owner has set up (contexts, TLS, ssh, rootless).
 */
import { execa } from 'execa';
import type { Mask } from '../../secrets/mask.ts';
import { watchGroup } from '../process-group.ts';

export interface ContainerRuntime {
  kind: 'docker' | 'podman';
  /** The name or path of the command line. */
  file: string;
  /** Runs one command to its end. Never rejects. */
  run(args: string[], options?: RunOptions): Promise<CliEnd>;
  /** Starts a command whose streams the caller reads. */
  start(args: string[], options?: StartOptions): CliProcess;
}

export interface StartOptions {
  /** For the command line's own environment, so that no value stands where `ps` shows it. */
  env?: Record<string, string>;
  /** Its stdin; nothing if left out. */
  input?: string | Buffer;
}

export interface RunOptions extends StartOptions {
  /** Killed after this. 30 s if left out. */
  timeoutMs?: number;
  /** Killed when aborted. */
  signal?: AbortSignal;
}

export type CliEnd =
  | { kind: 'exited'; exitCode: number; stdout: string; stderr: string }
  | { kind: 'not_started'; message: string }
  | { kind: 'timed_out' | 'aborted' };

export type CliExit = { kind: 'exited'; exitCode: number } | { kind: 'not_started'; message: string };

export interface CliProcess {
  stdout: NodeJS.ReadableStream;
  stderr: NodeJS.ReadableStream;
  /** Resolves when it has ended and its streams are read. */
  ended: Promise<CliExit>;
  /** SIGKILL: the command lines pass other signals on to the container. */
  kill(): void;
}

/** What a command line may read of the worker's environment; database URLs and keys stay with the worker. */
const passedOn =
  /^(PATH|HOME|USER|LANG|TMPDIR|XDG_(RUNTIME_DIR|CONFIG_HOME|DATA_HOME)|DOCKER_(HOST|CONTEXT|CONFIG|TLS|TLS_VERIFY|CERT_PATH|API_VERSION)|CONTAINER_(HOST|CONNECTION|SSHKEY)|CONTAINERS_\w+|SSH_AUTH_SOCK|DBUS_SESSION_BUS_ADDRESS)$/;

/** Of what a command may say before we stop listening to it. */
const outputBytesMax = 8 * 1024 * 1024;

const runTimeoutMs = 30_000;

/**
 * The runtime to use: the one named, also when its daemon does not answer now (its tasks then say so), or the first of
 * docker and podman that answers. Null: there is none.
 */
export async function findRuntime(wanted: string | null): Promise<ContainerRuntime | null> {
  for (const file of wanted === null ? ['docker', 'podman'] : [wanted]) {
    const version = await runtimeOf('docker', file).run(['--version'], { timeoutMs: 5_000 });
    const kind = version.kind === 'exited' && /podman/i.test(version.stdout) ? 'podman' : 'docker';
    const runtime = runtimeOf(kind, file);
    if (wanted !== null) return runtime;
    if (version.kind === 'exited' && version.exitCode === 0 && (await answers(runtime))) return runtime;
  }
  return null;
}

/** Whether the daemon answers; podman has none, and then whether it can work at all. */
export async function answers(runtime: ContainerRuntime): Promise<boolean> {
  const end = await runtime.run(['ps', '--quiet', '--last=1'], { timeoutMs: 10_000 });
  return end.kind === 'exited' && end.exitCode === 0;
}

/**
 * The same runtime, with the values of secrets hidden in what it complains of. At once: sentences are made of it that
 * are cut, and no mask finds half a secret.
 */
export function withMask(runtime: ContainerRuntime, mask: Pick<Mask, 'text'>): ContainerRuntime {
  return {
    ...runtime,
    async run(args, options) {
      const end = await runtime.run(args, options);
      return end.kind === 'exited' ? { ...end, stderr: mask.text(end.stderr) } : end;
    },
  };
}

function runtimeOf(kind: ContainerRuntime['kind'], file: string): ContainerRuntime {
  const start = (args: string[], options: StartOptions = {}) => startCli(file, args, options);
  return { kind, file, start, run: (args, options = {}) => runCli(start(args, options), options) };
}

function startCli(file: string, args: string[], { env = {}, input }: StartOptions): CliProcess {
  const subprocess = execa(file, args, {
    env: { ...cliEnvironment(process.env), ...env },
    extendEnv: false,
    // A group of its own: Ctrl-C is for the worker, whose drain decides what containers hear of it.
    detached: true,
    cleanup: false,
    stdin: input === undefined ? 'ignore' : 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
  });
  const group = subprocess.pid;
  const unwatch = group === undefined ? () => {} : watchGroup(group);
  for (const stream of [subprocess.stdout, subprocess.stderr]) stream.on('error', () => {});
  // A program may end without reading what it is given.
  subprocess.stdin?.on('error', () => {});
  if (input !== undefined) subprocess.stdin?.end(input);
  const ended = subprocess.then((result): CliExit => {
    unwatch();
    if (group === undefined)
      return { kind: 'not_started', message: result.originalMessage ?? `cannot run ${file}` };
    return { kind: 'exited', exitCode: result.exitCode ?? 255 };
  });
  const kill = () => {
    try {
      if (group !== undefined) process.kill(-group, 'SIGKILL');
    } catch {
      // It has ended.
    }
  };
  return { stdout: subprocess.stdout, stderr: subprocess.stderr, ended, kill };
}

async function runCli(cli: CliProcess, { timeoutMs = runTimeoutMs, signal }: RunOptions): Promise<CliEnd> {
  let why: 'timed_out' | 'aborted' | null = null;
  const giveUp = (reason: 'timed_out' | 'aborted') => {
    why ??= reason;
    cli.kill();
  };
  const timer = setTimeout(giveUp, timeoutMs, 'timed_out');
  const onAbort = () => giveUp('aborted');
  if (signal?.aborted) onAbort();
  signal?.addEventListener('abort', onAbort, { once: true });
  const [stdout, stderr] = [gather(cli.stdout), gather(cli.stderr)];
  const end = await cli.ended;
  clearTimeout(timer);
  signal?.removeEventListener('abort', onAbort);
  if (why !== null) return { kind: why };
  if (end.kind === 'not_started') return end;
  return { ...end, stdout: stdout(), stderr: stderr() };
}

/** Everything a stream says, within a bound. */
function gather(stream: NodeJS.ReadableStream): () => string {
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => {
    if (bytes < outputBytesMax) chunks.push(chunk);
    bytes += chunk.length;
  });
  return () => Buffer.concat(chunks).toString('utf8');
}

function cliEnvironment(worker: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    Object.entries(worker).filter(
      (each): each is [string, string] => each[1] !== undefined && passedOn.test(each[0]),
    ),
  );
}
