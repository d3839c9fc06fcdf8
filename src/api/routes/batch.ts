/** Many tasks in one request, each judged alone. */
import { z } from 'zod';
import { type ErrorCode, SkipjackError } from '../../core/errors.ts';
import { parseTaskInput, taskInputSchema } from '../../core/task-input.ts';
import { enqueueTask } from '../enqueue.ts';
import { judgeEach, openEnvelope, refusalShape } from '../judge-each.ts';
import type { ApiParts } from '../parts.ts';

const batchSchema = z
  .strictObject({ tasks: z.array(taskInputSchema).min(1).max(1_000) })
  .meta({ id: 'TaskBatch' });

const resultSchema = z
  .object({
    ...refusalShape,
    id: z.string().optional().meta({
      format: 'uuid',
      description: 'The task; with `idempotency_conflict` the one the key had made',
    }),
  })
  .meta({
    id: 'TaskBatchResult',
    description:
      'status is 201 (enqueued), 200 (the idempotency key had made it before) or that of its problem',
  });

export function addBatchRoute({ endpoints, queue }: ApiParts): void {
  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/batch',
      id: 'enqueueTasks',
      tag: 'tasks',
      summary: 'Enqueue up to 1,000 tasks',
      description:
        'Each task is judged alone: a bad one gets its own problem and harms none of the others, so look at every `status`. There is one result for each task, in their order. Only when none could be enqueued because the database is away does the whole request answer 503.',
      body: batchSchema,
      bodyExample: {
        tasks: [
          { command: 'echo', args: ['one'] },
          { handler: 'send-email', input: { to: 'ada@example.com' } },
        ],
      },
      parseBody: (body) => openEnvelope(body, { list: 'tasks', max: 1_000, rest: z.strictObject({}) }).items,
      answers: {
        200: {
          description: 'What became of each',
          schema: z.object({ results: z.array(resultSchema) }).meta({
            id: 'TaskBatchResults',
            example: {
              results: [
                { status: 201, id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60' },
                {
                  status: 400,
                  code: 'invalid_request',
                  detail: '/tasks/1/priority: Too big: expected number to be <=9',
                  problems: [{ pointer: '/tasks/1/priority', message: 'Too big: expected number to be <=9' }],
                },
              ],
            },
          }),
        },
      },
    })
    .serve(async ({ body }) => {
      const results = await judgeEach(
        body,
        async (item, index) => {
          const { id, replayed } = await enqueueTask(queue, parseTaskInput(item, `/tasks/${index}`));
          return { status: replayed ? 200 : 201, id };
        },
        // Those without an idempotency key would be there twice.
        { isRepeatable: false },
      );
      const refused = results.filter((result) => result.status === 503);
      if (refused.length === results.length) {
        const { code, detail } = refused[0] as { code: ErrorCode; detail: string };
        throw new SkipjackError(code, detail);
      }
      return { status: 200, body: { results } };
    });
}
