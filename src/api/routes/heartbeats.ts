/** Workers: keeping claims. */
import { z } from 'zod';
import type { HeartbeatResult } from '../../core/task-source.ts';
import { defined } from '../defined.ts';
import { parseWhole } from '../http/endpoint.ts';
import { idGivenBy, judgeEach, openEnvelope, refusalShape } from '../judge-each.ts';
import type { ApiParts } from '../parts.ts';
import { leaseDefault, leaseSchema, timeoutGraceSchema } from '../schemas/claim.ts';
import { idOf, idParamsSchema } from '../schemas/parameters.ts';
import { progressSchema, tokenSchema } from '../schemas/settlement.ts';
import { leaseLost, readToken } from '../settle.ts';

const times = { lease: leaseSchema.prefault(leaseDefault), timeout_grace: timeoutGraceSchema.prefault('0s') };
const startedSchema = z
  .boolean()
  .default(true)
  .meta({ description: 'The attempt has started; false while it is held ahead' });

const answerShape = {
  reason: z.enum(['cancelled', 'timed_out']).optional().meta({ description: 'Why to stop' }),
  lease_expires_at: z.string().optional().meta({ format: 'date-time' }),
};

const meanings =
  '`extended`: go on. `stop`: end the attempt and settle it. `busy`: somebody else is at the task for the moment; beat again.';

const leaseItemSchema = z
  .strictObject({
    id: z.string().max(100).meta({ format: 'uuid' }),
    token: tokenSchema,
    started: startedSchema,
    progress: progressSchema.optional(),
  })
  .meta({ id: 'Lease' });

export function addHeartbeatRoutes({ endpoints, queue }: ApiParts): void {
  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/heartbeat',
      id: 'heartbeatTask',
      tag: 'workers',
      summary: 'Keep a claim',
      description: meanings,
      params: idParamsSchema,
      body: z
        .strictObject({
          token: tokenSchema,
          started: startedSchema,
          progress: progressSchema.optional(),
          ...times,
        })
        .meta({ id: 'Heartbeat' }),
      bodyExample: { token: 'AZmixF97fD6dSiscPU5fYAAAAAE', lease: '30s' },
      answers: {
        200: {
          description: 'Whether to go on',
          schema: z.object({ status: z.enum(['extended', 'stop', 'busy']), ...answerShape }).meta({
            id: 'HeartbeatAnswer',
            example: { status: 'extended', lease_expires_at: '2026-01-31T12:00:30.004Z' },
          }),
        },
      },
      refusals: ['not_found', 'lease_lost', 'token_mismatch'],
    })
    .serve(async ({ params, body }) => {
      const id = idOf(params, 'task');
      const result = await queue.heartbeat({
        ...readToken({ id, token: body.token }),
        started: body.started,
        progress: body.progress,
        leaseMs: body.lease,
        timeoutGraceMs: body.timeout_grace,
      });
      if (result.kind === 'gone') throw leaseLost();
      return { status: 200, body: { status: result.kind, ...details(result) } };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/heartbeat',
      id: 'heartbeatTasks',
      tag: 'workers',
      summary: 'Keep up to 1,000 claims',
      description: `${meanings} \`gone\`: the claim is over; stop, and say nothing. One that is malformed gets the status and code of its problem and harms none of the others.`,
      body: z
        .strictObject({ leases: z.array(leaseItemSchema).min(1).max(1_000), ...times })
        .meta({ id: 'HeartbeatBatch' }),
      bodyExample: {
        leases: [{ id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60', token: 'AZmixF97fD6dSiscPU5fYAAAAAE' }],
        lease: '30s',
      },
      parseBody: (body) => openEnvelope(body, { list: 'leases', max: 1_000, rest: z.strictObject(times) }),
      answers: {
        200: {
          description: 'For each, in their order, whether to go on',
          schema: z
            .object({
              results: z.array(
                z
                  .object({
                    ...refusalShape,
                    id: z.string().nullable(),
                    status: z.union([z.enum(['extended', 'stop', 'busy', 'gone']), z.int()]),
                    ...answerShape,
                  })
                  .meta({ id: 'HeartbeatResult' }),
              ),
            })
            .meta({ id: 'HeartbeatResults' }),
        },
      },
    })
    .serve(async ({ body: { items, rest } }) => {
      const judged = await judgeEach(
        items,
        async (item, index) => {
          const pointer = `/leases/${index}`;
          const lease = parseWhole(leaseItemSchema, item, pointer);
          const id = idOf(lease, 'task');
          const result = await queue.heartbeat({
            ...readToken({ id, token: lease.token }, pointer),
            started: lease.started,
            progress: lease.progress,
            leaseMs: rest.lease,
            timeoutGraceMs: rest.timeout_grace,
          });
          return { status: result.kind, ...details(result) };
        },
        { isRepeatable: true },
      );
      return {
        status: 200,
        body: { results: judged.map((result, index) => ({ id: idGivenBy(items[index]), ...result })) },
      };
    });
}

function details(result: HeartbeatResult) {
  return defined({
    reason: result.kind === 'stop' ? result.reason : undefined,
    lease_expires_at: result.kind === 'extended' ? result.leaseExpiresAt : undefined,
  });
}
