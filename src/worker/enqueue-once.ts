import { SkipjackError } from '../core/errors.ts';
import { parseTaskInput } from '../core/task-input.ts';
import type { ClaimedTask, TaskSource } from '../core/task-source.ts';
import type { TaskContext } from './handler.ts';

/**
 * A task's own `enqueue`: however often the task is tried, each of its calls adds one task.
 *
 * The idempotency key is made of the task's id and either the caller's key or the call's place among the calls.
 * One function per attempt, so that each attempt counts from the beginning.
 */
export function enqueueOnceFor(parent: ClaimedTask, source: TaskSource): TaskContext['enqueue'] {
  let calls = 0;
  return async (body, { key } = {}) => {
    if (key === undefined) calls += 1;
    const task = parseTaskInput(body);
    // `#` and `/` keep a caller's key "3" apart from the third call.
    task.idempotency_key ??= key === undefined ? `${parent.id}#${calls}` : keyOf(parent.id, key);
    const [result] = await source.enqueue([task]);
    if (result?.kind === 'created') return { id: result.id, created: true };
    if (result?.kind === 'existing') return { id: result.id, created: false };
    if (result?.kind === 'key_conflict') {
      throw new SkipjackError(
        'idempotency_conflict',
        'An earlier attempt of this task enqueued something else in this place. Give each call a key of its own.',
        { extra: { id: result.id } },
      );
    }
    if (result?.kind === 'key_busy') {
      throw new SkipjackError(
        'idempotency_key_busy',
        'Another transaction is adding this task at the moment.',
      );
    }
    throw new SkipjackError(
      'invalid_request',
      result?.message ?? 'The server did not say what became of it.',
    );
  };
}

const keyLengthMax = 150;

function keyOf(parentId: string, key: string): string {
  if (key.length === 0 || key.length > keyLengthMax) {
    throw new SkipjackError(
      'invalid_request',
      `The key has ${key.length} characters; 1 to ${keyLengthMax} are accepted.`,
    );
  }
  return `${parentId}/${key}`;
}
