/** Dead letters: tasks that failed for good. */
import { z } from 'zod';
import { SkipjackError } from '../../core/errors.ts';
import { jsonSchema } from '../../core/task-input.ts';
import { listDeadLetters, readDeadLetter } from '../../queue/dead-letters.ts';
import { deleteDeadLetter } from '../../queue/delete.ts';
import { replayDeadLetter, replayDeadLetters } from '../../queue/replay.ts';
import { encodeCursor, momentCursorSchema } from '../cursor.ts';
import { defined } from '../defined.ts';
import { notFound } from '../http/problem.ts';
import type { ApiParts } from '../parts.ts';
import {
  idOf,
  idParamsSchema,
  limitDefault,
  limitParameter,
  momentParameter,
  nameParameter,
} from '../schemas/parameters.ts';
import { attemptSchema, taskErrorSchema, taskSchema, taskSummarySchema, workShape } from '../schemas/task.ts';
import { toDeadLetter } from '../views.ts';

const reasonSchema = z.enum(['failed', 'lost_too_often']);

const summaryShape = {
  id: z.string().meta({ format: 'uuid', description: 'The id of its task' }),
  name: z.string(),
  queue: z.string(),
  reason: reasonSchema,
  error: taskErrorSchema.nullable(),
  failed_at: z.string().meta({ format: 'date-time' }),
  replayed_at: z
    .string()
    .nullable()
    .meta({ format: 'date-time', description: 'Null: it waits for somebody' }),
  replays: z.int(),
};

const listSchema = z
  .object({
    dead_letters: z.array(z.object(summaryShape).meta({ id: 'DeadLetterSummary' })),
    next_cursor: z.string().nullable(),
  })
  .meta({ id: 'DeadLetterList' });

const letterSchema = z
  .object({
    ...summaryShape,
    ...workShape,
    input: jsonSchema,
    labels: z.record(z.string(), z.string()),
    process_id: taskSummarySchema.shape.process_id,
    ordinal: taskSummarySchema.shape.ordinal,
    needs: taskSchema.shape.needs,
    attempts: z.array(attemptSchema),
  })
  .meta({ id: 'DeadLetter', description: 'With what it ran and every attempt, the last included' });

const replaySchema = z
  .strictObject({
    queue: nameParameter,
    name: nameParameter,
    reason: reasonSchema.optional(),
    failed_after: momentParameter,
    failed_before: momentParameter,
    limit: z.int().min(1).max(1_000).default(1_000),
    dry_run: z.boolean().default(false).meta({ description: 'Says which, and changes nothing' }),
  })
  .meta({ id: 'ReplayFilter' });

export function addDeadLetterRoutes({ endpoints, queue, tasks }: ApiParts): void {
  const { db } = queue;

  endpoints
    .declare({
      method: 'get',
      path: '/v1/dead-letters',
      id: 'listDeadLetters',
      tag: 'dead letters',
      summary: 'List dead letters, newest first',
      query: z.strictObject({
        queue: nameParameter,
        name: nameParameter,
        reason: reasonSchema.optional(),
        replayed: z.enum(['true', 'false']).optional(),
        failed_after: momentParameter,
        failed_before: momentParameter,
        limit: limitParameter,
        cursor: momentCursorSchema.optional(),
      }),
      answers: { 200: { description: 'A page; `next_cursor` is null on the last one', schema: listSchema } },
    })
    .serve(async ({ query }) => {
      const { limit = limitDefault, cursor, failed_after, failed_before, replayed, ...rest } = query;
      const { letters, last } = await listDeadLetters(
        db,
        defined({
          ...rest,
          failedAfter: failed_after,
          failedBefore: failed_before,
          replayed: replayed === undefined ? undefined : replayed === 'true',
        }),
        { limit, ...defined({ after: cursor }) },
      );
      // A full page may be the last one; then the next is empty.
      const next_cursor = last && letters.length === limit ? encodeCursor([last.failedAt, last.id]) : null;
      return { status: 200, body: { dead_letters: letters, next_cursor } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/dead-letters/{id}',
      id: 'readDeadLetter',
      tag: 'dead letters',
      summary: 'Look at a dead letter',
      params: idParamsSchema,
      answers: { 200: { description: 'The dead letter', schema: letterSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'dead letter');
      const letter = await readDeadLetter(db, id);
      if (!letter) throw notFound('dead letter', id);
      return { status: 200, body: toDeadLetter(letter, await tasks.read(id)) };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/dead-letters/{id}/replay',
      id: 'replayDeadLetter',
      tag: 'dead letters',
      summary: 'Run its task again, with a new budget of attempts',
      description:
        'The letter stays, marked as replayed. For the task of a process this is to retry the process, with whatever else failed in it.',
      params: idParamsSchema,
      answers: { 200: { description: 'The task, back on its queue', schema: taskSchema } },
      refusals: ['not_found', 'already_replayed', 'not_failed', 'has_parent', 'compensated'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'dead letter');
      const result = await replayDeadLetter(db, id);
      if (result.kind === 'not_found') throw notFound('dead letter', id);
      if (result.kind === 'already_replayed') {
        throw new SkipjackError('already_replayed', `It was replayed at ${result.replayedAt}.`, {
          extra: { replayed_at: result.replayedAt },
        });
      }
      if (result.kind === 'process_not_failed') {
        const { processId, state } = result;
        throw new SkipjackError(
          'not_failed',
          `Its process ${processId} is ${state}: only a failed one can go on from its dead letters. Nothing was changed.`,
          { extra: { process_id: processId, state } },
        );
      }
      if (result.kind === 'has_parent') {
        throw new SkipjackError(
          'has_parent',
          `A task of another process waits for its process ${result.processId}. Retry that one, ${result.rootId}: it goes on here as well. Nothing was changed.`,
          { extra: { process_id: result.processId, root_id: result.rootId } },
        );
      }
      if (result.kind === 'compensated') {
        throw new SkipjackError(
          'compensated',
          `The failure of its process ${result.processId} has started process ${result.failureProcessId}, which puts right what it had done. Start the process anew, or delete the dead letter. Nothing was changed.`,
          { extra: { process_id: result.processId, failure_process_id: result.failureProcessId } },
        );
      }
      if (result.kind === 'tolerated') {
        throw new SkipjackError(
          'not_failed',
          `Its process ${result.processId} went on without it (continue_on_error). Start the process anew, or delete the dead letter. Nothing was changed.`,
          { extra: { process_id: result.processId } },
        );
      }
      return { status: 200, body: await tasks.read(id) };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/dead-letters/replay',
      id: 'replayDeadLetters',
      tag: 'dead letters',
      summary: 'Replay up to 1,000 dead letters that a filter finds, oldest first',
      body: replaySchema,
      bodyExample: { queue: 'send-email', failed_after: '2026-01-31T00:00:00Z', dry_run: true },
      answers: {
        200: {
          description: 'Which; as many as the limit means that there may be more',
          schema: z
            .object({ ids: z.array(z.string()), count: z.int(), dry_run: z.boolean() })
            .meta({ id: 'Replayed' }),
        },
      },
    })
    .serve(async ({ body }) => {
      const { limit, dry_run, failed_after, failed_before, ...rest } = body;
      const filter = defined({ ...rest, failedAfter: failed_after, failedBefore: failed_before });
      const ids = await replayDeadLetters(db, filter, { limit, dryRun: dry_run });
      return { status: 200, body: { ids, count: ids.length, dry_run } };
    });

  endpoints
    .declare({
      method: 'delete',
      path: '/v1/dead-letters/{id}',
      id: 'deleteDeadLetter',
      tag: 'dead letters',
      summary: 'Delete a dead letter',
      description: 'Its task stays in the record as failed.',
      params: idParamsSchema,
      answers: { 204: { description: 'Deleted' } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'dead letter');
      if (!(await deleteDeadLetter(db, id))) throw notFound('dead letter', id);
      return { status: 204 };
    });
}
