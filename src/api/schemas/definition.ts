/** Definitions as they are sent and shown. */
import { z } from 'zod';
import { inputTypes } from '../../core/plan.ts';
import type { Spec } from '../../core/spec.ts';
import { jsonSchema } from '../../core/task-input.ts';
import { problemPartSchema } from './problem.ts';
import { idSchema, momentSchema, retryOnSchema } from './task.ts';

export const definitionNameSchema = z.string().min(1).max(200).meta({ example: 'loan-application' });

export const versionSchema = z.int32().min(1).meta({ description: 'The newest when left out', example: 2 });

/** What there may be is for the checker of definitions to say, with its place in the text. */
export const definitionBodySchema = z
  .record(z.string(), jsonSchema)
  .meta({ id: 'DefinitionSource', description: 'A definition; the same may be sent as YAML' });

export const definitionExample = {
  input: { applicant: { type: 'string', required: true } },
  tasks: [
    { name: 'Open Loan Application', queue: 'people' },
    { name: 'Review Credit', needs: ['Open Loan Application'], run: './score' },
  ],
};

export const definitionYamlExample = `tasks:
  - name: Open Loan Application
  - name: Review Credit
    needs: [Open Loan Application]
`;

const specSchema = z
  .unknown()
  .meta({ description: 'What it runs; null: whoever claims it knows what to do' }) as z.ZodType<
  Spec | null,
  Spec | null
>;

const startedShape = { definition: z.string(), version: z.int().optional() };

const plannedTaskSchema = z
  .object({
    name: z.string(),
    queue: z.string(),
    priority: z.int(),
    spec: specSchema,
    input: jsonSchema,
    labels: z.record(z.string(), z.string()).nullable(),
    retry: z
      .object({
        attempts: z.int(),
        backoff: z.enum(['fixed', 'linear', 'exponential']),
        delay_ms: z.number(),
        max_delay_ms: z.number(),
        jitter: z.boolean(),
        on: retryOnSchema.optional(),
        within_ms: z.number().optional(),
      })
      .nullable(),
    timeout_ms: z.number().nullable(),
    continue_on_error: z.boolean(),
    needs: z.array(z.int()).meta({ description: 'Places, from 1, of the tasks that must end first' }),
    dependents: z.array(z.int()).meta({ description: 'Places, from 1, of the tasks that need this one' }),
    thinks: z.literal(true).optional().meta({ description: 'An engine decides about it before it runs' }),
    if: z.string().optional(),
    runs_on_failure: z.literal(true).optional(),
    runs_on_cancel: z.literal(true).optional(),
    each: jsonSchema.optional(),
    matrix: z.record(z.string(), jsonSchema).optional(),
    concurrency: z.int().optional(),
    max_failures: z.int().optional(),
    process: z
      .object({ ...startedShape, input: jsonSchema.optional(), detached: z.literal(true).optional() })
      .optional(),
    sleep: z.union([z.object({ for: z.string() }), z.object({ until: z.string() })]).optional(),
    wait_for: z
      .object({ event: z.string(), key: z.string().optional(), timeout_ms: z.number().optional() })
      .optional(),
    delay_ms: z.number().optional(),
    run_at: z.string().optional(),
  })
  .meta({ id: 'PlannedTask' });

export const planSchema = z
  .object({
    name: z.string().nullable(),
    fail_fast: z.boolean(),
    input: z
      .record(
        z.string(),
        z.object({
          type: z.enum(inputTypes),
          required: z.boolean(),
          default: jsonSchema.optional(),
          enum: z.array(jsonSchema).optional(),
          description: z.string().optional(),
        }),
      )
      .nullable()
      .meta({ description: 'Null: any object is accepted' }),
    tasks: z.array(plannedTaskSchema),
    thinks: z.literal(true).optional(),
    output: jsonSchema.optional().meta({ description: 'A template: what the process yields' }),
    on_failure: z.object(startedShape).optional(),
    deadline_ms: z.number().optional(),
  })
  .meta({ id: 'Plan', description: 'A definition after checking, every default filled in' });

const summaryShape = {
  id: idSchema,
  name: z.string(),
  version: z.int(),
  tasks: z.int().meta({ description: 'How many it has' }),
  checksum: z.string().meta({ description: 'SHA-256 of its text' }),
  created_at: momentSchema,
  active: z.boolean().meta({ description: 'False: nothing more is started by this name' }),
  inactive_since: momentSchema.nullable(),
  inactive_by: z.string().nullable().meta({ description: 'Who made it so, if they gave a name' }),
};

const summaryExample = {
  id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  name: 'loan-application',
  version: 2,
  tasks: 2,
  checksum: '9b74c9897bac770ffc029102a200c5de9b74c9897bac770ffc029102a200c5de',
  created_at: '2026-01-31T12:00:00.000Z',
  active: true,
  inactive_since: null,
  inactive_by: null,
};

export const definitionSummarySchema = z.object(summaryShape).meta({ id: 'DefinitionSummary' });

export const definitionSchema = z
  .object({
    ...summaryShape,
    source: z.string().meta({ description: 'The text as it was published' }),
    plan: planSchema,
  })
  .meta({ id: 'Definition' });

export const publishedSchema = z
  .object({
    ...summaryShape,
    created: z.boolean().meta({ description: 'False: the newest version had this very text' }),
  })
  .meta({ id: 'Published', example: { ...summaryExample, created: true } });

export const definitionChangeSchema = z
  .strictObject({
    active: z.boolean(),
    by: z.string().min(1).max(200).optional().meta({ description: 'Who says so, for the record' }),
  })
  .meta({ id: 'DefinitionChange' });

const changeSchema = z
  .object({
    pointer: z.string().meta({
      description: 'Into the task, or into the definition beside its tasks; empty: the whole',
      example: '/retry/attempts',
    }),
    before: jsonSchema.optional().meta({ description: 'Left out: it was not there' }),
    after: jsonSchema.optional().meta({ description: 'Left out: it is not there any more' }),
  })
  .meta({ id: 'PlanChange' });

export const definitionDiffSchema = z
  .object({
    name: z.string(),
    from: z.int(),
    to: z.int(),
    definition: z.array(changeSchema).meta({ description: 'Outside its tasks' }),
    tasks: z
      .array(
        z
          .object({
            name: z.string(),
            change: z.enum(['added', 'removed', 'changed']),
            changes: z.array(changeSchema),
          })
          .meta({ id: 'TaskDiff' }),
      )
      .meta({ description: 'In the order of the newer text; removed ones at the end' }),
    tasks_left_out: z.int().meta({ description: 'Tasks that are different too, and not shown' }),
  })
  .meta({
    id: 'DefinitionDiff',
    example: {
      name: 'loan-application',
      from: 1,
      to: 2,
      definition: [],
      tasks: [
        {
          name: 'Review Credit',
          change: 'changed',
          changes: [{ pointer: '/retry/attempts', before: 1, after: 3 }],
        },
      ],
      tasks_left_out: 0,
    },
  });

export const validationSchema = z
  .discriminatedUnion('valid', [
    z.object({
      valid: z.literal(true),
      name: z.string().nullable(),
      tasks: z.int(),
      plan: planSchema,
    }),
    z.object({ valid: z.literal(false), problems: z.array(problemPartSchema) }),
  ])
  .meta({ id: 'Validation' });
