#!/usr/bin/env node
import { CommanderError } from 'commander';
import { toProblemDocument } from '../api/http/problem.ts';
import { toFailure, toText, wantsJson } from './failure.ts';
import { exitAtOnce } from './lifetime.ts';
import { createProgram } from './program.ts';

const args = process.argv.slice(2);

// `skipjack list | head`: whoever read has seen enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  void exitAtOnce(0);
});
process.stderr.on('error', () => {});
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);

try {
  const program = await createProgram(args);
  await program.parseAsync(args, { from: 'user' });
} catch (error) {
  fail(error);
}
// What was printed may still be on its way. What else holds the event loop, a handler that never returns, is
// no reason to stay.
setTimeout(() => process.exit(), 1_000).unref();

function fail(error: unknown): void {
  // Help and version were asked for and have been printed.
  if (error instanceof CommanderError && error.exitCode === 0) return;
  const failure = toFailure(error);
  const isHelp = error instanceof CommanderError && error.code === 'commander.help';
  if (wantsJson(args)) process.stderr.write(`${JSON.stringify(toProblemDocument(failure))}\n`);
  // Without a command the help was printed; there is nothing to add to it.
  else if (!isHelp) process.stderr.write(toText(failure));
  process.exitCode = failure.exitCode;
  void exitAtOnce(failure.exitCode);
}
