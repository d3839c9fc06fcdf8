/** Moves on a process, and on its tasks by their names: by people and services, not by workers. */
import { z } from 'zod';
import type { SkipjackError } from '../../core/errors.ts';
import type { ProcessHandle } from '../../engine/process-handle.ts';
import type { ProcessView } from '../../engine/read-processes.ts';
import { etagOf, ifMatchHeaders, readPrecondition } from '../if-match.ts';
import type { ApiParts } from '../parts.ts';
import { idOf, idParamsSchema } from '../schemas/parameters.ts';
import {
  completeByNameSchema,
  endedByNameSchema,
  failByNameSchema,
  moveSchema,
  processSchema,
  retriedSchema,
  retrySchema,
} from '../schemas/process.ts';

const namedTaskParams = idParamsSchema.extend({
  name: z
    .string()
    .min(1)
    .max(200)
    .meta({ description: 'Its name, percent-encoded, or its place', example: 'Review Credit' }),
});

const etagHeader = { etag: 'The revision, for `If-Match`' };

/** What all moves have in common. */
const move = {
  method: 'post',
  tag: 'processes',
  params: idParamsSchema,
  headers: ifMatchHeaders,
  body: moveSchema,
  bodyExample: { by: 'ada' },
  isBodyOptional: true,
} as const;

const endByName = { ...move, params: namedTaskParams };

const endRefusals: SkipjackError['code'][] = [
  'not_found',
  'already_claimed',
  'already_settled',
  'not_active',
  'precondition_failed',
];

export function addProcessMoveRoutes({ endpoints, engine, processes }: ApiParts): void {
  /** The process asked for, and on what terms it is moved. */
  async function find(params: { id: string }, headers: z.output<typeof ifMatchHeaders>) {
    const id = idOf(params, 'process');
    return { process: engine.process(id), precondition: await readPrecondition(engine, id, headers) };
  }

  endpoints
    .declare({
      ...endByName,
      path: '/v1/processes/{id}/tasks/{name}/complete',
      id: 'completeTaskByName',
      summary: 'Complete an active task by its name',
      description:
        'For people and services that know their task without having claimed it. The same again answers the same (`repeated`).',
      body: completeByNameSchema,
      bodyExample: { output: { amount: 1_000_000 }, by: 'ada' },
      answers: { 200: { description: 'Completed', schema: endedByNameSchema, headers: etagHeader } },
      refusals: endRefusals,
    })
    .serve(async ({ params, headers, body: { output = null, by = null } }) => {
      const { process, precondition } = await find(params, headers);
      const { repeated } = await process.complete(params.name, output, { by, ...precondition });
      return answer(await processes.read(process.id), { repeated });
    });

  endpoints
    .declare({
      ...endByName,
      path: '/v1/processes/{id}/tasks/{name}/fail',
      id: 'failTaskByName',
      summary: 'Fail an active task by its name, for good',
      description: 'Its retry policy is not asked. The same again answers the same (`repeated`).',
      body: failByNameSchema,
      bodyExample: { error: { code: 'score', message: 'Credit score was too low!' }, by: 'ada' },
      isBodyOptional: false,
      answers: { 200: { description: 'Failed', schema: endedByNameSchema, headers: etagHeader } },
      refusals: endRefusals,
    })
    .serve(async ({ params, headers, body: { error, by = null } }) => {
      const { process, precondition } = await find(params, headers);
      const { repeated } = await process.fail(params.name, error, { by, ...precondition });
      return answer(await processes.read(process.id), { repeated });
    });

  endpoints
    .declare({
      ...move,
      path: '/v1/processes/{id}/cancel',
      id: 'cancelProcess',
      summary: 'Cancel a process',
      description: 'What waits is cancelled at once, what runs is asked to stop.',
      answers: {
        200: { description: 'It is cancelled', schema: processSchema, headers: etagHeader },
        202: { description: 'Running tasks were asked to stop', schema: processSchema, headers: etagHeader },
      },
      refusals: ['not_found', 'already_ended', 'precondition_failed'],
    })
    .serve(async ({ params, headers, body: { by = null } }) => {
      const { process, precondition } = await find(params, headers);
      await process.cancel({ by, ...precondition });
      const view = await processes.read(process.id);
      return { ...answer(view, {}), status: view.state === 'cancelling' ? 202 : 200 };
    });

  endpoints
    .declare({
      ...move,
      path: '/v1/processes/{id}/retry',
      id: 'retryProcess',
      summary: 'Go on with a failed process from what failed',
      description:
        'Its failed tasks are tried again with a new budget of attempts, also in processes that it waits for; what the failure had cancelled or let run waits again; what has completed stays. A process that another waits for is retried with that one; one whose `on_failure` was started is over.',
      body: retrySchema,
      bodyExample: { by: 'ada', inputs: { 'Review Credit': { applicant: 'Ann' } } },
      answers: { 200: { description: 'It is running', schema: retriedSchema, headers: etagHeader } },
      refusals: [
        'not_found',
        'not_failed',
        'has_parent',
        'compensated',
        'invalid_input',
        'precondition_failed',
      ],
    })
    .serve(async ({ params, headers, body: { by = null, inputs = {} } }) => {
      const { process, precondition } = await find(params, headers);
      const retried = await process.retry({ by, inputs, ...precondition });
      return answer(await processes.read(process.id), { retried });
    });

  const pauses = [
    {
      path: '/v1/processes/{id}/pause',
      id: 'pauseProcess',
      summary: 'Hand out no task of a process until it is resumed; what runs goes on',
      description: 'It is paused',
      make: (process: ProcessHandle, options: object) => process.pause(options),
    },
    {
      path: '/v1/processes/{id}/resume',
      id: 'resumeProcess',
      summary: 'Hand out the tasks of a paused process again',
      description: 'It is not paused',
      make: (process: ProcessHandle, options: object) => process.resume(options),
    },
  ];
  for (const { path, id, summary, description, make } of pauses) {
    endpoints
      .declare({
        ...move,
        path,
        id,
        summary,
        answers: { 200: { description, schema: processSchema, headers: etagHeader } },
        refusals: ['not_found', 'already_ended', 'precondition_failed'],
      })
      .serve(async ({ params, headers, body: { by = null } }) => {
        const { process, precondition } = await find(params, headers);
        await make(process, { by, ...precondition });
        return answer(await processes.read(process.id), {});
      });
  }

  endpoints
    .declare({
      method: 'delete',
      path: '/v1/processes/{id}',
      id: 'deleteProcess',
      tag: 'processes',
      summary: 'Delete the record of a process that has ended',
      description: 'With its tasks, their attempts and dead letters, its events and its idempotency key.',
      params: idParamsSchema,
      headers: ifMatchHeaders,
      answers: { 204: { description: 'Deleted' } },
      refusals: ['not_found', 'not_ended', 'precondition_failed'],
    })
    .serve(async ({ params, headers }) => {
      const { process, precondition } = await find(params, headers);
      await process.delete(precondition);
      return { status: 204 };
    });
}

function answer<More extends object>(view: ProcessView, more: More) {
  return { status: 200 as const, headers: { etag: etagOf(view) }, body: { ...view, ...more } };
}
