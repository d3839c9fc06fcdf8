/**
 * The JSON Schema (draft-07) of definitions, for editors: made of the schemas by which they are checked, put together
 * where the checks go through a map or a list themselves, and of the words in `descriptions.ts`.
 *
 * It knows of one place in the text at a time: names that do not exist, circles and expressions are for `validate`.
 */
import { z } from 'zod';
import { containerKeys, durationSchema, positiveDurationSchema } from '../core/container-input.ts';
import { planLimits } from '../core/plan.ts';
import { jsonSchema, retrySchema, templateTaskSchema } from '../core/task-input.ts';
import { describeField, placeOfField } from './descriptions.ts';
import {
  defaultsSchema,
  definitionSchema,
  inputRuleSchema,
  nameSchema,
  onFailureSchema,
  processSchema,
  sleepSchema,
  taskSchema,
  waitForSchema,
} from './schemas.ts';

/** As much of draft-07 as definitions need. */
export interface JsonSchema {
  $schema?: string;
  title?: string;
  description?: string;
  default?: unknown;
  examples?: unknown[];
  type?: string | string[];
  enum?: unknown[];
  const?: unknown;
  pattern?: string;
  format?: string;
  minLength?: number;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
  minItems?: number;
  maxItems?: number;
  items?: JsonSchema;
  properties?: Record<string, JsonSchema>;
  required?: string[];
  minProperties?: number;
  maxProperties?: number;
  propertyNames?: JsonSchema;
  additionalProperties?: boolean | JsonSchema;
  anyOf?: JsonSchema[];
  oneOf?: JsonSchema[];
  allOf?: JsonSchema[];
  not?: JsonSchema;
  dependencies?: Record<string, string[]>;
}

const templateText = z.string().regex(/\$\{\{/);
const list = z.array(jsonSchema).max(planLimits.itemsMax);
const time = z.union([templateTaskSchema.shape.run_at.unwrap(), templateText]);
const anyMap = z.record(z.string(), jsonSchema);

/** What the checks go through by hand. */
const task = taskSchema.extend({
  needs: z.union([z.string(), z.array(z.string())]).optional(),
  retry: retrySchema.optional(),
  if: z.union([z.string(), z.boolean()]).optional(),
  each: z.union([list, z.string()]).optional(),
  matrix: z.record(z.string(), z.union([list, templateText])).optional(),
  process: z
    .union([nameSchema, processSchema.extend({ input: z.union([anyMap, templateText]).optional() })])
    .optional(),
  run_at: time.optional(),
  sleep: z.union([durationSchema, templateText, sleepSchema.extend({ until: time })]).optional(),
  wait_for: z
    .union([z.string().min(1), waitForSchema.extend({ timeout: positiveDurationSchema.optional() })])
    .optional(),
});

const definition = definitionSchema.extend({
  input: z.record(nameSchema, inputRuleSchema).optional(),
  defaults: defaultsSchema.extend({ retry: retrySchema.optional() }).optional(),
  tasks: z.array(task).min(1).max(planLimits.tasksMax),
  on_failure: z.union([nameSchema, onFailureSchema]).optional(),
  deadline: positiveDurationSchema.optional(),
});

/** Keys of a task of which there may be one alone. */
const exclusive = [
  ['command', 'run'],
  ['command', 'handler'],
  ['command', 'image'],
  ['run', 'handler'],
  ['handler', 'image'],
  ['run', 'cmd'],
  ['run', 'entrypoint'],
  ['delay', 'run_at'],
  ['each', 'matrix'],
  ['process', 'sleep'],
  ['process', 'wait_for'],
  ['sleep', 'wait_for'],
];

/** Of the engine's own tasks nothing runs. */
const programKeys = [
  'command',
  'run',
  'handler',
  'image',
  'queue',
  'input',
  'retry',
  'timeout',
  'delay',
  'run_at',
];

export function makeJsonSchema(): JsonSchema {
  const made = z.toJSONSchema(definition, {
    target: 'draft-7',
    io: 'input',
    unrepresentable: 'any',
  }) as JsonSchema;
  const { $schema: _ours, ...rest } = tidy(made);
  const schema: JsonSchema = {
    $schema: 'http://json-schema.org/draft-07/schema#',
    title: 'Skipjack definition',
    ...rest,
  };
  const own = schema.properties?.tasks?.items;
  if (own) {
    own.dependencies = {
      args: ['command'],
      ...Object.fromEntries(containerKeys.filter((key) => key !== 'image').map((key) => [key, ['image']])),
    };
    own.allOf = [
      ...exclusive,
      ...['process', 'sleep', 'wait_for'].flatMap((kind) => programKeys.map((key) => [kind, key])),
    ].map((required) => ({ not: { required } }));
  }
  describe(schema, []);
  return schema;
}

/** Without what says nothing in draft-07. */
function tidy(schema: JsonSchema & { example?: unknown }): JsonSchema {
  const { example, ...rest } = schema;
  const kept: JsonSchema = rest;
  if (example !== undefined && kept.examples === undefined) kept.examples = [example];
  if (kept.minimum === Number.MIN_SAFE_INTEGER) delete kept.minimum;
  if (kept.maximum === Number.MAX_SAFE_INTEGER) delete kept.maximum;
  for (const key of ['anyOf', 'oneOf', 'allOf'] as const) {
    if (kept[key]) kept[key] = kept[key].map(tidy);
  }
  for (const key of ['items', 'propertyNames', 'not'] as const) {
    if (kept[key]) kept[key] = tidy(kept[key]);
  }
  if (typeof kept.additionalProperties === 'object')
    kept.additionalProperties = tidy(kept.additionalProperties);
  if (kept.properties) {
    kept.properties = Object.fromEntries(
      Object.entries(kept.properties).map(([key, value]) => [key, tidy(value)]),
    );
  }
  return kept;
}

/** Its words, and its keys in the order in which those are listed: what is used most comes first. */
function describe(schema: JsonSchema, path: string[]): void {
  const { example, ...words } = describeField(path) ?? {};
  Object.assign(schema, words, example === undefined ? {} : { examples: [example] });
  describeMembers(schema, path);
}

function describeMembers(schema: JsonSchema, path: string[]): void {
  const { properties, items, additionalProperties: others, anyOf = [], oneOf = [] } = schema;
  if (properties) {
    const places = Object.keys(properties).map((key) => ({ key, place: placeOfField([...path, key]) }));
    schema.properties = Object.fromEntries(
      places
        .toSorted((one, other) => one.place - other.place)
        .flatMap(({ key }) => {
          const member = properties[key];
          if (member) describe(member, [...path, key]);
          return member ? [[key, member]] : [];
        }),
    );
  }
  if (typeof others === 'object') describe(others, [...path, anyName]);
  for (const other of [...(items ? [items] : []), ...anyOf, ...oneOf]) describeMembers(other, path);
}

export interface Member {
  /** `<name>` where any may stand. */
  name: string;
  schema: JsonSchema;
  required: boolean;
}

export const anyName = '<name>';

/** The keys of a map: of one, of the elements of a list, of what else may stand there. */
export function membersOf(schema: JsonSchema): Member[] {
  const maps = mapsWithin(schema);
  const names = new Set(maps.flatMap((map) => Object.keys(map.properties ?? {})));
  const members = [...names].map((name): Member => {
    const found = maps.flatMap((map) => map.properties?.[name] ?? []);
    const [first = {}, ...others] = found;
    return {
      name,
      // Of mounts each kind has a "type" of its own.
      schema: others.length === 0 ? first : { ...wordsOf(first), anyOf: found },
      required: maps.every((map) => map.required?.includes(name)),
    };
  });
  const open = maps.flatMap(({ additionalProperties: others }) =>
    typeof others === 'object' ? [{ name: anyName, schema: others, required: false }] : [],
  );
  return [...members, ...open];
}

function wordsOf({ description, default: byDefault, examples }: JsonSchema): JsonSchema {
  return {
    ...(description === undefined ? {} : { description }),
    ...(byDefault === undefined ? {} : { default: byDefault }),
    ...(examples === undefined ? {} : { examples }),
  };
}

function mapsWithin(schema: JsonSchema): JsonSchema[] {
  const { type, items, anyOf = [], oneOf = [] } = schema;
  const isMap = type === 'object' && (schema.properties || typeof schema.additionalProperties === 'object');
  return [...(isMap ? [schema] : []), ...[...(items ? [items] : []), ...anyOf, ...oneOf].flatMap(mapsWithin)];
}
