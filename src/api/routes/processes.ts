/** Processes: start them, look at them and at what became of their tasks. */
import { z } from 'zod';
import { processStates } from '../../core/process.ts';
import { listProcesses, readHistory } from '../../engine/read-processes.ts';
import { noSuchProcess } from '../../engine/refusals.ts';
import { listProcessTasks } from '../../queue/list-tasks.ts';
import { encodeCursor, historyCursorSchema, idCursorSchema, numberCursorSchema } from '../cursor.ts';
import { defined } from '../defined.ts';
import { mountedAt } from '../http/mount.ts';
import { invalidRequest } from '../http/problem.ts';
import { etagOf } from '../if-match.ts';
import type { ApiParts } from '../parts.ts';
import { definitionYamlExample } from '../schemas/definition.ts';
import {
  idOf,
  idParameter,
  idParamsSchema,
  limitDefault,
  limitParameter,
  momentParameter,
  nameParameter,
  waitParameter,
} from '../schemas/parameters.ts';
import {
  processEventSchema,
  processSchema,
  processSummarySchema,
  startParameters,
  startSchema,
} from '../schemas/process.ts';
import { taskSummarySchema } from '../schemas/task.ts';
import { parseInput, parseStart, pointIntoBody, type Start } from '../start.ts';
import { waitForEnd } from '../wait-for-end.ts';

const etagHeader = { etag: 'The revision, for `If-Match`' };

export function addProcessRoutes(parts: ApiParts): void {
  const { endpoints, engine, processes } = parts;
  const { db } = engine;

  endpoints
    .declare({
      method: 'post',
      path: '/v1/processes',
      id: 'startProcess',
      tag: 'processes',
      summary: 'Start a process',
      description:
        'By the name of a published definition, its newest version unless one is named; or by a definition in hand, in JSON or as text. A body in YAML is such a definition itself. The same `idempotency_key` with the same request answers the process that there is. Problems of a definition under `definition` point into the body, those of a text have their line and column in it.',
      query: z.strictObject({ wait: waitParameter, ...startParameters }),
      body: startSchema,
      bodyExample: {
        definition: 'loan-application',
        input: { applicant: 'Ann' },
        idempotency_key: 'application 4711',
      },
      parseText: parseStart,
      yamlExample: definitionYamlExample,
      answers: {
        200: {
          description: 'It ended while you waited, or the idempotency key had started it before',
          schema: processSchema,
          headers: { ...etagHeader, 'idempotency-replayed': '`true` when the key had started it before' },
        },
        201: {
          description: 'Started',
          schema: processSchema,
          headers: { ...etagHeader, location: 'Where the process is' },
        },
        202: {
          description: 'Started; it has not ended while you waited',
          schema: processSchema,
          headers: etagHeader,
        },
      },
      refusals: [
        'not_found',
        'definition_inactive',
        'invalid_definition',
        'invalid_input',
        'idempotency_conflict',
        'idempotency_key_busy',
      ],
    })
    .serve(async ({ c, query: { wait, ...beside }, body }) => {
      const { process, created } = await start(withParameters(body, beside), wait);
      const { id } = process;
      const ended = wait !== undefined && (await waitForEnd(parts, c, { what: 'process', id, waitMs: wait }));
      const view = await processes.read(id);
      return {
        status: wait === undefined ? (created ? 201 : 200) : ended ? 200 : 202,
        headers: {
          location: `${mountedAt(c)}/v1/processes/${id}`,
          etag: etagOf(view),
          ...(created ? {} : { 'idempotency-replayed': 'true' }),
        },
        body: view,
      };
    });

  async function start({ toStart, version, input, idempotencyKey }: Start, wait: number | undefined) {
    try {
      return await engine.start(toStart, {
        ...defined({ version, input, idempotencyKey }),
        awaited: Boolean(wait),
      });
    } catch (error) {
      throw typeof toStart === 'object' && 'definition' in toStart ? pointIntoBody(error) : error;
    }
  }

  endpoints
    .declare({
      method: 'get',
      path: '/v1/processes',
      id: 'listProcesses',
      tag: 'processes',
      summary: 'List processes, newest first',
      query: z.strictObject({
        state: z
          .enum([...processStates, 'live'])
          .optional()
          .meta({ description: '`live` means running, failing and cancelling' }),
        definition: nameParameter,
        parent_process_id: idParameter.meta({ description: 'Those that this process has started' }),
        created_after: momentParameter,
        created_before: momentParameter,
        limit: limitParameter,
        cursor: idCursorSchema.optional(),
      }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ processes: z.array(processSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'ProcessList' }),
        },
      },
    })
    .serve(async ({ query }) => {
      const {
        limit = limitDefault,
        cursor,
        parent_process_id,
        created_after,
        created_before,
        ...rest
      } = query;
      const filter = defined({
        ...rest,
        parentProcessId: parent_process_id,
        createdAfter: created_after,
        createdBefore: created_before,
      });
      const found = await listProcesses(db, filter, { limit: limit + 1, ...defined({ after: cursor }) });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return { status: 200, body: { processes: page, next_cursor: last ? encodeCursor([last.id]) : null } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/processes/{id}',
      id: 'readProcess',
      tag: 'processes',
      summary: 'Look at a process',
      params: idParamsSchema,
      query: z.strictObject({ wait: waitParameter }),
      answers: {
        200: { description: 'The process; with `wait`, ended', schema: processSchema, headers: etagHeader },
        202: { description: 'With `wait`: it has not ended', schema: processSchema, headers: etagHeader },
      },
      refusals: ['not_found'],
    })
    .serve(async ({ c, params, query: { wait } }) => {
      const id = idOf(params, 'process');
      const ended = wait === undefined || (await waitForEnd(parts, c, { what: 'process', id, waitMs: wait }));
      const view = await processes.read(id);
      return { status: ended ? 200 : 202, headers: { etag: etagOf(view) }, body: view };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/processes/{id}/tasks',
      id: 'listProcessTasks',
      tag: 'processes',
      summary:
        'List the tasks of a process, in the order of its definition, items of an `each` behind the others',
      params: idParamsSchema,
      query: z.strictObject({ limit: limitParameter, cursor: numberCursorSchema.optional() }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ tasks: z.array(taskSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'ProcessTaskList' }),
        },
      },
      refusals: ['not_found'],
    })
    .serve(async ({ params, query: { limit = limitDefault, cursor } }) => {
      const id = idOf(params, 'process');
      const found = await listProcessTasks(db, id, { limit: limit + 1, ...defined({ after: cursor }) });
      // A process has one at least.
      if (found.length === 0 && cursor === undefined) throw noSuchProcess(id);
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        status: 200,
        body: { tasks: page, next_cursor: last ? encodeCursor([String(last.ordinal)]) : null },
      };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/processes/{id}/events',
      id: 'listProcessEvents',
      tag: 'processes',
      summary: 'What happened to a process and its tasks, oldest first',
      params: idParamsSchema,
      query: z.strictObject({ limit: limitParameter, cursor: historyCursorSchema.optional() }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ events: z.array(processEventSchema), next_cursor: z.string().nullable() })
            .meta({ id: 'ProcessEventList' }),
        },
      },
      refusals: ['not_found'],
    })
    .serve(async ({ params, query: { limit = limitDefault, cursor } }) => {
      const id = idOf(params, 'process');
      const { entries, last } = await readHistory(db, id, { limit, ...defined({ after: cursor }) });
      // It was started, at least.
      if (entries.length === 0 && cursor === undefined) throw noSuchProcess(id);
      // A full page may be the last one; then the next is empty.
      const isFull = last !== null && entries.length === limit;
      return {
        status: 200,
        body: {
          events: entries,
          next_cursor: isFull ? encodeCursor([last[0], String(last[1]), last[2]]) : null,
        },
      };
    });
}

/** What stands in the query belongs to a body that is a definition and nothing else. */
function withParameters(
  start: Start,
  { input, idempotency_key }: { input?: string | undefined; idempotency_key?: string | undefined },
): Start {
  if (start.isBare) {
    return {
      ...start,
      input: input === undefined ? undefined : parseInput(input),
      idempotencyKey: idempotency_key,
    };
  }
  const given = Object.entries({ input, idempotency_key }).find(([, value]) => value !== undefined);
  if (given) {
    throw invalidRequest([
      { pointer: given[0], message: 'goes with a body in YAML; in JSON it is a key of the body' },
    ]);
  }
  return start;
}
