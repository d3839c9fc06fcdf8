/** What a task's `stdin` is for its program. */
import { expect, test } from 'vitest';
import { execute, withoutUsage } from './support/execution.ts';

test('the program reads the text of the task, and then the end', async () => {
  const stdin = 'erste Zeile\nzweite \u{1f41f} ohne Ende';
  const { ending } = await execute({ type: 'command', command: 'cat', args: [], stdin });
  expect(withoutUsage(ending)).toEqual({ kind: 'completed', output: stdin, exitCode: 0 });
});

test('a script may read it too', async () => {
  const { ending } = await execute({
    type: 'run',
    run: 'read one; read two; echo "$two $one"',
    stdin: 'a\nb\n',
  });
  expect(ending).toMatchObject({ kind: 'completed', output: 'b a' });
});

test('an empty text and none are both the end at once', async () => {
  for (const more of [{ stdin: '' }, {}]) {
    const { ending } = await execute({ type: 'command', command: 'wc', args: ['-c'], ...more });
    expect(ending).toMatchObject({ kind: 'completed', output: '0' });
  }
});

test.for<[string, string]>([
  ['ends', 'exit 0'],
  ['closes it and goes on', 'exec <&-; sleep 0.2; echo fine'],
  ['reads a little of it', 'head -c 10 >/dev/null'],
])('a program that %s without reading it all has not failed', async ([, run]) => {
  const { ending } = await execute({ type: 'run', run, stdin: 'x'.repeat(1_000_000) });
  expect(ending).toMatchObject({ kind: 'completed', exitCode: 0 });
});
