/** What a handler says, in the worker's log and in its task's. */
import { pino } from 'pino';
import { beforeEach, expect, test } from 'vitest';
import type { Json } from '../../src/core/json.ts';
import type { ExecutionContext } from '../../src/worker/executors/executor.ts';
import { handlerExecutor } from '../../src/worker/executors/handler.ts';
import type { Handler } from '../../src/worker/handler.ts';
import { createMask, noMask } from '../../src/worker/secrets/mask.ts';
import { MemorySource } from './support/memory-source.ts';
import { claimedTask } from './support/tasks.ts';

/** Lines of the task's log: stream and text. */
let said: [string, string][];
let progress: Json[];
/** Lines of the worker's log. */
let logged: Record<string, unknown>[];

beforeEach(() => {
  said = [];
  progress = [];
  logged = [];
});

const destination = { write: (line: string) => logged.push(JSON.parse(line)) };

const task = { ...claimedTask(null), spec: { type: 'handler', handler: 'speak' } as const };

function run(
  handler: Handler,
  { log = pino({}, destination), mask = noMask }: { log?: pino.Logger; mask?: ExecutionContext['mask'] } = {},
) {
  const execute = handlerExecutor({ handlers: { speak: handler }, source: new MemorySource(), log });
  return execute(task, {
    signal: new AbortController().signal,
    killGraceMs: 1_000,
    heartbeat: async () => {},
    log: {
      open: () => ({ write: () => {}, end: () => {} }),
      say: (text, { stream = 'skipjack' } = {}) => said.push([stream, text]),
    },
    mask,
    progress: (value) => progress.push(value),
  });
}

test('messages are in both logs, with what belongs to them', async () => {
  await run((_input, { log }) => {
    log.info('plain');
    log.info({ to: 'x@example.org', count: 2 }, 'sent to %s', 'x');
    log.child({ step: 3 }).warn('slow');
    log.error(new TypeError('no'));
    log.info({ only: 'fields' });
    log.debug('not shown');
  });
  expect(said.slice(0, 3)).toEqual([
    ['stdout', 'plain'],
    ['stdout', 'sent to x {"to":"x@example.org","count":2}'],
    ['stderr', 'slow {"step":3}'],
  ]);
  expect(said[3]?.[0]).toBe('stderr');
  expect(said[3]?.[1]).toMatch(/^no \{"err":\{"type":"TypeError","message":"no","stack":"TypeError: no\\n/);
  expect(said.slice(4)).toEqual([['stdout', '{"only":"fields"}']]);
  expect(logged).toHaveLength(5);
  expect(logged[1]).toMatchObject({
    task: task.id,
    attempt: 1,
    to: 'x@example.org',
    msg: 'sent to x',
    level: 30,
  });
  expect(logged[2]).toMatchObject({ task: task.id, step: 3, level: 40 });
});

test('a field of the name of one of ours is shown when it says something else', async () => {
  await run((_input, { log }) => log.info({ task: 'another', attempt: 1 }, 'see'));
  expect(said).toEqual([['stdout', 'see {"task":"another"}']]);
});

test("the task's log has what a terse worker's log leaves out, and the worker's gets no more than before", async () => {
  for (const level of ['warn', 'silent']) {
    said = [];
    logged = [];
    await run(
      (_input, { log }) => {
        log.debug('a');
        log.info('b');
        log.warn('c');
        log.child({ x: 1 }).info('d');
      },
      { log: pino({ level }, destination) },
    );
    expect(said.map(([, text]) => text)).toEqual(['b', 'c', 'd {"x":1}']);
    expect(logged.map(({ msg }) => msg)).toEqual(level === 'warn' ? ['c'] : []);
  }
});

test("a verbose worker's log gets what it got, and the task's only what is worth it", async () => {
  await run((_input, { log }) => log.debug('detail'), { log: pino({ level: 'debug' }, destination) });
  expect([said, logged.length]).toEqual([[], 1]);
});

test("what the worker's log redacts is not in the task's", async () => {
  const log = pino({ redact: ['password'], level: 'error' }, destination);
  await run((_input, context) => context.log.info({ password: 'p4ss', user: 'u' }, 'login'), { log });
  expect(said).toEqual([['stdout', 'login {"password":"[Redacted]","user":"u"}']]);
});

test('several destinations of a log get what is of their level', async () => {
  const [all, errors]: [string[], string[]] = [[], []];
  const log = pino(
    { level: 'info' },
    pino.multistream([
      { level: 'info', stream: { write: (line: string) => all.push(JSON.parse(line).msg) } },
      { level: 'error', stream: { write: (line: string) => errors.push(JSON.parse(line).msg) } },
    ]),
  );
  await run(
    (_input, context) => {
      context.log.info('a');
      context.log.fatal('b');
      context.log.flush();
    },
    { log },
  );
  expect([all, errors]).toEqual([['a', 'b'], ['b']]);
  expect(said).toEqual([
    ['stdout', 'a'],
    ['stderr', 'b'],
  ]);
});

test("what goes to the task's log is masked", async () => {
  await run((_input, { log }) => log.info({ key: 'hunter2' }, 'with hunter2'), {
    mask: createMask(['hunter2']),
  });
  expect(said).toEqual([['stdout', 'with *** {"key":"***"}']]);
});

test('a handler that logs nothing costs no logger', async () => {
  const log = pino({}, destination);
  log.child = () => {
    throw new Error('nobody asked');
  };
  expect(await run(() => 'done', { log })).toEqual({ kind: 'completed', output: 'done' });
});

test('a handler says how far it is', async () => {
  await run((_input, context) => {
    context.progress(40);
    context.progress({ step: 'two', at: new Date(0) } as unknown as Json);
  });
  expect(progress).toEqual([40, { step: 'two', at: '1970-01-01T00:00:00.000Z' }]);
});

test.each([
  ['text that cannot be stored', 'a\0b', 'the progress has the character \\u0000'],
  ['no JSON', () => {}, 'the progress is not JSON: it is a function'],
  ['too large', 'x'.repeat(1_024), 'the progress is larger than 1024 bytes'],
])('a progress of %s is refused where it is said', async (_, value, sentence) => {
  const ending = await run((_input, context) => context.progress(value as Json));
  expect(ending).toMatchObject({ kind: 'failed', error: { message: expect.stringContaining(sentence) } });
  expect(progress).toEqual([]);
});
