/** Events: what processes wait for, sent from outside. */
import { z } from 'zod';
import { type ErrorCode, SkipjackError } from '../../core/errors.ts';
import type { SentEvent } from '../../engine/send-event.ts';
import { listEvents, readEvent } from '../../queue/events/read.ts';
import { encodeCursor, momentCursorSchema } from '../cursor.ts';
import { defined } from '../defined.ts';
import { parseWhole } from '../http/endpoint.ts';
import { mountedAt } from '../http/mount.ts';
import { notFound } from '../http/problem.ts';
import { judgeEach, openEnvelope, refusalShape } from '../judge-each.ts';
import type { ApiParts } from '../parts.ts';
import {
  eventInputExample,
  eventInputSchema,
  eventKeyParameter,
  eventSchema,
  eventSummarySchema,
  sentEventExample,
  sentEventSchema,
  sentEventShape,
} from '../schemas/event.ts';
import { idOf, idParamsSchema, limitDefault, limitParameter, nameParameter } from '../schemas/parameters.ts';

const batchMax = 1_000;

const batchSchema = z
  .strictObject({ events: z.array(eventInputSchema).min(1).max(batchMax) })
  .meta({ id: 'EventBatch' });

const resultSchema = z
  .object({
    ...refusalShape,
    ...z.object(sentEventShape).partial().shape,
    existing_id: z.string().optional(),
  })
  .meta({
    id: 'EventBatchResult',
    description: 'status is 201 (sent), 200 (the idempotency key had sent it before) or that of its problem',
  });

export function addEventRoutes({ endpoints, engine }: ApiParts): void {
  const { db } = engine;

  const send = ({ idempotency_key, ...event }: z.output<typeof eventInputSchema>) =>
    engine.sendEvent(defined({ ...event, idempotencyKey: idempotency_key }));

  endpoints
    .declare({
      method: 'post',
      path: '/v1/events',
      id: 'sendEvent',
      tag: 'processes',
      summary: 'Send an event that processes wait for',
      description:
        'Every task that waits for its name and key completes with the payload. Where none does, the event is kept for the first that comes to wait, for seven days unless the server was told otherwise. The same `idempotency_key` with the same event sends it once.',
      body: eventInputSchema,
      bodyExample: eventInputExample,
      answers: {
        200: {
          description: 'The idempotency key had sent it before',
          schema: sentEventSchema,
          headers: { 'idempotency-replayed': '`true`' },
        },
        201: { description: 'Sent', schema: sentEventSchema, headers: { location: 'Where the event is' } },
      },
      refusals: ['idempotency_conflict', 'event_busy'],
    })
    .serve(async ({ c, body }) => {
      const { created, ...sent } = await send(body);
      const headers = {
        location: `${mountedAt(c)}/v1/events/${sent.id}`,
        ...(created ? {} : { 'idempotency-replayed': 'true' }),
      };
      return { status: created ? 201 : 200, headers, body: sent };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/events/batch',
      id: 'sendEvents',
      tag: 'processes',
      summary: 'Send up to 1,000 events',
      description:
        'Each event is judged alone: a bad one gets its own problem and harms none of the others, so look at every `status`. There is one result for each event, in their order. Only when none could be sent because the database is away does the whole request answer 503.',
      body: batchSchema,
      bodyExample: { events: [eventInputExample, { name: 'shop-opened' }] },
      parseBody: (body) =>
        openEnvelope(body, { list: 'events', max: batchMax, rest: z.strictObject({}) }).items,
      answers: {
        200: {
          description: 'What became of each',
          schema: z.object({ results: z.array(resultSchema) }).meta({
            id: 'EventBatchResults',
            example: {
              results: [
                { status: 201, ...sentEventExample },
                {
                  status: 400,
                  code: 'invalid_request',
                  detail: '/events/1/name: Too small: expected string to have >=1 characters',
                  problems: [
                    {
                      pointer: '/events/1/name',
                      message: 'Too small: expected string to have >=1 characters',
                    },
                  ],
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
          const { created, ...sent }: SentEvent = await send(
            parseWhole(eventInputSchema, item, `/events/${index}`),
          );
          return { status: created ? 201 : 200, ...sent };
        },
        // Those without an idempotency key would be sent twice.
        { isRepeatable: false },
      );
      // One that somebody else is sending is refused alone, even where it is the only one.
      const refused = results.filter(
        (result) => result.status === 503 && 'code' in result && result.code !== 'event_busy',
      );
      if (refused.length === results.length) {
        const { code, detail } = refused[0] as { code: ErrorCode; detail: string };
        throw new SkipjackError(code, detail);
      }
      return { status: 200, body: { results } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/events',
      id: 'listEvents',
      tag: 'processes',
      summary: 'List events that were sent, newest first',
      query: z.strictObject({
        name: nameParameter,
        key: eventKeyParameter,
        limit: limitParameter,
        cursor: momentCursorSchema.optional(),
      }),
      answers: {
        200: {
          description: 'A page; `next_cursor` is null on the last one',
          schema: z
            .object({ events: z.array(eventSummarySchema), next_cursor: z.string().nullable() })
            .meta({ id: 'EventList' }),
        },
      },
    })
    .serve(async ({ query: { limit = limitDefault, cursor, ...filter } }) => {
      const after = cursor && { createdAt: cursor.failedAt, id: cursor.id };
      const { events, last } = await listEvents(db, defined(filter), { limit, ...defined({ after }) });
      // A full page may be the last one; then the next is empty.
      const next_cursor = last && events.length === limit ? encodeCursor([last.createdAt, last.id]) : null;
      return { status: 200, body: { events, next_cursor } };
    });

  endpoints
    .declare({
      method: 'get',
      path: '/v1/events/{id}',
      id: 'readEvent',
      tag: 'processes',
      summary: 'Look at an event that was sent',
      params: idParamsSchema,
      answers: { 200: { description: 'With its payload', schema: eventSchema } },
      refusals: ['not_found'],
    })
    .serve(async ({ params }) => {
      const id = idOf(params, 'event');
      const event = await readEvent(db, id);
      if (!event) throw notFound('event', id);
      return { status: 200, body: event };
    });
}
