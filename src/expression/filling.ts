/** Values in place of expressions: all of one task, or of one value, within one budget. */
import type { Json } from '../core/json.ts';
import type { SecretPart, SecretText } from '../core/secret-text.ts';
import { isExpression, type JsonTemplate, type TextTemplate } from './compile.ts';
import { evaluate, type Scope } from './evaluate.ts';
import { FillFailure } from './fill-failure.ts';
import { ExpressionFailure, expressionLimits, Meter } from './limits.ts';
import type { Node } from './node.ts';
import { showValues } from './show-values.ts';
import { checkResult, type JsonObject, toText } from './values.ts';

/** How large what is made may be. */
export interface FillBounds {
  /** Of one text with expressions in it, and of all of them together. */
  textBytesMax: number;
  textsBytesMax: number;
  /** Of the JSON of one value; how large the whole may be is for whoever asked for it to say. */
  lettersMax: number;
  /** What to do about a text that is too large. */
  hint: string;
}

/** How many values of the largest size are put together before they are judged as a whole. */
const wholesMax = 4;

export class Filling {
  readonly #scope: Scope;
  readonly #now: number;
  readonly #bounds: FillBounds;
  readonly #meter = new Meter();
  /** To look through what comes out: what may be larger than usual may also take longer. */
  readonly #resultMeter: Meter;
  #textsBytes = 0;
  #letters = 0;

  constructor(scope: Scope, { now, bounds }: { now: number; bounds: FillBounds }) {
    this.#scope = scope;
    this.#now = now;
    this.#bounds = bounds;
    const { resultLettersMax, stepsMax } = expressionLimits;
    const times = bounds.lettersMax / resultLettersMax;
    this.#resultMeter = times > 1 ? new Meter(times * stepsMax) : this.#meter;
  }

  fillText(text: TextTemplate): SecretText {
    if (typeof text === 'string' || Array.isArray(text)) return text;
    const { parts, place } = text;
    let bytes = 0;
    const filled: SecretPart[] = [];
    const add = (said: string) => {
      bytes += Buffer.byteLength(said);
      const last = filled.at(-1);
      if (typeof last === 'string') filled[filled.length - 1] = last + said;
      else filled.push(said);
    };
    for (const part of parts) {
      if (typeof part === 'string') add(part);
      else if (isExpression(part)) {
        this.try(part, place, () => {
          add(toText(this.evaluate(part.node), this.#meter));
          this.#checkBytes(bytes);
        });
      } else filled.push(part);
    }
    this.#textsBytes += bytes;
    return filled.every((part) => typeof part === 'string') ? filled.join('') : filled;
  }

  #checkBytes(bytes: number): void {
    const { textBytesMax, textsBytesMax, hint } = this.#bounds;
    if (bytes > textBytesMax)
      throw new ExpressionFailure(`makes a text of more than ${textBytesMax} bytes${hint}`, 'limit');
    if (this.#textsBytes + bytes > textsBytesMax)
      throw new ExpressionFailure(
        `makes the texts of this task exceed ${textsBytesMax} bytes${hint}`,
        'limit',
      );
  }

  /** A text that is one expression and nothing else keeps the value's type. */
  fillJson(template: JsonTemplate): Json {
    switch (template.kind) {
      case 'value':
        return template.value;
      case 'list':
        return template.items.map((item) => this.fillJson(item));
      case 'map': {
        const map: JsonObject = {};
        for (const [key, item] of template.entries) map[key] = this.fillJson(item);
        return map;
      }
      case 'text': {
        const [only] = template.parts;
        if (template.parts.length > 1 || only === undefined || !isExpression(only)) {
          return this.fillText(template) as string;
        }
        return this.try(only, template.place, () => {
          const value = this.evaluate(only.node);
          this.#checkResult(value);
          return value;
        });
      }
    }
  }

  /** That thousands of large values are too large together is seen before gigabytes are written to count them. */
  #checkResult(value: Json): void {
    const { lettersMax } = this.#bounds;
    this.#letters += checkResult(value, this.#resultMeter, lettersMax);
    if (this.#letters > wholesMax * lettersMax)
      throw new ExpressionFailure(`makes the whole far exceed ${lettersMax} letters of JSON`, 'limit');
  }

  evaluate(node: Node): Json {
    return evaluate(node, this.#scope, { meter: this.#meter, now: this.#now, random: Math.random });
  }

  /** @throws FillFailure with the values that the expression names */
  try<Value>({ text, node }: { text: string; node: Node }, place: string, fill: () => Value): Value {
    try {
      return fill();
    } catch (error) {
      if (!(error instanceof ExpressionFailure)) throw error;
      const details = { expression: text, place, values: showValues(node, this.#scope) };
      throw new FillFailure(error.message, details);
    }
  }
}
