/** Logs of attempts: read in pages or as they grow, and added to by workers. */
import type { Context } from 'hono';
import { z } from 'zod';
import { createBatcher } from '../../core/batching.ts';
import { SkipjackError } from '../../core/errors.ts';
import { isDataFault, isRepeatable } from '../../database/faults.ts';
import { appendLogs, type ClaimChunk } from '../../queue/logs/append.ts';
import { findHeld } from '../../queue/logs/held.ts';
import { readLogPage } from '../../queue/logs/read.ts';
import {
  type LogFilter,
  type LogPlace,
  type LogSubject,
  logBeginning,
  lookAtLog,
} from '../../queue/logs/subject.ts';
import { findTail } from '../../queue/logs/tail.ts';
import { createLogWatch } from '../../queue/logs/watch.ts';
import { defined } from '../defined.ts';
import { followLog } from '../follow-log.ts';
import { parseWhole } from '../http/endpoint.ts';
import { answerEvents, wantsEvents } from '../http/event-stream.ts';
import { notFound, toSkipjackError } from '../http/problem.ts';
import { idGivenBy, judgeEach, openEnvelope, refusalShape } from '../judge-each.ts';
import type { ApiParts } from '../parts.ts';
import {
  appendedSchema,
  appendLogSchema,
  heldAnswerSchema,
  heldSchema,
  logChunkSchema,
  logCursorSchema,
  logPageSchema,
  logQueryShape,
  toLogCursor,
} from '../schemas/log.ts';
import { idOf, idParamsSchema, limitDefault } from '../schemas/parameters.ts';
import { leaseLost, readToken } from '../settle.ts';

const querySchema = z.strictObject({ ...logQueryShape, cursor: logCursorSchema.optional() });
const headersSchema = z.object({ 'last-event-id': logCursorSchema.optional() });

const events =
  'As it grows: a message for each line, in the words of `LogLine`, whose id, as `Last-Event-ID` or `cursor`, goes on exactly behind it; a comment every 15 s; at last the event `end` with {state}. `limit` has no meaning here.';
const reading =
  'Oldest first, in pages; with `Accept: text/event-stream` live. Without a cursor from the beginning, or from the last lines with `tail`.';
const adding =
  'Lines of a claim that is over are refused. Send one call after the other for each claim: lines at or below the number of the last one that is kept are taken for known. Up to 1,000 lines of 64 KiB each.';

const token = 'AZmixF97fD6dSiscPU5fYAAAAAE';

export function addLogRoutes(parts: ApiParts): void {
  const { endpoints, queue, longPolls, log } = parts;
  const { db } = queue;
  const watch = createLogWatch(db);
  // What many workers send in the same moment goes in one statement. A lost connection is their own affair: only
  // they know whether the same again counts once. All of one claim goes one after the other, on the same lane: what
  // was overtaken would be taken for known.
  const lanes = Array.from({ length: 2 }, () =>
    createBatcher({
      flush: (chunks: ClaimChunk[]) => appendLogs(db, chunks),
      sizeOf: ({ lines }) => lines.reduce((bytes, { text }) => bytes + text.length + 40, 100),
      classify: (error, tries) =>
        isDataFault(error) ? 'bisect' : isRepeatable(error) && tries <= 10 ? 'repeat' : 'fail',
    }),
  );
  const laneOf = (taskId: string) =>
    lanes[Number.parseInt(taskId.slice(-1), 16) % lanes.length] as (typeof lanes)[number];

  for (const what of ['task', 'process'] as const) {
    endpoints
      .declare({
        method: 'get',
        path: what === 'task' ? '/v1/tasks/{id}/logs' : '/v1/processes/{id}/logs',
        id: what === 'task' ? 'readTaskLogs' : 'readProcessLogs',
        tag: what === 'task' ? 'tasks' : 'processes',
        summary:
          what === 'task'
            ? 'What a task said, in all its attempts'
            : 'What the tasks of a process said, as it came',
        description: reading,
        params: idParamsSchema,
        query: querySchema,
        headers: headersSchema,
        events,
        answers: { 200: { description: 'A page, or events', schema: logPageSchema } },
        refusals: ['not_found'],
      })
      .serve(async ({ c, params, query, headers }) => {
        const { attempt, stream, tail, cursor, limit = limitDefault } = query;
        const subject: LogSubject = { what, id: idOf(params, what) };
        const filter = defined({ attempt, stream });
        // Known before it is read: if it had ended by then, all of it is there.
        const known = await lookAtLog(db, subject);
        if (known.state === null) throw notFound(what, subject.id);
        const after = headers['last-event-id'] ?? cursor ?? (await beginning(subject, filter, tail));
        if (wantsEvents(c)) return { events: follow(c, subject, filter, after) };
        const page = await readLogPage(db, subject, { after, limit, filter });
        const isAll = known.isEnded && !page.hasMore;
        return {
          status: 200,
          body: {
            lines: page.entries.map(({ place: _place, ...line }) => line),
            next_cursor: isAll ? null : toLogCursor(page.last),
          },
        };
      });
  }

  async function beginning(subject: LogSubject, filter: LogFilter, tail?: number): Promise<LogPlace> {
    return tail === undefined ? logBeginning : findTail(db, subject, { count: tail, filter });
  }

  function follow(c: Context, subject: LogSubject, filter: LogFilter, after: LogPlace): Response {
    const follower = watch.follow(subject);
    return answerEvents({ c, longPolls }, async (stream, signal) => {
      try {
        await followLog(stream, follower, { after, filter, signal });
      } catch (thrown) {
        // The reader comes back to where it was.
        log.error(
          { err: toSkipjackError(thrown).cause ?? thrown, path: c.req.path },
          'a log cannot be followed',
        );
      } finally {
        follower.close();
      }
    });
  }

  /** @throws SkipjackError when nothing was kept because the claim is over. */
  async function append(
    { id, lines, first_line, ...sent }: z.output<typeof logChunkSchema>,
    pointer = '',
  ): Promise<z.input<typeof appendedSchema>> {
    const { taskId, claimNo } = readToken({ id, token: sent.token }, pointer);
    const result = await laneOf(taskId).add({ taskId, claimNo, firstLine: first_line, lines });
    if (result.kind === 'lease_lost') throw await explainLost(id);
    const isFull = result.kind === 'full';
    return { kept: isFull ? 0 : lines.length, full: isFull };
  }

  async function explainLost(id: string): Promise<SkipjackError> {
    const { state, isEnded } = await lookAtLog(db, { what: 'task', id });
    if (state === null) return notFound('task', id);
    if (!isEnded) return leaseLost();
    return new SkipjackError('already_settled', `The task is ${state} already. Nothing was kept.`, {
      extra: { state },
    });
  }

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/logs',
      id: 'appendTaskLogs',
      tag: 'workers',
      summary: 'Add lines to the log of an attempt',
      description: adding,
      params: idParamsSchema,
      body: appendLogSchema,
      bodyExample: { token, lines: ['connecting', { text: 'no answer', stream: 'stderr', ago: '250ms' }] },
      answers: { 200: { description: 'What was kept', schema: appendedSchema } },
      refusals: ['not_found', 'lease_lost', 'already_settled', 'token_mismatch'],
    })
    .serve(async ({ params, body }) => ({
      status: 200,
      body: await append({ ...body, id: idOf(params, 'task') }),
    }));

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/logs',
      id: 'appendLogs',
      tag: 'workers',
      summary: 'Add lines to the logs of up to 1,000 attempts',
      description: `Each chunk is judged alone: a bad one harms none of the others, so look at every \`status\`. With \`first_line\` asking again with the same body is safe. ${adding}`,
      body: z.strictObject({ chunks: z.array(logChunkSchema).min(1).max(1_000) }).meta({ id: 'LogChunks' }),
      bodyExample: {
        chunks: [
          { id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60', token, first_line: 1, lines: ['hello', 'world'] },
        ],
      },
      parseBody: (body) => openEnvelope(body, { list: 'chunks', max: 1_000, rest: z.strictObject({}) }),
      answers: {
        200: {
          description: 'What became of each, in their order',
          schema: z
            .object({
              results: z.array(
                z
                  .object({
                    ...refusalShape,
                    id: z.string().nullable(),
                    kept: z.int().optional(),
                    full: z.boolean().optional(),
                    state: z.string().optional(),
                  })
                  .meta({ id: 'LogChunkResult' }),
              ),
            })
            .meta({ id: 'LogChunkResults' }),
        },
      },
    })
    .serve(async ({ body: { items } }) => {
      const judged = await judgeEach(
        items,
        async (item, index) => {
          const pointer = `/chunks/${index}`;
          const chunk = parseWhole(logChunkSchema, item, pointer);
          return { status: 200, ...(await append({ ...chunk, id: idOf(chunk, 'task') }, pointer)) };
        },
        { isRepeatable: true },
      );
      return {
        status: 200,
        body: { results: judged.map((result, index) => ({ id: idGivenBy(items[index]), ...result })) },
      };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/held',
      id: 'findHeldClaims',
      tag: 'workers',
      summary: 'Which of up to 1,000 claims are still held',
      description:
        'For workers that look for what a dead one left behind: a claim is held until it is settled, given back or reaped. With an empty list it only says which database this is.',
      body: heldSchema,
      bodyExample: { claims: [{ id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60', token }] },
      answers: { 200: { description: 'For each whether it is held', schema: heldAnswerSchema } },
    })
    .serve(async ({ body }) => ({ status: 200, body: await findHeld(db, body.claims) }));
}
