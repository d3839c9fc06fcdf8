import type { Executor } from './executor.ts';
import { runProgram } from './run-program.ts';

/** Runs a program with its arguments as they are: no shell reads them. */
export const runCommand: Executor = (task, context) => {
  if (task.spec?.type !== 'command') throw new TypeError(`not a command: ${task.spec?.type}`);
  const { command, args, env } = task.spec;
  return runProgram(task, context, { env, prepare: async () => ({ file: command, args }) });
};
