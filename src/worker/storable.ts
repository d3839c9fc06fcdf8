import { findJsonProblem, type Json } from '../core/json.ts';

/**
 * What a task may leave behind: JSON and text that Postgres can store, within bounds.
 *
 * Outputs are checked here, before they are settled: the outcomes of many tasks travel in one batch, and one
 * that the database refuses makes all the others wait for its bisection.
 */

/** The largest output of a task, as JSON text in UTF-8. */
export const outputBytesMax = 1_048_576;

/** The largest `details` of an error; larger ones are left out. */
const detailsBytesMax = 65_536;

const messageLengthMax = 4_096;

export type Checked =
  | { ok: true; value: Json }
  | { ok: false; code: 'output_invalid' | 'output_too_large'; message: string };

/** `value` as JSON would carry it (`undefined` is null, a Date is text), or what is wrong with it. */
export function checkOutput(value: unknown): Checked {
  if (value === undefined || value === null) return { ok: true, value: null };
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    return invalid(`the output is not JSON: ${firstLine(error)}`);
  }
  if (text === undefined) return invalid(`the output is not JSON: it is a ${typeof value}`);
  return checkOutputText(text);
}

/** The same for an output that comes as JSON text. */
export function checkOutputText(text: string): Checked {
  const bytes = Buffer.byteLength(text);
  if (bytes > outputBytesMax) return tooLarge(`the output has ${bytes} bytes`);
  let value: Json;
  try {
    value = JSON.parse(text);
  } catch (error) {
    return invalid(`the output is not JSON${withoutExcerpt(firstLine(error))}`);
  }
  const problem = findJsonProblem(value);
  if (problem) return invalid(`the output has ${problem.message} at "${problem.pointer}"`);
  return { ok: true, value };
}

export function tooLarge(sentence: string): Checked {
  return {
    ok: false,
    code: 'output_too_large',
    message: `${sentence}; at most ${outputBytesMax} are kept. Store it elsewhere and put out where it is`,
  };
}

function invalid(message: string): Checked {
  return { ok: false, code: 'output_invalid', message: storableText(message) };
}

/** What `JSON.parse` says, but for the text that it quotes: that is cut, and no mask finds half a secret in it. */
function withoutExcerpt(message: string): string {
  const why = message.replace(/(^|, )(\.\.\.)?".*$/s, '');
  return why === '' ? '' : `: ${why}`;
}

function firstLine(error: unknown): string {
  return String(error instanceof Error ? error.message : error).split('\n', 1)[0] ?? '';
}

/** `text` with U+FFFD for what Postgres cannot store: NUL and half surrogate pairs. */
export function storableText(text: string): string {
  return text.replaceAll('\u0000', '\ufffd').toWellFormed();
}

/** A message for people: storable, and not longer than a screen. */
export function storableMessage(text: string): string {
  return storableText(text.length > messageLengthMax ? `${text.slice(0, messageLengthMax)}…` : text);
}

/** `details` of an error, or undefined when they are not JSON or too large to keep. */
export function storableDetails(details: unknown): Json | undefined {
  if (details === undefined) return undefined;
  const checked = checkOutput(details);
  if (!checked.ok) return undefined;
  return Buffer.byteLength(JSON.stringify(checked.value)) <= detailsBytesMax ? checked.value : undefined;
}
