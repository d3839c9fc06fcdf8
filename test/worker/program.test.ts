import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ClaimedTask } from '../../src/core/task-source.ts';
import type { Ending } from '../../src/worker/executors/executor.ts';
import { AttemptStopped } from '../../src/worker/stop-reason.ts';
import { outputBytesMax } from '../../src/worker/storable.ts';
import { execute, isAlive, until, withoutUsage } from './support/execution.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'program-test-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

interface Options {
  signal?: AbortSignal;
  killGraceMs?: number;
  env?: Record<string, string>;
  task?: Partial<ClaimedTask>;
}

async function script(run: string, { env, ...options }: Options = {}): Promise<Ending> {
  return withoutUsage((await execute({ type: 'run', run, ...(env ? { env } : {}) }, options)).ending);
}

async function command(file: string, args: string[] = [], options: Options = {}): Promise<Ending> {
  return withoutUsage((await execute({ type: 'command', command: file, args }, options)).ending);
}

/** Aborts when the program has made the file. */
async function abortWhen(path: string, stop: AbortController): Promise<void> {
  while (!existsSync(path)) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort(new AttemptStopped('cancelled'));
}

describe('output', () => {
  test('a command gets its arguments as they are, and its stdout is the output', async () => {
    expect(await command('echo', ['hello', '$HOME; `id`', 'a  b'])).toEqual({
      kind: 'completed',
      output: 'hello $HOME; `id` a  b',
      exitCode: 0,
    });
  });

  test('only the final newline is taken off', async () => {
    expect(await command('printf', ['a\n\n'])).toMatchObject({ output: 'a\n' });
    expect(await command('true')).toMatchObject({ output: '' });
  });

  test('a script reads its input from a file and writes its output to another', async () => {
    const run = 'cat "$SKIPJACK_INPUT" > "$SKIPJACK_OUTPUT"; echo not this';
    expect(await script(run, { task: { input: { n: [1, 'zwei'] } } })).toEqual({
      kind: 'completed',
      output: { input: { n: [1, 'zwei'] }, process: null, needs: {} },
      exitCode: 0,
    });
  });

  test('a script for an item of an each reads which one it is, and what it is', async () => {
    const run = 'cat "$SKIPJACK_INPUT" > "$SKIPJACK_OUTPUT"';
    const item = { index: 3, value: { path: 'a.png' } };
    expect(await script(run, { task: { item } })).toMatchObject({ kind: 'completed', output: { item } });
  });

  test('an empty output file counts as not written', async () => {
    expect(await script(': > "$SKIPJACK_OUTPUT"; echo said')).toMatchObject({
      kind: 'completed',
      output: 'said',
    });
  });

  test.for([
    ['no JSON', 'echo "{oops" > "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['a NUL in a string', `printf '"\\\\u0000"' > "$SKIPJACK_OUTPUT"`, 'output_invalid'],
    ['invalid UTF-8', `printf '"\\377"' > "$SKIPJACK_OUTPUT"`, 'output_invalid'],
    ['a named pipe', 'mkfifo "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['an endless device', 'ln -s /dev/zero "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['a directory', 'mkdir "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['too much', 'head -c 2000000 /dev/zero | tr "\\0" 1 > "$SKIPJACK_OUTPUT"', 'output_too_large'],
  ] as const)('an output file with %s fails the attempt', async ([, run, code]) => {
    expect(await script(`${run}; echo kept`)).toMatchObject({
      kind: 'failed',
      error: { code },
      output: 'kept',
      exitCode: 0,
    });
  });

  test('what Postgres cannot store is replaced', async () => {
    expect(await command('printf', ['a\\000b\\377c\\303'])).toMatchObject({
      output: 'a\ufffdb\ufffdc\ufffd',
    });
  });

  test('200 MB of output are cut, in bounded memory, without stalling the program', async () => {
    const before = process.memoryUsage().rss;
    let peak = before;
    const watch = setInterval(() => {
      peak = Math.max(peak, process.memoryUsage().rss);
    }, 5);
    const ending = await script('head -c 200000000 /dev/zero | tr "\\0" x; echo end >&2');
    clearInterval(watch);
    expect(ending.kind).toBe('completed');
    const output = String(ending.output);
    expect(Buffer.byteLength(output)).toBeLessThanOrEqual(outputBytesMax);
    expect(Buffer.byteLength(output)).toBeGreaterThan(outputBytesMax - 100);
    expect(output.endsWith('x\n[… cut: 200000000 bytes in all]')).toBe(true);
    expect(peak - before).toBeLessThan(100_000_000);
  });

  test.for([0, 1, 2, 3])('the cut never halves a character (shifted by %i bytes)', async (shift) => {
    // Node itself, because its arguments are the test's: 4-byte characters, 1.6 MB.
    const program = `process.stdout.write('x'.repeat(${shift}) + '\u{1f41f}'.repeat(400_000))`;
    const ending = await command(process.execPath, ['-e', program]);
    expect(String(ending.kind === 'completed' && ending.output)).toMatch(
      new RegExp(`^x{${shift}}(\u{1f41f})+\n\\[… cut: ${1_600_000 + shift} bytes in all\\]$`, 'u'),
    );
  });

  test('a megabyte of what is no text stays within the bound though replacements are longer', async () => {
    const ending = await script('head -c 1000000 /dev/zero | tr "\\0" "\\377"');
    expect(Buffer.byteLength(String(ending.kind === 'completed' && ending.output))).toBeLessThanOrEqual(
      outputBytesMax,
    );
  });
});

describe('failure', () => {
  test('a failed command says its code and the last line of its stderr', async () => {
    const ending = await script(
      'echo partly; echo first >&2; printf "\\033[31mno such loan\\033[0m\\n" >&2; exit 3',
    );
    expect(ending).toEqual({
      kind: 'failed',
      error: {
        code: 'exit_code',
        message: 'the command exited with code 3: no such loan',
        details: { exit_code: 3, stderr: 'first\n\u001b[31mno such loan\u001b[0m' },
      },
      output: 'partly',
      exitCode: 3,
    });
  });

  test('a script fails at its first line that fails', async () => {
    expect(await script('false\necho fine')).toMatchObject({ kind: 'failed', exitCode: 1, output: '' });
  });

  test('a command that a signal ended says which', async () => {
    expect(await script('kill -9 $$')).toMatchObject({
      kind: 'failed',
      error: { message: 'the command was ended by SIGKILL', details: { exit_code: null, signal: 'SIGKILL' } },
      exitCode: null,
    });
  });

  test('the end of a long stderr is kept', async () => {
    const ending = await script('head -c 5000000 /dev/zero | tr "\\0" y >&2; echo the end >&2; exit 1');
    const { stderr } = (ending.kind === 'failed' ? ending.error.details : {}) as { stderr: string };
    expect(Buffer.byteLength(stderr)).toBeLessThanOrEqual(65_536);
    expect(stderr).toMatch(/^\[… cut: 5000008 bytes in all\]\ny+the end$/);
  });

  test('what cannot be started says why', async () => {
    expect(await command('no-such-command-here')).toMatchObject({
      kind: 'failed',
      error: { code: 'command_not_found' },
    });
    expect(await command('/etc/passwd')).toMatchObject({ kind: 'failed', error: { code: 'not_executable' } });
    expect(await command('/tmp')).toMatchObject({ kind: 'failed', error: { code: 'not_executable' } });
    expect(await command('echo', ['x'.repeat(3_000_000)])).toMatchObject({
      kind: 'failed',
      error: { code: 'command_spawn_failed', message: expect.stringContaining('E2BIG') },
    });
    expect(await command('echo', ['a\u0000b'])).toMatchObject({
      kind: 'failed',
      error: { code: 'command_spawn_failed' },
    });
  });
});

describe('environment', () => {
  test('holds the allow-list, the task and Skipjack, and no secret of the worker', async () => {
    const task = { id: '0197f8a0-0000-7000-8000-000000000001', attempt: 4, name: 'Umgebung' };
    process.env.DATABASE_URL = 'postgres://secret';
    process.env.SKIPJACK_API_KEY = 'secret';
    process.env.LC_TEST = 'de';
    const ending = await script('env', { env: { OWN: 'value', HOME: '/own' }, task });
    delete process.env.DATABASE_URL;
    delete process.env.SKIPJACK_API_KEY;
    delete process.env.LC_TEST;
    const lines = String(ending.kind === 'completed' && ending.output).split('\n');
    expect(lines).toEqual(
      expect.arrayContaining([
        'OWN=value',
        'HOME=/own',
        'LC_TEST=de',
        `PATH=${process.env.PATH}`,
        'SKIPJACK_TASK_ID=0197f8a0-0000-7000-8000-000000000001',
        'SKIPJACK_TASK_NAME=Umgebung',
        'SKIPJACK_ATTEMPT=4',
      ]),
    );
    expect(lines.join('\n')).not.toContain('secret');
    const names = lines.map((line) => line.split('=')[0]);
    const allowed =
      /^(PATH|HOME|LANG|TZ|TMPDIR|USER|LOGNAME|SHELL|LC_.*|OWN|SKIPJACK_(INPUT|OUTPUT|PROGRESS|TASK_ID|TASK_NAME|ATTEMPT)|PWD|OLDPWD|SHLVL|_)$/;
    expect(names.filter((name) => !allowed.test(name ?? ''))).toEqual([]);
  });

  test('the working directory is the worker’s, stdin is empty, the exchange folder is removed', async () => {
    const ending = await script('pwd; cat; echo "$SKIPJACK_INPUT"');
    const [cwd, input] = String(ending.kind === 'completed' && ending.output).split('\n');
    expect(cwd).toBe(process.cwd());
    expect(existsSync(String(input))).toBe(false);
  });

  test('a script longer than any argument may be runs', async () => {
    expect(await script(`: '${'x'.repeat(200_000)}'\necho long`)).toMatchObject({ output: 'long' });
  });
});

describe('stopping', () => {
  test('ends the whole group, grandchildren included', async () => {
    const stop = new AbortController();
    const run = `sh -c 'sleep 1000 & echo $! > ${folder}/grandchild; wait' & echo partly; while [ ! -s ${folder}/grandchild ]; do :; done; touch ${folder}/ready; wait`;
    const [ending] = await Promise.all([
      script(run, { signal: stop.signal }),
      abortWhen(join(folder, 'ready'), stop),
    ]);
    expect(ending).toMatchObject({ kind: 'stopped', output: 'partly', exitCode: null });
    expect(isAlive(join(folder, 'grandchild'))).toBe(false);
  });

  test('kills what ignores SIGTERM', async () => {
    const stop = new AbortController();
    const run = `trap '' TERM; echo $$ > ${folder}/pid; touch ${folder}/ready; while :; do sleep 1000; done`;
    const [ending] = await Promise.all([
      script(run, { signal: stop.signal, killGraceMs: 50 }),
      abortWhen(join(folder, 'ready'), stop),
    ]);
    expect(ending).toMatchObject({ kind: 'stopped', exitCode: null });
    expect(isAlive(join(folder, 'pid'))).toBe(false);
  });

  test('kills a grandchild that ignores SIGTERM when its parent has obeyed', async () => {
    const stop = new AbortController();
    const run = `sh -c 'trap "" TERM; echo $$ > ${folder}/grandchild; touch ${folder}/ready; while :; do sleep 1000; done' >/dev/null 2>&1 & wait`;
    await Promise.all([
      script(run, { signal: stop.signal, killGraceMs: 50 }),
      abortWhen(join(folder, 'ready'), stop),
    ]);
    expect(isAlive(join(folder, 'grandchild'))).toBe(false);
  });

  test.for([
    ['in a session of its own', 'setsid'],
    ['of which nobody is the parent any more, in a session of its own', 'setsid -f'],
  ])('kills a child %s that ignores SIGTERM', async ([, setsid]) => {
    const stop = new AbortController();
    const child = `trap "" TERM; echo $$ > ${folder}/child; touch ${folder}/ready; while :; do sleep 1000; done`;
    const run = `${setsid} sh -c '${child}' >/dev/null 2>&1 & wait; while :; do sleep 1000; done`;
    const [ending] = await Promise.all([
      script(run, { signal: stop.signal, killGraceMs: 50 }),
      abortWhen(join(folder, 'ready'), stop),
    ]);
    expect(ending.kind).toBe('stopped');
    expect(isAlive(join(folder, 'child'))).toBe(false);
  });

  test('a program that ends well on SIGTERM was stopped all the same', async () => {
    const stop = new AbortController();
    const run = `trap 'exit 0' TERM; touch ${folder}/ready; while :; do sleep 0.01; done`;
    const [ending] = await Promise.all([
      script(run, { signal: stop.signal, killGraceMs: 60_000 }),
      abortWhen(join(folder, 'ready'), stop),
    ]);
    expect(ending).toMatchObject({ kind: 'stopped', exitCode: 0 });
  });

  test('a signal aborted before the start stops it too', async () => {
    expect(await command('sleep', ['1000'], { signal: AbortSignal.abort() })).toMatchObject({
      kind: 'stopped',
    });
  });
});

describe('leftovers', () => {
  test('a child that holds stdout open does not hold up the end, and does not survive it', async () => {
    const ending = await script(`sleep 1000 & echo $! > ${folder}/child; echo done`);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done', exitCode: 0 });
    expect(isAlive(join(folder, 'child'))).toBe(false);
  });

  test('a child in the background does not survive either', async () => {
    const ending = await script(`sleep 1000 >/dev/null 2>&1 & echo $! > ${folder}/child; echo done`);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(isAlive(join(folder, 'child'))).toBe(false);
  });

  test('a child that ends soon after is waited for, and its output is kept', async () => {
    // How soon that is, is up to the machine too: what takes two seconds is ended, and says nothing of ours.
    for (let tries = 1, tookMs = 2_000; tries <= 5 && tookMs >= 2_000; tries += 1) {
      const startedMs = performance.now();
      const { output } = (await script('(sleep 0.2; echo late) & echo early')) as { output?: unknown };
      if (output === 'early\nlate') return;
      tookMs = performance.now() - startedMs;
    }
    expect.unreachable('it was not waited for');
  });

  test('a child in a session of its own that holds stdout open does not hold up the end, and does not survive it', async () => {
    const ending = await script(`setsid sh -c 'echo $$ > ${folder}/child; exec sleep 1000' & echo done`);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(isAlive(join(folder, 'child'))).toBe(false);
  });

  test('nor one that holds nothing open, after a program that was not quick', async () => {
    const daemon = `setsid sh -c 'echo $$ > ${folder}/child; exec sleep 1000' >/dev/null 2>&1 &`;
    const ending = await script(`${daemon} sleep 2.5; echo done`);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(isAlive(join(folder, 'child'))).toBe(false);
  });

  test('after a quick program it is ended some seconds later, also when it ignores SIGTERM', async () => {
    const daemon = (pid: string) =>
      `setsid sh -c 'trap "" TERM; echo $$ > ${pid}; while :; do sleep 1000; done' >/dev/null 2>&1 & while [ ! -s ${pid} ]; do :; done`;
    // How quick a program is, is up to the machine too: one that took a second is not, and its child has been ended.
    let pid = '';
    for (let tries = 1; tries <= 5 && !isAlive(pid); tries += 1) {
      pid = join(folder, `child-${tries}`);
      await script(daemon(pid), { killGraceMs: 50 });
    }
    expect(isAlive(pid), 'it outlives a quick program').toBe(true);
    await until('the child is gone', () => !isAlive(pid));
  });
});
