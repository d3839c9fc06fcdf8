/** What an attempt took of its machine. */
import { expect, test } from 'vitest';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { execute, withoutUsage } from './support/execution.ts';

/** After its start; the next ones are up to a second apart. A busy machine takes a second longer. */
const firstLookMs = 100;

const spin = 'const end = Date.now() + 1_500; while (Date.now() < end);';

test('CPU time is that of the program and of the children that it waited for', async () => {
  const { ending } = await execute({
    type: 'run',
    // Looked at about once a second: what a child took that has ended is seen of who waited for it.
    run: `'${process.execPath}' -e '${spin}'; sleep 3`,
  });
  // Two cores may be running everything else as well: less than the 1500 ms that it wanted.
  expect(ending.cpuMs).toBeGreaterThan(200);
  expect(ending.cpuMs).toBeLessThan(4_000);
});

test('the peak of memory is seen also when it has been given back', async () => {
  const hold = 'let held = Buffer.alloc(200_000_000, 1); held = null; setTimeout(() => {}, 3_500)';
  const { ending } = await execute({ type: 'command', command: process.execPath, args: ['-e', hold] });
  expect(ending.memoryPeakBytes).toBeGreaterThan(200_000_000);
  expect(ending.memoryPeakBytes).toBeLessThan(600_000_000);
});

test('a program that sleeps has used next to nothing', async () => {
  const { ending } = await execute({ type: 'command', command: 'sleep', args: ['2.5'] });
  expect(ending.cpuMs).toBeLessThan(50);
  expect(ending.memoryPeakBytes).toBeLessThan(50_000_000);
});

test('a quick program has no figures', async () => {
  const startedMs = performance.now();
  const { ending } = await execute({ type: 'command', command: 'true', args: [] });
  const isQuick = performance.now() - startedMs < firstLookMs;
  expect(isQuick ? ending : withoutUsage(ending)).toEqual({ kind: 'completed', output: '', exitCode: 0 });
});

test('failed and stopped attempts have theirs', async () => {
  const failed = await execute({ type: 'run', run: 'sleep 2.5; exit 4' });
  expect(failed.ending).toMatchObject({ kind: 'failed', exitCode: 4, cpuMs: expect.any(Number) });
  const stop = new AbortController();
  setTimeout(() => stop.abort(new AttemptStopped('cancelled')), 3_000);
  const stopped = await execute({ type: 'run', run: 'sleep 1000' }, { signal: stop.signal });
  expect(stopped.ending).toMatchObject({ kind: 'stopped', memoryPeakBytes: expect.any(Number) });
});
