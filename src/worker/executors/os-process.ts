import { execa } from 'execa';
import { atMost } from '../at-most.ts';
import { outputBytesMax } from '../storable.ts';
import { HeadCapture, TailCapture } from './capture.ts';
import type { ExecutionContext } from './executor.ts';
import { endGroup, isGoneWithin, watchGroup } from './process-group.ts';

export interface Program {
  file: string;
  args: string[];
  env: Record<string, string>;
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
    }
  /** The operating system did not start it; `code` is its errno. */
  | { kind: 'not_started'; code: string; message: string };

const stderrBytesMax = 65_536;

/** How long a program's children may go on, or hold its stdout open, after the program itself has ended. */
const leftoversMs = 2_000;

/** How long to read on what is still in the pipes of a group whose members are all gone. */
const drainPipesMs = 200;

/**
 * Runs a program as leader of its own process group, with no stdin and no shell, until the whole group is gone.
 *
 * Both outputs are always read, so that the program never stalls on a full pipe, and kept within bounds. An
 * aborted signal ends the group: SIGTERM, `killGraceMs`, SIGKILL. So do two seconds after the leader's end:
 * what an attempt leaves running would meet its own next attempt.
 */
export async function runOsProcess(
  { file, args, env }: Program,
  { signal, killGraceMs }: Pick<ExecutionContext, 'signal' | 'killGraceMs'>,
): Promise<OsProcessEnd> {
  let subprocess: ReturnType<typeof spawn>;
  try {
    subprocess = spawn({ file, args, env });
  } catch (error) {
    // Arguments that no program can be given.
    return { kind: 'not_started', code: '', message: (error as Error).message };
  }
  const group = subprocess.pid;
  if (group === undefined) {
    const { code, shortMessage, originalMessage } = await subprocess;
    return { kind: 'not_started', code: code ?? '', message: originalMessage ?? shortMessage ?? '' };
  }
  const unwatch = watchGroup(group);

  const stdout = new HeadCapture(outputBytesMax);
  const stderr = new TailCapture(stderrBytesMax);
  subprocess.stdout.on('data', (chunk: Buffer) => stdout.add(chunk));
  subprocess.stderr.on('data', (chunk: Buffer) => stderr.add(chunk));
  // A pipe that breaks is destroyed; what was read until then is kept.
  subprocess.stdout.on('error', () => {});
  subprocess.stderr.on('error', () => {});

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
  const aborted = new Promise<void>((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });

  await Promise.race([exited, aborted]);
  const leftoversUntil = performance.now() + leftoversMs;
  // From here on an aborted signal makes each wait end at once.
  await atMost(leftoversMs, Promise.race([closed, aborted]));
  const gone = await isGoneWithin(group, leftoversUntil - performance.now(), signal);
  if (!gone) await endGroup(group, killGraceMs);
  await atMost(drainPipesMs, closed);
  unwatch();
  // A child that left the group may hold the pipes open for as long as it likes.
  subprocess.stdout.destroy();
  subprocess.stderr.destroy();
  return { kind: 'ended', exitCode, exitSignal, stdout: stdout.text(), stderr: stderr.text(), stopped };
}

function spawn({ file, args, env }: Program) {
  return execa(file, args, {
    env,
    extendEnv: false,
    shell: false,
    detached: true,
    cleanup: false,
    stdin: 'ignore',
    stdout: 'pipe',
    stderr: 'pipe',
    buffer: false,
    reject: false,
  });
}
