import { expect, test } from 'vitest';
import { aheadOf, FetchAhead } from '../../src/worker/fetch-ahead.ts';

test.for([
  // median run time, slots, tasks held ahead
  [0, 1, 1_000],
  [1, 1, 200],
  [1, 10, 1_000],
  [10, 10, 200],
  [50, 10, 40],
  [51, 10, 0],
  [60_000, 10, 0],
])('tasks of %i ms on %i slots: %i ahead', ([runMs, slots, ahead]) => {
  expect(aheadOf(runMs ?? 0, slots ?? 0)).toBe(ahead);
});

test('nothing is fetched ahead before a few tasks have ended, nor while paused', () => {
  const ahead = new FetchAhead();
  for (let ended = 0; ended < 4; ended += 1) ahead.ended(1);
  expect(ahead.target(10)).toBe(0);
  ahead.ended(1);
  expect(ahead.target(10)).toBe(1_000);
  ahead.pause();
  expect(ahead.target(10)).toBe(0);
});

test('a few long tasks among quick ones do not count; many do', () => {
  const ahead = new FetchAhead();
  for (const runMs of [1, 1, 1, 9_000, 9_000]) ahead.ended(runMs);
  expect(ahead.target(1)).toBe(200);
  for (let ended = 0; ended < 50; ended += 1) ahead.ended(9_000);
  expect(ahead.target(1)).toBe(0);
});
