import { access } from 'node:fs/promises';
import { writeOwner } from '../leftovers/owner.ts';
import type { CommandPolicy } from '../policy.ts';
import { storableMessage } from '../storable.ts';
import { programEnvironment } from './environment.ts';
import {
  type ExchangeFolder,
  makeExchangeFolder,
  readOutputFile,
  removeExchangeFolder,
} from './exchange-folder.ts';
import type { Ending, ExecutionContext, RunnableTask } from './executor.ts';
import { lastLine } from './last-line.ts';
import { type OsProcessEnd, runOsProcess } from './os-process.ts';
import { watchProgress } from './progress.ts';
import type { RunAs } from './run-as.ts';

export interface ProgramRequest {
  env?: Record<string, string> | undefined;
  stdin?: string | undefined;
  /** Text of a script to lie in the folder. */
  script?: string | undefined;
  /** Names the program. */
  program: (folder: ExchangeFolder) => { file: string; argv0?: string; args: string[] };
}

/**
 * Runs a task's program: what commands and scripts have in common.
 *
 * The program finds its input in the file `$SKIPJACK_INPUT`. Its output is the JSON that it wrote to the file
 * `$SKIPJACK_OUTPUT`, else its stdout. Exit code 0 is success, anything else a failure. How far it is it may write to
 * the file `$SKIPJACK_PROGRESS`.
 */
export async function runProgram(
  task: RunnableTask,
  context: ExecutionContext,
  { policy, runAs }: { policy: CommandPolicy; runAs: RunAs | null },
  { env = {}, stdin, script, program }: ProgramRequest,
): Promise<Ending> {
  const folder = await makeExchangeFolder(task, { runAs, script });
  let endProgress = () => {};
  try {
    const { file, ...more } = program(folder);
    const end = await runOsProcess(
      {
        file,
        ...more,
        env: programEnvironment({
          policyNames: policy.env,
          user: runAs?.environment ?? {},
          own: env,
          skipjack: skipjackEnvironment(task, folder),
        }),
        cwd: policy.workdir ?? undefined,
        stdin,
        runAs,
        folder: folder.path,
        onStart: (group) => {
          writeOwner(folder.path, { task: task.id, group });
          endProgress = watchProgress(folder, context);
        },
      },
      context,
    );
    endProgress();
    if (end.kind === 'not_started') return await notStarted(file, end, { policy, runAs });
    return { ...(await endingOf(end, folder)), ...end.usage };
  } finally {
    endProgress();
    await removeExchangeFolder(folder);
  }
}

function skipjackEnvironment(task: RunnableTask, folder: ExchangeFolder): Record<string, string> {
  return {
    SKIPJACK_INPUT: folder.inputPath,
    SKIPJACK_OUTPUT: folder.outputPath,
    SKIPJACK_PROGRESS: folder.progressPath,
    SKIPJACK_TASK_ID: task.id,
    SKIPJACK_TASK_NAME: task.name,
    SKIPJACK_ATTEMPT: String(task.attempt),
    ...(task.process === null ? {} : { SKIPJACK_PROCESS_ID: task.process.id }),
  };
}

type Ended = Extract<OsProcessEnd, { kind: 'ended' }>;

async function endingOf(end: Ended, folder: ExchangeFolder): Promise<Ending> {
  if (end.stopped) return { kind: 'stopped', output: end.stdout, exitCode: end.exitCode };
  if (end.exitCode !== 0) return exitedWithFailure(end);
  const written = await readOutputFile(folder);
  if (written === undefined) return { kind: 'completed', output: end.stdout, exitCode: 0 };
  if (written.ok) return { kind: 'completed', output: written.value, exitCode: 0 };
  const { code, message } = written;
  return { kind: 'failed', error: { code, message }, output: end.stdout, exitCode: 0 };
}

function exitedWithFailure({ exitCode, exitSignal, stdout, stderr }: Ended): Ending {
  const how =
    exitSignal === null
      ? `the command exited with code ${exitCode}`
      : `the command was ended by ${exitSignal}`;
  const last = lastLine(stderr);
  return {
    kind: 'failed',
    error: {
      code: 'exit_code',
      message: last === '' ? how : `${how}: ${last}`,
      details: { exit_code: exitCode, ...(exitSignal === null ? {} : { signal: exitSignal }), stderr },
    },
    output: stdout,
    exitCode,
  };
}

async function notStarted(
  file: string,
  { code, message }: { code: string; message: string },
  { policy: { workdir }, runAs }: { policy: CommandPolicy; runAs: RunAs | null },
): Promise<Ending> {
  const shown = JSON.stringify(storableMessage(file));
  // The system says the same of a program and of a folder to run it in that are not there.
  if (workdir !== null && !(await isThere(workdir))) {
    const folder = JSON.stringify(storableMessage(workdir));
    return failed(
      'command_spawn_failed',
      `the folder ${folder}, in which this worker runs commands, is not there`,
    );
  }
  if (code === 'ENOENT') return commandNotFound(file);
  if (code === 'EACCES' || code === 'ENOEXEC') {
    const whom = runAs === null ? 'this worker' : `uid ${runAs.uid}`;
    return failed('not_executable', `${shown} is not a program that ${whom} may execute (${code})`);
  }
  return failed('command_spawn_failed', `${shown} could not be started: ${storableMessage(message)}`);
}

export function commandNotFound(file: string): Ending {
  const shown = JSON.stringify(storableMessage(file));
  return failed(
    'command_not_found',
    `there is no command ${shown} where this worker runs; check its PATH, or the first line of a script`,
  );
}

export function failed(code: string, message: string): Extract<Ending, { kind: 'failed' }> {
  return { kind: 'failed', error: { code, message }, exitCode: null };
}

async function isThere(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
