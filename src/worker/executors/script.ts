import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Executor } from './executor.ts';
import { runProgram } from './run-program.ts';

/**
 * Runs shell text, exactly as it was written: values reach it through its environment and `$SKIPJACK_INPUT`.
 *
 * As a file, not as an argument: Linux takes no argument above 128 KiB, and `ps` would show it to everybody.
 * With `-e`: a script whose first line fails has failed, also when its last line prints something.
 */
export const runScript: Executor = (task, context) => {
  if (task.spec?.type !== 'run') throw new TypeError(`not a script: ${task.spec?.type}`);
  const { run, env } = task.spec;
  return runProgram(task, context, {
    env,
    prepare: async (folder) => {
      const path = join(folder.path, 'script.sh');
      await writeFile(path, run, { mode: 0o600 });
      return { file: '/bin/sh', args: ['-e', path] };
    },
  });
};
