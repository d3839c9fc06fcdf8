/** What an attempt took of its machine. */
import { expect, test } from 'vitest';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { execute } from './support/execution.ts';

const spin = 'const end = Date.now() + 1_500; while (Date.now() < end);';

test('CPU time is that of the program and of the children that it waited for', async () => {
  const { ending } = await execute({
    type: 'run',
    run: `'${process.execPath}' -e '${spin}'; sleep 0.6`,
  });
  // Two cores may be running everything else as well: less than the 1500 ms that it wanted.
  expect(ending.cpuMs).toBeGreaterThan(200);
  expect(ending.cpuMs).toBeLessThan(4_000);
});

test('the peak of memory is seen also when it has been given back', async () => {
  const hold = 'let held = Buffer.alloc(200_000_000, 1); held = null; setTimeout(() => {}, 1_200)';
  const { ending } = await execute({ type: 'command', command: process.execPath, args: ['-e', hold] });
  expect(ending.memoryPeakBytes).toBeGreaterThan(200_000_000);
  expect(ending.memoryPeakBytes).toBeLessThan(600_000_000);
});

test('a program that sleeps has used next to nothing', async () => {
  const { ending } = await execute({ type: 'command', command: 'sleep', args: ['0.5'] });
  expect(ending.cpuMs).toBeLessThan(50);
  expect(ending.memoryPeakBytes).toBeLessThan(50_000_000);
});

test('a quick program has no figures', async () => {
  const { ending } = await execute({ type: 'command', command: 'true', args: [] });
  expect(ending).toEqual({ kind: 'completed', output: '', exitCode: 0 });
});

test('failed and stopped attempts have theirs', async () => {
  const failed = await execute({ type: 'run', run: 'sleep 0.3; exit 4' });
  expect(failed.ending).toMatchObject({ kind: 'failed', exitCode: 4, cpuMs: expect.any(Number) });
  const stop = new AbortController();
  setTimeout(() => stop.abort(new AttemptStopped('cancelled')), 400);
  const stopped = await execute({ type: 'run', run: 'sleep 1000' }, { signal: stop.signal });
  expect(stopped.ending).toMatchObject({ kind: 'stopped', memoryPeakBytes: expect.any(Number) });
});
