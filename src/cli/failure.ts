/** What people and programs see on stderr when a command fails: what, why, what to do; as JSON where asked. */
import { CommanderError } from 'commander';
import { errorCatalogue, SkipjackError } from '../core/errors.ts';

/** Any throw as an error that people are meant to see. */
export function toFailure(error: unknown): SkipjackError {
  if (error instanceof SkipjackError) return error;
  if (error instanceof CommanderError)
    return new SkipjackError('usage', error.message.replace(/^error: /, ''));
  const { message = String(error) } = error as { message?: string };
  return new SkipjackError('internal', message, { cause: error });
}

/** Sentences, and below them the problems that the sentences leave out. */
export function toText(failure: SkipjackError): string {
  const { code, message, problems, cause } = failure;
  const rest = problems.filter((problem) => !message.includes(problem.message));
  const lines = [
    `skipjack: ${code === 'internal' ? `${errorCatalogue.internal.title}: ` : ''}${message}`,
    ...rest.map(({ pointer, message: what }) => `  ${pointer ? `${pointer}: ` : ''}${what}`),
  ];
  // A fault of ours is of use only with the place where it happened.
  if (code === 'internal' && cause instanceof Error && cause.stack) lines.push(cause.stack);
  return `${lines.join('\n')}\n`;
}

/** Whether these arguments ask for JSON; read by hand, for the arguments may be what is wrong. */
export function wantsJson(args: string[]): boolean {
  const end = args.indexOf('--');
  const own = end === -1 ? args : args.slice(0, end);
  return own.some(
    (arg, index) =>
      arg === '-ojson' ||
      arg === '--output=json' ||
      ((arg === '-o' || arg === '--output') && own[index + 1] === 'json'),
  );
}
