import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { newId } from '../../../src/core/ids.ts';
import { sweepContainers } from '../../../src/worker/executors/container/sweep.ts';
import { readStartTime } from '../../../src/worker/place.ts';
import { cli, leftovers, testImage } from '../../support/docker.ts';
import { claimedTask } from '../support/tasks.ts';
import { container, instance, isMissing, place, run, runtime, touchInMain } from './support/attempts.ts';

/** A database that holds the claims with these tokens. */
function holding(tokens: string[] = [], id = instance) {
  return {
    findHeld: async (claims: { token: string }[]) => ({
      instance: id,
      held: claims.map(({ token }) => tokens.includes(token)),
    }),
  };
}

const sweep = (source = holding(), from = place) => sweepContainers({ runtime, place: from, source });

/** A volume as an attempt of somebody else would have left it. */
function leave(labels: Record<string, string>): string {
  const name = `skipjack-test-${newId()}`;
  const all = {
    'skipjack.instance': instance,
    'skipjack.task': newId(),
    'skipjack.token': 'token',
    'skipjack.worker': 'w',
    'skipjack.place': place,
    'skipjack.pid': String(process.ppid),
    'skipjack.pid_started': String(readStartTime(process.ppid) ?? ''),
    'skipjack.created': String(Date.now() - 60_000),
    ...labels,
  };
  cli('volume', 'create', ...Object.entries(all).map(([key, value]) => `--label=${key}=${value}`), name);
  onTestFinished(() => void cli('volume', 'rm', '--force', name));
  return name;
}

describe.skipIf(isMissing)('the sweep', () => {
  test('removes what an OS process left that was killed, and nothing else', async () => {
    const token = newId();
    const spec = container({
      volumes: ['/shared'],
      sidecars: [{ image: testImage, name: 'side', cmd: ['sleep', '120'] }],
      run: 'echo up; sleep 120',
    });
    const child = spawn(
      process.execPath,
      [
        join(import.meta.dirname, 'fixtures/attempt.mjs'),
        JSON.stringify({ file: runtime.file, instance, place, task: claimedTask(spec, { token }) }),
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await once(child.stdout, 'data');
    expect(leftovers(instance)).toHaveLength(4);
    expect(await sweep(holding([token])), 'while it lives').toBe(0);
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(await sweep(holding([token]), 'another place'), 'from elsewhere').toBe(0);
    let tellUp = () => {};
    const isUp = new Promise<void>((resolve) => {
      tellUp = resolve;
    });
    const own = run(
      { run: 'echo up; while [ ! -e /tmp/swept ]; do sleep 0.2; done' },
      { onLine: () => tellUp() },
    );
    await isUp;
    expect(leftovers(instance)).toHaveLength(5);
    expect(await sweep(holding([]))).toBe(4);
    expect(leftovers(instance)).toHaveLength(1);
    touchInMain('/tmp/swept');
    expect((await own).ending).toMatchObject({ kind: 'completed' });
  });

  test('from anywhere, what belongs to no held claim goes once it is half a minute old', async () => {
    const elsewhere = { 'skipjack.place': 'elsewhere', 'skipjack.pid': '1' };
    const names = {
      held: leave({ ...elsewhere, 'skipjack.token': 'held' }),
      young: leave({ ...elsewhere, 'skipjack.created': String(Date.now()) }),
      lost: leave({ ...elsewhere, 'skipjack.token': 'lost' }),
    };
    expect(await sweep(holding(['held']))).toBe(1);
    expect(leftovers(instance).sort()).toEqual([names.held, names.young].sort());
    for (const name of [names.held, names.young]) cli('volume', 'rm', name);
  });

  test('a pid that was given to another OS process is not taken for its maker', async () => {
    leave({ 'skipjack.pid_started': '1', 'skipjack.token': 'held' });
    expect(await sweep(holding(['held']))).toBe(1);
  });

  test("another database's things are none of ours", async () => {
    const name = leave({ 'skipjack.instance': newId(), 'skipjack.pid_started': '1' });
    expect(await sweep()).toBe(0);
    expect(cli('volume', 'ls', '--quiet', `--filter=name=${name}`)).toBe(name);
  });

  test('a source that does not answer is told to the caller', async () => {
    const source = { findHeld: async () => Promise.reject(new Error('away')) };
    await expect(sweepContainers({ runtime, place, source })).rejects.toThrow('away');
  });
});
