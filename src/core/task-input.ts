/**
 * A task as people write it (the body of `POST /v1/tasks`, `ctx.enqueue`), and its checking.
 *
 * The SQL function `skipjack.enqueue(jsonb)` takes the same words; a test holds the two together.
 */
import { z } from 'zod';
import {
  anyText,
  checkProgram,
  containerKeys,
  containerShapeOf,
  durationSchema,
  envSchemaOf,
  plainText,
  positiveDurationSchema,
  scriptSchema,
  secretText,
  stdinSchema,
  type TextRule,
  text,
} from './container-input.ts';
import { parseDuration } from './durations.ts';
import { type Problem, SkipjackError } from './errors.ts';
import { newId } from './ids.ts';
import { escapePointer, findJsonProblem, type Json } from './json.ts';
import { describeIssue } from './schema-words.ts';
import { readSpec, type Spec, specTypes } from './spec.ts';
import { defaultRetry, type NewTask } from './task.ts';

export const inputBytesMax = 1024 * 1024;

export const queueNameSchema = text(200).refine(
  (name) => !name.startsWith('$'),
  'begins with "$", which is kept for the engine',
);

/** Any JSON value; its limits are checked over the whole body. */
export const jsonSchema = z.unknown().meta({ description: 'Any JSON value' }) as z.ZodType<Json, Json>;

const retryOnSchema = z
  .strictObject({
    exit_codes: z.array(z.int().min(0).max(255)).min(1).max(100).optional(),
    codes: z
      .array(text(100))
      .min(1)
      .max(100)
      .optional()
      .meta({ description: "Codes of the attempt's error, as `timed_out`" }),
  })
  .refine((on) => on.exit_codes !== undefined || on.codes !== undefined, {
    error: 'names no failure: give it exit_codes, codes or both',
    when: ({ issues }) => issues.length === 0,
  })
  .meta({ description: 'Only failures that one of the lists has are tried again; without it all are' });

/** Far above what a task waits for, and safely added to any time. */
const withinMsMax = 366 * 86_400_000;

export const retrySchema = z
  .strictObject({
    attempts: z.int().min(1).max(1_000).optional().meta({ description: 'Tries in all, the first included' }),
    backoff: z.enum(['fixed', 'linear', 'exponential']).optional(),
    delay: durationSchema.optional(),
    max_delay: durationSchema.optional(),
    jitter: z.boolean().optional(),
    on: retryOnSchema.optional(),
    within: positiveDurationSchema
      .refine((value) => (parseDuration(value) ?? 0) <= withinMsMax, 'is longer than 366d')
      .optional()
      .meta({
        description:
          'All attempts in all: counted from the start of the first, no retry is made whose pause ends later',
        example: '10m',
      }),
  })
  .meta({ example: { attempts: 5, backoff: 'exponential', delay: '2s', max_delay: '1m', jitter: true } });

/** Beyond these years Postgres and JavaScript write times differently. */
function isStorableTime(text: string): boolean {
  const ms = Date.parse(text);
  return ms >= 0 && ms < Date.UTC(9999, 0);
}

export const labelsSchema = z
  .record(text(63), anyText(200))
  .refine((labels) => Object.keys(labels).length <= 32, 'has more than 32 labels');

const taskInputSchemaOf = (programText: TextRule) =>
  z
    .strictObject({
      type: z.enum(specTypes).optional().meta({ description: 'What to run; follows from the other keys' }),
      command: plainText(4_096)
        .optional()
        .meta({ description: 'An executable, run without a shell', example: 'echo' }),
      args: z
        .array(programText(131_072))
        .max(1_000)
        .optional()
        .meta({ example: ['hello', 'world'] }),
      run: scriptSchema
        .optional()
        .meta({ description: "A shell script; with an image, for the image's shell" }),
      handler: text(200).optional().meta({ description: 'The name of a function that a worker registers' }),
      env: envSchemaOf(programText).optional(),
      stdin: stdinSchema.optional().meta({ description: 'What the program reads from its standard input' }),
      ...containerShapeOf(programText),
      name: text(200).optional(),
      queue: queueNameSchema.optional(),
      input: jsonSchema.optional(),
      priority: z.int().min(0).max(9).optional().meta({ description: '0 to 9, higher first; 5 by default' }),
      delay: durationSchema.optional(),
      run_at: z.iso
        .datetime({ offset: true })
        .refine(isStorableTime, 'is not between the years 1970 and 9998')
        .optional(),
      retry: retrySchema.optional(),
      timeout: positiveDurationSchema.optional(),
      idempotency_key: text(200).optional(),
      labels: labelsSchema.optional(),
    })
    .superRefine((task, context) => {
      const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
      const type = typeOf(task);
      const kinds = (
        task.image === undefined
          ? (['command', 'run', 'handler'] as const)
          : (['image', 'command', 'handler'] as const)
      ).filter((kind) => task[kind] !== undefined);
      if (kinds.length > 1)
        issue([kinds[1] ?? ''], `a task has one of ${kindNames}, not ${kinds.join(' and ')}`);
      if (task.type !== undefined && task.type !== type) {
        const key = task.type === 'container' ? 'image' : task.type;
        issue(['type'], `is "${task.type}", but there is no "${key}"`);
      }
      if (task.args !== undefined && task.command === undefined)
        issue(
          ['args'],
          task.image === undefined
            ? 'goes with "command"'
            : 'goes with "command"; in a container it is "cmd"',
        );
      for (const key of ['env', 'stdin'] as const) {
        if (task[key] !== undefined && (type === null || type === 'handler'))
          issue([key], 'goes with "command", "run" or "image"');
      }
      if (task.image === undefined) {
        const key = containerKeys.find((each) => task[each as 'image'] !== undefined);
        if (key !== undefined) issue([key], 'goes with "image"');
      }
      if (task.handler?.startsWith('$') && task.queue === undefined)
        issue(['handler'], 'begins with "$", as no queue may: say which "queue" it waits on');
      checkProgram(task, context);
      if (type === null && task.name === undefined) {
        issue(['name'], `is missing: a task has one of ${kindNames}, or a name for whoever claims it`);
      }
      if (task.delay !== undefined && task.run_at !== undefined) issue(['run_at'], 'cannot go with "delay"');
    });

export const taskInputSchema = taskInputSchemaOf(secretText).meta({
  id: 'TaskInput',
  description: 'One task',
});

/** A task of a definition: whether its expressions are right is judged there, not here. */
export const templateTaskSchema = taskInputSchemaOf(anyText);

export type TaskInput = z.input<typeof taskInputSchema>;

const kindNames = '"command", "run", "handler" and "image"';

function typeOf(task: {
  image?: string | undefined;
  command?: string | undefined;
  run?: string | undefined;
  handler?: string | undefined;
}): Spec['type'] | null {
  if (task.image !== undefined) return 'container';
  if (task.command !== undefined) return 'command';
  if (task.run !== undefined) return 'run';
  return task.handler === undefined ? null : 'handler';
}

/**
 * Checks one task and fills in what it leaves out, its id included.
 *
 * @throws SkipjackError `invalid_request` with a pointer to each problem; `misplaced_expression` where all of them are
 * about `${{ … }}`: only tasks of processes have expressions, and only in some of their texts.
 *
 * @example
 * parseTaskInput({ command: 'echo', args: ['hello'] }).queue // 'default'
 */
export function parseTaskInput(body: unknown, pointer = ''): NewTask {
  return parseTask(taskInputSchema, body, pointer);
}

/** The same for a task of a definition, in which texts may be templates. */
export function parseTemplateTask(body: unknown): NewTask {
  return parseTask(templateTaskSchema, body, '');
}

function parseTask(
  schema: typeof taskInputSchema | typeof templateTaskSchema,
  body: unknown,
  pointer: string,
): NewTask {
  const storable = findJsonProblem(body);
  if (storable) throw invalid([{ pointer: pointer + storable.pointer, message: storable.message }]);
  const parsed = schema.safeParse(body, { error: describeIssue });
  if (!parsed.success)
    throw invalid(toProblems(parsed.error, pointer).map((each) => hintAtProcesses(each, pointer)));
  const task = parsed.data;
  if (Buffer.byteLength(JSON.stringify(task.input ?? null)) > inputBytesMax) {
    throw invalid([{ pointer: `${pointer}/input`, message: `is larger than ${inputBytesMax} bytes` }]);
  }
  const spec = toSpec(task);
  return {
    id: newId(),
    name: task.name ?? (task.image ?? task.command ?? task.handler ?? 'run').slice(0, 200),
    queue: task.queue ?? defaultQueue(spec),
    priority: task.priority ?? 5,
    spec,
    input: task.input ?? null,
    labels: task.labels && Object.keys(task.labels).length > 0 ? task.labels : null,
    retry: task.retry
      ? {
          attempts: task.retry.attempts ?? defaultRetry.attempts,
          backoff: task.retry.backoff ?? defaultRetry.backoff,
          delay_ms: toMs(task.retry.delay) ?? defaultRetry.delay_ms,
          max_delay_ms: toMs(task.retry.max_delay) ?? defaultRetry.max_delay_ms,
          jitter: task.retry.jitter ?? defaultRetry.jitter,
          ...(task.retry.on === undefined ? {} : { on: task.retry.on }),
          ...(task.retry.within === undefined ? {} : { within_ms: parseDuration(task.retry.within) ?? 0 }),
        }
      : null,
    timeout_ms: toMs(task.timeout),
    delay_ms: toMs(task.delay),
    run_at: task.run_at ?? null,
    idempotency_key: task.idempotency_key ?? null,
  };
}

const ofDefinitions = ['needs', 'if', 'each', 'matrix', 'process', 'sleep', 'wait_for', 'continue_on_error'];

/** What a task of a definition may say, and one on its own not. */
function hintAtProcesses(problem: Problem, pointer: string): Problem {
  const isOne =
    problem.code === 'unknown_key' && ofDefinitions.some((key) => problem.pointer === `${pointer}/${key}`);
  return isOne
    ? { ...problem, message: `${problem.message}: only tasks of a definition have it, started as a process` }
    : problem;
}

/** zod's issues as problems that point. */
export function toProblems(error: z.ZodError, pointer = ''): Problem[] {
  return error.issues.flatMap((issue) => {
    const path = pointer + issue.path.map((part) => `/${escapePointer(String(part))}`).join('');
    if (issue.code === 'unrecognized_keys') {
      return issue.keys.map((key) => ({
        pointer: `${path}/${escapePointer(key)}`,
        code: 'unknown_key',
        message: `unknown key "${key}"`,
      }));
    }
    const code = issue.code === 'custom' ? (issue.params?.code ?? issue.code) : issue.code;
    return [{ pointer: path, code, message: issue.message }];
  });
}

function toSpec(task: z.output<typeof taskInputSchema>): Spec | null {
  const type = typeOf(task);
  if (type === null) return null;
  // Which keys belong to a type, and in which order, is for the spec to say.
  return readSpec({
    ...task,
    ...(type === 'command' ? { args: task.args ?? [] } : {}),
    type,
  } as unknown as Spec);
}

function defaultQueue(spec: Spec | null): string {
  if (spec === null) return 'people';
  if (spec.type === 'handler') return spec.handler;
  return spec.type === 'container' ? 'containers' : 'default';
}

function toMs(duration: string | undefined): number | null {
  return duration === undefined ? null : parseDuration(duration);
}

function invalid(problems: Problem[]): SkipjackError {
  const [first] = problems;
  const misplaced = 'misplaced_expression';
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  const code = problems.every((problem) => problem.code === misplaced) ? misplaced : 'invalid_request';
  return new SkipjackError(code, `${first?.pointer || 'The body'}: ${first?.message}${more}`, {
    problems,
  });
}
