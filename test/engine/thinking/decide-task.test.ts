/** What becomes of a task whose needs have ended, in every standing. */
import { describe, expect, test } from 'vitest';
import { decideTask, type Standing } from '../../../src/engine/thinking/decide-task.ts';
import { thoughtOf } from '../../../src/engine/thinking/thoughts.ts';
import { planOf, type Thoughtful } from './support/plans.ts';

const calm: Standing = {
  state: 'running',
  failFast: true,
  success: true,
  failure: false,
  isItem: false,
  isDelayed: false,
  scope: { input: {}, process: { id: '', definition: null, version: null }, task: () => null },
  now: Date.UTC(2026, 0, 1),
};

function decide(task: Thoughtful[string], standing: Partial<Standing> = {}) {
  const thought = thoughtOf(planOf({ task }), 1);
  if (!thought) throw new Error('no such task');
  return decideTask(thought, { ...calm, ...standing });
}

const states = ['running', 'failing', 'cancelling'] as const;
const conditions = [
  undefined,
  'true',
  'success()',
  'failure()',
  'always()',
  'cancelled()',
  '!failure()',
] as const;

describe('in every standing', () => {
  const all = states.flatMap((state) =>
    [true, false].flatMap((failFast) =>
      [true, false].flatMap((success) =>
        [true, false].flatMap((failure) =>
          conditions.map((text) => ({ state, failFast, success, failure, text })),
        ),
      ),
    ),
  );

  test.for(all)('$state, fail_fast $failFast, success $success, failure $failure: if $text', (given) => {
    const { state, failFast, success, failure, text } = given;
    const decision = decide(text === undefined ? {} : { if: text }, given);
    const isSpared =
      state === 'cancelling'
        ? text === 'always()' || text === 'cancelled()'
        : state !== 'failing' || !failFast || ['always()', 'failure()', '!failure()'].includes(text ?? '');
    const holds = {
      true: success,
      'success()': success,
      'failure()': failure,
      'always()': true,
      'cancelled()': state === 'cancelling',
      '!failure()': !failure,
    }[text ?? 'true'];
    if (!isSpared) expect(decision).toEqual({ kind: 'end', state: 'cancelled' });
    else expect(decision).toEqual(holds ? { kind: 'queue' } : { kind: 'end', state: 'skipped' });
  });
});

test('a condition is not evaluated where a need did not succeed', () => {
  expect(decide({ if: 'input.nothing' }, { success: false })).toEqual({ kind: 'end', state: 'skipped' });
});

test('an item stands its condition, and has items no more', () => {
  const task = { if: 'false', each: [1], sleep: { for: '${{ string(item) }}s' } };
  const scope = { ...calm.scope, item: { value: 3, index: 0 } };
  expect(decide(task, { isItem: true, success: false, scope })).toEqual({ kind: 'sleep', delayMs: 3_000 });
});

test('what is delayed waits once', () => {
  const task = { delay_ms: 5, sleep: { until: '2026-01-02T00:00:00Z' } };
  expect(decide(task)).toEqual({ kind: 'delay', delayMs: 5 });
  expect(decide(task, { isDelayed: true })).toEqual({ kind: 'sleep', runAt: '2026-01-02T00:00:00.000Z' });
  expect(decide({ run_at: '2026-01-02T01:00:00+01:00' })).toEqual({
    kind: 'queue',
    runAt: '2026-01-02T00:00:00.000Z',
  });
});

test.for(['2026-02-30T00:00:00Z', '2026-01-02', '1969-01-01T00:00:00Z', '9999-06-01T00:00:00Z', ''])(
  '%j is no time at which something is due',
  (runAt) => {
    expect(decide({ run_at: runAt })).toMatchObject({ state: 'failed', error: { code: 'invalid_time' } });
  },
);
