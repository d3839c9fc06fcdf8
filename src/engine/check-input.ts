/**
 * The rules of an input where there is no database to ask: what the SQL function `skipjack.check_input` answers, which
 * decides whenever a process is started. A test holds the two together.
 */
import { isDeepStrictEqual } from 'node:util';
import { escapePointer, type Json } from '../core/json.ts';
import type { InputType, Plan } from '../core/plan.ts';

export interface InputProblem {
  pointer: string;
  code: string;
  message: string;
}

/** Problems shown at most. */
const problemsMax = 100;
const messageListMax = 500;

/** The input with its defaults, and what is wrong with it. */
export function checkInput(
  rules: Plan['input'],
  given: { [name: string]: Json },
): { input: { [name: string]: Json }; problems: InputProblem[] } {
  if (rules === null) return { input: given, problems: [] };
  const names = Object.keys(rules).sort();
  const known = names.join(', ').slice(0, messageListMax);
  const problems: InputProblem[] = [];
  const report = (name: string, code: string, message: string) =>
    problems.push({ pointer: `/${escapePointer(name)}`, code, message });
  for (const name of names) {
    if (rules[name]?.required && !Object.hasOwn(given, name))
      report(name, 'missing_input', `the input "${name}" is required`);
  }
  for (const [name, value] of Object.entries(given)) {
    const rule = Object.hasOwn(rules, name) ? rules[name] : undefined;
    if (rule === undefined) {
      const hint = names.length === 0 ? 'the definition takes none' : `known are ${known}`;
      report(name, 'unknown_input', `there is no input "${name}"; ${hint}`);
    } else if (!fitsType(value, rule.type)) {
      report(name, 'wrong_type', `is ${typeOf(value)}, not ${rule.type}`);
    } else if (rule.enum && !rule.enum.some((choice) => isDeepStrictEqual(choice, value))) {
      const choices = JSON.stringify(rule.enum).slice(0, messageListMax);
      report(name, 'not_in_enum', `is none of ${choices}`);
    }
  }
  const defaults = Object.entries(rules).flatMap(([name, rule]): [string, Json][] =>
    rule.default === undefined || Object.hasOwn(given, name) ? [] : [[name, rule.default]],
  );
  return {
    input: Object.fromEntries([...Object.entries(given), ...defaults]),
    problems: problems.toSorted((one, other) => (one.pointer < other.pointer ? -1 : 1)).slice(0, problemsMax),
  };
}

function fitsType(value: Json, type: InputType): boolean {
  if (type === 'any') return true;
  return type === 'integer' ? Number.isInteger(value) : typeOf(value) === type;
}

/** As Postgres names it. */
function typeOf(value: Json): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}
