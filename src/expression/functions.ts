/** The functions that expressions know, by name. `size(x)` and `x.size()` are the same call. */
import type { Json } from '../core/json.ts';
import { listFunctions } from './functions/lists.ts';
import { numberFunctions } from './functions/numbers.ts';
import { textFunctions } from './functions/texts.ts';
import { timeFunctions } from './functions/times.ts';
import type { Meter } from './limits.ts';
import type { Kind } from './values.ts';

/** What a call may know beside its arguments. */
export interface CallContext {
  meter: Meter;
  /** Milliseconds since 1970: the same in one evaluation. */
  now: number;
  /** From 0 up to 1. */
  random: () => number;
}

/** What may stand where a value is expected; any: nothing is said. */
export type Parameter = readonly Kind[] | 'any';

export interface FunctionRule {
  takes: readonly Parameter[];
  /** How many of the last ones may be left out. */
  optional?: number;
  gives: Kind | 'any';
  // The arguments fit `takes` when it is called.
  // biome-ignore lint/suspicious/noExplicitAny: each function knows its own.
  run: (args: any, context: CallContext) => Json;
}

export const functionRules: ReadonlyMap<string, FunctionRule> = new Map(
  Object.entries({ ...textFunctions, ...numberFunctions, ...listFunctions, ...timeFunctions }),
);
