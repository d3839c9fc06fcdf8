/** What a worker allows its commands and scripts, whatever a task asks for. */

import { chmodSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { commandExecutor } from '../../src/worker/executors/command.ts';
import { type CommandPolicy, defaultPolicy } from '../../src/worker/policy.ts';
import { because } from '../support/skip.ts';
import { execute, isAlive, makeFolder, withoutUsage } from './support/execution.ts';

const isRoot = process.geteuid?.() === 0;

function command(name: string, args: string[], policy: Partial<CommandPolicy>, env?: Record<string, string>) {
  return execute({ type: 'command', command: name, args, ...(env && { env }) }, { policy });
}

function script(run: string, policy: Partial<CommandPolicy>, env?: Record<string, string>) {
  return execute({ type: 'run', run, ...(env && { env }) }, { policy });
}

/** Sets variables of the worker's environment for this test. */
function withEnvironment(variables: Record<string, string>): void {
  const before = { ...process.env };
  Object.assign(process.env, variables);
  onTestFinished(() => {
    for (const name of Object.keys(variables)) {
      if (before[name] === undefined) delete process.env[name];
      else process.env[name] = before[name];
    }
  });
}

describe('a list of commands', () => {
  test('lets run what is on it, by name or path', async () => {
    for (const allow of [['echo'], ['/bin/echo'], ['/usr/bin/echo'], ['cat', 'echo']]) {
      for (const name of ['echo', '/bin/echo', '/usr/bin/echo', '/usr/bin/../bin/echo']) {
        const { ending } = await command(name, ['fine'], { allow });
        expect(withoutUsage(ending)).toEqual({ kind: 'completed', output: 'fine', exitCode: 0 });
      }
    }
  });

  test('refuses everything else for good, and says what is allowed', async () => {
    const { ending } = await command('sh', ['-c', 'echo no'], { allow: ['echo', '/usr/bin/git'] });
    expect(ending).toEqual({
      kind: 'failed',
      error: {
        code: 'not_allowed',
        message: 'this worker\'s policy allows only the commands echo, /usr/bin/git: not "sh"',
      },
      retry: false,
      exitCode: null,
    });
    expect((await command('echo', [], { allow: [] })).ending).toMatchObject({
      error: { code: 'not_allowed' },
    });
  });

  test('is not got round by another program of the same name', async () => {
    const folder = await makeFolder();
    writeFileSync(join(folder, 'echo'), '#!/bin/sh\necho stolen\n', { mode: 0o755 });
    const policy = { allow: ['echo'] };
    const refused = { kind: 'failed', error: { code: 'not_allowed' }, retry: false };
    expect((await command(join(folder, 'echo'), [], policy)).ending).toMatchObject(refused);
    expect((await command('echo', [], policy, { PATH: `${folder}:/usr/bin` })).ending).toMatchObject(refused);
    expect((await command('./echo', [], { ...policy, workdir: folder })).ending).toMatchObject(refused);
    // An empty part of the PATH is the working directory.
    expect(
      (await command('echo', [], { ...policy, workdir: folder }, { PATH: ':/usr/bin' })).ending,
    ).toMatchObject(refused);
  });

  test('is not got round by another name of the same file', async () => {
    const folder = await makeFolder();
    // As where all programs are links to busybox.
    symlinkSync('/bin/sh', join(folder, 'echo'));
    symlinkSync('/bin/sh', join(folder, 'sh'));
    const policy = { allow: [join(folder, 'echo')] };
    expect((await command(join(folder, 'sh'), [], policy)).ending).toMatchObject({
      error: { code: 'not_allowed' },
    });
    const { ending } = await command(join(folder, 'echo'), ['-c', 'echo "$0"'], policy);
    expect(ending).toMatchObject({ kind: 'completed', output: join(folder, 'echo') });
  });

  test('says when an allowed command is not there', async () => {
    expect((await command('no-such-command', [], { allow: ['no-such-command'] })).ending).toMatchObject({
      error: { code: 'command_not_found' },
    });
    expect((await command('echo', [], { allow: ['echo'] }, { PATH: '/nowhere' })).ending).toMatchObject({
      error: { code: 'command_not_found' },
    });
  });

  test('what is no file name at all is refused like anything else', async () => {
    for (const name of ['', '/', 'a\u0000b', '..']) {
      expect((await command(name, [], { allow: ['echo'] })).ending).toMatchObject({
        kind: 'failed',
        error: { code: 'not_allowed' },
      });
    }
  });

  test('a task may not have other code loaded into an allowed command', async () => {
    const { ending } = await command('echo', [], { allow: ['echo'] }, { LD_PRELOAD: '/tmp/own.so' });
    expect(ending).toMatchObject({
      error: { code: 'not_allowed', message: expect.stringContaining('LD_PRELOAD') },
      retry: false,
    });
  });

  test('nor have its interpreter run something before it', async () => {
    const folder = await makeFolder();
    const report = join(folder, 'report');
    writeFileSync(report, '#!/bin/bash\necho report\n', { mode: 0o755 });
    const envs: Record<string, string>[] = [
      { BASH_ENV: `$(touch ${folder}/other)` },
      { SHELLOPTS: 'xtrace', PS4: `$(touch ${folder}/other)` },
      { NODE_OPTIONS: '--import=data:text/javascript,0' },
      { PYTHONPATH: folder },
      { PERL5OPT: '-Mother' },
    ];
    for (const env of envs) {
      const { ending } = await command(report, [], { allow: [report] }, env);
      expect(ending).toMatchObject({ error: { code: 'not_allowed' }, retry: false });
    }
    expect(existsSync(join(folder, 'other'))).toBe(false);
    const { ending } = await command(report, [], { allow: [report] }, { NODE_ENV: 'test' });
    expect(ending).toMatchObject({ kind: 'completed', output: 'report' });
  });
});

test('scripts can be forbidden', async () => {
  expect((await script('echo no', { scripts: false })).ending).toEqual({
    kind: 'failed',
    error: {
      code: 'not_allowed',
      message: "this worker's policy allows only commands, and no scripts (run)",
    },
    retry: false,
    exitCode: null,
  });
  expect((await script('echo yes', { scripts: true, allow: ['echo'] })).ending).toMatchObject({
    output: 'yes',
  });
});

describe('the working directory', () => {
  test('is the policy’s', async () => {
    const folder = await makeFolder();
    expect((await script('pwd', { workdir: folder })).ending).toMatchObject({ output: folder });
  });

  test('that is not there is said to be the worker’s trouble', async () => {
    const { ending } = await script('pwd', { workdir: '/no/such/folder' });
    expect(ending).toMatchObject({
      kind: 'failed',
      error: {
        code: 'command_spawn_failed',
        message: 'the folder "/no/such/folder", in which this worker runs commands, is not there',
      },
    });
  });
});

test('the policy names variables to pass on, but never the database or the keys', async () => {
  const secret = {
    DATABASE_URL: 'geheim',
    SKIPJACK_DATABASE_URL: 'geheim',
    SKIPJACK_API_KEY: 'geheim',
    SKIPJACK_API_KEYS: 'geheim',
    SKIPJACK_SECRET_NAME: 'geheim',
    PGPASSWORD: 'geheim',
    PGPASSFILE: 'geheim',
  };
  withEnvironment({ ...secret, REGION: 'eu', PGHOST: 'db', OTHER: 'not passed on' });
  const { ending } = await script('env', { env: ['REGION', 'PGHOST', 'MISSING', ...Object.keys(secret)] });
  const output = ending.kind === 'completed' ? String(ending.output) : '';
  expect(output.split('\n')).toEqual(expect.arrayContaining(['REGION=eu', 'PGHOST=db']));
  expect(output).not.toMatch(/geheim|not passed on|MISSING/);
});

describe.skipIf(because('only root may become another user', !isRoot))('another user', () => {
  const nobody = { uid: 65_534, gid: null };

  test('runs the program, with its group and its home, and reads and writes the files of the attempt', async () => {
    withEnvironment({ HOME: '/root', SHELL: '/bin/zsh' });
    const { ending } = await execute(
      {
        type: 'run',
        run: 'id -u; id -g; id -G; echo "$HOME $USER"; cat "$SKIPJACK_INPUT" > "$SKIPJACK_OUTPUT.draft"; cat >&2; ls -ld "$(dirname "$SKIPJACK_OUTPUT")"',
        stdin: 'read',
      },
      { policy: nobody, task: { input: 7 } },
    );
    expect(ending).toMatchObject({ kind: 'completed' });
    const [uid, gid, groups, home, folder] = String(ending.kind === 'completed' && ending.output).split('\n');
    expect([uid, gid, groups]).toEqual(['65534', '65534', '65534']);
    expect(home).toBe('/nonexistent nobody');
    expect(folder).toMatch(/^drwx------ .* nobody nogroup/);
    const written = await execute(
      { type: 'run', run: 'cat "$SKIPJACK_INPUT" > "$SKIPJACK_OUTPUT"' },
      { policy: nobody, task: { input: 7 } },
    );
    expect(written.ending).toMatchObject({ output: { input: 7 } });
  });

  test('leaves nothing behind, whatever is in the folder', async () => {
    const { ending } = await execute(
      {
        type: 'run',
        run: 'cd "$(dirname "$SKIPJACK_OUTPUT")"; mkdir -p a/b; touch a/b/c; ln -s /etc etc; echo "$SKIPJACK_OUTPUT"',
      },
      { policy: nobody },
    );
    const outputPath = String(ending.kind === 'completed' && ending.output);
    expect(outputPath).toMatch(/\/program\/output\.json$/);
    expect(existsSync(dirname(dirname(outputPath)))).toBe(false);
    expect(existsSync('/etc/passwd')).toBe(true);
  });

  test('cannot have the worker read for it what it may not read itself', async () => {
    const folder = await makeFolder();
    await chmod(folder, 0o755);
    const secretPath = join(folder, 'secret.json');
    writeFileSync(secretPath, '"geheim"', { mode: 0o600 });
    const { ending } = await execute(
      {
        type: 'run',
        run: `ln -s ${secretPath} "$SKIPJACK_OUTPUT"; ln -s ${secretPath} "$SKIPJACK_PROGRESS"; sleep 2.3`,
      },
      { policy: nobody },
    );
    expect(ending).toMatchObject({ kind: 'failed', error: { code: 'output_invalid' } });
    expect(JSON.stringify(ending)).not.toContain('geheim');
  });

  test('cannot see or change what the worker notes for itself', async () => {
    const { ending } = await execute(
      {
        type: 'run',
        run: 'own="$(dirname "$(dirname "$SKIPJACK_OUTPUT")")"; ls "$own" || true; cat "$own/owner.json" || true; rm -f "$own/owner.json" || true; echo x > "$own/owner.json" || true; stat -c "%U %a" "$own"',
      },
      { policy: nobody },
    );
    expect(ending).toMatchObject({ kind: 'completed', output: 'root 711' });
  });

  test('may not execute what is root’s alone', async () => {
    const folder = await makeFolder();
    const path = join(folder, 'program');
    writeFileSync(path, '#!/bin/sh\necho no\n', { mode: 0o700 });
    chmodSync(folder, 0o755);
    expect((await command(path, [], nobody)).ending).toMatchObject({
      error: { code: 'not_executable', message: expect.stringContaining('uid 65534') },
    });
  });

  test('a uid without a name has a group of its own, and no home', async () => {
    withEnvironment({ HOME: '/root' });
    const { ending } = await script('id -u; id -g; echo "home ${HOME-none}"', { uid: 54_321, gid: null });
    expect(ending).toMatchObject({ output: '54321\n54321\nhome none' });
  });

  test('is ended like any other', async () => {
    const folder = await makeFolder();
    mkdirSync(join(folder, 'open'));
    chmodSync(folder, 0o755);
    chmodSync(join(folder, 'open'), 0o777);
    const pid = join(folder, 'open/pid');
    const run = `setsid sh -c 'echo $$ > ${pid}; exec sleep 1000' & while [ ! -s ${pid} ]; do :; done; echo done`;
    const { ending } = await script(run, nobody);
    expect(ending).toMatchObject({ kind: 'completed', output: 'done' });
    expect(isAlive(pid)).toBe(false);
    expect(statSync(pid).uid).toBe(65_534);
  });
});

test.skipIf(because('root may become another user', isRoot))(
  'a worker that is not root refuses a policy that names another user',
  () => {
    expect(() => commandExecutor({ ...defaultPolicy.commands, uid: 1 })).toThrow(RangeError);
  },
);
