/**
 * What a task of a process runs and gets, as its definition says it: with the expressions still to be evaluated.
 * Compiled once; filled for each claim.
 */
import type { Json } from '../core/json.ts';
import type { SecretText } from '../core/secret-text.ts';
import { mapTexts, type Spec } from '../core/spec.ts';
import { inputBytesMax } from '../core/task-input.ts';
import { type Asks, Compiler, type JsonTemplate, type TextTemplate } from './compile.ts';
import type { Scope } from './evaluate.ts';
import { FillFailure } from './fill-failure.ts';
import { type FillBounds, Filling } from './filling.ts';
import { expressionLimits } from './limits.ts';

export interface TaskTemplate {
  spec: Spec<TextTemplate> | null;
  input: JsonTemplate;
  /** What it asks of other tasks, by their names; null: it has no expression at all. */
  asks: Asks | null;
  failure: FillFailure | null;
}

const bounds: FillBounds = {
  // What Linux takes as one argument or variable, less the variable's name.
  textBytesMax: 130_000,
  textsBytesMax: 1_048_576,
  lettersMax: expressionLimits.resultLettersMax,
  hint: ': hand it over in "input", which programs read from $SKIPJACK_INPUT',
};

/** Of what has been checked when its definition was published. */
export function compileTask({ spec, input }: { spec: Spec | null; input: Json }): TaskTemplate {
  const compiler = new Compiler();
  const compiled = {
    spec: spec && mapTexts(spec, (text, place) => compiler.compileText(text, place)),
    input: compiler.compileJson(input, 'input'),
  };
  const { asks, hasExpressions, failure } = compiler;
  return { ...compiled, asks: hasExpressions ? asks : null, failure };
}

export interface FilledTask {
  spec: Spec<SecretText> | null;
  input: Json;
}

/**
 * The values in place of the expressions, the secrets left to the worker.
 *
 * @throws FillFailure
 */
export function fillTask(template: TaskTemplate, scope: Scope, { now }: { now: number }): FilledTask {
  if (template.failure) throw template.failure;
  const filling = new Filling(scope, { now, bounds });
  return {
    spec: template.spec && mapTexts(template.spec, (text) => filling.fillText(text)),
    input: fillInput(template.input, filling),
  };
}

function fillInput(template: JsonTemplate, filling: Filling): Json {
  const filled = filling.fillJson(template);
  if (template.kind === 'value' || Buffer.byteLength(JSON.stringify(filled)) <= inputBytesMax) return filled;
  const message = `makes the input of this task larger than ${inputBytesMax} bytes`;
  throw new FillFailure(message, { expression: '…', place: 'input', values: {} });
}
