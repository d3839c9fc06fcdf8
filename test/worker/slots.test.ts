import { expect, test, vi } from 'vitest';
import { type Claim, openClaim } from '../../src/worker/claim.ts';
import type { Executor } from '../../src/worker/executors/executor.ts';
import { Slots } from '../../src/worker/slots.ts';
import { barrier } from './support/barrier.ts';
import { claimedTask } from './support/tasks.ts';

const executor: Executor = async () => ({ kind: 'stopped' });

function slotsOf(size: number, run: () => Promise<{ stillRunning?: Promise<unknown> }>) {
  const onOverdue = vi.fn<(claim: Claim) => void>();
  const slots: Slots = new Slots({
    size,
    mayStart: () => true,
    run,
    onOverdue,
    onStuck: () => {},
    onFree: () => slots.fill(),
  });
  return { slots, onOverdue };
}

test('a held task whose lease may have run out is not started', async () => {
  const run = vi.fn(async () => ({}));
  const { slots, onOverdue } = slotsOf(1, run);
  const overdue = openClaim(claimedTask(null), 0);
  slots.hold(overdue, executor);
  slots.hold(openClaim(claimedTask(null), 30_000), executor);
  slots.fill();
  await slots.empty();
  expect(onOverdue.mock.calls).toEqual([[overdue]]);
  expect(run).toHaveBeenCalledTimes(1);
});

test('as many abandoned handlers may linger as there are slots; each further one takes a slot', async () => {
  const { opened, open } = barrier();
  const { slots } = slotsOf(2, async () => ({ stillRunning: opened }));
  const hold = (count: number) => {
    for (let held = 0; held < count; held += 1) slots.hold(openClaim(claimedTask(null), 30_000), executor);
    slots.fill();
    return slots.empty();
  };
  await hold(2);
  expect(slots.free).toBe(2);
  await hold(2);
  expect(slots.free).toBe(0);
  open();
  await vi.waitUntil(() => slots.free === 2);
});
