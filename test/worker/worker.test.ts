import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import type { NewTask } from '../../src/core/task.ts';
import type { AttemptEnded } from '../../src/worker/attempt-ended.ts';
import { FinalError, type Handler, type TaskContext } from '../../src/worker/handler.ts';
import type { WorkerOptions } from '../../src/worker/options.ts';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { createWorker, type Worker } from '../../src/worker/worker.ts';
import { barrier, until } from './support/barrier.ts';
import { MemorySource } from './support/memory-source.ts';
import { handlerTask, newTask } from './support/tasks.ts';

let source: MemorySource;
let workers: Worker[];

beforeEach(() => {
  source = new MemorySource();
  workers = [];
});

afterEach(async () => {
  source.before = {};
  await Promise.all(workers.map((worker) => worker.stop({ graceMs: 0 })));
});

function start(handlers: Record<string, Handler>, options: Partial<WorkerOptions> = {}): Worker {
  const worker = createWorker({ source, handlers, queues: ['default'], killGraceMs: 50, ...options });
  workers.push(worker);
  worker.start();
  return worker;
}

/** Resolves with the next event of that name. */
function next<Name extends Parameters<Worker['on']>[0]>(worker: Worker, name: Name): Promise<unknown> {
  return new Promise((resolve) => {
    const forget = worker.on(name, (event) => {
      forget();
      resolve(event);
    });
  });
}

function many(count: number, make: (index: number) => NewTask): NewTask[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

/** Ends when its signal is aborted. */
const obedient: Handler = (_input, { signal }: TaskContext) =>
  new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    signal.addEventListener('abort', () => reject(signal.reason));
  });

const ended = (id: string) => () => source.row(id).state !== 'active';
const running = (id: string) => () => source.row(id).claimed;

async function outcomeOf(task: NewTask) {
  source.add(task);
  await until(() => source.row(task.id).outcomes.length > 0);
  return source.row(task.id).outcomes[0];
}

describe('handlers', () => {
  test('what a handler returns is the output; nothing is null', async () => {
    start({ sum: async (input: number[]) => input.reduce((a, b) => a + b), nothing: () => {} });
    expect(await outcomeOf(handlerTask('sum', { input: [1, 2, 3] }))).toMatchObject({
      kind: 'completed',
      output: 6,
    });
    expect(await outcomeOf(handlerTask('nothing'))).toMatchObject({ kind: 'completed', output: null });
  });

  test('what a handler throws fails the attempt, with its code and details', async () => {
    start({
      plain: async () => {
        throw new Error('no such loan');
      },
      coded: () => {
        throw Object.assign(new Error('slow down'), { code: 'RATE_LIMITED', details: { limit: 5 } });
      },
      text: () => {
        throw 'only text \u0000';
      },
    });
    expect(await outcomeOf(handlerTask('plain'))).toMatchObject({
      kind: 'failed',
      error: { code: 'handler_error', message: 'no such loan' },
    });
    expect(await outcomeOf(handlerTask('coded'))).toMatchObject({
      error: { code: 'RATE_LIMITED', message: 'slow down', details: { limit: 5 } },
    });
    expect(await outcomeOf(handlerTask('text'))).toMatchObject({
      error: { code: 'handler_error', message: 'threw only text \ufffd' },
    });
  });

  test('a final error is not tried again', async () => {
    const retry = { attempts: 5, backoff: 'fixed', delay_ms: 0, max_delay_ms: 0, jitter: false } as const;
    start({
      close: () => {
        throw new FinalError('closed', { code: 'account_closed' });
      },
    });
    const task = handlerTask('close', { retry });
    expect(await outcomeOf(task)).toMatchObject({
      kind: 'failed',
      retry: false,
      error: { code: 'account_closed' },
    });
    expect(source.row(task.id).state).toBe('failed');
  });

  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;

  test.for<[what: string, output: unknown, code: string]>([
    ['a cycle', cycle, 'output_invalid'],
    ['a function', () => {}, 'output_invalid'],
    ['a bigint', 1n, 'output_invalid'],
    ['half a character', '\ud800', 'output_invalid'],
    ['a megabyte and more', 'x'.repeat(1_048_575), 'output_too_large'],
  ])('an output that is %s fails the attempt', async ([, output, code]) => {
    start({ make: () => output });
    expect(await outcomeOf(handlerTask('make'))).toMatchObject({ kind: 'failed', error: { code } });
  });

  test('what a handler enqueues is enqueued once, however often it is tried', async () => {
    const answers: unknown[] = [];
    start({
      parent: async (_input, { enqueue, attempt }: TaskContext) => {
        answers.push(await enqueue({ handler: 'child', queue: 'elsewhere' }));
        answers.push(await enqueue({ handler: 'child', queue: 'elsewhere' }, { key: 'named' }));
        if (attempt === 1) throw new Error('crash');
      },
    });
    const retry = { attempts: 2, backoff: 'fixed', delay_ms: 0, max_delay_ms: 0, jitter: false } as const;
    const parent = handlerTask('parent', { retry });
    source.add(parent);
    await until(ended(parent.id));
    expect(source.row(parent.id).state).toBe('completed');
    expect(answers).toMatchObject([
      { created: true },
      { created: true },
      { created: false },
      { created: false },
    ]);
    expect(source.rows.size).toBe(3);
  });

  test('another task in the place of an earlier one is a conflict', async () => {
    start({
      parent: async (_input, { enqueue, attempt }: TaskContext) => {
        await enqueue({ handler: `child-${attempt}` });
        throw new Error('again');
      },
    });
    const retry = { attempts: 2, backoff: 'fixed', delay_ms: 0, max_delay_ms: 0, jitter: false } as const;
    const parent = handlerTask('parent', { retry });
    source.add(parent);
    await until(ended(parent.id));
    expect(source.row(parent.id).outcomes[1]).toMatchObject({ error: { code: 'idempotency_conflict' } });
  });
});

describe('slots', () => {
  test('never more run at once than there are slots, and all run in the end', async () => {
    let now = 0;
    let most = 0;
    start(
      {
        work: async () => {
          now += 1;
          most = Math.max(most, now);
          await new Promise((resolve) => setImmediate(resolve));
          now -= 1;
        },
      },
      { slots: 3 },
    );
    const tasks = many(2_000, () => handlerTask('work'));
    source.add(...tasks);
    await until(() => tasks.every(({ id }) => source.row(id).state === 'completed'));
    expect(most).toBe(3);
    expect(source.claims.every(({ startLimit = 0 }) => startLimit <= 3)).toBe(true);
  });

  test('a worker with long tasks claims no more than its free slots', async () => {
    const { opened, open } = barrier();
    const worker = start({ wait: () => opened }, { slots: 2 });
    source.add(...many(10, () => handlerTask('wait')));
    await until(() => source.claims.length === 1 && worker.stats.running === 2);
    expect(source.claims[0]).toMatchObject({ limit: 2, startLimit: 2 });
    expect([...source.rows.values()].filter((row) => row.claimed)).toHaveLength(2);
    open();
    await until(() => [...source.rows.values()].every((row) => row.state === 'completed'));
  });

  test('quick tasks are fetched ahead; one that turns out long is reported as started', async () => {
    const { opened, open } = barrier();
    const worker = start({ quick: () => {}, long: () => opened }, { slots: 1 });
    const quick = many(20, () => handlerTask('quick'));
    source.add(...quick);
    await until(() => quick.every(({ id }) => source.row(id).state === 'completed'));
    const [first, second] = [handlerTask('long'), handlerTask('long')];
    source.add(...many(3, () => handlerTask('quick')), first, second);
    await until(() => source.row(first.id).claimed && source.row(first.id).started);
    expect(source.claims.some(({ limit, startLimit = limit }) => limit > 1 && startLimit <= 1)).toBe(true);
    // The second waits behind the first; before long it is given back for others to run.
    await until(() => source.row(second.id).outcomes.some(({ kind }) => kind === 'released'));
    expect(worker.stats).toMatchObject({ running: 1, held: 0 });
    open();
    await until(ended(second.id));
    expect(source.row(second.id).state).toBe('completed');
  });

  test('a handler that ignores its signal loses its slot, and that is announced', async () => {
    const { opened, open } = barrier();
    const worker = start({ deaf: () => opened, quick: () => 'ran' }, { slots: 1, killGraceMs: 10 });
    const abandoned = next(worker, 'attempt.abandoned');
    const deaf = handlerTask('deaf', { timeout_ms: 10 });
    expect(await outcomeOf(deaf)).toMatchObject({ kind: 'timed_out', error: { code: 'timed_out' } });
    expect(await abandoned).toMatchObject({ task: { id: deaf.id }, reason: 'timed_out' });
    expect(await outcomeOf(handlerTask('quick'))).toMatchObject({ kind: 'completed', output: 'ran' });
    open();
  });

  test('what this worker cannot run goes back, not before a while', async () => {
    start({ known: () => {} });
    const unknownType = newTask({ type: 'teleport' } as never);
    for (const task of [handlerTask('unknown'), newTask(null), unknownType, handlerTask('constructor')]) {
      expect(await outcomeOf(task)).toEqual({ kind: 'released', delayMs: 5_000 });
    }
  });
});

describe('stopping an attempt', () => {
  test('a timeout stops it and says so', async () => {
    let reason: unknown;
    start({
      slow: (_input, { signal }: TaskContext) =>
        new Promise((resolve) =>
          signal.addEventListener('abort', () => {
            reason = signal.reason;
            resolve('late');
          }),
        ),
    });
    expect(await outcomeOf(handlerTask('slow', { timeout_ms: 10 }))).toMatchObject({
      kind: 'timed_out',
      error: { code: 'timed_out', message: 'the attempt was stopped after its timeout of 10ms' },
    });
    expect(reason).toBeInstanceOf(AttemptStopped);
    expect(reason).toMatchObject({ reason: 'timed_out' });
  });

  test('a timeout longer than any timer does not stop it at once', async () => {
    start({ quick: () => new Promise((resolve) => setImmediate(resolve, 'fine')) });
    const yearMs = 31_536_000_000;
    expect(await outcomeOf(handlerTask('quick', { timeout_ms: yearMs }))).toMatchObject({ output: 'fine' });
  });

  test('a cancel reaches a running attempt by hint, and it settles as cancelled', async () => {
    start({ obedient });
    const task = handlerTask('obedient');
    source.add(task);
    await until(running(task.id));
    source.cancel(task.id);
    await until(ended(task.id));
    expect(source.row(task.id)).toMatchObject({ state: 'cancelled', outcomes: [{ kind: 'cancelled' }] });
  });

  test('a command is cancelled with its OS processes', async () => {
    const worker = start({});
    const started = next(worker, 'attempt.started');
    const task = newTask({ type: 'run', run: 'sleep 1000 & wait' });
    source.add(task);
    await started;
    source.cancel(task.id);
    await until(ended(task.id));
    expect(source.row(task.id).state).toBe('cancelled');
  });

  test('an attempt whose claim is gone is stopped, and nothing is settled', async () => {
    const worker = start({ obedient });
    const [lost, end] = [next(worker, 'lease.lost'), next(worker, 'attempt.ended')];
    const task = handlerTask('obedient');
    source.add(task);
    await until(running(task.id));
    source.takeAway(task.id);
    source.hint();
    expect(await lost).toMatchObject({ task: { id: task.id } });
    expect((await end) as AttemptEnded).toMatchObject({ outcome: 'lost', success: false });
    expect(source.row(task.id).outcomes).toEqual([]);
  });
});

describe('heartbeats', () => {
  test('every claim is in one beat, with whether it has started', async () => {
    const { opened, open } = barrier();
    const worker = start({ wait: () => opened }, { slots: 3 });
    const tasks = many(3, () => handlerTask('wait'));
    source.add(...tasks);
    await until(() => tasks.every(({ id }) => source.row(id).claimed));
    await until(() => worker.stats.running === 3);
    source.hint();
    await until(() => source.beats.length > 0);
    expect(source.beats[0]?.map(({ id, started }) => ({ id, started }))).toEqual(
      tasks.map(({ id }) => ({ id, started: true })),
    );
    open();
  });

  test('they come by themselves', async () => {
    const { opened, open } = barrier();
    start({ wait: () => opened }, { leaseMs: 1_000 });
    source.add(handlerTask('wait'));
    await until(() => source.beats.length === 2);
    open();
  });

  test('a server that does not answer does not stop the attempt', async () => {
    const { opened, open } = barrier<string>();
    const worker = start({ wait: () => opened }, { leaseMs: 1_000 });
    const task = handlerTask('wait');
    source.add(task);
    await until(running(task.id));
    const failed = next(worker, 'source.failed');
    source.before.heartbeat = () => Promise.reject(new Error('no route to host'));
    source.hint();
    expect(await failed).toMatchObject({ call: 'heartbeat' });
    source.before = {};
    const beats = source.beats.length;
    await until(() => source.beats.length > beats);
    open('done');
    await until(ended(task.id));
    expect(source.row(task.id).state).toBe('completed');
  });

  test('a task whose lease ran out before it came is not started', async () => {
    // As the server says: the claim was asked long ago, and its answer was slow.
    source.leaseLeftMs = 0;
    const runs: number[] = [];
    start({ once: (_input, { attempt }) => void runs.push(attempt) });
    const task = handlerTask('once');
    source.before.settle = async () => {
      source.leaseLeftMs = 30_000;
    };
    source.add(task);
    await until(ended(task.id));
    expect(source.row(task.id).outcomes.map(({ kind }) => kind)).toEqual(['released', 'completed']);
    expect(runs).toHaveLength(1);
  });

  test('an outcome on its way keeps its lease', async () => {
    const { opened, open } = barrier();
    source.before.settle = () => opened;
    const worker = start({ quick: () => {} });
    const task = handlerTask('quick');
    source.add(task);
    await until(() => worker.stats.settling === 1 && worker.stats.running === 0);
    expect(worker.stats.freeSlots).toBe(10);
    source.hint();
    await until(() => source.beats.flat().some(({ id }) => id === task.id));
    open();
    await until(ended(task.id));
  });

  test('a handler can ask for one', async () => {
    start({ beat: (_input, { heartbeat }: TaskContext) => heartbeat() });
    const task = handlerTask('beat');
    expect(await outcomeOf(task)).toMatchObject({ kind: 'completed' });
    expect(source.beats.flat()).toMatchObject([{ id: task.id, started: true }]);
  });
});

describe('a source that fails', () => {
  test('a failed claim is tried again', async () => {
    source.before.claim = () => {
      source.before = {};
      return Promise.reject(new Error('connection refused'));
    };
    const worker = start({ quick: () => {} });
    const failed = next(worker, 'source.failed');
    expect(await failed).toMatchObject({ call: 'claim' });
    expect(await outcomeOf(handlerTask('quick'))).toMatchObject({ kind: 'completed' });
  });

  test('an outcome that is not taken is announced, and the worker goes on', async () => {
    const { opened, open } = barrier();
    const worker = start({ quick: () => opened });
    const refused = next(worker, 'settle.refused');
    const task = handlerTask('quick');
    source.add(task);
    await until(running(task.id));
    source.takeAway(task.id);
    open();
    expect(await refused).toMatchObject({ task: { id: task.id }, result: { kind: 'lease_lost' } });
    expect(await outcomeOf(handlerTask('quick'))).toMatchObject({ kind: 'completed' });
  });

  test('an outcome that the database cannot store fails the attempt', async () => {
    const settle = source.settle.bind(source);
    source.settle = (settlements) => {
      source.settle = settle;
      return Promise.resolve(settlements.map(() => ({ kind: 'invalid', message: 'no such character' })));
    };
    start({ quick: () => 'odd' });
    expect(await outcomeOf(handlerTask('quick'))).toEqual({
      kind: 'failed',
      error: {
        code: 'output_invalid',
        message: 'the database cannot store what the attempt put out: no such character',
      },
    });
  });

  test('a listener that throws disturbs nobody', async () => {
    const warned = new Promise((resolve) => process.once('warning', resolve));
    const worker = start({ quick: () => {} });
    worker.on('attempt.ended', () => {
      throw new Error('a bad listener');
    });
    expect(await outcomeOf(handlerTask('quick'))).toMatchObject({ kind: 'completed' });
    expect(await warned).toMatchObject({ message: 'a bad listener' });
  });
});

describe('drain', () => {
  test('waits for what runs, settles it, and takes nothing new', async () => {
    const { opened, open } = barrier<string>();
    const worker = start({ wait: () => opened });
    const task = handlerTask('wait');
    source.add(task);
    await until(running(task.id));
    const stopped = worker.stop();
    expect(worker.stop()).toBe(stopped);
    const late = handlerTask('wait');
    source.add(late);
    open('done');
    await stopped;
    expect(source.row(task.id)).toMatchObject({ state: 'completed', outcomes: [{ output: 'done' }] });
    expect(source.row(late.id).claimNo).toBe(0);
    expect(source.workers.size).toBe(0);
  });

  test('releases what does not end in time', async () => {
    const worker = start({ obedient });
    const handler = handlerTask('obedient');
    const script = newTask({ type: 'run', run: 'sleep 1000' });
    source.add(handler, script);
    await until(() => source.row(script.id).claimed && worker.stats.running === 2);
    await worker.stop({ graceMs: 0 });
    for (const { id } of [handler, script]) {
      expect(source.row(id)).toMatchObject({
        state: 'active',
        claimed: false,
        outcomes: [{ kind: 'released' }],
      });
    }
  });

  test('is bounded when a handler never ends', async () => {
    const worker = start({ deaf: () => new Promise(() => {}) }, { killGraceMs: 0 });
    const task = handlerTask('deaf');
    source.add(task);
    await until(running(task.id));
    await worker.stop({ graceMs: 0 });
    expect(source.row(task.id).outcomes).toEqual([{ kind: 'released' }]);
  });

  test('gives back what an aborted claim still hands over', async () => {
    const { opened, open } = barrier();
    source.handOverOnAbort = true;
    source.before.claim = () => opened;
    const worker = start({ quick: () => {} });
    const stopped = worker.stop();
    const task = handlerTask('quick');
    source.add(task);
    open();
    await stopped;
    expect(source.row(task.id)).toMatchObject({ claimed: false, outcomes: [{ kind: 'released' }] });
  });

  test('gives back what is held and has not started', async () => {
    const { opened, open } = barrier();
    const worker = start({ quick: () => {}, wait: () => opened }, { slots: 1 });
    const quick = many(20, () => handlerTask('quick'));
    source.add(...quick);
    await until(() => quick.every(({ id }) => source.row(id).state === 'completed'));
    const waiting = many(5, () => handlerTask('wait'));
    source.add(...waiting);
    await until(() => waiting.every(({ id }) => source.row(id).claimed) && worker.stats.held === 4);
    const stopped = worker.stop();
    open();
    await stopped;
    const kinds = waiting.map(({ id }) => source.row(id).outcomes.map(({ kind }) => kind));
    expect(kinds).toEqual([['completed'], ['released'], ['released'], ['released'], ['released']]);
  });

  test('a worker that never started stops at once', async () => {
    await createWorker({ source }).stop();
    expect(source.workers.size).toBe(0);
  });
});

test('a worker serves the default queue and one for each handler', async () => {
  const worker = createWorker({ source, handlers: { mail: () => {}, default: () => {} }, name: 'w' });
  workers.push(worker);
  worker.start();
  await until(() => source.claims.length === 1 && source.workers.size === 1);
  expect(source.claims[0]).toMatchObject({ queues: ['default', 'mail'], worker: worker.id });
  expect(worker.id).toMatch(new RegExp(`^w-${process.pid}-`));
  expect(source.workers.get(worker.id)).toMatchObject({ pid: process.pid, slots: 10 });
});

test('options out of range are refused', () => {
  for (const options of [
    { slots: 0 },
    { leaseMs: 999 },
    { killGraceMs: -1 },
    { queues: [] },
    { slots: Number.NaN },
  ]) {
    expect(() => createWorker({ source, ...options })).toThrow(RangeError);
  }
});

test('ids of two workers of one name differ', () => {
  const name = newId();
  expect(createWorker({ source, name }).id).not.toBe(createWorker({ source, name }).id);
});
