import { stripVTControlCharacters } from 'node:util';
import type { ClaimedTask } from '../../core/task-source.ts';
import { storableMessage } from '../storable.ts';
import { programEnvironment } from './environment.ts';
import {
  type ExchangeFolder,
  makeExchangeFolder,
  readOutputFile,
  removeExchangeFolder,
} from './exchange-folder.ts';
import type { Ending, ExecutionContext } from './executor.ts';
import { type OsProcessEnd, runOsProcess } from './os-process.ts';

/**
 * Runs a task's program: what commands and scripts have in common.
 *
 * The program finds its input in the file `$SKIPJACK_INPUT`. Its output is the JSON that it wrote to the file
 * `$SKIPJACK_OUTPUT`, else its stdout. Exit code 0 is success, anything else a failure.
 */
export async function runProgram(
  task: ClaimedTask,
  context: ExecutionContext,
  {
    env = {},
    prepare,
  }: {
    env?: Record<string, string> | undefined;
    /** Names the program; may put files into the folder for it. */
    prepare: (folder: ExchangeFolder) => Promise<{ file: string; args: string[] }>;
  },
): Promise<Ending> {
  const folder = await makeExchangeFolder(task);
  try {
    const program = await prepare(folder);
    const end = await runOsProcess(
      {
        ...program,
        env: programEnvironment(env, {
          SKIPJACK_INPUT: folder.inputPath,
          SKIPJACK_OUTPUT: folder.outputPath,
          SKIPJACK_TASK_ID: task.id,
          SKIPJACK_TASK_NAME: task.name,
          SKIPJACK_ATTEMPT: String(task.attempt),
          ...(task.process === null ? {} : { SKIPJACK_PROCESS_ID: task.process.id }),
        }),
      },
      context,
    );
    if (end.kind === 'not_started') return notStarted(program.file, end);
    if (end.stopped) return { kind: 'stopped', output: end.stdout, exitCode: end.exitCode };
    if (end.exitCode !== 0) return exitedWithFailure(end);
    const written = await readOutputFile(folder);
    if (written === undefined) return { kind: 'completed', output: end.stdout, exitCode: 0 };
    if (written.ok) return { kind: 'completed', output: written.value, exitCode: 0 };
    const { code, message } = written;
    return { kind: 'failed', error: { code, message }, output: end.stdout, exitCode: 0 };
  } finally {
    await removeExchangeFolder(folder);
  }
}

function exitedWithFailure({
  exitCode,
  exitSignal,
  stdout,
  stderr,
}: Extract<OsProcessEnd, { kind: 'ended' }>): Ending {
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

const lastLineLengthMax = 300;

function lastLine(text: string): string {
  const line =
    stripVTControlCharacters(text)
      .trimEnd()
      .split(/[\n\r]/)
      .at(-1)
      ?.trim() ?? '';
  return line.length > lastLineLengthMax ? `${line.slice(0, lastLineLengthMax).toWellFormed()}…` : line;
}

function notStarted(file: string, { code, message }: { code: string; message: string }): Ending {
  const shown = JSON.stringify(storableMessage(file));
  if (code === 'ENOENT') {
    return failed(
      'command_not_found',
      `there is no command ${shown} where this worker runs; check its PATH, or the first line of a script`,
    );
  }
  if (code === 'EACCES' || code === 'ENOEXEC') {
    return failed('not_executable', `${shown} is not a program that this worker may execute (${code})`);
  }
  return failed('command_spawn_failed', `${shown} could not be started: ${storableMessage(message)}`);
}

function failed(code: string, message: string): Ending {
  return { kind: 'failed', error: { code, message }, exitCode: null };
}
