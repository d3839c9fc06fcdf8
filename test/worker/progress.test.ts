/** How a program says how far it is: `$SKIPJACK_PROGRESS`. */
import { describe, expect, test } from 'vitest';
import { execute } from './support/execution.ts';

function script(run: string) {
  return execute({ type: 'run', run });
}

// Together: each mostly waits for the looks, which are a second apart.
describe.concurrent('progress', () => {
  test('each change is told once, with the value of that time', async () => {
    const { ending, recorded } = await script(
      'echo 10 > "$SKIPJACK_PROGRESS"; sleep 2.5; echo \'{"step": "upload", "files": [1, 2]}\' > "$SKIPJACK_PROGRESS"; sleep 1.5',
    );
    expect(ending.kind).toBe('completed');
    expect(recorded.progress).toEqual([10, { step: 'upload', files: [1, 2] }]);
    expect(recorded.said).toEqual([]);
  });

  test('a program that is quicker than the first look says nothing', async () => {
    const { recorded } = await script('echo 10 > "$SKIPJACK_PROGRESS"');
    expect(recorded.progress).toEqual([]);
  });

  test.for([
    ['no JSON', 'echo half > "$SKIPJACK_PROGRESS"', 'it holds neither a number nor JSON'],
    ['more than a kibibyte', 'printf "%02000d" 1 > "$SKIPJACK_PROGRESS"', 'it is longer than 1024 bytes'],
    ['a NUL in a string', `printf '"\\\\u0000"' > "$SKIPJACK_PROGRESS"`, 'which Postgres cannot store'],
    ['a named pipe', 'mkfifo "$SKIPJACK_PROGRESS"', 'it is not a regular file'],
    ['a link', 'ln -s /etc/hostname "$SKIPJACK_PROGRESS"', 'it cannot be read (ELOOP)'],
  ] as const)('%s is ignored, and that is said once', async ([, run, why]) => {
    const { ending, recorded } = await script(`${run}; sleep 3.4; echo done`);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(recorded.progress).toEqual([]);
    expect(recorded.said).toEqual([
      { text: expect.stringMatching(/^\$SKIPJACK_PROGRESS is ignored: /), stream: 'skipjack' },
    ]);
    expect(recorded.said[0]?.text).toContain(why);
  });

  test('a value that is written in two halves is not complained of, and comes whole', async () => {
    const { recorded } = await script(
      `printf '{"a":' > "$SKIPJACK_PROGRESS"; sleep 1.4; printf ' 1}' >> "$SKIPJACK_PROGRESS"; sleep 1.2`,
    );
    expect(recorded).toMatchObject({ progress: [{ a: 1 }], said: [] });
  });

  test('what a mask hides is hidden in it', async () => {
    const json = (value: unknown) => JSON.parse(JSON.stringify(value).replaceAll('geheim', '***'));
    const { recorded } = await execute(
      { type: 'run', run: `echo '{"key": "geheim"}' > "$SKIPJACK_PROGRESS"; sleep 1.4` },
      {
        mask: {
          stream: () => ({ push: (chunk) => chunk, end: () => Buffer.alloc(0) }),
          text: (text) => text,
          json,
        },
      },
    );
    expect(recorded.progress).toEqual([{ key: '***' }]);
  });
});
