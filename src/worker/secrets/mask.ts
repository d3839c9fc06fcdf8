/**
 * Hides the values of secrets in what an attempt puts out: logs, output, errors.
 *
 * A program may print a value in two halves, so a stream is masked before anything cuts it: what may be the beginning
 * of a value is held back until it is known not to be.
 */
import type { Json } from '../../core/json.ts';

export interface Mask {
  /** For one stream of bytes. */
  stream(): MaskedStream;
  text(text: string): string;
  /** Every text in it, keys included. */
  json<Value extends Json>(value: Value): Value;
}

export interface MaskedStream {
  /** What is certain of everything up to here. May be empty. */
  push(chunk: Buffer): Buffer;
  /** What was held back. */
  end(): Buffer;
}
