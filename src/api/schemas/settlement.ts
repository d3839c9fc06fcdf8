/** The workers' protocol: ending attempts and keeping claims. */
import { z } from 'zod';
import type { TaskError } from '../../core/task.ts';
import { jsonSchema } from '../../core/task-input.ts';
import { progressBytesMax } from '../../core/task-source.ts';
import { boundedDuration } from './parameters.ts';

const outputBytesMax = 1024 * 1024;
const errorMessageBytesMax = 64 * 1024;
const errorDetailsBytesMax = 64 * 1024;

export const tokenSchema = z
  .string()
  .max(100)
  .meta({ description: 'From the claim', example: 'AZmixF97fD6dSiscPU5fYAAAAAE' });

export const outputSchema = jsonSchema
  .refine(
    (output) => bytesOf(output) <= outputBytesMax,
    `is larger than ${outputBytesMax} bytes; keep it elsewhere and put out where it is`,
  )
  .meta({ description: 'Any JSON value of at most 1 MiB' });

export const progressSchema = jsonSchema
  .refine(
    (progress) => bytesOf(progress) <= progressBytesMax,
    `is larger than ${progressBytesMax} bytes; say the rest in the log`,
  )
  .meta({
    description:
      'How far the attempt is, if that has changed: JSON of at most 1 KiB, a number is per cent; null takes back what was said',
    example: 40,
  });

const messageSchema = z
  .string()
  .refine(
    (message) => Buffer.byteLength(message) <= errorMessageBytesMax,
    `is larger than ${errorMessageBytesMax} bytes`,
  );

export const errorSchema = z
  .union(
    [
      messageSchema,
      z.strictObject({
        code: z.string().min(1).max(200).default('failed'),
        message: messageSchema,
        details: jsonSchema
          .refine(
            (details) => bytesOf(details) <= errorDetailsBytesMax,
            `is larger than ${errorDetailsBytesMax} bytes`,
          )
          .optional(),
      }),
    ],
    { error: 'is not a text, nor {code, message, details} within their limits (64 KiB each)' },
  )
  .transform((error): TaskError => {
    if (typeof error === 'string') return { code: 'failed', message: error };
    const { code, message, details } = error;
    return details === undefined ? { code, message } : { code, message, details };
  })
  .meta({
    description: 'A text, or {code, message, details}',
    example: { code: 'smtp', message: 'mailbox full' },
  });

const exitCodeSchema = z.int32().nullable().optional();
const runMsSchema = figureSchema('How long it ran, by a monotonic clock; measured by the server if left out');
const cpuMsSchema = figureSchema('Processor time that it used');
const memoryPeakBytesSchema = figureSchema('The most memory that it held');
const retrySchema = z
  .boolean()
  .optional()
  .meta({ description: 'False: final, whatever the retry policy says' });
const delaySchema = boundedDuration({ max: '30d' })
  .optional()
  .meta({ description: 'Not again before that', example: '5s' });

export const completeSchema = z
  .strictObject({
    token: tokenSchema,
    output: outputSchema.optional(),
    exit_code: exitCodeSchema,
    run_ms: runMsSchema,
    cpu_ms: cpuMsSchema,
    memory_peak_bytes: memoryPeakBytesSchema,
  })
  .meta({ id: 'Complete' });

export const failSchema = z
  .strictObject({
    token: tokenSchema,
    error: errorSchema,
    retry: retrySchema,
    output: outputSchema
      .optional()
      .meta({ description: 'What the attempt had put out, for people to look at' }),
    exit_code: exitCodeSchema,
    run_ms: runMsSchema,
    cpu_ms: cpuMsSchema,
    memory_peak_bytes: memoryPeakBytesSchema,
  })
  .meta({ id: 'Fail' });

export const releaseSchema = z
  .strictObject({ token: tokenSchema, delay: delaySchema })
  .meta({ id: 'Release' });

const subject = { id: z.string().max(100).meta({ format: 'uuid' }), token: tokenSchema };

/** One of a batch. */
export const settlementSchema = z
  .discriminatedUnion('outcome', [
    completeSchema.extend({ ...subject, outcome: z.literal('completed') }),
    failSchema.extend({ ...subject, outcome: z.enum(['failed', 'timed_out']) }),
    completeSchema.extend({ ...subject, outcome: z.literal('cancelled') }),
    releaseSchema.extend({ ...subject, outcome: z.literal('released') }),
  ])
  .meta({ id: 'Settlement' });

export const settledSchema = z
  .object({
    id: z.string().meta({ format: 'uuid' }),
    state: z
      .enum(['active', 'completed', 'failed', 'cancelled'])
      .meta({ description: "The task's now; active when it will be tried again or was given back" }),
    repeated: z
      .boolean()
      .meta({ description: 'It had been settled so before: your earlier answer got lost' }),
    next_try_at: z.string().nullable().meta({ format: 'date-time' }),
  })
  .meta({
    id: 'Settled',
    example: {
      id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
      state: 'completed',
      repeated: false,
      next_try_at: null,
    },
  });

function figureSchema(description: string) {
  return z.int().min(0).nullable().optional().meta({ description });
}

function bytesOf(value: unknown): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}
