import { beforeEach, expect, test } from 'vitest';
import { SkipjackError } from '../../src/core/errors.ts';
import type { Outcome, Settlement, SettleResult } from '../../src/core/task-source.ts';
import { type Claim, openClaim } from '../../src/worker/claim.ts';
import { Announcer, type WorkerEvents } from '../../src/worker/events.ts';
import { SettleLine } from '../../src/worker/settle-line.ts';
import { until } from './support/barrier.ts';
import { MemorySource } from './support/memory-source.ts';
import { claimedTask } from './support/tasks.ts';

/** Of each call, the outputs it carried. */
let calls: unknown[][];
/** Outputs that were taken. */
let taken: unknown[];
let refused: WorkerEvents['settle.refused'][];
let failures: unknown[];
/** What a test makes of a call, before it is answered. */
let meet: (outputs: unknown[]) => void;
let line: SettleLine;

beforeEach(() => {
  calls = [];
  taken = [];
  refused = [];
  failures = [];
  meet = () => {};
  const source = new MemorySource();
  source.settle = async (settlements) => {
    const outputs = settlements.map(outputOf);
    calls.push(outputs);
    meet(outputs);
    taken.push(...outputs);
    return settlements.map(
      (): SettleResult => ({ kind: 'settled', state: 'completed', nextTryAt: null, repeated: false }),
    );
  };
  const announcer = new Announcer();
  announcer.on('settle.refused', (event) => refused.push(event));
  announcer.on('source.failed', ({ error }) => failures.push(error));
  line = new SettleLine({ source, announce: announcer.announce, onSettled: () => {} });
});

function outputOf(outcome: Settlement | Outcome): unknown {
  return outcome.kind === 'completed' ? outcome.output : outcome.kind;
}

function add(output: string): Claim {
  const claim = openClaim(claimedTask(null), 30_000);
  line.add(claim, { kind: 'completed', output });
  return claim;
}

test.for([
  ['a fault inside Postgres', Object.assign(new Error('tuple concurrently updated'), { code: 'XX000' })],
  ['a fault of the server', new SkipjackError('internal', 'The fault was logged.')],
  ['a server that has too much to do', new SkipjackError('overloaded', 'Try again.')],
  ['a request that took too long', new SkipjackError('request_timeout', 'Try again.')],
] as const)('an outcome is kept through %s', async ([, error]) => {
  meet = () => {
    if (calls.length < 5) throw error;
  };
  const claim = add('done');
  await line.flushed();
  expect(taken).toEqual(['done']);
  expect(claim.phase).toBe('over');
  expect([refused, failures.length, line.waiting.size]).toEqual([[], 4, 0]);
});

test('an outcome that fails its batch is set apart, and holds up no other', async () => {
  let isPoisoned = true;
  meet = (outputs) => {
    if (isPoisoned && outputs.includes('poison')) throw new Error('a fault that only this one meets');
  };
  for (let index = 0; index < 20; index += 1) add(index === 13 ? 'poison' : `${index}`);
  await until(() => taken.length === 19);
  add('later');
  await until(() => taken.length === 20);
  expect(line.waiting.size).toBe(1);
  isPoisoned = false;
  await line.flushed();
  expect(taken.at(-1)).toBe('poison');
});

test('what is refused for its content fails alone, and its task fails with a reason', async () => {
  meet = (outputs) => {
    if (outputs.includes('too large')) throw new SkipjackError('body_too_large', 'At most 1 MiB.');
  };
  for (const output of ['a', 'too large', 'b']) add(output);
  await line.flushed();
  expect(taken.sort()).toEqual(['a', 'b', 'failed']);
  expect(refused.map(({ result }) => result)).toEqual([{ kind: 'invalid', message: 'At most 1 MiB.' }]);
});

test('a caller who is refused does not ask for ever', async () => {
  meet = () => {
    throw new SkipjackError('unauthorized', 'An API key is needed.');
  };
  add('a');
  add('b');
  await line.flushed();
  expect(taken).toEqual([]);
  expect(refused).toHaveLength(2);
});

test('a source that answers less than it was asked is asked again', async () => {
  const source = new MemorySource();
  const answer: SettleResult = { kind: 'settled', state: 'completed', nextTryAt: null, repeated: false };
  let asked = 0;
  source.settle = async () => {
    asked += 1;
    return asked === 1 ? [] : [answer];
  };
  line = new SettleLine({ source, announce: new Announcer().announce, onSettled: () => {} });
  add('done');
  await line.flushed();
  expect(asked).toBe(2);
});

test('a closed line tries nothing again', async () => {
  meet = () => {
    throw new Error('no route to host');
  };
  add('lost');
  await until(() => calls.length === 4);
  line.close();
  await line.flushed();
  const before = calls.length;
  add('late');
  await line.flushed();
  expect(calls.length).toBe(before + 1);
  expect(refused).toEqual([]);
});
