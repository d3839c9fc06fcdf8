import type { CommandPolicy } from '../policy.ts';
import { scriptPath } from './exchange-folder.ts';
import type { Executor } from './executor.ts';
import { readRunAs } from './run-as.ts';
import { failed, runProgram } from './run-program.ts';

/**
 * Runs shell text, exactly as it was written: values reach it through its environment and `$SKIPJACK_INPUT`.
 *
 * As a file, not as an argument: Linux takes no argument above 128 KiB, and `ps` would show it to everybody.
 * With `-e`: a script whose first line fails has failed, also when its last line prints something.
 *
 * @throws RangeError for a policy that this worker cannot follow.
 */
export function scriptExecutor(policy: CommandPolicy): Executor {
  const runAs = readRunAs(policy);
  return async (task, context) => {
    if (task.spec?.type !== 'run') throw new TypeError(`not a script: ${task.spec?.type}`);
    if (!policy.scripts) {
      const message = "this worker's policy allows only commands, and no scripts (run)";
      return { ...failed('not_allowed', message), retry: false };
    }
    const { run, env, stdin } = task.spec;
    return runProgram(
      task,
      context,
      { policy, runAs },
      {
        env,
        stdin,
        script: run,
        program: (folder) => ({ file: '/bin/sh', args: ['-e', scriptPath(folder)] }),
      },
    );
  };
}
