/**
 * What an expression may be, and what its evaluation may cost.
 *
 * The cost is counted, not timed: the same expression over the same values always ends the same way, however busy
 * the machine is. A step is one node evaluated or one value looked at; calls on long texts count by their length. So
 * many steps take some 20 to 40 ms on one core, whatever they are spent on (measured in the README).
 */
export const expressionLimits = {
  /** Of the text between `${{` and `}}`. */
  lettersMax: 4_000,
  nodesMax: 1_000,
  depthMax: 60,
  /** For all expressions of one task together. */
  stepsMax: 600_000,
  /** Of a text that an expression makes. */
  textLengthMax: 1_048_576,
  /** Of the JSON of one value that comes out. */
  resultLettersMax: 1_048_576,
  /** Of the JSON of all items of one `each` or `matrix`. */
  itemsLettersMax: 4_194_304,
  /** How deep a value that comes out may nest: what JSON may everywhere. */
  resultDepthMax: 64,
  rangeMax: 100_000,
} as const;

/**
 * `missing`: what was asked for is not there, which `default` and `has` take for an answer. `limit`: nothing in the
 * expression can take it back.
 */
export type FailureKind = 'wrong' | 'missing' | 'limit';

/** Why an evaluation failed, in words for the author of the expression. */
export class ExpressionFailure extends Error {
  readonly kind: FailureKind;

  constructor(message: string, kind: FailureKind = 'wrong') {
    super(message);
    this.name = 'ExpressionFailure';
    this.kind = kind;
  }
}

/** What a caught failure costs: it was made with its stack. */
export const failureSteps = 200;

export class Meter {
  readonly #stepsMax: number;
  #left: number;

  constructor(stepsMax: number = expressionLimits.stepsMax) {
    this.#stepsMax = stepsMax;
    this.#left = stepsMax;
  }

  charge(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) {
      throw new ExpressionFailure(
        `takes more than ${this.#stepsMax} steps: it looks at too many values`,
        'limit',
      );
    }
  }

  /** For work that goes letter by letter. */
  chargeText(length: number): void {
    this.charge(1 + (length >> 5));
  }

  checkLength(length: number): void {
    if (length <= expressionLimits.textLengthMax) return;
    throw new ExpressionFailure(
      `makes a text of more than ${expressionLimits.textLengthMax} letters`,
      'limit',
    );
  }
}
