/** A process in the hands of a program: TunaCorn's calls, what they refuse, and what the same call again answers. */
import { describe, expect } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { ProcessHandle } from '../../src/engine/process-handle.ts';
import { openQueue } from '../../src/queue/queue.ts';
import { createDatabaseTaskSource } from '../../src/queue/task-source.ts';
import { claimNamed, lettersOf, settlementOf, statesOf } from '../support/processes.ts';
import { loan, oneTask, refusalOf, test } from './support/engine.ts';

const open = 'Open Loan Application';

describe('active tasks', () => {
  test('are those whose needs have ended, in the order of the definition, with all that is known of their work', async ({
    engine,
  }) => {
    const process = await engine.startProcess(
      {
        definition: {
          name: 'd',
          tasks: [
            { name: 'late', needs: ['first', 'other'], input: { own: 1 }, queue: 'desk' },
            { name: 'first' },
            { name: 'other' },
          ],
        },
      },
      { input: { amount: 1, who: 'Ann' } },
    );
    expect((await process.getActiveTasks()).map(({ name }) => name)).toEqual(['first', 'other']);
    await process.complete('first', { amount: 2, score: 7 });
    await process.complete('other', ['no', 'object']);
    const [task] = await process.getActiveTasks();
    expect(task).toEqual({
      id: expect.any(String),
      name: 'late',
      ordinal: 1,
      queue: 'desk',
      state: 'ready',
      worker: null,
      item: null,
      input: { own: 1 },
      process: { id: process.id, definition: 'd', version: null, input: { amount: 1, who: 'Ann' } },
      needs: { first: { amount: 2, score: 7 }, other: ['no', 'object'] },
      large_needs: {},
      attributes: { amount: 2, who: 'Ann', score: 7 },
    });
  });

  test('include those that somebody holds, with who does', async ({ database, engine }) => {
    const process = await engine.startProcess({ source: loan });
    await claimNamed(database, process.id, open, 'ada');
    expect(await process.getActiveTasks()).toMatchObject([{ name: open, state: 'running', worker: 'ada' }]);
  });

  test('are the first hundred, and none of an ended process', async ({ engine }) => {
    const tasks = Array.from({ length: 120 }, (_, number) => ({ name: `t${number}` }));
    const process = await engine.startProcess({ definition: { tasks } });
    const names = (await process.getActiveTasks()).map(({ name }) => name);
    expect(names).toEqual(tasks.slice(0, 100).map(({ name }) => name));
    await process.cancel();
    expect(await process.getActiveTasks()).toEqual([]);
  });

  test('have attributes that are their own, whatever an input from SQL is called', async ({
    database,
    engine,
  }) => {
    await engine.publish({ source: oneTask }, { name: 'd' });
    const [row] = await database.sql<{ id: string }>(
      `select skipjack.start_process('d', '{"__proto__": {"isAdmin": true}}') as id`,
    );
    const [task] = await engine.process(row?.id ?? '').getActiveTasks();
    expect(Object.keys(task?.attributes ?? {})).toEqual(['__proto__']);
    expect(task?.attributes.isAdmin).toBeUndefined();
  });
});

describe('completing a task', () => {
  test('by its name or its place goes on with what waited for it, to the end', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    expect(await process.complete(open, { amount: 1_000_000 })).toEqual({ repeated: false });
    expect(await process.isComplete()).toBe(false);
    await process.complete('2');
    await process.complete('Review Assets');
    await process.complete('Send Email', 'sent');
    expect(await process.isComplete()).toBe(true);
    expect((await process.read()).output).toEqual({ 'Send Email': 'sent' });
  });

  test('is answered again to the same call, and to no other', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    const output = { list: [1, -0, { deep: null }], 'a b': 1e21 };
    await process.complete(open, output, { by: 'ada' });
    expect(await process.complete(open, structuredClone(output), { by: 'ada' })).toEqual({ repeated: true });
    for (const [other, options] of [
      [{ ...output, more: 1 }, { by: 'ada' }],
      [output, { by: 'bob' }],
      [output, {}],
    ] as const)
      expect(await refusalOf(process.complete(open, other, options))).toMatchObject({
        code: 'already_settled',
        message: `"${open}" is completed already. Nothing was changed.`,
        extra: { state: 'completed' },
      });
    expect((await refusalOf(process.fail(open, 'no', { by: 'ada' }))).code).toBe('already_settled');
  });

  test('without an output is answered again too', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    expect(await process.complete(open)).toEqual({ repeated: false });
    expect(await process.complete(open, undefined)).toEqual({ repeated: true });
  });

  test('is refused while its needs have not ended, or somebody holds it, with their names', async ({
    database,
    engine,
  }) => {
    const process = await engine.startProcess({ source: loan });
    expect(await refusalOf(process.complete('Send Email'))).toMatchObject({
      code: 'not_active',
      message:
        '"Send Email" is not active: it waits for "Review Credit", "Review Assets". Nothing was changed.',
    });
    await claimNamed(database, process.id, open, 'ada');
    expect(await refusalOf(process.complete(open))).toMatchObject({
      code: 'already_claimed',
      message: `"ada" holds "${open}". Let it settle the task with its token, or cancel the process.`,
      extra: { worker: 'ada', lease_expires_at: expect.any(String) },
    });
  });

  test('that is not there is refused with those that are', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    for (const name of ['Open Load Application', '5', '0', '', 'x'.repeat(5_000)])
      expect((await refusalOf(process.complete(name))).message).toBe(
        `The process has no task "${name.slice(0, 200)}". It has "${open}", "Review Credit", "Review Assets", "Send Email".`,
      );
    expect(await refusalOf(process.complete('a\u0000'))).toMatchObject({ code: 'invalid_request' });
  });

  test('takes JSON that Postgres can store, of at most 1 MiB', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    const refused: [unknown, string][] = [
      [() => 1, '/output: function is not a JSON value'],
      [{ a: undefined }, '/output/a: undefined is not a JSON value'],
      [new Date(), '/output: is of the class Date, not plain JSON'],
      [{ a: 'a\u0000' }, '/output/a: the character \\u0000, which Postgres cannot store'],
      [
        'x'.repeat(1024 * 1024),
        '/output: is larger than 1048576 bytes; keep it elsewhere and hand over where it is',
      ],
    ];
    for (const [output, message] of refused)
      expect(await refusalOf(process.complete(open, output as never))).toMatchObject({
        code: 'invalid_request',
        message,
      });
    expect((await process.read()).active).toEqual([open]);
    const largest = 'x'.repeat(1024 * 1024 - 2);
    await process.complete(open, largest);
    const [review] = await process.getActiveTasks();
    expect(review?.needs[open]).toBe(largest);
  });

  test('takes a list of at most 1 MiB, whose places are no letters of it', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    // As JSON: two letters for each number, two brackets, two quotes.
    const numbers = Array.from({ length: 90_000 }, () => 7);
    const text = 'x'.repeat(1024 * 1024 - 2 * numbers.length - 4);
    expect(await refusalOf(process.complete(open, [...numbers, `${text}x`]))).toMatchObject({
      code: 'invalid_request',
    });
    expect(await process.complete(open, [...numbers, text])).toEqual({ repeated: false });
  });
});

describe('failing a task', () => {
  test('is final, cancels the tasks that wait and fails the process', async ({ database, engine }) => {
    const process = await engine.startProcess({ source: loan });
    await process.complete(open);
    await process.fail('Review Credit', { message: 'Credit score was too low!' });
    expect(await process.isFailed()).toBe(true);
    expect(await process.isComplete()).toBe(false);
    expect(await statesOf(database, process.id)).toEqual({
      [open]: 'completed',
      'Review Credit': 'failed',
      'Review Assets': 'cancelled',
      'Send Email': 'cancelled',
    });
    expect(await lettersOf(database, process.id)).toEqual(['Review Credit']);
    expect(await process.read()).toMatchObject({
      state: 'failed',
      last_error: { code: 'failed', message: 'Credit score was too low!', task: 'Review Credit' },
      output: null,
    });
  });

  test('is failing until what runs has stopped', async ({ database, engine }) => {
    const process = await engine.startProcess({ source: loan });
    await process.complete(open);
    const running = await claimNamed(database, process.id, 'Review Assets');
    await process.fail('Review Credit', 'no');
    expect((await process.read()).state).toBe('failing');
    expect(await process.isFailed()).toBe(true);
    await database.queue.settle(settlementOf(running, { kind: 'cancelled' }));
    expect((await process.read()).state).toBe('failed');
  });

  test('takes a text, a code with a text and details, or what was thrown', async ({ engine }) => {
    class CardError extends Error {
      code = 'card_declined';
      extra = new Date();
    }
    const given: [unknown, object][] = [
      ['no', { code: 'failed', message: 'no' }],
      ['', { code: 'failed', message: '' }],
      [{ message: 'no' }, { code: 'failed', message: 'no' }],
      [
        { message: 'no', code: 'score', details: { score: 3 } },
        { code: 'score', message: 'no', details: { score: 3 } },
      ],
      [
        { message: 'no', details: undefined },
        { code: 'failed', message: 'no' },
      ],
      [new TypeError('no such bucket'), { code: 'failed', message: 'no such bucket' }],
      [new TypeError(), { code: 'failed', message: 'TypeError' }],
      [new CardError('declined'), { code: 'card_declined', message: 'declined' }],
      [Object.assign(new Error('a\u0000\ud800'), { code: 7 }), { code: 'failed', message: 'a\ufffd\ufffd' }],
      [new Error('ö'.repeat(100_000)), { code: 'failed', message: `${'ö'.repeat(16_383)}…` }],
    ];
    for (const [error, stored] of given) {
      const process = await engine.startProcess({ source: oneTask });
      await process.fail('A', error as never);
      expect(await process.fail('A', error as never)).toEqual({ repeated: true });
      expect((await process.read()).last_error).toEqual({ ...stored, task: 'A' });
    }
  });

  test('refuses what is none of these, or larger than is kept', async ({ engine }) => {
    const process = await engine.startProcess({ source: oneTask });
    const large = 'x'.repeat(64 * 1024);
    const refused: [unknown, string][] = [
      [undefined, '/error: is neither a text nor {message, code, details} nor an Error'],
      [7, '/error: is neither a text nor {message, code, details} nor an Error'],
      [['no'], '/error: is neither a text nor {message, code, details} nor an Error'],
      [{}, '/error/message: is not a text'],
      [{ message: 7 }, '/error/message: is not a text'],
      [{ message: 'no', code: '' }, '/error/code: has fewer than 1 or more than 200 letters'],
      [{ message: 'no', code: 7 }, '/error/code: is not a text'],
      [{ message: 'no', reason: 'x' }, '/error: has a key "reason"; known are message, code, details'],
      [
        { message: 'no', details: { at: new Date() } },
        '/error/details/at: is of the class Date, not plain JSON',
      ],
      [
        { message: large },
        '/error/message: is larger than 65536 bytes; keep it elsewhere and hand over where it is',
      ],
      [
        { message: 'no', details: [large] },
        '/error/details: is larger than 65536 bytes; keep it elsewhere and hand over where it is',
      ],
      ['a\u0000', '/error: the character \\u0000, which Postgres cannot store'],
    ];
    for (const [error, message] of refused)
      expect(await refusalOf(process.fail('A', error as never))).toMatchObject({
        code: 'invalid_request',
        message,
      });
    expect((await process.read()).state).toBe('running');
  });
});

describe('whoever asks', () => {
  test('is recorded, by a name of 1 to 200 letters', async ({ engine }) => {
    const process = await engine.startProcess({ source: oneTask });
    for (const by of ['', 'b'.repeat(201), 'a\u0000', 7])
      for (const move of [
        () => process.complete('A', null, { by: by as never }),
        () => process.fail('A', 'no', { by: by as never }),
        () => process.cancel({ by: by as never }),
        () => process.pause({ by: by as never }),
        () => process.resume({ by: by as never }),
        () => process.retry({ by: by as never }),
        () => process.delete({ by: by as never }),
      ])
        expect(await refusalOf(move())).toMatchObject({
          code: 'invalid_request',
          problems: [{ pointer: '/by' }],
        });
    await process.complete('A', null, { by: 'b'.repeat(200) });
  });

  test('may say which revision they have seen: another one is refused, and nothing is changed', async ({
    engine,
  }) => {
    const process = await engine.startProcess({ source: loan });
    const { revision } = await process.read();
    await process.complete(open, null, { ifRevision: revision });
    for (const move of [
      () => process.complete('Review Credit', null, { ifRevision: revision }),
      () => process.fail('Review Credit', 'no', { ifRevision: revision }),
      () => process.cancel({ ifRevision: revision }),
      () => process.pause({ ifRevision: revision }),
      () => process.retry({ ifRevision: revision }),
      () => process.delete({ ifRevision: revision }),
    ])
      expect(await refusalOf(move())).toMatchObject({
        code: 'precondition_failed',
        extra: { revision: revision + 1 },
      });
    // The same as before is answered all the same: its answer may have got lost.
    expect(await process.complete(open, null, { ifRevision: revision })).toEqual({ repeated: true });
  });
});

describe('the process', () => {
  test('is cancelled, and an ended one is not', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    await process.cancel({ by: 'ada' });
    await process.cancel();
    expect(await process.read()).toMatchObject({ state: 'cancelled', unfinished: 0, percent: 100 });
    const done = await engine.startProcess({ source: oneTask });
    await done.complete('A');
    expect(await refusalOf(done.cancel())).toMatchObject({
      code: 'already_ended',
      message: 'The process is completed. Nothing was changed.',
      extra: { state: 'completed' },
    });
    expect((await refusalOf(done.pause())).code).toBe('already_ended');
  });

  test('is paused and resumed, as often as one likes', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    await process.pause();
    await process.pause();
    expect((await process.read()).paused).toBe(true);
    // Who holds work back from workers may still do it.
    await process.complete(open);
    await process.resume();
    await process.resume();
    expect(await process.read()).toMatchObject({ paused: false, state: 'running', unfinished: 3 });
  });

  test('is retried from what failed, once', async ({ engine }) => {
    const process = await engine.startProcess({ source: loan });
    expect(await refusalOf(process.retry())).toMatchObject({
      code: 'not_failed',
      message: 'The process is running; only a failed one can be retried. Nothing was changed.',
    });
    await process.complete(open);
    await process.fail('Review Credit', 'no');
    expect(await process.retry({ by: 'ada' })).toEqual(['Review Credit']);
    expect((await refusalOf(process.retry())).code).toBe('not_failed');
    expect((await process.read()).active).toEqual(['Review Credit', 'Review Assets']);
  });

  test('is deleted when it has ended, with all that belongs to it', async ({ database, engine }) => {
    const { process } = await engine.start({ source: oneTask }, { input: { n: 1 }, idempotencyKey: 'k' });
    expect(await refusalOf(process.delete())).toMatchObject({
      code: 'not_ended',
      message: 'The process is running. Cancel it first, or wait for its end.',
    });
    await process.fail('A', 'no', { by: 'ada' });
    await process.delete();
    expect((await refusalOf(process.delete())).code).toBe('not_found');
    for (const table of [
      'processes',
      'process_inputs',
      'process_events',
      'tasks',
      'attempts',
      'dead_letters',
      'idempotency_keys',
    ])
      expect(await database.sql(`select from skipjack.${table}`), table).toEqual([]);
    expect((await engine.start({ source: oneTask }, { input: { n: 1 }, idempotencyKey: 'k' })).created).toBe(
      true,
    );
  });
});

describe('an id', () => {
  const calls = (process: ProcessHandle): (() => Promise<unknown>)[] => [
    () => process.read(),
    () => process.getActiveTasks(),
    () => process.complete('A'),
    () => process.fail('A', 'no'),
    () => process.isComplete(),
    () => process.isFailed(),
    () => process.waitForEnd({ waitMs: 60_000 }),
    () => process.cancel(),
    () => process.pause(),
    () => process.resume(),
    () => process.retry(),
    () => process.delete(),
  ];

  test('of nothing, or that is none, is not_found to every call', async ({ engine }) => {
    for (const id of [newId(), '', 'loan', '7', `${newId()}0`, `{${newId()}}`, undefined])
      for (const call of calls(engine.process(id as string)))
        expect(await refusalOf(call()), `${id} ${call}`).toMatchObject({
          code: 'not_found',
          message: `There is no process with the id "${id}".`,
        });
  });

  test('in capitals is the same id', async ({ engine }) => {
    const { id } = await engine.startProcess({ source: oneTask });
    const process = engine.process(id.toUpperCase());
    expect(process.id).toBe(id);
    const end = process.waitForEnd({ waitMs: 60_000 });
    await process.complete('A');
    expect(await end).toMatchObject({ id, state: 'completed' });
    await process.delete();
  });
});

describe('waiting for the end', () => {
  test('of days is over when the process is, on a hint', async ({ database, engine }) => {
    // No poll of this test's would come to the rescue.
    const queue = openQueue(database.db, { pollIntervalMs: 3_600_000 });
    for (const waitMs of [120_000, 10 * 365 * 86_400_000, Number.POSITIVE_INFINITY]) {
      const { id } = await engine.startProcess({ source: loan });
      const end = new ProcessHandle(queue, id).waitForEnd({ waitMs });
      const first = await Promise.race([end, engine.process(id).complete(open)]);
      expect(first).toEqual({ repeated: false });
      await engine.process(id).fail('Review Credit', 'no');
      expect((await end).state).toBe('failed');
    }
    await queue.close();
  });

  test('answers the process as it is when the time is up, when it is called off, and at once when it has ended', async ({
    engine,
  }) => {
    const process = await engine.startProcess({ source: loan });
    expect((await process.waitForEnd({ waitMs: 1 })).state).toBe('running');
    expect((await process.waitForEnd({ waitMs: -1 })).state).toBe('running');
    const stop = new AbortController();
    const waiting = process.waitForEnd({ waitMs: 60_000, signal: stop.signal });
    stop.abort();
    expect((await waiting).state).toBe('running');
    expect((await process.waitForEnd({ waitMs: 60_000, signal: AbortSignal.abort() })).state).toBe('running');
    await process.cancel();
    expect((await process.waitForEnd({ waitMs: 60_000 })).state).toBe('cancelled');
  });
});

test('what its tasks said is read page by page, to the end of it', async ({ database, engine }) => {
  const process = await engine.startProcess({ definition: { tasks: [{ name: 'a' }, { name: 'b' }] } });
  expect(await process.readLog()).toMatchObject({ entries: [], hasMore: false });
  const source = createDatabaseTaskSource(database.queue, { signal: new AbortController().signal });
  for (const name of ['a', 'b']) {
    const { id, token } = await claimNamed(database, process.id, name);
    const lines = [1, 2].map(
      (number) => ({ agoMs: 0, stream: 'stdout', part: null, text: `${name}${number}` }) as const,
    );
    await source.appendLogs([{ id, token, firstLine: 1, lines }]);
  }
  const first = await process.readLog({ limit: 3 });
  expect([first.entries.map(({ task, text }) => [task, text]), first.hasMore]).toEqual([
    [
      ['a', 'a1'],
      ['a', 'a2'],
      ['b', 'b1'],
    ],
    true,
  ]);
  const rest = await process.readLog({ after: first.last });
  expect([rest.entries.map(({ text }) => text), rest.hasMore]).toEqual([['b2'], false]);
  expect(await refusalOf(engine.process(newId()).readLog())).toMatchObject({ code: 'not_found' });
});
