import { newId } from '../../../src/core/ids.ts';
import type { Spec } from '../../../src/core/spec.ts';
import type { NewTask } from '../../../src/core/task.ts';
import type { ClaimedTask } from '../../../src/core/task-source.ts';

/** A task as an executor sees it. */
export function claimedTask(spec: Spec | null, more: Partial<ClaimedTask> = {}): ClaimedTask {
  const now = new Date().toISOString();
  return {
    id: newId(),
    token: 'token',
    attempt: 1,
    attempts_max: 1,
    name: 'test task',
    queue: 'default',
    priority: 5,
    spec,
    input: null,
    labels: null,
    process: null,
    needs: {},
    large_needs: {},
    timeout_ms: null,
    started: true,
    wait_ms: 0,
    created_at: now,
    lease_expires_at: now,
    lease_left_ms: 30_000,
    ...more,
  };
}

export function newTask(spec: Spec | null, more: Partial<NewTask> = {}): NewTask {
  return {
    id: newId(),
    name: spec?.type === 'handler' ? spec.handler : 'test task',
    queue: 'default',
    priority: 5,
    spec,
    input: null,
    labels: null,
    retry: null,
    timeout_ms: null,
    delay_ms: null,
    run_at: null,
    idempotency_key: null,
    ...more,
  };
}

export function handlerTask(handler: string, more: Partial<NewTask> = {}): NewTask {
  return newTask({ type: 'handler', handler }, more);
}
