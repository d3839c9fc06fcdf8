import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { referSecrets, type Spec } from '../../src/core/spec.ts';
import { noMask } from '../../src/worker/secrets/mask.ts';
import { resolveSecrets } from '../../src/worker/secrets/resolve.ts';
import { openVault, secretBytesMax, type Vault } from '../../src/worker/secrets/vault.ts';
import { because } from '../support/skip.ts';

let dir: string;
let vault: Vault;

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'skipjack-secrets-'));
  vault = openVault({ dir, environment: { SKIPJACK_SECRET_TOKEN: 'from the environment', OTHER: 'x' } });
  return () => rm(dir, { recursive: true });
});

const put = (name: string, content: string | Buffer) => writeFile(path.join(dir, name), content);

describe('the vault', () => {
  test('reads a file without its final newline, else the environment', async () => {
    expect(await vault.read('TOKEN')).toBe('from the environment');
    await put('TOKEN', 'from the file\n');
    expect(await vault.read('TOKEN')).toBe('from the file');
    await put('TOKEN', ' two\nlines\r\n');
    expect(await vault.read('TOKEN')).toBe(' two\nlines');
    await put('TOKEN', '');
    expect(await vault.read('TOKEN')).toBe('');
    expect(await vault.read('OTHER')).toBeNull();
    expect(await openVault({ dir: null, environment: { SKIPJACK_SECRET_A: 'a' } }).read('A')).toBe('a');
    expect(await openVault({ dir: `${dir}/nowhere`, environment: {} }).read('A')).toBeNull();
  });

  test('follows the links by which Kubernetes exchanges all secrets at once', async () => {
    for (const version of ['..1', '..2']) {
      await mkdir(path.join(dir, version));
      await put(`${version}/KEY`, `key of ${version}`);
    }
    await symlink('..1', path.join(dir, '..data'));
    await symlink('..data/KEY', path.join(dir, 'KEY'));
    expect(await vault.read('KEY')).toBe('key of ..1');
    await symlink('..2', path.join(dir, '..new'));
    await rename(path.join(dir, '..new'), path.join(dir, '..data'));
    expect(await vault.read('KEY')).toBe('key of ..2');
  });

  test.each([
    '../TOKEN',
    'a/b',
    '',
    '.',
    '..',
    '..data',
    'A\0',
    '/etc/hostname',
    '__proto__/x',
    'x'.repeat(101),
  ])('knows no secret named %j', async (name) => {
    await put('x'.repeat(101), 'too long a name');
    expect(await vault.read(name)).toBeNull();
  });

  test('does not take what every object has for a secret', async () => {
    const environment = { SKIPJACK_SECRET_A: 'a' };
    expect(await openVault({ dir: null, environment }).read('toString')).toBeNull();
  });

  test.each([
    ['too large', Buffer.alloc(secretBytesMax + 1, 'x'), 'has more than 65536 bytes'],
    ['with a NUL', Buffer.from('half\0value'), 'has a NUL byte'],
    ['that is no text', Buffer.from([0x68, 0xff, 0xfe]), 'is not UTF-8 text'],
  ])('refuses a value %s, and names the secret and not its value', async (_, content, sentence) => {
    await put('BAD', content);
    await expect(vault.read('BAD')).rejects.toThrow(`the secret BAD ${sentence}`);
  });

  test('takes a value of the largest size, with a newline behind it', async () => {
    await put('LARGE', `${'x'.repeat(secretBytesMax)}\r\n`);
    expect(await vault.read('LARGE')).toHaveLength(secretBytesMax);
  });

  test('refuses what is no file, without waiting', async () => {
    await mkdir(path.join(dir, 'FOLDER'));
    execFileSync('mkfifo', [path.join(dir, 'PIPE')]);
    await expect(vault.read('FOLDER')).rejects.toThrow('the secret FOLDER is not a file');
    await expect(vault.read('PIPE')).rejects.toThrow('the secret PIPE is not a file');
  });

  test.skipIf(because('root may read every file', process.getuid?.() === 0))(
    'says so when it may not read a file',
    async () => {
      await put('CLOSED', 'value');
      await chmod(path.join(dir, 'CLOSED'), 0);
      await expect(vault.read('CLOSED')).rejects.toThrow(
        'the file of the secret CLOSED cannot be read (EACCES)',
      );
    },
  );
});

/** A vault that counts what it is asked. */
function counting(values: Record<string, string>): { vault: Pick<Vault, 'read'>; asked: string[] } {
  const asked: string[] = [];
  const read = (name: string) => {
    asked.push(name);
    return Promise.resolve(values[name] ?? null);
  };
  return { vault: { read }, asked };
}

const container: Spec = {
  type: 'container',
  image: 'busybox',
  cmd: ['-H', 'Authorization: Bearer ${{ secrets.TOKEN }}', '${{secrets.A}}${{ secrets.B }}'],
  env: { A: '${{ secrets.A }}', PLAIN: 'plain' },
  run: 'echo ${{ secrets.NOT_HERE }}',
  registry: { username: 'me', password: '${{ secrets.B }}' },
  post: [{ image: 'busybox', env: { TOKEN: '${{ secrets.TOKEN }}' } }],
};

describe('resolving', () => {
  test('puts each value where its references stand, and reads it once', async () => {
    const { vault: values, asked } = counting({ TOKEN: 't0ken', A: 'aaaa', B: 'bbbb' });
    const resolved = await resolveSecrets(referSecrets(container), values);
    if ('missing' in resolved) throw new Error('nothing is missing');
    expect(resolved.spec).toEqual({
      ...container,
      cmd: ['-H', 'Authorization: Bearer t0ken', 'aaaabbbb'],
      env: { A: 'aaaa', PLAIN: 'plain' },
      registry: { username: 'me', password: 'bbbb' },
      post: [{ image: 'busybox', env: { TOKEN: 't0ken' } }],
    });
    expect(asked.sort()).toEqual(['A', 'B', 'TOKEN']);
    expect(resolved.mask.text('Bearer t0ken, aaaa, plain')).toBe('Bearer ***, ***, plain');
  });

  test('a value that reads like a reference stays what it is', async () => {
    const { vault: values } = counting({ A: '${{ secrets.B }}', B: 'b' });
    const spec: Spec = { type: 'run', run: 'true', env: { A: '${{ secrets.A }}' } };
    const resolved = await resolveSecrets(referSecrets(spec), values);
    expect(resolved).toMatchObject({ spec: { env: { A: '${{ secrets.B }}' } } });
  });

  test('names all that are missing', async () => {
    const { vault: values } = counting({ TOKEN: 't0ken' });
    expect(await resolveSecrets(referSecrets(container), values)).toEqual({ missing: ['A', 'B'] });
  });

  test.each<Spec | null>([
    null,
    { type: 'handler', handler: 'greet' },
    { type: 'command', command: 'echo', args: ['hello'], env: { A: 'b' } },
  ])('a spec without references is the one that came: %j', async (spec) => {
    const { vault: values, asked } = counting({});
    const resolved = await resolveSecrets(spec, values);
    if ('missing' in resolved) throw new Error('nothing is missing');
    expect(resolved.spec).toBe(spec);
    expect(resolved.mask).toBe(noMask);
    expect(asked).toEqual([]);
  });
});
