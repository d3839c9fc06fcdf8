/** One key of definitions, explained: what `skipjack explain` shows. */
import { anyName, type JsonSchema, type Member, makeJsonSchema, membersOf } from './json-schema.ts';
import { Suggester } from './suggest.ts';

export interface Explanation {
  /** Empty for the definition itself. */
  path: string;
  /** In words: `text`, `a list of text`, `a map`. */
  type: string;
  required: boolean;
  description: string | null;
  default: unknown;
  example: unknown;
  /** The only values that it may have. */
  values: unknown[] | null;
  members: Pick<Explanation, 'path' | 'type' | 'required' | 'description'>[];
}

export type Explained =
  | { kind: 'known'; explanation: Explanation }
  /** `at`: the path up to the part that there is not; the nearest path, if there is one. */
  | { kind: 'unknown'; part: string; at: string; suggestion: string | null };

/** `tasks.retry.delay`; lists are passed through, and in maps of any names a name may stand, or `<name>`. */
export function explainField(path: string): Explained {
  const parts = path === '' ? [] : path.split('.');
  let at: Member = { name: '', schema: makeJsonSchema(), required: true };
  const found: string[] = [];
  for (const part of parts) {
    const members = membersOf(at.schema);
    const member = members.find(({ name }) => name === part) ?? members.find(({ name }) => name === anyName);
    if (member === undefined) return unknown(part, found, members);
    found.push(member.name === anyName ? part : member.name);
    at = member;
  }
  const { schema, required } = at;
  return {
    kind: 'known',
    explanation: {
      path: found.join('.'),
      type: nameType(schema),
      required,
      description: schema.description ?? null,
      default: schema.default ?? null,
      example: schema.examples?.[0] ?? null,
      values: valuesOf(schema),
      members: membersOf(schema).map((member) => ({
        path: [...found, member.name].join('.'),
        type: nameType(member.schema),
        required: member.required,
        description: member.schema.description ?? null,
      })),
    },
  };
}

function unknown(part: string, found: string[], members: Member[]): Explained {
  const names = members.map(({ name }) => name);
  // A key that is asked for by itself: most are of tasks.
  const below =
    found.length === 0 ? membersOf(members.find(({ name }) => name === 'tasks')?.schema ?? {}) : [];
  const candidates = [...names, ...below.map(({ name }) => name)];
  const nearest = candidates.find((name) => name === part) ?? new Suggester().nearest(part, candidates);
  const isBelow = nearest !== undefined && !names.includes(nearest);
  return {
    kind: 'unknown',
    part,
    at: found.join('.'),
    suggestion: nearest === undefined ? null : [...found, ...(isBelow ? ['tasks'] : []), nearest].join('.'),
  };
}

function valuesOf({ enum: values, anyOf, oneOf }: JsonSchema): unknown[] | null {
  if (values) return values;
  const constants = [...(anyOf ?? []), ...(oneOf ?? [])].flatMap(({ const: value }) =>
    value === undefined ? [] : [value],
  );
  return constants.length > 0 ? constants : null;
}

const typeNames: Record<string, string> = {
  string: 'text',
  integer: 'a whole number',
  number: 'a number',
  boolean: 'true or false',
  object: 'a map',
  array: 'a list',
  null: 'null',
};

function nameType(schema: JsonSchema): string {
  const either = schema.anyOf ?? schema.oneOf;
  if (either) return [...new Set(either.map(nameType))].join(', or ');
  if (schema.enum || schema.const !== undefined) return 'text';
  if (schema.type === undefined) return 'any JSON value';
  if (schema.type === 'array') {
    const element = schema.items ? nameType(schema.items) : 'any JSON value';
    return element === 'any JSON value' ? 'a list' : `a list of ${plural(element)}`;
  }
  if (schema.format === 'date-time') return 'a time';
  if (schema.type === 'string' && isDuration(schema)) return 'a duration';
  return [schema.type]
    .flat()
    .map((type) => typeNames[type] ?? type)
    .join(', or ');
}

function plural(type: string): string {
  return type === 'a map' ? 'maps' : type.replace(/^a (.*)$/, '$1s');
}

function isDuration({ pattern }: JsonSchema): boolean {
  return pattern?.includes('(?:ms|') === true || pattern?.includes('(ms|') === true;
}
