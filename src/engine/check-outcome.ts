/** What people and programs say when they end a task or retry it: its output, why it failed, its input; who they are. */
import { escapePointer, type Json } from '../core/json.ts';
import type { TaskError } from '../core/task.ts';
import type { MoveOptions } from '../queue/processes/lock.ts';
import { refused, requireJson, requireText } from './values.ts';

/** The same bounds as over HTTP, where workers settle. */
const outputBytesMax = 1024 * 1024;
const inputBytesMax = 1024 * 1024;
const messageBytesMax = 64 * 1024;
const detailsBytesMax = 64 * 1024;
const nameLettersMax = 200;

/** Why a task failed: a text, a code with a text and details, or whatever was thrown. */
export type GivenError = string | { message: string; code?: string; details?: Json } | Error;

/** @throws SkipjackError `invalid_request` */
export function checkOutput(output: unknown): Json {
  return output === undefined ? null : requireJson(output, { pointer: '/output', bytesMax: outputBytesMax });
}

/**
 * What was thrown is made to fit, for whoever caught it can do nothing about it; what was written is held to the
 * bounds.
 *
 * @throws SkipjackError `invalid_request`
 */
export function checkError(given: unknown): TaskError {
  if (typeof given === 'string') return { code: 'failed', message: checkMessage(given, '/error') };
  if (given instanceof Error) return fromThrown(given);
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refused('invalid_request', [
      { pointer: '/error', message: 'is neither a text nor {message, code, details} nor an Error' },
    ]);
  const { message, code = 'failed', details, ...others } = given as Record<string, unknown>;
  const unknown = Object.keys(others)[0];
  if (unknown !== undefined)
    throw refused('invalid_request', [
      {
        pointer: '/error',
        code: 'unknown_key',
        message: `has a key "${unknown}"; known are message, code, details`,
      },
    ]);
  return {
    code: requireText(code, { pointer: '/error/code', lettersMax: nameLettersMax }),
    message: checkMessage(message, '/error/message'),
    ...(details === undefined
      ? {}
      : { details: requireJson(details, { pointer: '/error/details', bytesMax: detailsBytesMax }) }),
  };
}

/**
 * By names of tasks.
 *
 * @throws SkipjackError `invalid_request`
 */
export function checkInputs(given: unknown): Record<string, Json> {
  if (given === undefined) return {};
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw refused('invalid_request', [
      { pointer: '/inputs', message: 'is not an object of inputs by the names of tasks' },
    ]);
  return Object.fromEntries(
    Object.entries(given).map(([name, input]): [string, Json] => [
      requireText(name, { pointer: '/inputs', lettersMax: nameLettersMax }),
      requireJson(input, { pointer: `/inputs/${escapePointer(name)}`, bytesMax: inputBytesMax }),
    ]),
  );
}

/** @throws SkipjackError `invalid_request` */
export function checkMove({ by = null, ifRevision = null }: MoveOptions): MoveOptions {
  return {
    by: by === null ? null : requireText(by, { pointer: '/by', lettersMax: nameLettersMax }),
    ifRevision,
  };
}

function checkMessage(message: unknown, pointer: string): string {
  if (typeof message !== 'string') throw refused('invalid_request', [{ pointer, message: 'is not a text' }]);
  return requireJson(message, { pointer, bytesMax: messageBytesMax }) as string;
}

function fromThrown(error: Error): TaskError {
  const { code } = error as { code?: unknown };
  const isCode = typeof code === 'string' && code.length >= 1 && code.length <= nameLettersMax;
  return {
    code: isCode ? toStorable(code) : 'failed',
    message: toStorable(cut(error.message || error.name)),
  };
}

function cut(text: string): string {
  // Four bytes a letter at most.
  const lettersMax = messageBytesMax / 4;
  return text.length > lettersMax ? `${text.slice(0, lettersMax - 1)}…` : text;
}

/** With U+FFFD for what Postgres cannot store. */
function toStorable(text: string): string {
  return text.replaceAll('\u0000', '\ufffd').toWellFormed();
}
