/** The keys of a definition, map by map. What a single task has too is taken over from it. */
import { z } from 'zod';
import { inputTypes } from '../core/plan.ts';
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
});

const {
  idempotency_key: _key,
  delay: _delay,
  run_at: _runAt,
  retry: _retry,
  ...single
} = templateTaskSchema.shape;
const { queue, priority, timeout, env, limits, networks, pull, registry } = single;

export const taskSchema = z.strictObject({
  ...single,
  name: nameSchema,
  description: descriptionSchema,
  needs: part.optional(),
  retry: part.optional(),
  continue_on_error: z.boolean().optional(),
});

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
