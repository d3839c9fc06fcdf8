/** Logs: lines as they are read, and as workers send them. */
import { z } from 'zod';
import type { LogPlace } from '../../queue/logs/subject.ts';
import { boundedDuration, limitParameter } from './parameters.ts';
import { tokenSchema } from './settlement.ts';

export const logLineBytesMax = 64 * 1024;
export const logLinesMax = 1_000;
const tailMax = 10_000;

const streamSchema = z.enum(['stdout', 'stderr', 'skipjack']);

/** A line of a log. */
export const logLineSchema = z
  .object({
    task_id: z.string().meta({ format: 'uuid' }),
    task: z.string().nullable().meta({ description: 'The name of the task' }),
    attempt: z.int(),
    line: z
      .int()
      .meta({ description: 'Counted from 1 in each claim; lines that its worker dropped are missing' }),
    at: z.string().meta({ format: 'date-time' }),
    stream: streamSchema.meta({ description: '`skipjack`: what the worker itself says' }),
    part: z
      .string()
      .nullable()
      .meta({ description: 'Which part of a container task spoke: `pre download`, `post 1`, `sidecar db`' }),
    text: z.string(),
  })
  .meta({
    id: 'LogLine',
    example: {
      task_id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
      task: 'Review Credit',
      attempt: 1,
      line: 17,
      at: '2026-01-31T12:00:00.004Z',
      stream: 'stdout',
      part: null,
      text: 'score 642',
    },
  });

export const logPageSchema = z
  .object({
    lines: z.array(logLineSchema),
    next_cursor: z
      .string()
      .nullable()
      .meta({ description: 'Null when it has ended and everything was read; until then, ask again with it' }),
  })
  .meta({ id: 'LogPage' });

/** The last event of a stream. */
export const logEndSchema = z
  .object({
    state: z.string().meta({ description: 'How it ended; `deleted` when it is not there any more' }),
  })
  .meta({ id: 'LogEnd' });

/** As short as it can be: it comes with every event. */
export function toLogCursor({ within, line }: LogPlace): string {
  return `${within}-${line}`;
}

export const logCursorSchema = z
  .string()
  .regex(
    /^\d{1,15}-\d{1,10}$/,
    'is not a cursor: hand over the "next_cursor" of the page before, or the id of an event, as it is, or leave it out',
  )
  .transform((cursor): LogPlace => {
    const [within = 0, line = 0] = cursor.split('-').map(Number);
    return { within, line };
  })
  .meta({ description: 'The `next_cursor` of the page before, or the id of the last event' });

const wholeNumber = (max: number, range: string) =>
  z
    .string()
    .regex(/^\d{1,9}$/, 'is not a whole number')
    .transform(Number)
    .refine((number) => number <= max, `is not ${range}`);

export const logQueryShape = {
  attempt: wholeNumber(999_999_999, 'a number of an attempt')
    .optional()
    .meta({ description: 'Only lines of attempts with this number', example: '2' }),
  stream: streamSchema.optional().meta({ description: 'Only lines of this stream' }),
  tail: wholeNumber(tailMax, `between 0 and ${tailMax}`)
    .optional()
    .meta({ description: `Begins with the last so many lines (at most ${tailMax})`, example: '100' }),
  limit: limitParameter,
};

const partSchema = z.string().min(1).max(200);
const textSchema = z
  .string()
  .refine((text) => !text.includes('\n'), 'has a line break: send each line as an item of its own')
  .refine((text) => Buffer.byteLength(text) <= logLineBytesMax, `is longer than ${logLineBytesMax} bytes`);

/** A line as a worker sends it: its text, or that and more. */
const sentLineSchema = z
  .preprocess(
    (line) => (typeof line === 'string' ? { text: line } : line),
    z.strictObject(
      {
        text: textSchema,
        stream: streamSchema.default('stdout'),
        part: partSchema.nullable().default(null),
        ago: boundedDuration({ max: '30d' }).prefault('0s'),
      },
      {
        error: (issue) =>
          issue.code === 'invalid_type' ? 'is not a text, nor {text, stream, part, ago}' : undefined,
      },
    ),
  )
  .transform(({ ago, ...line }) => ({ ...line, agoMs: ago }))
  .meta({
    description: 'A text, or {text, stream, part, ago}; `ago`: how long before it is sent it was said',
    override: {
      anyOf: [
        { type: 'string' },
        {
          type: 'object',
          properties: {
            text: { type: 'string' },
            stream: { enum: ['stdout', 'stderr', 'skipjack'], default: 'stdout' },
            part: { type: ['string', 'null'] },
            ago: { type: 'string', example: '250ms' },
          },
          required: ['text'],
        },
      ],
    },
  });

export const appendLogSchema = z
  .strictObject({
    token: tokenSchema,
    lines: z.array(sentLineSchema).max(logLinesMax),
    first_line: z.int().min(1).max(1_000_000_000).nullable().default(null).meta({
      description:
        'The number of the first one, counted from 1 in each claim: what is sent twice then counts once. Left out: behind the last line',
    }),
  })
  .meta({ id: 'AppendLog' });

/** One of a batch. */
export const logChunkSchema = appendLogSchema
  .extend({ id: z.string().max(100).meta({ format: 'uuid' }) })
  .meta({ id: 'LogChunk' });

export const appendedSchema = z
  .object({
    kept: z.int().meta({ description: 'Lines that are kept, those that were before included' }),
    full: z
      .boolean()
      .meta({ description: 'The log of this attempt has grown to 16 MiB; nothing more of it is kept' }),
  })
  .meta({ id: 'LogAppended', example: { kept: 2, full: false } });

export const heldSchema = z
  .strictObject({
    claims: z
      .array(z.strictObject({ id: z.string().max(100).meta({ format: 'uuid' }), token: tokenSchema }))
      .max(1_000),
  })
  .meta({ id: 'HeldClaims' });

export const heldAnswerSchema = z
  .object({
    instance: z.string().meta({ format: 'uuid', description: 'Which database says so' }),
    held: z.array(z.boolean()).meta({ description: 'In their order' }),
  })
  .meta({ id: 'Held', example: { instance: '5a0c3a9e-3d0c-4f6e-9a53-0f1b2c3d4e5f', held: [true, false] } });
