import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { removeThings } from '../../../src/worker/executors/container/cleanup.ts';
import { findRuntime } from '../../../src/worker/executors/container/runtime.ts';
import { because } from '../../support/skip.ts';
import { cli, instance, isMissing, run, runtime, said } from './support/attempts.ts';

/** A registry on loopback, which the daemon takes without TLS, that answers everything alike. */
async function registry(status: number): Promise<{ host: string; logins: (string | undefined)[] }> {
  const logins: (string | undefined)[] = [];
  const server = createServer((request, answer) => {
    logins.push(request.headers.authorization);
    answer.setHeader('content-type', 'application/json');
    if (request.headers.authorization === undefined && status === 401) {
      answer.statusCode = 401;
      answer.setHeader('www-authenticate', 'Basic realm="test"');
      answer.end(JSON.stringify({ errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] }));
      return;
    }
    answer.statusCode = request.url === '/v2/' ? 200 : status;
    const code = { 401: 'UNAUTHORIZED', 403: 'DENIED', 404: 'MANIFEST_UNKNOWN' }[status] ?? 'UNKNOWN';
    answer.end(
      request.url === '/v2/' ? '{}' : JSON.stringify({ errors: [{ code, message: code.toLowerCase() }] }),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, logins };
}

const codeOf = async (...args: Parameters<typeof run>) => {
  const { ending } = await run(...args);
  expect(ending.kind).toBe('failed');
  return ending.kind === 'failed' ? ending.error : { code: '', message: '' };
};

describe.skipIf(isMissing)('what goes wrong has a name', () => {
  test('an image that its registry does not have', async () => {
    const { host } = await registry(404);
    const error = await codeOf({ image: `${host}/acme/denied:1`, cmd: ['true'] });
    expect(error).toMatchObject({ code: 'image_not_found' });
    expect(error.message).toContain(`there is no image ${host}/acme/denied:1`);
  });

  test('a registry that refuses, with a login and without', async () => {
    const { host } = await registry(401);
    expect(await codeOf({ image: `${host}/acme/app:1`, cmd: ['true'] })).toMatchObject({
      code: 'registry_refused',
    });
    const forbidden = await registry(403);
    expect(await codeOf({ image: `${forbidden.host}/acme/app:1` })).toMatchObject({
      code: 'registry_refused',
    });
  });

  test('the registry of the image gets the login, nobody else does, and no command line shows it', async () => {
    const { host, logins } = await registry(401);
    const other = await registry(404);
    const login = { registry: { username: 'ada', password: 'p4ss:word' } };
    await codeOf({ image: `${host}/acme/app:1`, ...login });
    expect(logins).toContain(`Basic ${Buffer.from('ada:p4ss:word').toString('base64')}`);
    await codeOf({ ...login, pre: [{ image: `${other.host}/acme/other:1` }] });
    expect(other.logins.length).toBeGreaterThan(0);
    expect(other.logins.filter((each) => each !== undefined)).toEqual([]);
  });

  test('a registry that cannot be reached', async () => {
    const error = await codeOf({ image: '127.0.0.1:1/acme/app:1' });
    expect(error).toMatchObject({ code: 'image_pull_failed' });
  });

  test('an image that is not there and must not be pulled', async () => {
    const error = await codeOf({ image: 'skipjack-test/missing:1', pull: 'never' });
    expect(error).toMatchObject({ code: 'image_not_present' });
  });

  test('an image that is pulled each time is asked for although it is there', async () => {
    const { host } = await registry(404);
    const image = `${host}/acme/here:1`;
    cli('tag', 'skipjack-test/busybox:1', image);
    onTestFinished(() => void cli('rmi', image));
    expect((await run({ image, cmd: ['true'] })).ending).toMatchObject({ kind: 'completed' });
    const ran = await run({ image, cmd: ['true'], pull: 'always' });
    expect(ran.ending).toMatchObject({ kind: 'failed', error: { code: 'image_not_found' } });
    expect(said(ran, 'skipjack')).toEqual([`pulling image ${image}`]);
  });

  test('a program that the image does not have, or that is none', async () => {
    const missing = await codeOf({ cmd: ['no-such-program'] });
    expect(missing).toMatchObject({ code: 'container_command_not_found' });
    expect(missing.message).toContain('"no-such-program" was not found in the image skipjack-test/busybox:1');
    expect(await codeOf({ cmd: ['/etc'] })).toMatchObject({ code: 'container_not_executable' });
  });

  test('a container that cannot be made or started says why', async () => {
    const user = await codeOf({ cmd: ['true'], user: 'nobody-here' });
    expect(user).toMatchObject({ code: 'container_failed_to_start' });
    expect(user.message).toContain('nobody-here');
    const workdir = await codeOf({ cmd: ['true'], workdir: '/bin/busybox' });
    expect(workdir).toMatchObject({ code: 'container_failed_to_start' });
  });

  test('a script that fails at its first line, with the last line of stderr', async () => {
    const { ending } = await run({ run: 'false\necho never' });
    expect(ending).toMatchObject({ kind: 'failed', exitCode: 1, error: { code: 'exit_code' } });
    // 127 of the shell is the script's own.
    expect(await codeOf({ run: 'no-such-program' })).toMatchObject({
      code: 'exit_code',
      details: { exit_code: 127 },
    });
  });

  test('killed by somebody else is not out of memory', async () => {
    const error = await codeOf(
      { run: 'echo up; sleep 60' },
      {
        onLine: ({ text }) => {
          if (text !== 'up') return;
          const filter = `--filter=label=skipjack.instance=${instance}`;
          const name = cli('ps', '--all', filter, '--format={{.Names}}');
          void runtime.run(['kill', name]);
        },
      },
    );
    expect(error).toMatchObject({ code: 'killed', details: { exit_code: 137 } });
  });

  test.skipIf(because('podman has no daemon that could be down', runtime?.kind !== 'docker'))(
    'a daemon that is down',
    async () => {
      const { DOCKER_HOST } = process.env;
      process.env.DOCKER_HOST = 'unix:///tmp/no-such-docker.sock';
      try {
        const error = await codeOf({ cmd: ['true'] });
        expect(error).toMatchObject({ code: 'container_runtime_unreachable' });
        expect(error.message).toContain('Start its daemon');
      } finally {
        if (DOCKER_HOST === undefined) delete process.env.DOCKER_HOST;
        else process.env.DOCKER_HOST = DOCKER_HOST;
      }
    },
  );

  test.skipIf(because('podman has no daemon that could be down', runtime?.kind !== 'docker'))(
    'a daemon that is not found is not taken for things that are gone',
    async () => {
      const { DOCKER_HOST } = process.env;
      process.env.DOCKER_HOST = 'tcp://127.0.0.1.invalid:1';
      try {
        const left: string[] = [];
        await removeThings(runtime, 'container', ['skipjack-x'], performance.now() + 2_000, left);
        expect(left).toEqual([expect.stringContaining('skipjack-x')]);
      } finally {
        if (DOCKER_HOST === undefined) delete process.env.DOCKER_HOST;
        else process.env.DOCKER_HOST = DOCKER_HOST;
      }
    },
  );

  test('more arguments than the system takes', async () => {
    const error = await codeOf({ cmd: Array.from({ length: 40 }, () => 'x'.repeat(100_000)) });
    expect(error).toMatchObject({
      code: 'container_spec_invalid',
      message: expect.stringContaining('"files"'),
    });
  });

  test('a runtime that is not installed is used all the same if it was named, and says so', async () => {
    const missing = await findRuntime('/no/such/docker');
    expect(missing).not.toBeNull();
    const error = await codeOf({ cmd: ['true'] }, { runtime: missing ?? runtime });
    expect(error).toMatchObject({ code: 'container_runtime_unreachable' });
  });
});
