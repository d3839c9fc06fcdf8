import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { instance, isMissing, run, said, touchInMain } from './support/attempts.ts';

describe.skipIf(isMissing)('what goes into a container and comes out', () => {
  test('the input, whose it is, and stdin', async () => {
    const ran = await run(
      {
        run: 'cat "$SKIPJACK_INPUT"; echo; cat; echo "$SKIPJACK_TASK_ID $SKIPJACK_TASK_NAME $SKIPJACK_ATTEMPT $SKIPJACK_PROCESS_ID $SKIPJACK_PART"',
        stdin: 'from stdin\n',
      },
      {
        task: {
          input: { n: 1 },
          needs: { before: [true] },
          process: { id: instance, definition: 'd', version: 2, input: 'all' },
          item: { index: 2, value: 'c' },
        },
      },
    );
    const [input, stdin, ids] = said(ran);
    expect(JSON.parse(input ?? '')).toEqual({
      input: { n: 1 },
      needs: { before: [true] },
      process: { id: instance, definition: 'd', version: 2, input: 'all' },
      item: { index: 2, value: 'c' },
    });
    expect(stdin).toBe('from stdin');
    expect(ids).toBe(`${ran.taskId} test task 1 ${instance} main`);
  });

  test('files lie in the working directory or where their names say, and scripts may be called', async () => {
    const { ending } = await run({
      workdir: '/work/here',
      files: {
        'data/a.txt': 'A',
        './b.sh': '#!/bin/sh\necho "B $1"\n',
        '/etc/c.conf': 'C',
        [`${'long/'.repeat(30)}ä.txt`]: 'L',
      },
      cmd: [
        'sh',
        '-c',
        'pwd; cat data/a.txt /etc/c.conf; cat long/long/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/*/ä.txt; ./b.sh x',
      ],
    });
    expect(ending).toMatchObject({ kind: 'completed', output: '/work/here\nACLB x' });
  });

  test('without a workdir relative files lie in that of the image', async () => {
    const { ending } = await run({ files: { 'a.txt': 'A' }, cmd: ['cat', '/a.txt'] });
    expect(ending).toMatchObject({ kind: 'completed', output: 'A' });
  });

  test('another user may write its output and to shared volumes', async () => {
    const { ending } = await run({
      user: '1234:1234',
      volumes: ['/shared/deep'],
      run: 'id -u; touch /shared/deep/x; echo \'{"who": "me"}\' > "$SKIPJACK_OUTPUT"',
    });
    expect(ending).toMatchObject({ kind: 'completed', output: { who: 'me' } });
  });

  test('entrypoint is replaced or kept, and arguments are never options of the runtime', async () => {
    const { ending } = await run({ entrypoint: ['echo', '-n', 'a'], cmd: ['--privileged', '$HOME', 'b  c'] });
    expect(ending).toMatchObject({ kind: 'completed', output: 'a --privileged $HOME b  c' });
  });

  test.each([
    ['a named pipe', 'mkfifo "$SKIPJACK_OUTPUT"', 'output_invalid'],
    [
      'a folder',
      'mkdir "$SKIPJACK_OUTPUT"; yes | head -c 5000000 > "$SKIPJACK_OUTPUT/big"',
      'output_invalid',
    ],
    ['no JSON', 'echo "{" > "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['no UTF-8', 'printf \'"\\377"\' > "$SKIPJACK_OUTPUT"', 'output_invalid'],
    ['too large', 'yes | head -c 1048577 > "$SKIPJACK_OUTPUT"', 'output_too_large'],
    ['as large as a disk', 'truncate -s 100G "$SKIPJACK_OUTPUT"', 'output_too_large'],
  ])('an output that is %s is named and not read', async (_, script, code) => {
    const { ending } = await run({ run: `${script}\necho said` });
    expect(ending).toMatchObject({ kind: 'failed', error: { code }, output: 'said' });
  });

  test('links of the container lead nowhere outside of it', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'skipjack-host-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'output.json'), '"of the host"');
    for (const root of ['', '/proc/1/root', '/proc/self/root']) {
      for (const script of [
        `ln -s ${root}${folder}/output.json "$SKIPJACK_OUTPUT"`,
        `rm -r /skipjack && ln -s ${root}${folder} /skipjack || true`,
      ]) {
        const { ending } = await run({ run: `${script}\necho said` });
        // docker shows the link itself, podman what it leads to in the container: nothing.
        if (ending.kind === 'failed') expect(ending.error.code, script).toBe('output_invalid');
        expect(ending.kind === 'stopped' ? null : ending.output, script).toBe('said');
      }
    }
  });

  test('an empty output file is none', async () => {
    const { ending } = await run({ run: 'echo said; echo > "$SKIPJACK_OUTPUT"' });
    expect(ending).toMatchObject({ kind: 'completed', output: 'said' });
  });

  test('progress is told while it runs', async () => {
    const ran = await run(
      { run: 'echo 40 > "$SKIPJACK_PROGRESS"; while [ ! -e /tmp/told ]; do sleep 0.2; done' },
      { onProgress: () => touchInMain('/tmp/told') },
    );
    expect(ran.progress).toEqual([40]);
  });

  test('values of every kind reach the environment', async () => {
    const env = {
      PLAIN: 'a b',
      QUOTED: `"double" 'single' \\ $HOME \`x\``,
      MULTI: 'one\ntwo\n',
      RETURN: 'end\r',
      EMPTY: '',
      HASH: '# no comment',
      PATH: '/bin:/task',
      DOCKER_HOST: 'tcp://task:1',
      LD_PRELOAD: '/task.so',
      LARGE: 'x'.repeat(100_000),
    };
    const ran = await run({
      env,
      run: 'for name in PLAIN QUOTED MULTI RETURN EMPTY HASH PATH DOCKER_HOST LD_PRELOAD; do eval "printf %s \\"\\$$name\\"" | base64 -w 0; echo; done\necho ${#LARGE}',
    });
    expect(ran.ending, JSON.stringify(ran.ending)).toMatchObject({ kind: 'completed' });
    const lines = said(ran);
    const { LARGE: _, ...rest } = env;
    expect(lines.slice(0, 9).map((line) => Buffer.from(line, 'base64').toString())).toEqual(
      Object.values(rest),
    );
    expect(lines.slice(9)).toEqual(['100000']);
    // A shell would not pass it on.
    const dotted = await run({ env: { 'with.dot': 'dotted' }, cmd: ['env'] });
    expect(said(dotted)).toContain('with.dot=dotted');
  });

  test('streams are masked before they are kept or told', async () => {
    const upper = {
      stream: () => ({
        push: (chunk: Buffer) => Buffer.from(chunk.toString().replaceAll('s3cret', '***')),
        end: () => Buffer.from('end of stream\n'),
      }),
      text: (text: string) => text,
      json: <Value>(value: Value) => value,
    };
    const ran = await run({ cmd: ['echo', 's3cret'] }, { mask: upper });
    expect(ran.ending).toMatchObject({ output: '***\nend of stream' });
    expect(said(ran)).toEqual(['***', 'end of stream']);
  });
});
