/** A command as `main` would run it, in this OS process. */
import { Command } from 'commander';
import { vi } from 'vitest';
import { toFailure } from '../../../src/cli/failure.ts';

export interface Said {
  code: number;
  stdout: string;
  message?: string;
}

export async function runCommand(command: Command, args: string[]): Promise<Said> {
  let stdout = '';
  vi.spyOn(process.stdout, 'write').mockImplementation((chunk: unknown, done?: unknown) => {
    stdout += chunk;
    if (typeof done === 'function') done();
    return true;
  });
  const program = new Command('skipjack').addCommand(command);
  for (const each of [program, ...program.commands]) {
    each.exitOverride().configureOutput({ outputError: () => {} });
  }
  process.exitCode = 0;
  try {
    await program.parseAsync([command.name(), ...args], { from: 'user' });
    return { code: Number(process.exitCode), stdout };
  } catch (error) {
    const { exitCode, message } = toFailure(error);
    return { code: exitCode, stdout, message };
  } finally {
    vi.restoreAllMocks();
    process.exitCode = undefined;
  }
}
