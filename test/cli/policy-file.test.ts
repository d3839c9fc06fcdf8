/** A worker's policy, as people write it. */
import { describe, expect, test } from 'vitest';
import { parsePolicy, readPolicyFile } from '../../src/cli/policy-file.ts';
import { defaultPolicy } from '../../src/worker/policy.ts';

test('an empty file is the default', () => {
  expect(parsePolicy('')).toEqual(defaultPolicy);
  expect(parsePolicy('commands: {}\ncontainers: { limits: {} }')).toEqual(defaultPolicy);
});

test('everything that it says is taken', () => {
  expect(
    parsePolicy(`
commands: { allow: [git, /usr/bin/ffmpeg], scripts: true, workdir: /srv/work, env: [GIT_SSH], uid: 1000, gid: 1001 }
containers:
  runtime: podman
  images: ["registry.example.com/*"]
  mounts: [/srv/media, "/srv/models:ro"]
  networks: [backend]
  limits: { cpus: 2, memory: 2g, pids: 256 }
  gpus: true
  capabilities: [CHOWN]
secrets: { dir: /run/secrets }
logs: { limit: 1m }
`),
  ).toEqual({
    commands: {
      allow: ['git', '/usr/bin/ffmpeg'],
      scripts: true,
      workdir: '/srv/work',
      env: ['GIT_SSH'],
      uid: 1000,
      gid: 1001,
    },
    containers: {
      runtime: 'podman',
      images: ['registry.example.com/*'],
      mounts: ['/srv/media', '/srv/models:ro'],
      networks: ['backend'],
      limits: { cpus: 2, memoryBytes: 2 * 1024 ** 3, pids: 256 },
      gpus: true,
      capabilities: ['CHOWN'],
    },
    secretsDir: '/run/secrets',
    logBytesMax: 1024 ** 2,
  });
});

test('a list of executables forbids scripts, which could run any, unless they are allowed too', () => {
  expect(parsePolicy('commands: { allow: [git] }').commands.scripts).toBe(false);
  expect(parsePolicy('commands: { allow: [git], scripts: true }').commands.scripts).toBe(true);
});

describe('a mistake is told with its place', () => {
  test.each([
    ['commands: { alow: [git] }', '/commands/alow unknown key'],
    ['commands: { env: [DATABASE_URL] }', '/commands/env/0 belongs to the worker'],
    ['commands: { env: [SKIPJACK_API_KEY] }', '/commands/env/0 belongs to the worker'],
    ['commands: { workdir: work }', '/commands/workdir is not an absolute path'],
    ['containers: { limits: { memory: lots } }', '/containers/limits/memory is not a size'],
    ['containers: { networks: ["-x"] }', '/containers/networks/0 is not the name of a network'],
    ['containers: { networks: [host] }', '/containers/networks/0 is the network of the machine'],
    ['containers: { capabilities: [all] }', '/containers/capabilities/0 is not a capability'],
    ['a: [', 'policy.yaml:1:'],
    ['- 1', 'policy.yaml'],
  ])('%j: %s', (text, said) => {
    expect(() => parsePolicy(text)).toThrow(said);
  });

  test('a file that is not there', async () => {
    await expect(readPolicyFile('/nowhere/policy.yaml')).rejects.toMatchObject({
      code: 'usage',
      message: expect.stringContaining('--policy /nowhere/policy.yaml cannot be read'),
    });
  });
});
