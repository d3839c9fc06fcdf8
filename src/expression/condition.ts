/** `if`: an expression that yields true or false, bare or with one `${{ … }}` around it. */
import { type Asks, Compiler } from './compile.ts';
import type { Scope } from './evaluate.ts';
import { FillFailure } from './fill-failure.ts';
import { Filling } from './filling.ts';
import { ExpressionFailure, expressionLimits } from './limits.ts';
import { type Node, type StatusFunction, statusFunctions } from './node.ts';
import { parseExpression } from './parse.ts';
import { unwrapExpression } from './template.ts';
import { kindOf, nameOfKind } from './values.ts';

export interface Condition {
  /** As written, without blanks and `${{ … }}` around it. */
  text: string;
  /** Null: this version cannot read it; `failure` says why. */
  node: Node | null;
  asks: Asks;
  calls: StatusCalls;
  failure: FillFailure | null;
}

/** Which of `always()`, `failure()`, `success()` and `cancelled()` are called. */
export type StatusCalls = Record<StatusFunction, boolean>;

const place = 'if';

/** Of what has been checked when its definition was published. */
export function compileCondition(written: string): Condition {
  const { text } = unwrapExpression(written);
  const compiler = new Compiler();
  const parsed = parseExpression(text);
  if (parsed.kind === 'problem') {
    compiler.fail(parsed.problem.message, { expression: text, place });
    return { text, node: null, asks: compiler.asks, calls: callsAmong([]), failure: compiler.failure };
  }
  compiler.ask(parsed.names);
  const calls = callsAmong(parsed.names.statuses);
  return { text, node: parsed.node, asks: compiler.asks, calls, failure: null };
}

/** @throws FillFailure also where it comes to something else than true or false */
export function evaluateCondition(
  { text, node, failure }: Condition,
  scope: Scope,
  { now }: { now: number },
): boolean {
  if (failure) throw failure;
  if (node === null) throw new FillFailure('cannot be read', { expression: text, place, values: {} });
  const { textLengthMax: textBytesMax, resultLettersMax: lettersMax } = expressionLimits;
  const bounds = { textBytesMax, textsBytesMax: textBytesMax, lettersMax, hint: '' };
  const filling = new Filling(scope, { now, bounds });
  return filling.try({ text, node }, place, () => {
    const value = filling.evaluate(node);
    if (typeof value === 'boolean') return value;
    throw new ExpressionFailure(`takes true or false, not ${nameOfKind(kindOf(value))}`);
  });
}

export function callsAmong(statuses: readonly { name: StatusFunction }[]): StatusCalls {
  return Object.fromEntries(
    statusFunctions.map((each) => [each, statuses.some(({ name }) => name === each)]),
  ) as StatusCalls;
}
