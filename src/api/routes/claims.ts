/** Workers: claiming, from queues or one task by its id. */
import { z } from 'zod';
import { SkipjackError } from '../../core/errors.ts';
import { newId } from '../../core/ids.ts';
import { claimFor } from '../claim.ts';
import { releaseIfUndelivered } from '../delivery.ts';
import { mountedAt } from '../http/mount.ts';
import { notFound } from '../http/problem.ts';
import type { ApiParts } from '../parts.ts';
import { claimedTaskSchema, claimOneSchema, claimSchema } from '../schemas/claim.ts';
import { idOf, idParamsSchema } from '../schemas/parameters.ts';
import { toClaimed } from '../views.ts';

export function addClaimRoutes(parts: ApiParts): void {
  const { endpoints, queue, tasks } = parts;

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/claim',
      id: 'claimTasks',
      tag: 'workers',
      summary: 'Claim tasks that are due',
      description:
        'Each goes to one caller, who holds it until its lease ends and says with the token what became of it. An empty list when nothing came in time. Tasks whose answer could not be delivered go back at once, unless there is a `claim_id` with which to ask again.',
      body: claimSchema,
      bodyExample: { queues: ['send-email'], limit: 1, worker: 'mailer-1', lease: '30s', wait: '30s' },
      answers: {
        200: {
          description: 'What was claimed',
          schema: z.object({ tasks: z.array(claimedTaskSchema) }).meta({ id: 'ClaimedTasks' }),
        },
      },
    })
    .serve(async ({ c, body }) => {
      const claimed = await claimFor(parts, c, body);
      return { status: 200, body: { tasks: claimed.map((task) => toClaimed(task, mountedAt(c))) } };
    });

  endpoints
    .declare({
      method: 'post',
      path: '/v1/tasks/{id}/claim',
      id: 'claimTask',
      tag: 'workers',
      summary: 'Claim this task',
      description:
        'For people who pick from a list. A problem `already_claimed` names the holder and the end of the lease.',
      params: idParamsSchema,
      body: claimOneSchema,
      bodyExample: { worker: 'ada', lease: '10m' },
      answers: { 200: { description: 'It is yours', schema: claimedTaskSchema } },
      refusals: ['not_found', 'already_claimed', 'already_settled', 'not_active', 'not_claimable'],
    })
    .serve(async ({ c, params, body }) => {
      const id = idOf(params, 'task');
      const result = await queue.claimOne(id, {
        worker: body.worker,
        leaseMs: body.lease,
        timeoutGraceMs: body.timeout_grace,
        claimId: body.claim_id ?? newId(),
      });
      switch (result.kind) {
        case 'claimed':
          if (body.claim_id === undefined) releaseIfUndelivered(c, [result.task], parts);
          return { status: 200, body: toClaimed(result.task, mountedAt(c)) };
        case 'already_claimed':
          throw new SkipjackError('already_claimed', `"${result.worker}" holds the task.`, {
            extra: { worker: result.worker, lease_expires_at: result.leaseExpiresAt },
          });
        case 'ended':
          if (result.state === 'pending') throw await notActive(id);
          throw new SkipjackError('already_settled', `The task is ${result.state}.`, {
            extra: { state: result.state },
          });
        case 'not_due':
          throw new SkipjackError('not_claimable', `The task is not due before ${result.availableAt}.`, {
            extra: { available_at: result.availableAt },
          });
        case 'process_paused':
          throw new SkipjackError('not_claimable', `Its process ${result.processId} is paused.`);
        case 'queue_paused':
          throw new SkipjackError('not_claimable', `The queue "${result.queue}" is paused.`);
        case 'not_found':
          throw notFound('task', id);
      }
    });

  async function notActive(id: string): Promise<SkipjackError> {
    const { needs } = await tasks.read(id);
    return new SkipjackError(
      'not_active',
      `The task is not active: not all that it needs has ended (${needs.map((name) => `"${name}"`).join(', ')}).`,
      { extra: { state: 'pending', needs } },
    );
  }
}
