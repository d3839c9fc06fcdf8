/** The workers' protocol: claiming. */
import { z } from 'zod';
import { isId } from '../../core/ids.ts';
import { jsonSchema, queueNameSchema } from '../../core/task-input.ts';
import { boundedDuration, labelText, waitSchema } from './parameters.ts';
import { claimedWorkShape } from './task.ts';

/** A person may take a task for a day; a worker that beats its heart needs seconds. */
export const leaseSchema = boundedDuration({ min: '1s', max: '24h' }).meta({
  description: 'How long the claim holds without a heartbeat: 1s to 24h',
  example: '30s',
});
export const leaseDefault = '30s';

export const timeoutGraceSchema = boundedDuration({ max: '1h' }).meta({
  description:
    "How long after a task's timeout the server steps in, for workers that stop their own attempts",
  example: '15s',
});

export const workerNameSchema = z.string().min(1).max(200).meta({ example: 'host-4711-a1b2c3' });
export const workerNameDefault = 'unnamed';

export const claimIdSchema = z
  .string()
  .refine(isId, 'is not a UUID')
  .transform((id) => id.toLowerCase())
  .meta({
    description:
      'A UUID of your own: the same one answers the same still-held tasks, should an answer get lost',
    format: 'uuid',
  });

export const claimSchema = z
  .strictObject({
    queues: z
      .array(queueNameSchema)
      .min(1)
      .max(100)
      .transform((queues) => [...new Set(queues)])
      .meta({ example: ['default'] }),
    limit: z.int().min(1).max(1_000).default(1).meta({ description: 'At most so many tasks' }),
    start_limit: z
      .int()
      .min(0)
      .max(1_000)
      .optional()
      .meta({ description: 'How many of them start at once; the rest are held ahead. All by default' }),
    worker: workerNameSchema.optional(),
    lease: leaseSchema.prefault(leaseDefault),
    timeout_grace: timeoutGraceSchema.prefault('0s'),
    wait: waitSchema
      .prefault('0s')
      .meta({ description: 'Waits so long (at most 60s) for something to come', example: '30s' }),
    claim_id: claimIdSchema.optional(),
    name: z.string().min(1).max(200).optional().meta({ description: 'Only tasks of this name' }),
    definition: z
      .string()
      .min(1)
      .max(200)
      .optional()
      .meta({ description: 'Only tasks of processes of this definition' }),
    label: labelText.optional(),
    outputs: z.enum(['direct', 'all']).default('direct').meta({
      description:
        'Whose outputs `needs` holds: direct needs, or every task before it. A single task has none',
    }),
  })
  .meta({ id: 'Claim' });

export type ClaimBody = z.output<typeof claimSchema>;

export const claimOneSchema = z
  .strictObject({
    worker: workerNameSchema.default(workerNameDefault),
    lease: leaseSchema.prefault(leaseDefault),
    timeout_grace: timeoutGraceSchema.prefault('0s'),
    claim_id: claimIdSchema.optional(),
  })
  .meta({ id: 'ClaimOne' });

export const claimedTaskSchema = z
  .object({
    id: z.string().meta({ format: 'uuid' }),
    token: z
      .string()
      .meta({ description: 'Names this claim; every later word about the attempt carries it' }),
    attempt: z.int(),
    attempts_max: z.int(),
    name: z.string(),
    queue: z.string(),
    priority: z.int(),
    ...claimedWorkShape,
    input: jsonSchema,
    labels: z.record(z.string(), z.string()).nullable(),
    timeout: z.string().nullable(),
    started: z.boolean().meta({ description: 'False: held ahead; say with a heartbeat when it starts' }),
    process: z
      .object({
        id: z.string().meta({ format: 'uuid' }),
        definition: z.string().nullable(),
        version: z.int().nullable(),
        input: jsonSchema,
      })
      .nullable()
      .meta({ description: 'Null for a task that stands alone' }),
    item: z
      .object({ index: z.int(), value: jsonSchema })
      .optional()
      .meta({ description: 'Of an item of an `each`: its place in the list, from 0, and its value' }),
    needs: z.record(z.string(), jsonSchema).meta({ description: 'Outputs of the tasks it needed, by name' }),
    needs_links: z.record(z.string(), z.string()).meta({
      description: 'Where the outputs are that are too large to come along: past 1 MiB for one task',
    }),
    wait_ms: z.number(),
    created_at: z.string().meta({ format: 'date-time' }),
    lease_expires_at: z.string().meta({ format: 'date-time' }),
    lease_left_ms: z.int().meta({ description: 'What was left of the lease when the database answered' }),
  })
  .meta({
    id: 'ClaimedTask',
    example: {
      id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
      token: 'AZmixF97fD6dSiscPU5fYAAAAAE',
      attempt: 1,
      attempts_max: 3,
      name: 'send-email',
      queue: 'send-email',
      priority: 5,
      type: 'handler',
      handler: 'send-email',
      input: { to: 'ada@example.com' },
      labels: null,
      timeout: '30s',
      started: true,
      process: null,
      needs: {},
      needs_links: {},
      wait_ms: 4,
      created_at: '2026-01-31T12:00:00.000Z',
      lease_expires_at: '2026-01-31T12:00:30.004Z',
      lease_left_ms: 30000,
    },
  });
