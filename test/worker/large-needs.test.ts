/** Outputs that were too large to come along with the claim. */
import { expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import { runAttempt } from '../../src/worker/attempt.ts';
import { openClaim } from '../../src/worker/claim.ts';
import type { Executor } from '../../src/worker/executors/executor.ts';
import { LogShipper } from '../../src/worker/logs/log-shipper.ts';
import { openVault } from '../../src/worker/secrets/vault.ts';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { MemorySource } from './support/memory-source.ts';
import { claimedTask } from './support/tasks.ts';

const task = () =>
  claimedTask(null, { needs: { small: 1 }, large_needs: { big: '0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60' } });
const rest = {
  killGraceMs: 50,
  heartbeat: async () => {},
  vault: openVault({ dir: null, environment: {} }),
  log: new LogShipper({ source: new MemorySource(), bytesMax: 1_024, onError: () => {} }).open(task()),
  progress: () => {},
};

test('are fetched before the attempt, and stand beside the small ones', async () => {
  const seen: Json[] = [];
  const executor: Executor = async (given) => {
    seen.push(given.needs);
    return { kind: 'completed', output: null };
  };
  const asked: string[] = [];
  const readOutput = async (id: string) => {
    asked.push(id);
    return 'x'.repeat(10);
  };
  const { outcome } = await runAttempt(openClaim(task(), 30_000), executor, { ...rest, readOutput });
  expect([outcome?.kind, seen, asked]).toEqual([
    'completed',
    [{ small: 1, big: 'xxxxxxxxxx' }],
    ['0199a2c4-5f7b-7c3e-9d4a-2b1c3d4e5f60'],
  ]);
});

test('an attempt that is stopped while they are fetched never begins', async () => {
  let began = false;
  const executor: Executor = async () => {
    began = true;
    return { kind: 'completed', output: null };
  };
  const claim = openClaim(task(), 30_000);
  const readOutput = () => {
    claim.stop.abort(new AttemptStopped('lease_lost'));
    // The server is away: there will be no answer.
    return new Promise<Json>(() => {});
  };
  const { outcome } = await runAttempt(claim, executor, { ...rest, readOutput });
  expect([outcome, began]).toEqual([null, false]);
});
