/** `input`: what a process may be started with. */
import { isDeepStrictEqual } from 'node:util';
import type { Json } from '../core/json.ts';
import { type InputRule, type InputType, planLimits } from '../core/plan.ts';
import { nameKind } from '../core/schema-words.ts';
import { type Check, check, isJsonMap, subjectOf } from './check.ts';
import { type Path, quote } from './problem.ts';
import { inputRuleSchema, nameSchema } from './schemas.ts';

/** The rules by name. What is wrong has been reported; then the answer is of no use. */
export function readInputRules(value: Json, checks: Check): Record<string, InputRule> {
  const rules: Record<string, InputRule> = {};
  const path = ['input'];
  if (!isJsonMap(value)) {
    checks.report({ path, code: 'wrong_type', message: `input must be a map, not ${nameKind(value)}` });
    return rules;
  }
  const names = Object.keys(value);
  if (names.length > planLimits.inputsMax) {
    const message = `input has ${names.length} names, more than ${planLimits.inputsMax}`;
    checks.report({ path, code: 'too_many_inputs', message });
    return rules;
  }
  for (const name of names) {
    const rule = readRule(name, value[name] ?? null, checks);
    if (rule) rules[name] = rule;
  }
  return rules;
}

function readRule(name: string, value: Json, checks: Check): InputRule | null {
  const { report } = checks;
  const path = ['input', name];
  if (!nameSchema.safeParse(name).success) {
    report({ path, of: 'key', code: 'invalid_value', message: 'the name of an input has 1 to 200 letters' });
  }
  if (!isJsonMap(value)) {
    const message = `what input ${quote(name)} may be is a map such as { type: string }, not ${nameKind(value)}`;
    report({ path, code: 'wrong_type', message });
    return null;
  }
  if (!check(inputRuleSchema, value, path, checks)) return null;
  const { type = 'any', required = false, description } = value;
  const hasDefault = Object.hasOwn(value, 'default');
  if (required && hasDefault) {
    report({
      path: [...path, 'default'],
      code: 'required_with_default',
      message: 'an input that is required never takes its default: leave one of the two out',
    });
  }
  if (hasDefault) checkFits(value.default ?? null, type, [...path, 'default'], checks);
  for (const [index, each] of (value.enum ?? []).entries()) {
    checkFits(each, type, [...path, 'enum', index], checks);
  }
  if (hasDefault && value.enum && !value.enum.some((each) => isDeepStrictEqual(each, value.default))) {
    report({
      path: [...path, 'default'],
      code: 'invalid_default',
      message: 'the default is none of the values of "enum"',
    });
  }
  return {
    type,
    required,
    ...(hasDefault ? { default: value.default ?? null } : {}),
    ...(value.enum ? { enum: value.enum } : {}),
    ...(description === undefined ? {} : { description }),
  };
}

function checkFits(value: Json, type: InputType, path: Path, { report }: Check): void {
  if (fits(value, type)) return;
  const code = path.at(-1) === 'default' ? 'invalid_default' : 'invalid_enum';
  report({ path, code, message: `${subjectOf(path)} is ${nameKind(value)}, which is not of type ${type}` });
}

function fits(value: Json, type: InputType): boolean {
  switch (type) {
    case 'any':
      return true;
    case 'integer':
      return Number.isInteger(value);
    case 'object':
      return isJsonMap(value);
    case 'array':
      return Array.isArray(value);
    default:
      return typeof value === type;
  }
}
