/** Batches whose items are judged each alone: one that is bad never harms the rest. */
import { z } from 'zod';
import type { ErrorCode, Problem } from '../core/errors.ts';
import { parseWhole } from './http/endpoint.ts';
import { explain, invalidRequest, toSkipjackError } from './http/problem.ts';
import { problemPartSchema } from './schemas/problem.ts';

/** Members of a result that says why its item was refused. */
export const refusalShape = {
  status: z.int().meta({ description: 'The HTTP status that it would have got alone' }),
  code: z.string().optional().meta({ description: 'There when it was refused' }),
  detail: z.string().optional(),
  problems: z.array(problemPartSchema).optional(),
};

export interface Refusal {
  status: number;
  code: ErrorCode;
  detail: string;
  problems: Problem[];
  [extra: string]: unknown;
}

/**
 * The list of a batch, not looked at yet, and the rest of its body, checked at once by `rest`.
 *
 * @throws SkipjackError when the whole is refused.
 */
export function openEnvelope<Rest extends z.ZodObject>(
  body: unknown,
  { list, max, rest: schema }: { list: string; max: number; rest: Rest },
): { items: unknown[]; rest: z.output<Rest> } {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw invalidRequest([{ pointer: '', message: `is not an object with a list "${list}"` }]);
  }
  const { [list]: items, ...others } = body as Record<string, unknown>;
  const rest = parseWhole(schema, others);
  if (!Array.isArray(items)) throw invalidRequest([{ pointer: `/${list}`, message: 'is not a list' }]);
  if (items.length === 0 || items.length > max) {
    throw invalidRequest([
      { pointer: `/${list}`, message: `has ${items.length} items; 1 to ${max} are taken` },
    ]);
  }
  return { items, rest };
}

/**
 * Answers in the order of `items`; what `judge` throws becomes the refusal of its item.
 *
 * `isRepeatable`: the same request again does no harm, so that one which the database could not be asked about
 * makes the caller repeat the whole.
 */
export function judgeEach<Result extends object>(
  items: unknown[],
  judge: (item: unknown, index: number) => Promise<Result>,
  { isRepeatable }: { isRepeatable: boolean },
): Promise<(Result | Refusal)[]> {
  return Promise.all(
    items.map(async (item, index) => {
      try {
        return await judge(item, index);
      } catch (thrown) {
        const error = toSkipjackError(thrown);
        // A fault of ours is logged and answered as one, whoever it hit first.
        if (error.code === 'internal' || (isRepeatable && error.status === 503)) throw error;
        return { status: error.status, code: error.code, ...explain(error), ...error.extra };
      }
    }),
  );
}

/** The id that an item which may be anything gives itself, for its result. */
export function idGivenBy(item: unknown): string | null {
  const id = (item as { id?: unknown } | null)?.id;
  return typeof id === 'string' && id.length <= 100 ? id : null;
}
