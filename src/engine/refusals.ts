/** What the queue answers about a process, as errors that people see. */
import { SkipjackError } from '../core/errors.ts';
import { escapePointer } from '../core/json.ts';
import { shellWord } from '../core/shell-word.ts';
import type { Parking } from '../core/task.ts';
import { type Awaiting, describeAwaiting } from '../queue/parking.ts';
import type { CancelProcessResult } from '../queue/processes/cancel.ts';
import type { DeleteProcessResult } from '../queue/processes/delete.ts';
import type { EndByNameResult } from '../queue/processes/end-by-name.ts';
import type { PauseProcessResult } from '../queue/processes/pause.ts';
import type { RetryProcessResult } from '../queue/processes/retry.ts';
import { refused as refusedFor } from './values.ts';

type Refused =
  | Exclude<CancelProcessResult, { kind: 'cancelling' }>
  | Exclude<PauseProcessResult, { kind: 'done' }>
  | Exclude<RetryProcessResult, { kind: 'retried' }>
  | Exclude<DeleteProcessResult, { kind: 'deleted' }>;

export function noSuchProcess(id: string): SkipjackError {
  return new SkipjackError('not_found', `There is no process with the id "${id.slice(0, 200)}".`);
}

/** Why a move of the whole process was not made. */
export function refusedMove(id: string, refused: Refused): SkipjackError {
  switch (refused.kind) {
    case 'not_found':
      return noSuchProcess(id);
    case 'ended':
      return new SkipjackError('already_ended', `The process is ${refused.state}. Nothing was changed.`, {
        extra: { state: refused.state },
      });
    case 'not_failed':
      return new SkipjackError(
        'not_failed',
        `The process is ${refused.state}; only a failed one can be retried. Nothing was changed.`,
        { extra: { state: refused.state } },
      );
    case 'has_parent':
      return new SkipjackError(
        'has_parent',
        `A task of another process waits for it. Retry that one, ${refused.rootId}: it goes on here as well. Nothing was changed.`,
        { extra: { root_id: refused.rootId } },
      );
    case 'compensated':
      return new SkipjackError(
        'compensated',
        `Its failure has started process ${refused.failureProcessId}, which puts right what it had done. Start it anew. Nothing was changed.`,
        { extra: { failure_process_id: refused.failureProcessId } },
      );
    case 'invalid_inputs':
      return refusedFor(
        'invalid_input',
        refused.problems.map(({ task, code, message }) => ({
          pointer: `/inputs/${escapePointer(task)}`,
          code,
          message,
        })),
      );
    case 'not_taken':
      return new SkipjackError(
        'not_ended',
        `It has ended, but process ${refused.parentId}, of which a task waits for it, has yet to take its outcome. Try again in a moment.`,
        { extra: { parent_id: refused.parentId } },
      );
    case 'not_ended':
      return new SkipjackError(
        'not_ended',
        `The process is ${refused.state}. Cancel it first, or wait for its end.`,
        { extra: { state: refused.state } },
      );
  }
}

/** What ends a parked task, or makes it ready, and what there is to do about it. */
function describeParked(waitsFor: Parking, awaiting: Awaiting | null): string {
  const what = `it waits ${describeAwaiting(waitsFor, awaiting).replace(/^(?!until )/, 'for ')}.`;
  if (!awaiting?.event) return what;
  const { name, key } = awaiting.event;
  const options = key === '' ? '' : ` --key ${shellWord(key)}`;
  return `${what} Send that: skipjack send ${shellWord(name)}${options}, or POST /v1/events.`;
}

/** Why a task was not ended by its name. */
export function refusedEnd(
  id: string,
  task: string,
  refused: Exclude<EndByNameResult, { kind: 'ended' }>,
): SkipjackError {
  switch (refused.kind) {
    case 'not_found':
      return noSuchProcess(id);
    case 'no_such_task':
      return new SkipjackError(
        'not_found',
        `The process has no task "${task.slice(0, 200)}". It has ${refused.names.map((name) => `"${name}"`).join(', ')}.`,
      );
    case 'pending':
      return new SkipjackError(
        'not_active',
        `"${task}" is not active: it waits for ${refused.needs.map((name) => `"${name}"`).join(', ') || 'its turn'}. Nothing was changed.`,
        { extra: { state: 'pending', needs: refused.needs } },
      );
    case 'waiting':
      return new SkipjackError(
        'not_active',
        `"${task}" cannot be ended by its name: ${describeParked(refused.waitsFor, refused.awaiting)} Nothing was changed.`,
        { extra: { state: 'waiting', waits_for: refused.waitsFor } },
      );
    case 'already_settled':
      return new SkipjackError(
        'already_settled',
        `"${task}" is ${refused.state} already. Nothing was changed.`,
        { extra: { state: refused.state } },
      );
    case 'already_claimed':
      return new SkipjackError(
        'already_claimed',
        `"${refused.worker}" holds "${task}". Let it settle the task with its token, or cancel the process.`,
        { extra: { worker: refused.worker, lease_expires_at: refused.leaseExpiresAt } },
      );
  }
}
