/** What `run` shows, without a database and without a terminal. */
import { execFileSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { formatElapsed } from '../../src/cli/elapsed.ts';
import { noPaint } from '../../src/cli/paint.ts';
import { completeByCurl } from '../../src/cli/run/complete-by-curl.ts';
import { describeChange } from '../../src/cli/run/describe.ts';
import { drawProgress } from '../../src/cli/run/draw.ts';
import { explainFailure } from '../../src/cli/run/explain-failure.ts';
import type { Look, TaskLook } from '../../src/cli/run/look.ts';
import { beginProgress, noteLook, type Progress } from '../../src/cli/run/progress.ts';
import type { Spec } from '../../src/core/spec.ts';
import { type Graph, makePlan } from '../support/processes.ts';

const command: Spec = { type: 'command', command: 'true', args: [] };
const loan: Graph = {
  Open: { spec: command },
  Credit: { spec: command, needs: ['Open'], attempts: 3 },
  Assets: { needs: ['Open'], queue: 'people' },
  Email: { spec: command, needs: ['Credit', 'Assets'] },
};
const ownQueues = ['default'];

function begin(graph: Graph = loan): Progress {
  return beginProgress(makePlan(graph), { id: 'an-id', name: 'loan' });
}

/** A task as the database shows it, 10 s after the process began. */
function seen(ordinal: number, fields: Partial<TaskLook>): TaskLook {
  return {
    id: `task-${ordinal}`,
    ordinal,
    state: 'ready',
    attempt: 1,
    attempts_max: 1,
    failures: 0,
    losses: 0,
    queue: 'default',
    worker: null,
    available_at: 9_900,
    started_at: null,
    finished_at: null,
    run_ms: null,
    error: null,
    held: false,
    queue_paused: false,
    served: true,
    waits_for: null,
    awaiting: null,
    item_name: null,
    ...fields,
  };
}

function look(tasks: TaskLook[], fields: Partial<Look> = {}): Look {
  return { at: 10_000, state: 'running', paused: false, started_at: 0, finished_at: null, tasks, ...fields };
}

/** Takes the look in and says what changed. */
function note(progress: Progress, ...args: Parameters<typeof look>): (string | null)[] {
  return noteLook(progress, look(...args), { ownQueues }).map((change) =>
    describeChange(change, progress.at),
  );
}

function draw(progress: Progress, size: { columns?: number; rows?: number } = {}): string[] {
  return drawProgress(progress, {
    columns: 79,
    rows: 24,
    paint: noPaint,
    nowMs: progress.at,
    ownQueues,
    ...size,
  });
}

const error = { code: 'exit_code', message: 'the command exited with code 3: too low' };

describe('a change is one line', () => {
  test('in the order of time, and said once', () => {
    const progress = begin();
    const tasks = [
      seen(1, { state: 'completed', finished_at: 9_500, run_ms: 120 }),
      seen(2, { state: 'running', started_at: 9_400, worker: 'w' }),
    ];
    expect(note(progress, tasks)).toEqual(['Credit started', 'Open completed in 120 ms']);
    expect(note(progress, tasks)).toEqual([]);
  });

  test('a failed attempt says why and when the next comes; the next says which it is', () => {
    const progress = begin();
    note(progress, [seen(2, { state: 'running', started_at: 9_000, attempts_max: 3 })]);
    const failed = { attempt: 2, attempts_max: 3, failures: 1, error };
    expect(note(progress, [seen(2, { ...failed, state: 'scheduled', available_at: 12_500 })])).toEqual([
      'Credit failed in attempt 1 of 3: the command exited with code 3: too low; again in 2.5 s',
    ]);
    expect(note(progress, [seen(2, { ...failed, state: 'running', started_at: 12_600 })])).toEqual([
      'Credit started, attempt 2 of 3',
    ]);
  });

  test('a lost attempt is told from a failed one', () => {
    const progress = begin();
    expect(note(progress, [seen(2, { attempt: 2, losses: 1 })])).toEqual([
      'Credit was lost in attempt 1, its worker is gone; again',
    ]);
  });

  test('a task for people is announced once, unless a worker serves its queue', () => {
    const progress = begin();
    expect(note(progress, [seen(3, { queue: 'people', served: true })])).toEqual([]);
    const waiting = seen(3, { queue: 'people', served: false });
    expect(note(progress, [waiting])).toEqual(['Assets waits for somebody to complete it']);
    expect(note(progress, [waiting])).toEqual([]);
  });

  test('a task for people on a queue of our own worker is announced too: it gives it back', () => {
    const progress = begin({ Assets: { queue: 'default' } });
    expect(note(progress, [seen(1, { state: 'scheduled', served: true })])).toEqual([
      'Assets waits for somebody to complete it',
    ]);
  });

  test('a command that no worker serves is told when it has been so for a while', () => {
    const progress = begin();
    expect(note(progress, [seen(1, { served: false })])).toEqual([]);
    expect(note(progress, [seen(1, { served: false })], { at: 20_000 })).toEqual([
      'Open waits: no worker serves queue "default"',
    ]);
  });

  test('control characters in a name do not reach the terminal', () => {
    const progress = begin({ 'a\u001b[31m\nb': { spec: command } });
    expect(note(progress, [seen(1, { state: 'cancelled', finished_at: 1 })])).toEqual([
      'a\ufffd[31m b cancelled',
    ]);
  });
});

describe('the list on a terminal', () => {
  test('shows forks and joins by the place and the needs of each task', () => {
    const progress = begin();
    note(progress, [
      seen(1, { state: 'completed', finished_at: 9_500, run_ms: 120 }),
      seen(2, { state: 'running', started_at: 8_600, attempt: 2, attempts_max: 3 }),
      seen(3, { queue: 'people', served: false }),
    ]);
    expect(draw(progress)).toEqual([
      'loan  an-id',
      '✓ Open       120 ms',
      '  ● Credit   1.4 s, attempt 2 of 3  ← Open',
      '  ○ Assets   waits for somebody     ← Open',
      '    · Email                         ← Credit, Assets',
      '',
      '1 of 4 tasks completed, 1 running, 1 ready, 1 pending, 10.0 s',
    ]);
  });

  test('no line is longer than the terminal is wide', () => {
    const name = 'a very long name '.repeat(10);
    const progress = begin({ [name]: { spec: command }, B: { spec: command, needs: [name] } });
    note(progress, [
      seen(1, { state: 'failed', finished_at: 1, error: { code: 'x', message: 'y'.repeat(500) } }),
    ]);
    for (const columns of [10, 40, 79, 200]) {
      for (const line of draw(progress, { columns })) expect([...line].length).toBeLessThanOrEqual(columns);
    }
  });

  test('a process higher than the terminal shows what is active, then what failed, and counts', () => {
    const graph = Object.fromEntries(Array.from({ length: 100 }, (_, n) => [`T${n + 1}`, { spec: command }]));
    const progress = begin(graph);
    note(progress, [
      ...Array.from({ length: 50 }, (_, n) => seen(n + 1, { state: 'completed', finished_at: 1, run_ms: 1 })),
      seen(51, { state: 'failed', finished_at: 2, error }),
      ...Array.from({ length: 3 }, (_, n) => seen(n + 60, { state: 'running', started_at: 9_000 })),
    ]);
    const lines = draw(progress, { rows: 8 });
    expect(lines.length).toBeLessThan(8);
    expect(lines).toEqual([
      'loan  an-id',
      '● T60  1.0 s',
      '● T61  1.0 s',
      '● T62  1.0 s',
      '✗ T51  the command exited with code 3: too low',
      '',
      '50 of 100 tasks completed, 3 running, 1 failed, 46 pending, 10.0 s',
    ]);
  });
});

test('the curl for a person survives a shell, whatever the name of the task', () => {
  for (const name of ["Ann's check (2) — 50%/§", 'a b?c#d&e', '$(touch /tmp/x) `id` "q"']) {
    const printed = completeByCurl({
      serverUrl: 'http://127.0.0.1:1',
      processId: 'an-id',
      task: name,
      needsKey: false,
    });
    const words = execFileSync('sh', ['-c', `${printed.replace(/^curl /, "printf '%s\\n' ")}`], {
      encoding: 'utf8',
    }).split('\n');
    const path = /^http:\/\/127\.0\.0\.1:1\/v1\/processes\/an-id\/tasks\/([^/]+)\/complete$/.exec(
      words[1] ?? '',
    );
    expect(decodeURIComponent(path?.[1] ?? '')).toBe(name);
    expect(words.slice(2, -1)).toEqual(['-H', 'content-type: application/json', '-d', '{"output": {}}']);
  }
});

test('with keys the curl names the variable, never a key', () => {
  const printed = completeByCurl({
    serverUrl: 'http://127.0.0.1:1',
    processId: 'p',
    task: 't',
    needsKey: true,
  });
  expect(printed).toContain('-H "authorization: Bearer $SKIPJACK_API_KEY"');
});

test('a failure names the task, its error and the last lines of what it wrote', () => {
  const lines = Array.from({ length: 12 }, (_, n) => `line ${n + 1}`);
  const text = explainFailure([
    { name: 'Credit', error: { ...error, details: { stderr: lines.join('\n') } }, output: 'reading' },
    { name: 'Other', error: { code: 'timed_out', message: 'it took longer than 1s' }, output: null },
  ]);
  expect(text.split('\n')).toEqual([
    'skipjack: the process failed.',
    '"Credit" failed: exit_code: the command exited with code 3: too low',
    '  stderr, the last 10 of 12 lines:',
    ...lines.slice(2).map((line) => `    ${line}`),
    '  stdout:',
    '    reading',
    '"Other" failed: timed_out: it took longer than 1s',
  ]);
});

test.each([
  [0, '0 ms'],
  [999.6, '999 ms'],
  [1_000, '1.0 s'],
  [59_990, '59.9 s'],
  [125_000, '2 min 5 s'],
  [3_725_000, '1 h 2 min'],
])('%d ms is %s', (ms, text) => {
  expect(formatElapsed(ms)).toBe(text);
});
