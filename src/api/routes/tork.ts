/** Tork's own paths: the same tasks, in its words. */
import { z } from 'zod';
import { parseTaskInput, taskInputSchema } from '../../core/task-input.ts';
import { enqueueTask } from '../enqueue.ts';
import { mountedAt } from '../http/mount.ts';
import type { ApiParts } from '../parts.ts';
import { idOf, idParamsSchema } from '../schemas/parameters.ts';
import { torkTaskSchema } from '../schemas/task.ts';
import { toTorkTask } from '../views.ts';

export function addTorkRoutes({ endpoints, queue, tasks }: ApiParts): void {
  endpoints
    .declare({
      method: 'post',
      path: '/task',
      id: 'enqueueTorkTask',
      tag: 'tasks',
      summary: "Enqueue a task, on Tork's path",
      query: z.strictObject({}),
      body: taskInputSchema,
      bodyExample: { image: 'busybox', cmd: ['echo', '-n', 'hello world'] },
      parseBody: (body) => parseTaskInput(body),
      answers: {
        200: { description: 'The idempotency key had made it before', schema: torkTaskSchema },
        201: { description: 'Enqueued', schema: torkTaskSchema, headers: { location: 'Where the task is' } },
      },
      refusals: ['misplaced_expression', 'idempotency_conflict', 'idempotency_key_busy'],
    })
    .serve(async ({ c, body }) => {
      const { id, replayed } = await enqueueTask(queue, body);
      return {
        status: replayed ? 200 : 201,
        headers: {
          location: `${mountedAt(c)}/task/${id}`,
          ...(replayed ? { 'idempotency-replayed': 'true' } : {}),
        },
        body: toTorkTask(await tasks.readWithAttempts(id)),
      };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/task/{id}',
      id: 'readTorkTask',
      tag: 'tasks',
      summary: "Look at a task, on Tork's path",
      params: idParamsSchema,
      answers: { 200: { description: 'The task', schema: torkTaskSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => ({
      status: 200,
      body: toTorkTask(await tasks.readWithAttempts(idOf(params, 'task'))),
    }));
}
