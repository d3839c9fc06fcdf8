/** Events as they are sent and shown. */
import { z } from 'zod';
import { inputBytesMax, jsonSchema } from '../../core/task-input.ts';
import { idSchema, momentSchema } from './task.ts';

const eventKey = z.string().max(200);

export const eventInputSchema = z
  .strictObject({
    name: z.string().min(1).max(200),
    key: eventKey
      .nullable()
      .optional()
      .meta({ description: 'Which of that name; only tasks that wait for the same name and key are woken' }),
    payload: jsonSchema
      .refine(
        (payload) => Buffer.byteLength(JSON.stringify(payload)) <= inputBytesMax,
        `is larger than ${inputBytesMax} bytes; keep it elsewhere and hand over where it is`,
      )
      .optional()
      .meta({ description: 'What the waiting tasks complete with: JSON of at most 1 MiB' }),
    idempotency_key: z.string().min(1).max(200).optional(),
  })
  .meta({ id: 'EventInput' });

export const eventInputExample = {
  name: 'payment-received',
  key: 'order 4711',
  payload: { amount: 99.5 },
  idempotency_key: 'bank transfer 815',
};

export const sentEventShape = {
  id: idSchema,
  name: z.string(),
  key: z.string().nullable(),
  woken: z.int().meta({ description: 'How many tasks waited for it' }),
  kept: z.boolean().meta({ description: 'Nobody waited: it was kept for the first that comes to wait' }),
};

export const sentEventExample = {
  id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60',
  name: 'payment-received',
  key: 'order 4711',
  woken: 1,
  kept: false,
};

export const sentEventSchema = z.object(sentEventShape).meta({ id: 'SentEvent', example: sentEventExample });

const summaryShape = {
  id: idSchema,
  name: z.string(),
  key: z.string().nullable(),
  woken: sentEventShape.woken,
  created_at: momentSchema,
  taken_at: momentSchema
    .nullable()
    .meta({ description: 'When those who waited took it, or the first who came to wait; null: it is kept' }),
};

export const eventSummarySchema = z.object(summaryShape).meta({ id: 'EventSummary' });

export const eventSchema = z.object({ ...summaryShape, payload: jsonSchema }).meta({ id: 'Event' });

export const eventKeyParameter = eventKey
  .optional()
  .meta({ description: 'Empty: those without a key', example: 'order 4711' });
