/** Workers: complete, fail, release; one at a time or many at once. */
import { z } from 'zod';
import { claimFor } from '../claim.ts';
import { parseWhole } from '../http/endpoint.ts';
import { mountedAt } from '../http/mount.ts';
import { toSkipjackError } from '../http/problem.ts';
import { idGivenBy, judgeEach, openEnvelope, refusalShape } from '../judge-each.ts';
import type { ApiParts } from '../parts.ts';
import { claimedTaskSchema, claimSchema } from '../schemas/claim.ts';
import { idOf, idParamsSchema } from '../schemas/parameters.ts';
import {
  completeSchema,
  failSchema,
  releaseSchema,
  settledSchema,
  settlementSchema,
} from '../schemas/settlement.ts';
import { settleAttempt } from '../settle.ts';
import { toClaimed } from '../views.ts';

const settleSchema = z
  .strictObject({
    settlements: z.array(settlementSchema).min(1).max(1_000),
    claim: claimSchema.optional().meta({ description: 'Claims next, once these are settled' }),
  })
  .meta({ id: 'Settle' });

const resultSchema = z
  .object({
    ...refusalShape,
    id: z.string().nullable(),
    state: z.string().optional(),
    repeated: z.boolean().optional(),
    next_try_at: z.string().nullable().optional(),
  })
  .meta({ id: 'SettleResult' });

const token = 'AZmixF97fD6dSiscPU5fYAAAAAE';
const refusals = ['not_found', 'lease_lost', 'already_settled', 'token_mismatch'] as const;
const description =
  'The same word again with the same token answers the same (`repeated`). A claim that is over answers 409, and nothing is changed.';

export function addSettlementRoutes(parts: ApiParts): void {
  const { endpoints, queue, log } = parts;

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/complete',
      id: 'completeTask',
      tag: 'workers',
      summary: 'The attempt succeeded',
      description,
      params: idParamsSchema,
      body: completeSchema,
      bodyExample: { token, output: { sent: true } },
      answers: { 200: { description: 'Completed', schema: settledSchema } },
      refusals: [...refusals],
    })
    .serve(async ({ params, body }) => ({
      status: 200,
      body: await settleAttempt(queue, { ...body, id: idOf(params, 'task'), outcome: 'completed' }),
    }));

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/fail',
      id: 'failTask',
      tag: 'workers',
      summary: 'The attempt failed',
      description: `It is tried again as its retry policy says, unless \`retry\` is false. ${description}`,
      params: idParamsSchema,
      body: failSchema,
      bodyExample: { token, error: { code: 'smtp', message: 'mailbox full' }, retry: false },
      answers: { 200: { description: 'Failed, or to be tried again', schema: settledSchema } },
      refusals: [...refusals],
    })
    .serve(async ({ params, body }) => ({
      status: 200,
      body: await settleAttempt(queue, { ...body, id: idOf(params, 'task'), outcome: 'failed' }),
    }));

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/release',
      id: 'releaseTask',
      tag: 'workers',
      summary: 'Give the task back unspent',
      description: `Nothing is counted. ${description}`,
      params: idParamsSchema,
      body: releaseSchema,
      bodyExample: { token },
      answers: { 200: { description: 'Given back', schema: settledSchema } },
      refusals: [...refusals],
    })
    .serve(async ({ params, body }) => ({
      status: 200,
      body: await settleAttempt(queue, { ...body, id: idOf(params, 'task'), outcome: 'released' }),
    }));

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/settle',
      id: 'settleTasks',
      tag: 'workers',
      summary: 'Settle up to 1,000 attempts, and claim next',
      description:
        'Each settlement is judged alone: a bad one harms none of the others, so look at every `status`. Asking again with the same body is safe: what was settled answers `repeated`. With `claim` the next tasks come in the same answer; should the claim fail, `claimed` is empty and the results stand.',
      body: settleSchema,
      bodyExample: {
        settlements: [
          { id: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60', token, outcome: 'completed', output: 42 },
        ],
        claim: { queues: ['default'], limit: 1, worker: 'worker-1' },
      },
      parseBody: (body) => {
        const { items, rest } = openEnvelope(body, {
          list: 'settlements',
          max: 1_000,
          rest: z.strictObject({ claim: z.unknown().optional() }),
        });
        return {
          items,
          claim: rest.claim === undefined ? undefined : parseWhole(claimSchema, rest.claim, '/claim'),
        };
      },
      answers: {
        200: {
          description: 'What became of each, in their order',
          schema: z
            .object({ results: z.array(resultSchema), claimed: z.array(claimedTaskSchema).optional() })
            .meta({ id: 'SettleResults' }),
        },
      },
    })
    .serve(async ({ c, body: { items, claim } }) => {
      const judged = await judgeEach(
        items,
        async (item, index) => {
          const pointer = `/settlements/${index}`;
          const settlement = parseWhole(settlementSchema, item, pointer);
          const id = idOf(settlement, 'task');
          return { status: 200, ...(await settleAttempt(queue, { ...settlement, id }, { pointer })) };
        },
        { isRepeatable: true },
      );
      const results = judged.map((result, index) => ({ id: idGivenBy(items[index]), ...result }));
      if (!claim) return { status: 200, body: { results } };
      const claimed = await claimFor(parts, c, claim).catch((error) => {
        log.warn({ err: toSkipjackError(error) }, 'settled, but could not claim');
        return [];
      });
      return {
        status: 200,
        body: { results, claimed: claimed.map((task) => toClaimed(task, mountedAt(c))) },
      };
    });
}
