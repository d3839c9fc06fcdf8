import { z } from 'zod';
import { type ErrorCode, errorCatalogue } from '../../core/errors.ts';

const codes = Object.keys(errorCatalogue) as [ErrorCode, ...ErrorCode[]];

/** Where something stands in the text of a definition, counted from 1. */
const placeShape = { line: z.int(), column: z.int() };

export const problemPartSchema = z.object({
  pointer: z
    .string()
    .optional()
    .meta({ description: 'A JSON pointer into the body, or the name of a parameter' }),
  code: z.string().optional(),
  message: z.string(),
  line: placeShape.line.optional().meta({ description: 'In the text of a definition, from 1' }),
  column: placeShape.column.optional().meta({ description: 'In characters as people see them, from 1' }),
  excerpt: z.string().optional().meta({ description: 'That line, or the part of it around the column' }),
  suggestion: z.string().optional().meta({ description: 'What may have been meant' }),
  related: z
    .array(z.object({ ...placeShape, message: z.string(), excerpt: z.string().optional() }))
    .optional()
    .meta({ description: 'Other places that have to do with it: the first of two equal names' }),
});

/** What every error answers. */
export const problemSchema = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string().meta({ description: 'What happened and what to do' }),
    code: z.enum(codes).meta({ description: 'Stable: programs decide by it' }),
    problems: z.array(problemPartSchema),
    instance: z.string().optional(),
    request_id: z.string().optional(),
  })
  .meta({
    id: 'Problem',
    description:
      'A problem document (RFC 9457). Some codes add members: the holder of a lease, the id behind a key.',
    example: {
      type: 'urn:skipjack:problem:invalid_request',
      title: 'The request does not fit its schema',
      status: 400,
      detail: '/priority: Too big: expected number to be <=9',
      code: 'invalid_request',
      problems: [{ pointer: '/priority', code: 'too_big', message: 'Too big: expected number to be <=9' }],
      instance: '/v1/tasks',
      request_id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
    },
  });
