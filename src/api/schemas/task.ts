/** A task as it is shown. */
import { z } from 'zod';
import { anyText, containerShapeOf } from '../../core/container-input.ts';
import type { SecretText } from '../../core/secret-text.ts';
import { type NamedPart, type Sidecar, specTypes } from '../../core/spec.ts';
import { parkings, visibleTaskStates } from '../../core/task.ts';
import { jsonSchema, templateTaskSchema } from '../../core/task-input.ts';

export const momentSchema = z.string().meta({ format: 'date-time' });
export const idSchema = z.string().meta({ format: 'uuid' });

export const taskErrorSchema = z
  .object({
    code: z.string(),
    message: z.string(),
    details: jsonSchema.optional(),
  })
  .meta({ id: 'TaskError', example: { code: 'exit_code', message: 'The command exited with 1.' } });

export const taskSummarySchema = z
  .object({
    id: idSchema,
    name: z.string(),
    queue: z.string(),
    priority: z.int(),
    state: z.enum(visibleTaskStates),
    attempt: z.int().meta({ description: 'Attempt n …' }),
    attempts_max: z.int().meta({ description: '… of m' }),
    failures: z.int(),
    losses: z.int().meta({ description: 'How often a worker died or froze with it' }),
    available_at: momentSchema.nullable().meta({ description: 'When it is due, or tried next' }),
    worker: z.string().nullable(),
    lease_expires_at: momentSchema.nullable(),
    cancel_requested: z.boolean(),
    labels: z.record(z.string(), z.string()),
    created_at: momentSchema,
    started_at: momentSchema.nullable(),
    finished_at: momentSchema.nullable(),
    wait_ms: z.number().nullable().meta({ description: 'From being due to being claimed' }),
    run_ms: z.number().nullable(),
    exit_code: z.int().nullable(),
    cpu_ms: z.number().nullable().meta({ description: 'Processor time, where its worker could tell' }),
    memory_peak_bytes: z.number().nullable(),
    progress: jsonSchema.meta({
      description: 'How far a running one is, in its own words; a number is per cent',
    }),
    error: taskErrorSchema.nullable(),
    process_id: idSchema.nullable().meta({ description: 'Null for a task that stands alone' }),
    ordinal: z
      .int()
      .nullable()
      .meta({ description: 'Its place among the tasks of its process, counted from 1' }),
    waits_for: z
      .enum(parkings)
      .nullable()
      .meta({ description: 'What a waiting one is parked for; `waiting_for` of the task says it in words' }),
    item_of: z.int().nullable().meta({ description: 'Of an item of an `each`: the ordinal of that task …' }),
    item_index: z.int().nullable().meta({ description: '… and its place in the list, from 0' }),
  })
  .meta({
    id: 'TaskSummary',
    description: 'A task in a list: without what it runs, its input and its output',
  });

const typeSchema = z
  .enum(specTypes)
  .nullable()
  .meta({ description: 'Null: whoever claims it knows what to do' });

const { command, args, run, handler, env, stdin } = templateTaskSchema.shape;

/** What a task runs, flat beside the rest, in the words in which it was enqueued or defined: with its expressions. */
export const workShape = {
  type: typeSchema,
  command,
  args,
  run,
  handler,
  env,
  stdin,
  ...containerShapeOf(anyText),
};

const secretTextSchema = z
  .union([z.string(), z.array(z.union([z.string(), z.object({ secret: z.string() })]))])
  .meta({ id: 'SecretText', description: 'Text, or its parts where it refers to secrets of the worker' });
const partsOf = <Part>() => z.array(z.looseObject({})) as unknown as z.ZodType<Part[], Part[]>;

/** The same for a worker, references to secrets taken apart. */
export const claimedWorkShape = {
  ...workShape,
  args: z.array(secretTextSchema).optional(),
  cmd: z.array(secretTextSchema).optional(),
  entrypoint: z.array(secretTextSchema).optional(),
  env: z.record(z.string(), secretTextSchema).optional(),
  registry: z.object({ username: secretTextSchema, password: secretTextSchema }).optional(),
  pre: partsOf<NamedPart<SecretText>>().optional(),
  post: partsOf<NamedPart<SecretText>>().optional(),
  sidecars: partsOf<Sidecar<SecretText>>().optional(),
};

export const retryOnSchema = z.object({
  exit_codes: z.array(z.int()).optional(),
  codes: z.array(z.string()).optional(),
});

const viewShape = {
  ...taskSummarySchema.shape,
  ...workShape,
  input: jsonSchema,
  retry: z
    .object({
      attempts: z.int(),
      backoff: z.string(),
      delay: z.string(),
      max_delay: z.string(),
      jitter: z.boolean(),
      on: retryOnSchema.nullable().meta({ description: 'Failures that are tried again; null: all are' }),
      within: z.string().nullable().meta({ description: 'From the start of the first attempt on' }),
    })
    .nullable(),
  timeout: z.string().nullable(),
  needs: z.array(z.string()).meta({ description: 'Names of the tasks of its process that it needs' }),
  success: z.boolean().nullable().meta({ description: 'Null until it has ended' }),
  output: jsonSchema,
  last_error: taskErrorSchema
    .nullable()
    .meta({ description: 'Of the last attempt that did not complete it' }),
  waiting_for: z
    .string()
    .nullable()
    .meta({
      description: 'Why it has not ended and does not run, where we can tell',
      examples: [
        'no worker serves this queue',
        '88 of 100 items',
        'the event "paid" with key "42"',
        'until 2026-01-31T12:00:00.000Z',
      ],
    }),
  item: z
    .object({ index: z.int(), value: jsonSchema })
    .nullable()
    .meta({ description: 'Of an item of an `each`: its place in the list, from 0, and its value' }),
  process: z.object({ id: idSchema }).nullable().meta({ description: 'That its `process` has started' }),
};

export const taskExample = {
  id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  name: 'echo',
  queue: 'default',
  priority: 5,
  state: 'completed',
  attempt: 1,
  attempts_max: 1,
  failures: 0,
  losses: 0,
  available_at: null,
  worker: 'host-4711-a1b2c3',
  lease_expires_at: null,
  cancel_requested: false,
  labels: {},
  created_at: '2026-01-31T12:00:00.000Z',
  started_at: '2026-01-31T12:00:00.004Z',
  finished_at: '2026-01-31T12:00:00.009Z',
  wait_ms: 4,
  run_ms: 5,
  exit_code: 0,
  cpu_ms: null,
  memory_peak_bytes: null,
  progress: null,
  error: null,
  process_id: null,
  ordinal: null,
  waits_for: null,
  item_of: null,
  item_index: null,
  type: 'command',
  command: 'echo',
  args: ['hello', 'world'],
  input: null,
  retry: null,
  timeout: null,
  needs: [],
  success: true,
  output: 'hello world',
  last_error: null,
  waiting_for: null,
  item: null,
  process: null,
} as const;

export const taskSchema = z
  .object(viewShape)
  .meta({ id: 'Task', description: 'A task, whole', example: taskExample });

export const attemptSchema = z
  .object({
    attempt: z.int(),
    outcome: z.enum(['failed', 'timed_out', 'lost', 'cancelled']),
    exit_code: z.int().nullable(),
    run_ms: z.number().nullable(),
    cpu_ms: z.number().nullable(),
    memory_peak_bytes: z.number().nullable(),
    error: taskErrorSchema.nullable(),
    output: jsonSchema,
    worker: z.string(),
    started_at: momentSchema.nullable(),
    ended_at: momentSchema,
  })
  .meta({ id: 'Attempt', description: 'An attempt that did not complete its task' });

export const taskWithAttemptsSchema = z
  .object({ ...viewShape, attempts: z.array(attemptSchema) })
  .meta({ id: 'TaskWithAttempts', example: { ...taskExample, attempts: [] } });

/** The same in Tork's words. */
export const torkTaskSchema = z
  .object({
    ...viewShape,
    state: z.string().meta({ description: 'In capitals', example: 'COMPLETED' }),
    result: jsonSchema.meta({ description: 'The same as `output`' }),
    attempts: z.array(attemptSchema),
  })
  .meta({
    id: 'TorkTask',
    example: { ...taskExample, state: 'COMPLETED', result: 'hello world', attempts: [] },
  });
