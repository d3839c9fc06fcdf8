/** Parameters that several endpoints take: they come as text and leave as what they mean. */
import { z } from 'zod';
import { durationSchema } from '../../core/container-input.ts';
import { parseDuration } from '../../core/durations.ts';
import { isId } from '../../core/ids.ts';
import { notFound } from '../http/problem.ts';

export const idParamsSchema = z.object({
  id: z.string().meta({ format: 'uuid', example: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60' }),
});

/** The id as Postgres writes it. What is no UUID is the id of nothing: 404, like any unknown one. */
export function idOf(params: { id: string }, what: string): string {
  if (!isId(params.id)) throw notFound(what, params.id);
  return params.id.toLowerCase();
}

/** Milliseconds between two bounds, written as a duration. */
export function boundedDuration(bounds: { min?: string; max: string }) {
  const minMs = parseDuration(bounds.min ?? '0s') ?? 0;
  const maxMs = parseDuration(bounds.max) ?? 0;
  return durationSchema
    .transform((text) => parseDuration(text) ?? 0)
    .refine((ms) => ms <= maxMs, `is longer than ${bounds.max}`)
    .refine((ms) => ms >= minMs, `is shorter than ${bounds.min}`);
}

export const waitSchema = boundedDuration({ max: '60s' });

export const waitParameter = waitSchema.optional().meta({
  description: 'Waits so long (at most 60s) for the end: 200 when it has come, 202 when it has not',
  example: '30s',
});

export const limitParameter = z
  .string()
  .regex(/^\d{1,6}$/, 'is not a whole number')
  .transform(Number)
  .refine((limit) => limit >= 1 && limit <= 500, 'is not between 1 and 500')
  .optional()
  .meta({ description: '1 to 500; 50 by default', example: '50' });

export const limitDefault = 50;

export const momentParameter = z.iso
  .datetime({ offset: true, error: 'is not an RFC 3339 time; in a URL write "+" as %2B' })
  .transform((text) => new Date(text))
  .optional()
  .meta({ example: '2026-01-31T12:00:00Z' });

export const nameParameter = z.string().min(1).max(200).optional();

/** A UUID to filter by, as Postgres writes it. */
export const idParameter = z
  .string()
  .refine(isId, 'is not a UUID')
  .transform((id) => id.toLowerCase())
  .optional()
  .meta({ format: 'uuid' });

/** `key` or `key=value`. */
export const labelText = z
  .string()
  .min(1)
  .max(264)
  .refine((label) => !label.startsWith('='), 'is not "key" or "key=value"')
  .meta({ description: '`key` or `key=value`', example: 'customer=42' });
