import { execa } from 'execa';
import { atMost } from '../at-most.ts';
import { outputBytesMax } from '../storable.ts';
import { HeadCapture, TailCapture } from './capture.ts';
import type { ExecutionContext, Usage } from './executor.ts';
import {
  endStarted,
  isGoneWithin,
  isGroupGoneWithin,
  unwatchStarted,
  watchStarted,
} from './processes/started.ts';
import { endStraysLater } from './processes/strays.ts';
import { watchUsage } from './processes/usage.ts';
import { readStream } from './read-stream.ts';

export interface Program {
  file: string;
  /** What it is told that it is called; `file` if left out. */
  argv0?: string | undefined;
  args: string[];
  env: Record<string, string>;
  cwd?: string | undefined;
  /** Nothing to read if left out. */
  stdin?: string | undefined;
  runAs?: { uid: number; gid: number } | null;
  /** The attempt's folder, which `env` carries as `SKIPJACK_OUTPUT`: by it what it starts is found. */
  folder: string;
  /** Called once it runs, with the process group that it leads. */
  onStart?: (group: number) => void;
}

export type OsProcessEnd =
  | {
      kind: 'ended';
      /** Null when a signal ended it. */
      exitCode: number | null;
      exitSignal: string | null;
      stdout: string;
      stderr: string;
      /** We asked it to stop before it ended by itself. */
      stopped: boolean;
      usage: Usage;
    }
  /** The operating system did not start it; `code` is its errno. */
  | { kind: 'not_started'; code: string; message: string };

/** With the exit code beside it, within the 64 KiB of an error's details. */
const stderrBytesMax = 64_512;

/** How long a program's children may go on, or hold its stdout open, after the program itself has ended. */
const leftoversMs = 2_000;

/** How long to read on what is still in the pipes of a group whose members are all gone. */
const drainPipesMs = 200;

/** After a program that was quicker nobody looks for children that have left its group; that is done for many at once. */
const quickMs = 1_000;

/**
 * Runs a program as leader of its own process group, with no shell, until the whole group is gone.
 *
 * Both outputs are read to the end, masked before anything else sees them, kept within bounds, and logged. A program
 * stalls on its pipe only while the server takes its lines slower than it writes them. An aborted signal ends all that it started: SIGTERM, `killGraceMs`, SIGKILL.
 * So do two seconds after the leader's end: what an attempt leaves running would meet its own next attempt.
 */
export async function runOsProcess(
  program: Program,
  { signal, killGraceMs, log, mask }: Pick<ExecutionContext, 'signal' | 'killGraceMs' | 'log' | 'mask'>,
): Promise<OsProcessEnd> {
  let subprocess: ReturnType<typeof spawn>;
  try {
    subprocess = spawn(program);
  } catch (error) {
    // Arguments that no program can be given.
    return { kind: 'not_started', code: '', message: (error as Error).message };
  }
  const group = subprocess.pid;
  if (group === undefined) {
    const { code, shortMessage, originalMessage } = await subprocess;
    return { kind: 'not_started', code: code ?? '', message: originalMessage ?? shortMessage ?? '' };
  }
  const startedMs = performance.now();
  const started = { group, folder: program.folder };
  watchStarted(started);
  const usage = watchUsage(group);
  let used: Usage = {};
  const stdout = new HeadCapture(outputBytesMax);
  const stderr = new TailCapture(stderrBytesMax);
  const readers = [
    readStream(subprocess.stdout, { capture: stdout, log: log.open('stdout'), mask }),
    readStream(subprocess.stderr, { capture: stderr, log: log.open('stderr'), mask }),
  ];
  if (subprocess.stdin !== null) {
    // EPIPE: a program need not read what it is given.
    subprocess.stdin.on('error', () => {});
    subprocess.stdin.end(program.stdin);
  }

  let exitCode: number | null = null;
  let exitSignal: string | null = null;
  let stopped = true;
  const exited = new Promise<void>((resolve) => {
    subprocess.once('exit', (code, name) => {
      [exitCode, exitSignal, stopped] = [code, name, signal.aborted];
      resolve();
    });
  });
  const closed = new Promise<void>((resolve) => subprocess.once('close', () => resolve()));
  const abort = whenAborted(signal);
  let mayHaveStrays = false;
  try {
    program.onStart?.(group);
    await Promise.race([exited, abort.aborted]);
    for (const reader of readers) reader.hurry();
    const isQuick = performance.now() - startedMs < quickMs;
    const leftoversUntil = performance.now() + leftoversMs;
    // From here on an aborted signal makes each wait end at once.
    const quiet = await atMost(leftoversMs, Promise.race([closed, abort.aborted]));
    const leftMs = () => leftoversUntil - performance.now();
    let gone = await isGroupGoneWithin(group, leftMs(), signal);
    mayHaveStrays = gone && isQuick && quiet && !signal.aborted;
    if (gone && !mayHaveStrays) gone = await isGoneWithin(started, leftMs(), signal);
    if (!gone) await endStarted(started, killGraceMs);
    await atMost(drainPipesMs, closed);
  } finally {
    abort.forget();
    used = usage.stop();
    unwatchStarted(started);
    if (mayHaveStrays) endStraysLater(program.folder);
    // A child that nobody found may hold the pipes open for as long as it likes.
    subprocess.stdout.destroy();
    subprocess.stderr.destroy();
    for (const reader of readers) reader.end();
  }
  return {
    kind: 'ended',
    exitCode,
    exitSignal,
    stdout: stdout.text(),
    stderr: stderr.text(),
    stopped,
    usage: used,
  };
}

function spawn({ file, argv0, args, env, cwd, stdin, runAs }: Program) {
  return execa(file, args, {
    env,
    extendEnv: false,
    shell: false,
    detached: true,
    cleanup: false,
    stdin: stdin === undefined ? 'ignore' : 'pipe',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
    ...(argv0 === undefined ? {} : { argv0 }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(runAs ? { uid: runAs.uid, gid: runAs.gid } : {}),
  });
}

function whenAborted(signal: AbortSignal): { aborted: Promise<void>; forget: () => void } {
  let forget = () => {};
  const aborted = new Promise<void>((resolve) => {
    const onAbort = () => resolve();
    if (signal.aborted) return resolve();
    signal.addEventListener('abort', onAbort, { once: true });
    forget = () => signal.removeEventListener('abort', onAbort);
  });
  return { aborted, forget: () => forget() };
}
