/** What an attempt took of its machine. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { listProcessesAgain } from '../../src/worker/executors/processes/list.ts';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { execute, makeFolder, until, withoutUsage } from './support/execution.ts';

vi.mock('../../src/worker/executors/processes/list.ts', { spy: true });

const { mock: looks } = vi.mocked(listProcessesAgain);

/** Resolves when a look that began after this call is over. */
async function nextLook(): Promise<void> {
  const begun = looks.calls.length;
  await until('it is looked at', () => looks.settledResults[begun]?.type === 'fulfilled');
}

/** After its start; the next ones are up to a second apart. A busy machine takes a second longer. */
const firstLookMs = 100;

const spin = 'while (process.cpuUsage().user < 1_500_000) for (let turn = 0; turn < 1_000_000; turn += 1);';

const waitsFor = (file: string) => `while [ ! -e ${file} ]; do sleep 0.05; done`;

test('CPU time is that of the program and of the children that it waited for', async () => {
  const folder = await makeFolder();
  const [spun, seen] = [join(folder, 'spun'), join(folder, 'seen')];
  const ended = execute({
    type: 'run',
    // What a child took that has ended is seen of who waited for it.
    run: `'${process.execPath}' -e '${spin}'; touch ${spun}; ${waitsFor(seen)}`,
  });
  await until('it has spun', () => existsSync(spun), 50_000);
  await nextLook();
  writeFileSync(seen, '');
  const { ending } = await ended;
  expect(ending.cpuMs).toBeGreaterThan(1_000);
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
  const seen = join(await makeFolder(), 'seen');
  const failing = execute({ type: 'run', run: `${waitsFor(seen)}; exit 4` });
  await nextLook();
  writeFileSync(seen, '');
  const failed = await failing;
  expect(failed.ending).toMatchObject({ kind: 'failed', exitCode: 4, cpuMs: expect.any(Number) });
  const stop = new AbortController();
  const stopping = execute({ type: 'run', run: 'sleep 1000' }, { signal: stop.signal });
  await nextLook();
  stop.abort(new AttemptStopped('cancelled'));
  const stopped = await stopping;
  expect(stopped.ending).toMatchObject({ kind: 'stopped', memoryPeakBytes: expect.any(Number) });
});
