import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { cli, isMissing, run, runtime, said } from './support/attempts.ts';

/** Something to post to, reachable from containers: answers what it was given. */
async function receive(): Promise<{ url: string; bodies: string[] }> {
  const bodies: string[] = [];
  const server = createServer(async (request, answer) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    bodies.push(Buffer.concat(chunks).toString('utf8'));
    answer.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '0.0.0.0', resolve));
  onTestFinished(() => void server.close());
  const [network, path] =
    runtime.kind === 'docker'
      ? ['bridge', '{{(index .IPAM.Config 0).Gateway}}']
      : ['podman', '{{(index .Subnets 0).Gateway}}'];
  const gateway = cli('network', 'inspect', network, `--format=${path}`);
  return { url: `http://${gateway}:${(server.address() as AddressInfo).port}/`, bodies };
}

describe.skipIf(isMissing)('the parts of a container task', () => {
  test('a container says hello, and its stdout is the output', async () => {
    const ran = await run({ cmd: ['echo', 'hello world'] });
    expect(ran.ending).toMatchObject({ kind: 'completed', output: 'hello world', exitCode: 0 });
    expect(said(ran)).toEqual(['hello world']);
  });

  test('pre fills the shared volume, main transforms it, post ships it', async () => {
    const { url, bodies } = await receive();
    const ran = await run({
      volumes: ['/shared'],
      pre: [
        {
          image: 'skipjack-test/busybox:1',
          name: 'download',
          cmd: ['sh', '-c', 'echo abc > /shared/in; echo got it'],
        },
      ],
      run: 'tr a-z A-Z < /shared/in > /shared/out\ncat /shared/out',
      post: [
        {
          image: 'skipjack-test/busybox:1',
          env: { TARGET: url },
          run: 'wget -q -O /dev/null --post-file /shared/out "$TARGET"; echo shipped >&2',
        },
      ],
    });
    expect(ran.ending).toMatchObject({ kind: 'completed', output: 'ABC' });
    expect(bodies).toEqual(['ABC\n']);
    expect(said(ran)).toEqual(['pre download: got it', 'ABC']);
    expect(said(ran, 'stderr')).toEqual(['post 1: shipped']);
  });

  test('post runs after a failed main, and sees what it came to', async () => {
    const show = 'echo "$SKIPJACK_OUTCOME $SKIPJACK_EXIT_CODE $SKIPJACK_ERROR_CODE $SKIPJACK_PART"';
    const ran = await run({
      run: 'echo half; echo oh no >&2; exit 3',
      post: [{ image: 'skipjack-test/busybox:1', name: 'report', run: show }],
    });
    expect(ran.ending).toMatchObject({
      kind: 'failed',
      exitCode: 3,
      output: 'half',
      error: {
        code: 'exit_code',
        message: 'the container exited with code 3: oh no',
        details: { exit_code: 3, stderr: 'oh no' },
      },
    });
    expect(said(ran)).toEqual(['half', 'post report: failed 3 exit_code post report']);
  });

  test('a failing post fails a task whose main completed, and the output is kept', async () => {
    const { ending } = await run({
      cmd: ['echo', 'made'],
      post: [{ image: 'skipjack-test/busybox:1', run: 'test "$SKIPJACK_OUTCOME" = completed; exit 9' }],
    });
    expect(ending).toMatchObject({
      kind: 'failed',
      output: 'made',
      exitCode: 9,
      error: { code: 'post_failed', message: 'post 1: the container exited with code 9' },
    });
  });

  test('after a failing pre neither main nor post runs', async () => {
    const ran = await run({
      pre: [
        { image: 'skipjack-test/busybox:1', run: 'echo one' },
        { image: 'skipjack-test/busybox:1', name: 'fetch', run: 'echo gone >&2; exit 4' },
        { image: 'skipjack-test/busybox:1', run: 'echo three' },
      ],
      cmd: ['echo', 'main'],
      post: [{ image: 'skipjack-test/busybox:1', cmd: ['echo', 'post'] }],
    });
    expect(ran.ending).toMatchObject({
      kind: 'failed',
      error: { code: 'pre_failed', message: 'pre fetch: the container exited with code 4: gone' },
    });
    expect(said(ran)).toEqual(['pre 1: one']);
  });

  test('a part that takes longer than its timeout is stopped', async () => {
    const { ending } = await run(
      { pre: [{ image: 'skipjack-test/busybox:1', name: 'slow', cmd: ['sleep', '60'], timeout: '300ms' }] },
      { killGraceMs: 200 },
    );
    expect(ending).toMatchObject({
      kind: 'failed',
      error: { code: 'part_timed_out', message: 'pre slow: it was stopped after its timeout of 300ms' },
    });
  });

  test('an attempt finds nothing of an earlier one in its volumes', async () => {
    const spec = { volumes: ['/data'], run: 'ls /data; echo x > /data/x' };
    expect((await run(spec)).ending).toMatchObject({ kind: 'completed', output: '' });
    expect((await run(spec)).ending).toMatchObject({ kind: 'completed', output: '' });
  });
});

describe.skipIf(isMissing)('sidecars', () => {
  const web = {
    image: 'skipjack-test/busybox:1',
    name: 'web',
    files: { '/www/index.html': 'from the sidecar\n' },
    cmd: ['httpd', '-f', '-p', '8080', '-h', '/www'],
  };

  test('main reaches a sidecar by its name once its probe has succeeded', async () => {
    const ran = await run({
      sidecars: [{ ...web, probe: { port: 8080, path: '/index.html', interval: '50ms' } }],
      cmd: ['wget', '-q', '-O', '-', 'http://web:8080/index.html'],
    });
    expect(ran.ending).toMatchObject({ kind: 'completed', output: 'from the sidecar' });
    expect(said(ran, 'skipjack')).toEqual(['starting sidecar web']);
  });

  test('a probe may be a command, and pre and post reach the sidecar too', async () => {
    const ask = {
      image: 'skipjack-test/busybox:1',
      cmd: ['wget', '-q', '-O', '-', 'http://web:8080/index.html'],
    };
    const ran = await run({
      sidecars: [
        {
          ...web,
          probe: {
            cmd: ['wget', '-q', '-O', '-', 'http://127.0.0.1:8080/'],
            interval: '50ms',
            timeout: '50s',
          },
        },
      ],
      pre: [ask],
      cmd: ['true'],
      post: [ask],
    });
    expect(ran.ending).toMatchObject({ kind: 'completed' });
    expect(said(ran)).toEqual(['pre 1: from the sidecar', 'post 1: from the sidecar']);
  });

  test('one that never gets ready fails the task before main starts', async () => {
    const ran = await run({
      sidecars: [{ ...web, probe: { port: 8080, path: '/missing', interval: '50ms', timeout: '5s' } }],
      cmd: ['echo', 'main'],
    });
    expect(ran.ending).toMatchObject({
      kind: 'failed',
      error: {
        code: 'sidecar_unhealthy',
        // It is asked from inside when it does not answer soon enough from outside.
        message: expect.stringMatching(
          /^sidecar web was not ready within 5s: (it answered with HTTP status 404|its probe exited with code 1)$/,
        ),
      },
    });
    expect(said(ran)).toEqual([]);
  });

  test('one that exits stops a main that cannot do without it', async () => {
    const ran = await run(
      {
        volumes: ['/shared'],
        sidecars: [
          {
            image: 'skipjack-test/busybox:1',
            name: 'db',
            run: 'while [ ! -e /shared/waiting ]; do sleep 0.1; done; echo crashed >&2; exit 5',
          },
        ],
        run: 'echo waiting; touch /shared/waiting; sleep 60',
      },
      { killGraceMs: 200 },
    );
    expect(ran.ending).toMatchObject({
      kind: 'failed',
      output: 'waiting',
      error: {
        code: 'sidecar_exited',
        message: 'sidecar db exited with code 5 before the task had ended: crashed',
      },
    });
  });
});
