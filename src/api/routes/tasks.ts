/** Single tasks: enqueue, look, cancel, delete. */
import { z } from 'zod';
import { SkipjackError } from '../../core/errors.ts';
import { visibleTaskStates } from '../../core/task.ts';
import { parseTaskInput, taskInputSchema } from '../../core/task-input.ts';
import { cancelTask } from '../../queue/cancel.ts';
import { deleteTask } from '../../queue/delete.ts';
import { listTasks } from '../../queue/list-tasks.ts';
import { encodeCursor, idCursorSchema } from '../cursor.ts';
import { defined } from '../defined.ts';
import { enqueueTask } from '../enqueue.ts';
import { mountedAt } from '../http/mount.ts';
import { notFound } from '../http/problem.ts';
import type { ApiParts } from '../parts.ts';
import {
  idOf,
  idParameter,
  idParamsSchema,
  labelText,
  limitDefault,
  limitParameter,
  momentParameter,
  nameParameter,
  waitParameter,
} from '../schemas/parameters.ts';
import { taskSchema, taskSummarySchema, taskWithAttemptsSchema } from '../schemas/task.ts';
import { waitForEnd } from '../wait-for-end.ts';

export function addTaskRoutes(parts: ApiParts): void {
  const { endpoints, queue, tasks } = parts;
  const { db } = queue;

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks',
      id: 'enqueueTask',
      tag: 'tasks',
      summary: 'Enqueue a task',
      description:
        'A command, a script, a container, a handler by its name, or only a name: then it waits for whoever claims it. The same `idempotency_key` with the same task answers the task that there is.',
      query: z.strictObject({ wait: waitParameter }),
      body: taskInputSchema,
      bodyExample: { command: 'echo', args: ['hello', 'world'] },
      parseBody: (body) => parseTaskInput(body),
      answers: {
        200: {
          description: 'It ended while you waited, or the idempotency key had made it before',
          schema: taskSchema,
          headers: { 'idempotency-replayed': '`true` when the key had made it before' },
        },
        201: { description: 'Enqueued', schema: taskSchema, headers: { location: 'Where the task is' } },
        202: { description: 'Enqueued; it has not ended while you waited', schema: taskSchema },
      },
      refusals: ['misplaced_expression', 'idempotency_conflict', 'idempotency_key_busy'],
    })
    .serve(async ({ c, query, body }) => {
      const { id, replayed } = await enqueueTask(queue, {
        ...body,
        ...(query.wait ? { awaited: true } : {}),
      });
      const headers = {
        location: `${mountedAt(c)}/v1/tasks/${id}`,
        ...(replayed ? { 'idempotency-replayed': 'true' } : {}),
      };
      if (query.wait !== undefined) {
        const ended = await waitForEnd(parts, c, { what: 'task', id, waitMs: query.wait });
        return { status: ended ? 200 : 202, headers, body: await tasks.read(id) };
      }
      return { status: replayed ? 200 : 201, headers, body: await tasks.read(id) };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/tasks',
      id: 'listTasks',
      tag: 'tasks',
      summary: 'List tasks, newest first',
      query: z.strictObject({
        state: z
          .enum([...visibleTaskStates, 'active'])
          .optional()
          .meta({ description: '`active` means scheduled, ready, running and waiting' }),
        queue: nameParameter,
        name: nameParameter,
        definition: nameParameter.meta({ description: 'Of processes of this definition' }),
        process_id: idParameter,
        label: labelText.optional(),
        created_after: momentParameter,
        created_before: momentParameter,
        limit: limitParameter,
        cursor: idCursorSchema.optional(),
      }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ tasks: z.array(taskSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'TaskList' }),
        },
      },
    })
    .serve(async ({ query }) => {
      const { limit = limitDefault, cursor, process_id, created_after, created_before, ...rest } = query;
      const filter = defined({
        ...rest,
        processId: process_id,
        createdAfter: created_after,
        createdBefore: created_before,
      });
      // One more than asked for: whether there is another page.
      const found = await listTasks(db, filter, { limit: limit + 1, ...defined({ after: cursor }) });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return { status: 200, body: { tasks: page, next_cursor: last ? encodeCursor([last.id]) : null } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/tasks/{id}',
      id: 'readTask',
      tag: 'tasks',
      summary: 'Look at a task',
      params: idParamsSchema,
      query: z.strictObject({ wait: waitParameter }),
      answers: {
        200: { description: 'The task; with `wait`, ended', schema: taskWithAttemptsSchema },
        202: { description: 'With `wait`: it has not ended', schema: taskWithAttemptsSchema },
      },
      refusals: ['not_found'],
    })
    .serve(async ({ c, params, query }) => {
      const id = idOf(params, 'task');
      const ended =
        query.wait === undefined || (await waitForEnd(parts, c, { what: 'task', id, waitMs: query.wait }));
      return { status: ended ? 200 : 202, body: await tasks.readWithAttempts(id) };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/cancel',
      id: 'cancelTask',
      tag: 'tasks',
      summary: 'Cancel a task that stands alone',
      description: 'One of a process is cancelled with its process.',
      params: idParamsSchema,
      answers: {
        200: { description: 'It is cancelled', schema: taskSchema },
        202: { description: 'Its worker was asked to stop', schema: taskSchema },
      },
      refusals: ['not_found', 'already_settled', 'part_of_process'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'task');
      const result = await cancelTask(db, id);
      if (result.kind === 'not_found') throw notFound('task', id);
      if (result.kind === 'of_process') {
        const { processId } = result;
        throw partOfProcess(
          processId,
          `Cancel the process (POST /v1/processes/${processId}/cancel), or end the task by its name.`,
        );
      }
      if (result.kind === 'ended' && result.state !== 'cancelled') {
        throw new SkipjackError(
          'already_settled',
          `The task is ${result.state} and cannot be cancelled any more.`,
          {
            extra: { state: result.state },
          },
        );
      }
      return { status: result.kind === 'requested' ? 202 : 200, body: await tasks.read(id) };
    });

  endpoints
    .declare({
      method: 'delete',
      path: '/v1/tasks/{id}',
      id: 'deleteTask',
      tag: 'tasks',
      summary: 'Delete the record of a task that has ended and stands alone',
      description:
        'With its attempts, its dead letter and its idempotency key. One of a process is deleted with its process.',
      params: idParamsSchema,
      answers: { 204: { description: 'Deleted' } },
      refusals: ['not_found', 'not_ended', 'part_of_process'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'task');
      const result = await deleteTask(db, id);
      if (result.kind === 'not_found') throw notFound('task', id);
      if (result.kind === 'of_process') {
        throw partOfProcess(
          result.processId,
          `It is deleted with its process: DELETE /v1/processes/${result.processId}.`,
        );
      }
      if (result.kind === 'not_ended') {
        throw new SkipjackError(
          'not_ended',
          `The task is ${result.state}. Cancel it first, or wait for its end.`,
          {
            extra: { state: result.state },
          },
        );
      }
      return { status: 204 };
    });
}

function partOfProcess(processId: string, whatToDo: string): SkipjackError {
  return new SkipjackError(
    'part_of_process',
    `The task belongs to process ${processId}. ${whatToDo} Nothing was changed.`,
    { extra: { process_id: processId } },
  );
}
