/** The keys of a definition, map by map. What a single task has too is taken over from it. */
import { z } from 'zod';
import { inputTypes, planLimits } from '../core/plan.ts';
import { jsonSchema, templateTaskSchema } from '../core/task-input.ts';

export const nameSchema = z.string().min(1).max(200);
const descriptionSchema = z.string().max(10_000).optional();

/** Checked one by one, for they are maps and lists of their own. */
const part = z.unknown();

export const definitionSchema = z.strictObject({
  name: nameSchema.optional(),
  description: descriptionSchema,
  input: part.optional(),
  defaults: part.optional(),
  fail_fast: z.boolean().optional(),
  tasks: part.optional(),
  output: jsonSchema.optional(),
  on_failure: part.optional(),
  deadline: part.optional(),
});

const { idempotency_key: _key, retry: _retry, ...single } = templateTaskSchema.shape;
const { queue, priority, timeout, env, limits, networks, pull, registry, run_at } = single;

const timeOfSingle = run_at.unwrap();
/** RFC 3339, or a template that yields it. */
const timeSchema = z
  .string()
  .max(4_000)
  .refine(
    (text) => text.includes('${{') || timeOfSingle.safeParse(text).success,
    'is not a time: write 2026-01-31T08:00:00Z',
  );

export const taskSchema = z.strictObject({
  ...single,
  run_at: timeSchema.optional(),
  name: nameSchema,
  description: descriptionSchema,
  needs: part.optional(),
  retry: part.optional(),
  continue_on_error: z.boolean().optional(),
  if: part.optional(),
  each: part.optional(),
  matrix: part.optional(),
  concurrency: z.int().min(1).max(planLimits.itemsMax).optional(),
  max_failures: z.int().min(0).max(planLimits.itemsMax).optional(),
  process: part.optional(),
  sleep: part.optional(),
  wait_for: part.optional(),
});

export const notReferred = 'is no template: write the name of a definition';

/** Of a definition that is started: taken as it is, for which one it is must be known when this one is published. */
const referredSchema = nameSchema.refine((name) => !name.includes('${{'), {
  error: notReferred,
  params: { code: 'misplaced_expression' },
});
const versionSchema = z.int().min(1).max(2_147_483_647);

export const processSchema = z.strictObject({
  definition: referredSchema,
  version: versionSchema.optional(),
  input: part.optional(),
  detached: z.boolean().optional(),
});

export const onFailureSchema = z.strictObject({
  definition: referredSchema,
  version: versionSchema.optional(),
});

/** Names and keys of events have 200 letters; as templates they may be longer. */
const eventTextSchema = z
  .string()
  .max(4_000)
  .refine((text) => text.includes('${{') || text.length <= 200, 'is longer than 200 letters');

export const waitForSchema = z.strictObject({
  event: eventTextSchema.min(1),
  key: eventTextSchema.optional(),
  timeout: part.optional(),
});

export const sleepSchema = z.strictObject({ until: timeSchema });

export const defaultsSchema = z.strictObject({
  queue,
  priority,
  retry: part.optional(),
  timeout,
  continue_on_error: z.boolean().optional(),
  env,
  limits,
  networks,
  pull,
  registry,
});

export const inputRuleSchema = z.strictObject({
  type: z.enum(inputTypes).optional(),
  required: z.boolean().optional(),
  default: jsonSchema.optional(),
  enum: z.array(jsonSchema).min(1).max(1_000).optional(),
  description: descriptionSchema,
});
