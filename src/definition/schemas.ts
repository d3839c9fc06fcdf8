/** The keys of a definition, map by map. What a single task has too is taken over from it. */
import { z } from 'zod';
import { inputTypes } from '../core/plan.ts';
import { jsonSchema, taskInputSchema } from '../core/task-input.ts';

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

const { type, command, args, run, handler, env, queue, input, priority, timeout, labels } =
  taskInputSchema.shape;

export const taskSchema = z.strictObject({
  name: nameSchema,
  description: descriptionSchema,
  needs: part.optional(),
  type,
  command,
  args,
  run,
  handler,
  env,
  input,
  queue,
  priority,
  retry: part.optional(),
  timeout,
  labels,
  continue_on_error: z.boolean().optional(),
});

export const defaultsSchema = z.strictObject({
  queue,
  priority,
  retry: part.optional(),
  timeout,
  continue_on_error: z.boolean().optional(),
  env,
});

export const inputRuleSchema = z.strictObject({
  type: z.enum(inputTypes).optional(),
  required: z.boolean().optional(),
  default: jsonSchema.optional(),
  enum: z.array(jsonSchema).min(1).max(1_000).optional(),
  description: descriptionSchema,
});
