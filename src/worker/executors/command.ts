import type { CommandPolicy } from '../policy.ts';
import { storableMessage } from '../storable.ts';
import { findAllowed } from './allowed-command.ts';
import type { Ending, Executor } from './executor.ts';
import { readRunAs } from './run-as.ts';
import { commandNotFound, failed, runProgram } from './run-program.ts';

/**
 * Runs a program with its arguments as they are: no shell reads them.
 *
 * @throws RangeError for a policy that this worker cannot follow.
 */
export function commandExecutor(policy: CommandPolicy): Executor {
  const runAs = readRunAs(policy);
  return async (task, context) => {
    if (task.spec?.type !== 'command') throw new TypeError(`not a command: ${task.spec?.type}`);
    const { command, args, env = {}, stdin } = task.spec;
    let named: { file: string; argv0?: string } = { file: command };
    if (policy.allow !== null) {
      const answer = await checkCommand(command, env, { allow: policy.allow, workdir: policy.workdir });
      if ('refusal' in answer) return answer.refusal;
      named = answer;
    }
    return runProgram(task, context, { policy, runAs }, { env, stdin, program: () => ({ ...named, args }) });
  };
}

/** Variables by which the system's loader, or a common interpreter, runs something else than the program named. */
const hijackingVariable =
  /^(LD_|DYLD_|BASH_FUNC_|GLIBC_TUNABLES$|GCONV_PATH$|(ENV|BASH_ENV|BASHOPTS|SHELLOPTS|PS4)$|(NODE_OPTIONS|NODE_PATH)$|PYTHON(PATH|HOME|STARTUP|INSPECT|BREAKPOINT|WARNINGS|USERBASE)$|PERL(5LIB|5OPT|5DB|LIB)$|RUBY(OPT|LIB)$|(JAVA_TOOL|JDK_JAVA|_JAVA)_OPTIONS$|CLASSPATH$)/;

async function checkCommand(
  command: string,
  env: Record<string, string>,
  { allow, workdir }: { allow: string[]; workdir: string | null },
): Promise<{ file: string; argv0?: string } | { refusal: Ending }> {
  const loading = Object.keys(env).find((name) => hijackingVariable.test(name));
  if (loading !== undefined) {
    return refused(`this worker's policy allows only certain commands, and a task may not set ${loading}`);
  }
  const cwd = process.cwd();
  const found = await findAllowed(command, allow, {
    task: { path: env.PATH ?? process.env.PATH, cwd: workdir ?? cwd },
    worker: { path: process.env.PATH, cwd },
  });
  if (found.kind === 'allowed') return found;
  if (found.kind === 'not_found') return { refusal: commandNotFound(command) };
  const shown = JSON.stringify(storableMessage(command));
  return refused(`this worker's policy allows only the commands ${list(allow)}: not ${shown}`);
}

function refused(message: string): { refusal: Ending } {
  return { refusal: { ...failed('not_allowed', message), retry: false } };
}

const namesShown = 20;

function list(names: string[]): string {
  if (names.length === 0) return '(none)';
  const shown = names.slice(0, namesShown).join(', ');
  return names.length > namesShown ? `${shown} and ${names.length - namesShown} more` : shown;
}
