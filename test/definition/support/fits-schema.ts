/** What a JSON value has against a JSON Schema: as much of draft-07 as ours says. A keyword that is not known throws. */
import { isDeepStrictEqual } from 'node:util';
import type { JsonSchema } from '../../../src/definition/json-schema.ts';

type Check = (schema: JsonSchema, value: unknown, at: string) => string[];

/** Say nothing of a value, or are seen to beside another. */
const passive = new Set(['$schema', 'title', 'description', 'default', 'examples']);

const isMap = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const lettersOf = (value: string) => [...value].length;
const say = (isFine: boolean, problem: string) => (isFine ? [] : [problem]);

const checks: { [Key in keyof JsonSchema]?: Check } = {
  type: ({ type = [] }, value, at) =>
    say(
      [type].flat().some((each) => isOfType(value, each)),
      `${at}: type`,
    ),
  enum: ({ enum: values = [] }, value, at) => say(values.includes(value), `${at}: enum`),
  const: ({ const: only }, value, at) => say(isDeepStrictEqual(only, value), `${at}: const`),
  pattern: ({ pattern = '' }, value, at) =>
    say(typeof value !== 'string' || new RegExp(pattern, 'u').test(value), `${at}: pattern`),
  format: ({ format }, value, at) => {
    if (format !== 'date-time') throw new Error(`${at}: format "${format}"`);
    return say(typeof value !== 'string' || !Number.isNaN(Date.parse(value)), `${at}: format`);
  },
  minLength: ({ minLength = 0 }, value, at) =>
    say(typeof value !== 'string' || lettersOf(value) >= minLength, `${at}: minLength`),
  maxLength: ({ maxLength = 0 }, value, at) =>
    say(typeof value !== 'string' || lettersOf(value) <= maxLength, `${at}: maxLength`),
  minimum: ({ minimum = 0 }, value, at) =>
    say(typeof value !== 'number' || value >= minimum, `${at}: minimum`),
  maximum: ({ maximum = 0 }, value, at) =>
    say(typeof value !== 'number' || value <= maximum, `${at}: maximum`),
  minItems: ({ minItems = 0 }, value, at) =>
    say(!Array.isArray(value) || value.length >= minItems, `${at}: minItems`),
  maxItems: ({ maxItems = 0 }, value, at) =>
    say(!Array.isArray(value) || value.length <= maxItems, `${at}: maxItems`),
  items: ({ items = {} }, value, at) =>
    Array.isArray(value) ? value.flatMap((each, index) => findMisfits(items, each, `${at}[${index}]`)) : [],
  properties: ({ properties = {} }, value, at) =>
    isMap(value)
      ? Object.entries(properties).flatMap(([key, schema]) =>
          Object.hasOwn(value, key) ? findMisfits(schema, value[key], `${at}.${key}`) : [],
        )
      : [],
  required: ({ required = [] }, value, at) =>
    isMap(value) ? required.flatMap((key) => say(Object.hasOwn(value, key), `${at}.${key}: required`)) : [],
  additionalProperties: ({ additionalProperties: others, properties = {} }, value, at) => {
    if (!isMap(value) || others === true) return [];
    const unknown = Object.keys(value).filter((key) => !Object.hasOwn(properties, key));
    return typeof others === 'object'
      ? unknown.flatMap((key) => findMisfits(others, value[key], `${at}.${key}`))
      : unknown.map((key) => `${at}.${key}: unknown`);
  },
  propertyNames: ({ propertyNames = {} }, value, at) =>
    isMap(value) ? Object.keys(value).flatMap((key) => findMisfits(propertyNames, key, `${at}.${key}`)) : [],
  dependencies: ({ dependencies = {} }, value, at) =>
    isMap(value)
      ? Object.entries(dependencies).flatMap(([key, needed]) =>
          Object.hasOwn(value, key)
            ? needed.flatMap((other) => say(Object.hasOwn(value, other), `${at}.${key}: goes with ${other}`))
            : [],
        )
      : [],
  anyOf: ({ anyOf = [] }, value, at) => {
    const found = anyOf.map((schema) => findMisfits(schema, value, at));
    return found.some((each) => each.length === 0) ? [] : [`${at}: anyOf`];
  },
  oneOf: ({ oneOf = [] }, value, at) =>
    say(oneOf.filter((schema) => findMisfits(schema, value, at).length === 0).length === 1, `${at}: oneOf`),
  allOf: ({ allOf = [] }, value, at) => allOf.flatMap((schema) => findMisfits(schema, value, at)),
  not: ({ not = {} }, value, at) =>
    say(findMisfits(not, value, at).length > 0, `${at}: not ${JSON.stringify(not)}`),
};

export function findMisfits(schema: JsonSchema, value: unknown, at = ''): string[] {
  return Object.keys(schema).flatMap((key) => {
    if (passive.has(key)) return [];
    const check = checks[key as keyof JsonSchema];
    if (!check) throw new Error(`${at}: keyword "${key}"`);
    return check(schema, value, at);
  });
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'object':
      return isMap(value);
    case 'array':
      return Array.isArray(value);
    case 'null':
      return value === null;
    case 'integer':
      return Number.isInteger(value);
    default:
      return typeof value === type;
  }
}
