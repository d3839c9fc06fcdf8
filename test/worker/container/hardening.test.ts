import { describe, expect, test } from 'vitest';
import {
  cli,
  instance,
  isMissing,
  type Line,
  place,
  run,
  runAndStopAt,
  runtime,
  said,
  touchInMain,
} from './support/attempts.ts';

interface Inspected {
  Config: { Labels: Record<string, string>; User: string };
  HostConfig: Record<string, unknown>;
  State: { Pid: number };
}

/** At the end of a container's work: it goes on until it was looked at, or for half a minute. */
const sayDone = 'echo done; i=0; while [ ! -e /tmp/seen ] && [ $i -lt 300 ]; do sleep 0.1; i=$((i+1)); done';

/** What looks at containers are timers of this process too, the slowest of half a second: it has looked before this does. */
function onLine({ text }: Line): void {
  if (text === 'done') setTimeout(touchUnlessRefused, 2_000);
}

function touchUnlessRefused(): void {
  try {
    touchInMain('/tmp/seen');
  } catch (error) {
    // A container without memory to spare has none for another process; it ends a little later.
    console.log(`not touched: ${error}`);
  }
}

describe.skipIf(isMissing)('a container is held in bounds', () => {
  test('inspect of a running task shows every limit and hardening, and whose it is', async () => {
    let seen: Inspected | undefined;
    const ran = await run(
      {
        run: 'echo up; cat > /dev/null; grep Cap /proc/self/status',
        stdin: 'x',
        limits: { cpus: 0.5, memory: '64m', pids: 32 },
      },
      {
        policy: { limits: { cpus: 1, memoryBytes: 128 * 1024 * 1024, pids: 64 } },
        onLine: ({ text }) => {
          if (text !== 'up') return;
          const name = cli(
            'ps',
            '--all',
            `--filter=label=skipjack.instance=${instance}`,
            '--format={{.Names}}',
          );
          seen = JSON.parse(cli('container', 'inspect', name))[0];
        },
      },
    );
    expect(ran.ending).toMatchObject({ kind: 'completed' });
    expect(seen?.HostConfig).toMatchObject({
      Privileged: false,
      PidsLimit: 32,
      Memory: 64 * 1024 * 1024,
      MemorySwap: 64 * 1024 * 1024,
      NanoCpus: 500_000_000,
      // podman's word for its own, which others may be made to join.
      IpcMode: runtime.kind === 'docker' ? 'private' : expect.stringMatching(/^(private|shareable)$/),
      PidMode: expect.stringMatching(/^(private)?$/),
      UTSMode: expect.stringMatching(/^(private)?$/),
      LogConfig: { Type: 'none' },
    });
    expect(seen?.HostConfig.SecurityOpt).toContain('no-new-privileges');
    expect(seen?.HostConfig.NetworkMode).not.toBe('host');
    expect(seen?.Config.Labels).toMatchObject({
      'skipjack.instance': instance,
      'skipjack.task': ran.taskId,
      'skipjack.token': expect.stringMatching(/.+/),
      'skipjack.worker': 'test-worker',
      'skipjack.place': place,
      'skipjack.pid': String(process.pid),
      'skipjack.part': 'main',
    });
    const capabilities = said(ran).filter((line) => line.startsWith('Cap'));
    expect(capabilities).toHaveLength(5);
    for (const line of capabilities) expect(line).toMatch(/:\s0+$/);
  });

  test('a capability that the policy lists is kept, and no other', async () => {
    const ran = await run(
      { run: 'grep CapBnd /proc/self/status' },
      { policy: { capabilities: ['NET_BIND_SERVICE'] } },
    );
    expect(said(ran)).toEqual([expect.stringMatching(/0000000000000400$/)]);
  });

  test('nothing asked for is what the policy gives', async () => {
    const { ending } = await run(
      { run: `tail /dev/zero || { ${sayDone}; exit 1; }` },
      { policy: { limits: { cpus: null, memoryBytes: 32 * 1024 * 1024, pids: 16 } }, onLine },
    );
    expect(ending).toMatchObject({ kind: 'failed', exitCode: 1, error: { code: 'out_of_memory' } });
  });

  test('a memory hog ends as out of memory, with its limit', async () => {
    const { ending } = await run({ cmd: ['tail', '/dev/zero'], limits: { memory: '32m' } });
    expect(ending).toMatchObject({
      kind: 'failed',
      exitCode: 137,
      error: {
        code: 'out_of_memory',
        message:
          'the container was killed because its memory ran out: its limit is 33554432 bytes; ask for more in limits.memory',
      },
    });
  });

  test('a fork bomb is held by its limit and stopped, and the remark says what it was', async () => {
    const { ending } = await runAndStopAt(
      'full',
      {
        run: 'trap "" TERM\nsh -c "while :; do sleep 30 & done" 2>/dev/null || true\necho full; exec sleep 30',
        limits: { pids: 16 },
      },
      { killGraceMs: 300 },
    );
    expect(ending).toMatchObject({
      kind: 'stopped',
      remark: 'it had reached its limit of 16 processes',
    });
  });

  test('a container that exits because it may make no more processes says so', async () => {
    const { ending } = await run({
      run: 'i=0; while [ $i -lt 40 ]; do sleep 60 & i=$((i+1)); done; sleep 1; exit 7',
      limits: { pids: 16 },
    });
    expect(ending).toMatchObject({ kind: 'failed', error: { code: 'pids_limit' } });
  });

  test('what it used is told', async () => {
    const { ending } = await run(
      { run: `i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; ${sayDone}` },
      { onLine },
    );
    expect(ending).toMatchObject({ kind: 'completed' });
    expect(ending.cpuMs).toBeGreaterThan(50);
    expect(ending.memoryPeakBytes).toBeGreaterThan(50_000);
  });

  test('200 MB on stdout are cut and do not grow the worker', async () => {
    const before = process.memoryUsage().rss;
    let peak = before;
    const timer = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 50);
    const { ending } = await run(
      { run: 'yes "0123456789abcdefghijklmnopqrstuvwxyzäöü" | head -c 200000000' },
      { keepLines: false },
    );
    clearInterval(timer);
    expect(ending).toMatchObject({ kind: 'completed' });
    const { output } = ending as { output: string };
    expect(output).toMatch(/\[… cut: 200000000 bytes in all\]$/);
    expect(peak - before).toBeLessThan(64 * 1024 * 1024);
  });
});
