/** Processes as they are started, moved and shown. */
import { z } from 'zod';
import { processStates } from '../../core/process.ts';
import { visibleTaskStates } from '../../core/task.ts';
import { inputBytesMax, jsonSchema } from '../../core/task-input.ts';
import { definitionBodySchema, definitionNameSchema, versionSchema } from './definition.ts';
import { errorSchema, outputSchema } from './settlement.ts';
import { idSchema, momentSchema, taskErrorSchema } from './task.ts';

const inputSchema = jsonSchema
  .refine(
    (input) => Buffer.byteLength(JSON.stringify(input)) <= inputBytesMax,
    `is larger than ${inputBytesMax} bytes; keep it elsewhere and hand over where it is`,
  )
  .meta({ description: 'An object of at most 1 MiB, checked against the rules of the definition' });

const idempotencyKeySchema = z.string().min(1).max(200);

export const startSchema = z
  .strictObject({
    definition: z
      .union([definitionNameSchema, definitionBodySchema], { error: 'is no name and no definition' })
      .optional()
      .meta({ description: 'The name of a published definition, or one in hand' }),
    source: z
      .string()
      .optional()
      .meta({ description: 'A definition in hand as text, YAML or JSON, in place of `definition`' }),
    version: versionSchema.optional(),
    input: inputSchema.optional(),
    idempotency_key: idempotencyKeySchema.optional(),
  })
  .superRefine(({ definition, source, version }, context) => {
    const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (definition === undefined && source === undefined) {
      issue(['definition'], 'is missing: the name of a published definition, or one in hand');
    }
    if (definition !== undefined && source !== undefined) issue(['source'], 'cannot go with "definition"');
    if (version !== undefined && typeof definition !== 'string') {
      issue(['version'], 'goes with the name of a published definition');
    }
  })
  .meta({ id: 'ProcessStart' });

/** For a body that is a definition and nothing else. */
export const startParameters = {
  idempotency_key: idempotencyKeySchema
    .optional()
    .meta({ description: 'With a YAML body, which has no room for it' }),
  input: z.string().optional().meta({
    description: 'As JSON, with a YAML body, which has no room for it',
    example: '{"amount": 1000}',
  }),
};

const summaryShape = {
  id: idSchema,
  definition: z.string().nullable().meta({ description: 'Null for an inline one without a name' }),
  version: z.int().nullable().meta({ description: 'Null for an inline one' }),
  state: z.enum(processStates),
  paused: z.boolean(),
  tasks: z.int().meta({ description: 'How many it has …' }),
  unfinished: z.int().meta({ description: '… and how many of them have not ended' }),
  percent: z.int().meta({ description: 'Of its tasks, those that have ended' }),
  created_at: momentSchema,
  finished_at: momentSchema.nullable(),
  parent: z.object({ process_id: idSchema, task_id: idSchema.nullable() }).nullable().meta({
    description: 'The process that has started it, and its task; without a task it was `on_failure` of it',
  }),
  detached: z.boolean().meta({ description: 'Its parent does not wait for its end' }),
};

export const processSummarySchema = z
  .object(summaryShape)
  .meta({ id: 'ProcessSummary', description: 'A process in a list: without its input and output' });

const viewShape = {
  ...summaryShape,
  definition_id: idSchema,
  revision: z.int().meta({
    description: 'Raised by every move of the process; in quotes it is the ETag, for `If-Match`',
  }),
  input: jsonSchema,
  counts: z.record(z.enum(visibleTaskStates), z.int()).meta({ description: 'Its tasks by state' }),
  active: z
    .array(z.string())
    .meta({ description: 'Names of tasks that are scheduled, ready, running or waiting; the first hundred' }),
  last_error: taskErrorSchema
    .extend({ task: z.string() })
    .nullable()
    .meta({ description: 'Of the last attempt or task that went wrong' }),
  error: taskErrorSchema
    .nullable()
    .meta({ description: 'Why it failed, where none of its tasks says so: its deadline, its `output`' }),
  output: jsonSchema.meta({
    description:
      'What `output` of its definition yields; without one the outputs of the tasks that no other needs, by name. Null until it has completed',
  }),
  large_outputs: z.record(z.string(), z.string()).optional().meta({
    description: 'Names of such tasks whose outputs are too large to come along, and the ids of their tasks',
  }),
  depth: z.int().meta({ description: 'How many processes lie above it' }),
  failure_process_id: idSchema.nullable().meta({ description: 'What its `on_failure` has started' }),
};

const processExample = {
  id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  definition: 'loan-application',
  version: 2,
  state: 'running',
  paused: false,
  tasks: 2,
  unfinished: 1,
  percent: 50,
  created_at: '2026-01-31T12:00:00.000Z',
  finished_at: null,
  parent: null,
  detached: false,
  definition_id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f61',
  revision: 2,
  input: { applicant: 'Ann' },
  counts: {
    pending: 0,
    scheduled: 0,
    ready: 1,
    running: 0,
    waiting: 0,
    completed: 1,
    failed: 0,
    cancelled: 0,
    skipped: 0,
  },
  active: ['Review Credit'],
  last_error: null,
  error: null,
  output: null,
  depth: 0,
  failure_process_id: null,
} as const;

export const processSchema = z
  .object(viewShape)
  .meta({ id: 'Process', description: 'A process, whole', example: processExample });

export const endedByNameSchema = z
  .object({
    ...viewShape,
    repeated: z
      .boolean()
      .meta({ description: 'It had been ended so before, by the same: your earlier answer got lost' }),
  })
  .meta({ id: 'TaskEndedByName', example: { ...processExample, repeated: false } });

export const retriedSchema = z
  .object({
    ...viewShape,
    retried: z.array(z.string()).meta({ description: 'Names of the failed tasks that are tried again' }),
  })
  .meta({ id: 'ProcessRetried', example: { ...processExample, retried: ['Review Credit'] } });

export const processEventSchema = z
  .object({
    at: momentSchema,
    event: z.string().meta({
      description: 'What happened',
      examples: ['process_started', 'task_started', 'attempt_failed', 'task_completed', 'process_paused'],
    }),
    task: z.string().nullable(),
    task_id: idSchema.nullable(),
    by: z.string().nullable().meta({ description: 'The worker, or whoever asked for it' }),
    details: jsonSchema,
  })
  .meta({ id: 'ProcessEvent' });

const bySchema = z
  .string()
  .min(1)
  .max(200)
  .optional()
  .meta({ description: 'Who asks, for the record', example: 'ada' });

export const moveSchema = z.strictObject({ by: bySchema }).meta({ id: 'ProcessMove' });

export const retrySchema = z
  .strictObject({
    by: bySchema,
    inputs: z
      .record(
        z.string().min(1).max(200),
        jsonSchema.refine(
          (input) => Buffer.byteLength(JSON.stringify(input)) <= inputBytesMax,
          `is larger than ${inputBytesMax} bytes; keep it elsewhere and hand over where it is`,
        ),
      )
      .optional()
      .meta({
        description:
          'By names of failed tasks: what they get in place of the input of the definition, as it is; JSON of at most 1 MiB each',
      }),
  })
  .meta({ id: 'ProcessRetry' });

export const completeByNameSchema = z
  .strictObject({ output: outputSchema.optional(), by: bySchema })
  .meta({ id: 'CompleteByName' });

export const failByNameSchema = z
  .strictObject({ error: errorSchema, by: bySchema })
  .meta({ id: 'FailByName' });
