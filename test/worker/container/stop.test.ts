import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type ContainerRuntime, findRuntime } from '../../../src/worker/executors/container/runtime.ts';
import { AttemptStopped } from '../../../src/worker/stop-reason.ts';
import { testImage } from '../../support/docker.ts';
import { until } from '../support/execution.ts';
import { isMissing, run, runAndStopAt, runtime, said } from './support/attempts.ts';

// That nothing is left is looked at after each test.
describe.skipIf(isMissing)('an attempt that is stopped', () => {
  test('main gets SIGTERM and time to obey', async () => {
    const { ending } = await runAndStopAt(
      'up',
      { run: 'trap "echo bye; exit 0" TERM\necho up\nwhile :; do sleep 0.1; done' },
      { killGraceMs: 30_000 },
    );
    expect(ending).toMatchObject({ kind: 'stopped', output: 'up\nbye' });
  });

  test('one that ignores SIGTERM is killed after the grace time', async () => {
    const { ending } = await runAndStopAt(
      'up',
      { run: 'trap "" TERM\necho up\nwhile :; do sleep 0.1; done' },
      { killGraceMs: 500 },
    );
    expect(ending).toMatchObject({ kind: 'stopped', output: 'up' });
  });

  test('in the middle of pre, with sidecars and volumes, neither main nor post runs', async () => {
    const ran = await runAndStopAt(
      'in pre',
      {
        volumes: ['/shared'],
        sidecars: [{ image: testImage, name: 'side', cmd: ['sleep', '60'] }],
        pre: [{ image: testImage, run: 'echo in pre; sleep 60' }],
        cmd: ['echo', 'main'],
        post: [{ image: testImage, cmd: ['echo', 'post'] }],
      },
      { killGraceMs: 300 },
    );
    expect(ran.ending).toMatchObject({ kind: 'stopped' });
    expect(said(ran)).toEqual(['pre 1: in pre']);
  });

  test('in the middle of main, with a post: it does not run', async () => {
    const ran = await runAndStopAt(
      'in main',
      { run: 'echo in main; sleep 60', post: [{ image: testImage, cmd: ['echo', 'post'] }] },
      { killGraceMs: 300 },
    );
    expect(ran.ending).toMatchObject({ kind: 'stopped', output: 'in main' });
    expect(said(ran)).toEqual(['in main']);
  });

  test('while a probe is asked again and again', async () => {
    const ran = await runAndStopAt('side is up', {
      sidecars: [
        { image: testImage, name: 'side', run: 'echo side is up; sleep 60', probe: { cmd: ['false'] } },
      ],
    });
    expect(ran.ending).toMatchObject({ kind: 'stopped' });
  });

  test('while a registry does not answer', async () => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const image = `127.0.0.1:${(server.address() as AddressInfo).port}/acme/slow:1`;
    const ran = await runAndStopAt('pulling', { image });
    expect(ran.ending).toMatchObject({ kind: 'stopped' });
  });

  test.each([
    ['whether a sidecar runs', 'State.Running'],
    ['where a sidecar is', 'NetworkSettings'],
    ['whether an image is there', 'image inspect'],
  ])('while the runtime does not say %s', async (_, question) => {
    const folder = mkdtempSync(join(tmpdir(), 'skipjack-slow-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const asked = join(folder, 'asked');
    const slow = join(folder, 'docker');
    const script = `case "$*" in *"${question}"*) touch ${asked}; exec sleep 600;; esac\nexec ${runtime.file} "$@"\n`;
    writeFileSync(slow, `#!/bin/sh\n${script}`, { mode: 0o755 });
    const wrapped = (await findRuntime(slow)) ?? runtime;
    // Its own bound would end a call that is not told.
    const patient: ContainerRuntime = {
      ...wrapped,
      run: (args, options) => wrapped.run(args, { ...options, timeoutMs: options?.timeoutMs ?? 600_000 }),
    };
    const stop = new AbortController();
    const running = run(
      {
        cmd: ['true'],
        pre: [{ image: 'busybox:1', cmd: ['true'] }],
        sidecars: [{ image: testImage, name: 'side', cmd: ['sleep', '60'], probe: { port: 80 } }],
        ...(question === 'image inspect' ? {} : { pre: [] }),
      },
      { signal: stop.signal, runtime: patient },
    );
    await until('it was asked', () => existsSync(asked));
    stop.abort(new AttemptStopped('cancelled'));
    expect((await running).ending).toMatchObject({ kind: 'stopped' });
  });

  test('before it began', async () => {
    const stop = new AbortController();
    stop.abort(new AttemptStopped('cancelled'));
    const ran = await run({ cmd: ['echo', 'main'] }, { signal: stop.signal });
    expect(ran.ending).toMatchObject({ kind: 'stopped' });
    expect(ran.lines).toEqual([]);
  });

  test.each([0, 20, 40, 80, 120, 200, 300])('%i ms after it began', async (ms) => {
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(new AttemptStopped('cancelled')), ms);
    const { ending } = await run(
      { volumes: ['/shared'], run: 'sleep 30' },
      { signal: stop.signal, killGraceMs: 200 },
    );
    clearTimeout(timer);
    expect(ending).toMatchObject({ kind: 'stopped' });
  });

  test('what had ended by itself stays as it ended', async () => {
    const stop = new AbortController();
    const start: ContainerRuntime['start'] = (args, options) => {
      const started = runtime.start(args, options);
      // A turn later: the attempt has seen the end, and nothing that comes after it.
      if (args[0] === 'start') void started.ended.then(() => setImmediate(() => stop.abort()));
      return started;
    };
    const { ending } = await run(
      { run: 'echo done' },
      { signal: stop.signal, runtime: { ...runtime, start } },
    );
    expect(stop.signal.aborted).toBe(true);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
  });
});
