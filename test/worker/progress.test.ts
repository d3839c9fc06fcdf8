/** How a program says how far it is: `$SKIPJACK_PROGRESS`. */
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newId } from '../../src/core/ids.ts';
import { type ExecuteOptions, execute } from './support/execution.ts';

/** Between two looks at the file, and before the first. */
const lookMs = 1_000;

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'progress-test-'));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script that goes on by \`wait_for WHAT\` once the test has said so: looks come when the machine lets them. */
function scene() {
  const path = join(folder, newId());
  const waitFor = `wait_for() { while [ ! -e "${path}-$1" ]; do sleep 0.1; done; }\n`;
  return {
    script: (run: string, options: ExecuteOptions = {}) =>
      execute({ type: 'run', run: waitFor + run }, options),
    go: (what: string) => writeFileSync(`${path}-${what}`, ''),
    /** After another look. */
    goLater: (what: string) => setTimeout(() => writeFileSync(`${path}-${what}`, ''), lookMs * 1.5),
  };
}

// Together: each mostly waits for the looks, which are a second apart.
describe.concurrent('progress', () => {
  test('each change is told once, with the value of that time', async () => {
    const { script, goLater } = scene();
    const { ending, recorded } = await script(
      'echo 10 > "$SKIPJACK_PROGRESS"; wait_for second; echo \'{"step": "upload", "files": [1, 2]}\' > "$SKIPJACK_PROGRESS"; wait_for end',
      { onProgress: (value) => goLater(value === 10 ? 'second' : 'end') },
    );
    expect(ending.kind).toBe('completed');
    expect(recorded.progress).toEqual([10, { step: 'upload', files: [1, 2] }]);
    expect(recorded.said).toEqual([]);
  });

  test('a program that is quicker than the first look says nothing', async () => {
    const startedMs = performance.now();
    const { recorded } = await scene().script('echo 10 > "$SKIPJACK_PROGRESS"');
    const isQuick = performance.now() - startedMs < lookMs;
    expect(recorded.progress).toEqual(isQuick ? [] : expect.anything());
  });

  test.for([
    ['no JSON', 'echo half > "$SKIPJACK_PROGRESS"', 'it holds neither a number nor JSON'],
    ['more than a kibibyte', 'printf "%02000d" 1 > "$SKIPJACK_PROGRESS"', 'it is longer than 1024 bytes'],
    ['a NUL in a string', `printf '"\\\\u0000"' > "$SKIPJACK_PROGRESS"`, 'which Postgres cannot store'],
    ['a named pipe', 'mkfifo "$SKIPJACK_PROGRESS"', 'it is not a regular file'],
    ['a link', 'ln -s /etc/hostname "$SKIPJACK_PROGRESS"', 'it cannot be read (ELOOP)'],
  ] as const)('%s is ignored, and that is said once', async ([, run, why]) => {
    const { script, goLater } = scene();
    const { ending, recorded } = await script(`${run}; wait_for end; echo done`, {
      onSay: () => goLater('end'),
    });
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(recorded.progress).toEqual([]);
    expect(recorded.said).toEqual([
      { text: expect.stringMatching(/^\$SKIPJACK_PROGRESS is ignored: /), stream: 'skipjack' },
    ]);
    expect(recorded.said[0]?.text).toContain(why);
  });

  test('a value that is written in two halves is not complained of, and comes whole', async () => {
    const { script, go } = scene();
    const note = join(folder, newId());
    // Written by the test itself, between two looks: its timers and theirs go off in their order.
    const { recorded } = await script(
      `echo "$SKIPJACK_PROGRESS" > ${note}; echo 1 > "$SKIPJACK_PROGRESS"; wait_for end`,
      {
        onProgress: (value) => {
          if (value !== 1) return go('end');
          const path = readFileSync(note, 'utf8').trim();
          writeFileSync(path, '{"a":');
          setTimeout(() => appendFileSync(path, ' 1}'), lookMs * 1.5);
        },
      },
    );
    expect(recorded.progress.at(-1)).toEqual({ a: 1 });
    expect(recorded.said).toEqual([]);
  });

  test('what a mask hides is hidden in it', async () => {
    const { script, go } = scene();
    const json = (value: unknown) => JSON.parse(JSON.stringify(value).replaceAll('geheim', '***'));
    const { recorded } = await script(`echo '{"key": "geheim"}' > "$SKIPJACK_PROGRESS"; wait_for end`, {
      onProgress: () => go('end'),
      mask: {
        stream: () => ({ push: (chunk) => chunk, end: () => Buffer.alloc(0) }),
        text: (text) => text,
        json,
      },
    });
    expect(recorded.progress).toEqual([{ key: '***' }]);
  });
});
