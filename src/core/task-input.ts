/**
 * A task as people write it (the body of `POST /v1/tasks`, `ctx.enqueue`), and its checking.
 *
 * The SQL function `skipjack.enqueue(jsonb)` takes the same words; a test holds the two together.
 */
import { z } from 'zod';
import { durationPattern, parseDuration } from './durations.ts';
import { type Problem, SkipjackError } from './errors.ts';
import { newId } from './ids.ts';
import { escapePointer, findJsonProblem, findTextProblem, type Json } from './json.ts';
import type { Spec } from './spec.ts';
import { defaultRetry, type NewTask } from './task.ts';

export const inputBytesMax = 1024 * 1024;

/** Text that Postgres can store. */
const text = (max: number) =>
  z
    .string()
    .min(1)
    .max(max)
    .refine((value) => findTextProblem(value) === null, {
      error: (issue) => `has ${findTextProblem(String(issue.input))}`,
    });

const anyText = (max: number) =>
  z
    .string()
    .max(max)
    .refine((value) => findTextProblem(value) === null, {
      error: (issue) => `has ${findTextProblem(String(issue.input))}`,
    });

/** `500ms`, `30s`, `10m`, `2h`, `7d`. */
export const durationSchema = z
  .string()
  .regex(durationPattern, { error: 'is not a duration: write 500ms, 30s, 10m, 2h or 7d', abort: true })
  .refine((value) => parseDuration(value) !== null, 'is longer than 3650d')
  .meta({ example: '30s' });

export const queueNameSchema = text(200).refine(
  (name) => !name.startsWith('$'),
  'begins with "$", which is kept for the engine',
);

/** Any JSON value; its limits are checked over the whole body. */
export const jsonSchema = z.unknown().meta({ description: 'Any JSON value' }) as z.ZodType<Json, Json>;

export const retrySchema = z
  .strictObject({
    attempts: z.int().min(1).max(1_000).optional().meta({ description: 'Tries in all, the first included' }),
    backoff: z.enum(['fixed', 'linear', 'exponential']).optional(),
    delay: durationSchema.optional(),
    max_delay: durationSchema.optional(),
    jitter: z.boolean().optional(),
  })
  .meta({ example: { attempts: 5, backoff: 'exponential', delay: '2s', max_delay: '1m', jitter: true } });

/** Beyond these years Postgres and JavaScript write times differently. */
function isStorableTime(text: string): boolean {
  const ms = Date.parse(text);
  return ms >= 0 && ms < Date.UTC(9999, 0);
}

const envSchema = z
  .record(
    z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'is not a name for an environment variable'),
    anyText(32_768),
  )
  .refine((env) => Object.keys(env).length <= 200, 'has more than 200 variables');

export const labelsSchema = z
  .record(text(63), anyText(200))
  .refine((labels) => Object.keys(labels).length <= 32, 'has more than 32 labels');

export const taskInputSchema = z
  .strictObject({
    type: z
      .enum(['command', 'run', 'handler'])
      .optional()
      .meta({ description: 'What to run; follows from the other keys' }),
    command: text(4_096)
      .optional()
      .meta({ description: 'An executable, run without a shell', example: 'echo' }),
    args: z
      .array(anyText(131_072))
      .max(1_000)
      .optional()
      .meta({ example: ['hello', 'world'] }),
    run: text(262_144).optional().meta({ description: 'A shell script' }),
    handler: text(200).optional().meta({ description: 'The name of a function that a worker registers' }),
    env: envSchema.optional(),
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
    timeout: durationSchema.refine((value) => parseDuration(value) !== 0, 'must be longer than 0').optional(),
    idempotency_key: text(200).optional(),
    labels: labelsSchema.optional(),
  })
  .superRefine((task, context) => {
    const kinds = (['command', 'run', 'handler'] as const).filter((kind) => task[kind] !== undefined);
    const issue = (path: string[], message: string) => context.addIssue({ code: 'custom', path, message });
    if (kinds.length > 1)
      issue([kinds[1] ?? ''], `a task has one of "command", "run" and "handler", not ${kinds.join(' and ')}`);
    if (task.type !== undefined && task.type !== kinds[0])
      issue(['type'], `is "${task.type}", but there is no "${task.type}"`);
    if (task.args !== undefined && task.command === undefined) issue(['args'], 'goes with "command"');
    if (task.env !== undefined && task.command === undefined && task.run === undefined) {
      issue(['env'], 'goes with "command" or "run"');
    }
    if (kinds.length === 0 && task.name === undefined) {
      issue(
        ['name'],
        'is missing: a task has one of "command", "run" and "handler", or a name for whoever claims it',
      );
    }
    if (task.delay !== undefined && task.run_at !== undefined) issue(['run_at'], 'cannot go with "delay"');
  })
  .meta({ id: 'TaskInput', description: 'One task' });

export type TaskInput = z.input<typeof taskInputSchema>;

/** Keys of container tasks (Tork): named, so that they are refused rather than unknown. */
export const laterKeys = [
  'image',
  'cmd',
  'entrypoint',
  'pre',
  'post',
  'volumes',
  'mounts',
  'networks',
  'limits',
  'gpus',
  'registry',
  'files',
  'workdir',
  'user',
  'pull',
  'sidecars',
];

/**
 * Checks one task and fills in what it leaves out, its id included.
 *
 * @throws SkipjackError `invalid_request` with a pointer to each problem; `not_supported_yet` for what later
 * versions bring (containers, `${{ … }}`).
 *
 * @example
 * parseTaskInput({ command: 'echo', args: ['hello'] }).queue // 'default'
 */
export function parseTaskInput(body: unknown, pointer = ''): NewTask {
  const storable = findJsonProblem(body);
  if (storable) throw invalid([{ pointer: pointer + storable.pointer, message: storable.message }]);
  if (typeof body === 'object' && body !== null) {
    const later = laterKeys.find((key) => Object.hasOwn(body, key));
    if (later)
      throw notYet(
        `${pointer}/${later}`,
        `"${later}" belongs to container tasks, which this version cannot run yet.`,
      );
  }
  const parsed = taskInputSchema.safeParse(body);
  if (!parsed.success) throw invalid(toProblems(parsed.error, pointer));
  const task = parsed.data;
  const template = findTemplate(task);
  if (template) {
    throw notYet(
      `${pointer}${template}`,
      '"${{ … }}" expressions cannot be evaluated yet. Hand values over in "input" or "env".',
    );
  }
  if (Buffer.byteLength(JSON.stringify(task.input ?? null)) > inputBytesMax) {
    throw invalid([{ pointer: `${pointer}/input`, message: `is larger than ${inputBytesMax} bytes` }]);
  }
  const spec = toSpec(task);
  return {
    id: newId(),
    name: task.name ?? (task.command ?? task.handler ?? 'run').slice(0, 200),
    queue: task.queue ?? (spec === null ? 'people' : spec.type === 'handler' ? spec.handler : 'default'),
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
        }
      : null,
    timeout_ms: toMs(task.timeout),
    delay_ms: toMs(task.delay),
    run_at: task.run_at ?? null,
    idempotency_key: task.idempotency_key ?? null,
  };
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
    return [{ pointer: path, code: issue.code, message: issue.message }];
  });
}

function toSpec(task: z.output<typeof taskInputSchema>): Spec | null {
  const env = task.env === undefined ? {} : { env: task.env };
  if (task.command !== undefined)
    return { type: 'command', command: task.command, args: task.args ?? [], ...env };
  if (task.run !== undefined) return { type: 'run', run: task.run, ...env };
  if (task.handler !== undefined) return { type: 'handler', handler: task.handler };
  return null;
}

function findTemplate(task: z.output<typeof taskInputSchema>): string | null {
  const at = (task.args ?? []).findIndex((arg) => arg.includes('${{'));
  if (at >= 0) return `/args/${at}`;
  const name = Object.entries(task.env ?? {}).find(([, value]) => value.includes('${{'))?.[0];
  if (name !== undefined) return `/env/${name}`;
  return task.run?.includes('${{') ? '/run' : null;
}

function toMs(duration: string | undefined): number | null {
  return duration === undefined ? null : parseDuration(duration);
}

function invalid(problems: Problem[]): SkipjackError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : '';
  return new SkipjackError('invalid_request', `${first?.pointer || 'The body'}: ${first?.message}${more}`, {
    problems,
  });
}

function notYet(pointer: string, message: string): SkipjackError {
  return new SkipjackError('not_supported_yet', message, { problems: [{ pointer, message }] });
}
