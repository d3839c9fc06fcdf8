/** A value of a definition that the engine fills in: items, the input of a sub-process, a time, an output. */
import type { Json } from '../core/json.ts';
import { type Asks, Compiler, type JsonTemplate } from './compile.ts';
import type { Scope } from './evaluate.ts';
import { FillFailure } from './fill-failure.ts';
import { Filling } from './filling.ts';
import { expressionLimits } from './limits.ts';

export interface ValueTemplate {
  /** Where it stands in its task or definition: `each`, `process.input`. */
  place: string;
  json: JsonTemplate;
  asks: Asks;
  failure: FillFailure | null;
}

/** Of what has been checked when its definition was published. */
export function compileValue(value: Json, place: string): ValueTemplate {
  const compiler = new Compiler();
  const json = compiler.compileJson(value, place);
  return { place, json, asks: compiler.asks, failure: compiler.failure };
}

/**
 * The value, with what its expressions come to; a text that is one expression keeps its type.
 *
 * `lettersMax`: how large its JSON may be; 1 MiB unless said (of items: `expressionLimits.itemsLettersMax`).
 *
 * @throws FillFailure
 */
export function fillValue(
  template: ValueTemplate,
  scope: Scope,
  { now, lettersMax = expressionLimits.resultLettersMax }: { now: number; lettersMax?: number },
): Json {
  if (template.failure) throw template.failure;
  const { json, place } = template;
  const bounds = { textBytesMax: lettersMax, textsBytesMax: lettersMax, lettersMax, hint: '' };
  const value = new Filling(scope, { now, bounds }).fillJson(json);
  if (json.kind === 'value' || JSON.stringify(value).length <= lettersMax) return value;
  const message = `makes a value of more than ${lettersMax} letters of JSON`;
  throw new FillFailure(message, { expression: '…', place, values: {} });
}
