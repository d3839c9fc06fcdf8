/** What people and programs see on stderr when a command fails: what, why, what to do; as JSON where asked. */
import { CommanderError } from 'commander';
import { findSource } from '../config.ts';
import { errorCatalogue, type Problem, SkipjackError } from '../core/errors.ts';
import { formatProblem } from '../definition/format-problem.ts';
import type { DefinitionProblem } from '../definition/problem.ts';
import { printable } from './table.ts';

/** Any throw as an error that people are meant to see. */
export function toFailure(error: unknown): SkipjackError {
  if (error instanceof SkipjackError) return error;
  if (error instanceof CommanderError)
    return new SkipjackError('usage', error.message.replace(/^error: /, ''));
  const { message = String(error) } = error as { message?: string };
  return new SkipjackError('internal', message, { cause: error });
}

/** Sentences, and what they leave out: the problems in a definition above, with their places; others below. */
export function toText(failure: SkipjackError): string {
  const { code, message, problems, cause, extra } = failure;
  const file = typeof extra.file === 'string' ? extra.file : 'definition';
  const placed = problems.filter(isPlaced);
  const rest = problems.filter((problem) => !isPlaced(problem) && !message.includes(problem.message));
  const lines = [
    ...placed.map((problem) => formatProblem(problem, { file })),
    `skipjack: ${code === 'internal' ? `${errorCatalogue.internal.title}: ` : ''}${sentenceOf(failure)}`,
    ...rest.map(({ pointer, message: what }) => `  ${pointer ? `${pointer}: ` : ''}${what}`),
  ];
  // A fault of ours is of use only with the place where it happened.
  if (code === 'internal' && cause instanceof Error && cause.stack) lines.push(cause.stack);
  return `${printable(lines.join('\n'))}\n`;
}

function isPlaced(problem: Problem): problem is DefinitionProblem {
  return problem.line !== undefined && problem.column !== undefined && problem.code !== undefined;
}

/** A server speaks of headers to those who write them. */
function sentenceOf({ code, message }: SkipjackError): string {
  if (code !== 'unauthorized')
    return message.replace('PUT /v1/definitions/{name}', '"skipjack publish FILE"');
  return findSource('apiKey') === null
    ? 'The server wants an API key. Put one of those in its SKIPJACK_API_KEYS into SKIPJACK_API_KEY.'
    : `${message} It was taken from SKIPJACK_API_KEY.`;
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
