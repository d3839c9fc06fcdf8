import { setTimeout as pause } from 'node:timers/promises';
import { lastLine } from '../last-line.ts';
import type { Attempt } from './attempt.ts';
import { ContainerFailure, runtimeFailure, saidBy } from './errors.ts';
import type { Container } from './part.ts';
import type { Figures } from './usage.ts';

interface State {
  ExitCode: number;
  OOMKilled: boolean;
  Error?: string;
  StartedAt: string;
}

/** docker hears of memory running out and of the end of a container on two ways. */
const oomLateMs = 150;

/** Of its memory: what a container that is killed there has died of. */
const nearlyAll = 0.95;

// In the words of runc and of crun; their exit codes, 127 and 126, stand for other troubles too.
const notFound = /executable file.* not found|exec: .*no such file or directory/i;
const notExecutable =
  /exec: .*(permission denied|is a directory)|exec format error|open executable: permission denied/i;

const cannotFork = /fork.*resource temporarily unavailable/i;

/** Why a container that ended by itself did not end well. */
export async function howItEnded(
  attempt: Attempt,
  container: Container,
  seen: { exitCode: number; stdout: string; stderr: string; figures: Figures },
): Promise<ContainerFailure> {
  let state = await readState(attempt, container);
  if (state instanceof ContainerFailure) return state;
  if (state.StartedAt.startsWith('0001-')) return neverStarted(attempt, container, state, seen);
  if (state.ExitCode === 137 && !state.OOMKilled) {
    await pause(oomLateMs);
    const again = await readState(attempt, container);
    if (!(again instanceof ContainerFailure)) state = again;
  }
  const exitCode = state.ExitCode === 0 ? seen.exitCode : state.ExitCode;
  const details = { exit_code: exitCode, stderr: seen.stderr };
  const { memoryBytes, pids } = attempt.allowed.limits;
  const failure = (code: string, message: string) =>
    new ContainerFailure(code, message, { details, exitCode });
  if (state.OOMKilled || isOutOfMemory(exitCode, seen.figures, memoryBytes)) {
    const limit =
      memoryBytes === null ? 'the machine had no memory left' : `its limit is ${memoryBytes} bytes`;
    return failure(
      'out_of_memory',
      `the container was killed because its memory ran out: ${limit}; ask for more in limits.memory`,
    );
  }
  // One that ends at once when it cannot fork may be gone before anybody has looked at its figures.
  if (seen.figures.pidsRefused > 0 || (pids !== null && cannotFork.test(lastLine(seen.stderr)))) {
    return failure(
      'pids_limit',
      `the container exited with code ${exitCode} after it had reached its limit of ${pids} processes; ask for more in limits.pids`,
    );
  }
  if (exitCode === 137) {
    return failure(
      'killed',
      'the container was killed (SIGKILL), neither for its memory nor by this worker: by itself, or by somebody on its machine',
    );
  }
  const how = `the container exited with code ${exitCode}`;
  const last = lastLine(seen.stderr);
  return failure('exit_code', last === '' ? how : `${how}: ${last}`);
}

/** Podman on version 1 of control groups does not say so itself. */
function isOutOfMemory(
  exitCode: number,
  { isOutOfMemory, memoryPeakBytes = 0 }: Figures,
  memoryBytes: number | null,
): boolean {
  if (isOutOfMemory) return true;
  return exitCode === 137 && memoryBytes !== null && memoryPeakBytes >= memoryBytes * nearlyAll;
}

async function readState({ runtime }: Attempt, { name }: Container): Promise<State | ContainerFailure> {
  const end = await runtime.run(['container', 'inspect', '--format={{json .State}}', name]);
  if (end.kind === 'exited' && end.exitCode === 0) return JSON.parse(end.stdout) as State;
  if (end.kind === 'exited' && /no such (container|object)|no container with/i.test(end.stderr)) {
    return new ContainerFailure(
      'killed',
      'the container was removed while it ran, by somebody on its machine',
    );
  }
  return runtimeFailure(runtime, 'looking at the ended container', end);
}

function neverStarted(
  { runtime, context }: Attempt,
  { part }: Container,
  state: State,
  seen: { exitCode: number; stderr: string },
): ContainerFailure {
  // Hidden before it is cut.
  const said = saidBy(context.mask.text(state.Error || seen.stderr));
  const program = part.run === undefined ? (part.entrypoint?.[0] ?? part.cmd?.[0]) : '/bin/sh';
  const shown = program === undefined ? 'its program' : JSON.stringify(program);
  const where = `in the image ${part.image}`;
  if (notFound.test(said)) {
    return new ContainerFailure('container_command_not_found', `${shown} was not found ${where}: ${said}`, {
      details: { exit_code: 127 },
    });
  }
  if (notExecutable.test(said)) {
    return new ContainerFailure(
      'container_not_executable',
      `${shown} cannot be executed ${where}: ${said}. Is it a program, for this machine, with the right to execute?`,
      { details: { exit_code: 126 } },
    );
  }
  if (state.Error || state.ExitCode !== 0)
    return new ContainerFailure('container_failed_to_start', `the container could not be started: ${said}`);
  return runtimeFailure(runtime, 'starting the container', {
    kind: 'exited',
    exitCode: seen.exitCode,
    stdout: '',
    stderr: seen.stderr,
  });
}
