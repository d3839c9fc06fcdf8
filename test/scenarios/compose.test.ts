/**
 * docker-compose.yml: what it promises as text; that docker compose takes it; and the stack itself, with three workers.
 *
 * The stack needs base images: those named by NODE_IMAGE and POSTGRES_IMAGE, else the stand-ins that .ci/make-stand-ins
 * makes of this machine's own files.
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { execa, execaSync } from 'execa';
import { describe, expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { createProgram } from '../../src/cli/program.ts';
import { createClient } from '../../src/client/client.ts';
import { readConfig } from '../../src/config.ts';
import { parseDuration } from '../../src/core/durations.ts';
import { freePort } from '../support/postgres.ts';
import { until } from '../support/program.ts';

const folder = path.resolve(import.meta.dirname, '../..');
const file = path.join(folder, 'docker-compose.yml');

interface Service {
  image: string;
  build?: { dockerfile_inline: string };
  command?: string[];
  restart?: string;
  stop_grace_period?: string;
  profiles?: string[];
  ports?: string[];
  volumes?: string[];
  environment?: Record<string, string>;
  cap_drop?: string[];
  privileged?: boolean;
  depends_on?: Record<string, { condition: string }>;
}

const { services }: { services: Record<string, Service> } = parse(readFileSync(file, 'utf8'), {
  merge: true,
});
const service = (name: string): Service => {
  const found = services[name];
  if (!found) throw new Error(`no service ${name}`);
  return found;
};
const ours = Object.entries(services).filter(([name]) => name !== 'postgres');

describe('docker-compose.yml', () => {
  test('runs commands that there are', async () => {
    const known = (await createProgram()).commands.map((command) => command.name());
    expect(ours.map(([, { command }]) => command?.[0])).toEqual(['migrate', 'server', 'worker', 'worker']);
    for (const [name, { command }] of ours) expect(known, name).toContain(command?.[0]);
  });

  test('gives services settings that they accept', () => {
    for (const [name, { environment = {} }] of ours) {
      const settings = Object.entries(environment).map(([key, value]) => [
        key,
        value.replace(/\$\{\w+(?::[-?]([^}]*))?\}/g, (_, otherwise) => otherwise.split(' ')[0]),
      ]);
      expect(() => readConfig({}, { environment: Object.fromEntries(settings) }), name).not.toThrow();
    }
  });

  test('publishes no port beyond loopback, and Postgres none at all', () => {
    const ports = Object.values(services).flatMap((each) => each.ports ?? []);
    expect(ports).toEqual(service('server').ports);
    for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
  });

  test('hands the keys of the API to the server alone', () => {
    const holders = ours.filter(([, { environment }]) => environment?.SKIPJACK_API_KEYS !== undefined);
    expect(holders.map(([name]) => name)).toEqual(['server']);
  });

  test('starts again whatever ends by mistake, and gives it longer to end than it takes', () => {
    const { graceMs } = readConfig({}, { environment: service('worker').environment ?? {} });
    const endsWithinMs: Record<string, number> = {
      server: 20_000,
      worker: graceMs + 30_000,
      'container-worker': graceMs + 30_000,
      postgres: 10_000,
    };
    expect([...Object.keys(endsWithinMs), 'migrate'].sort()).toEqual(Object.keys(services).sort());
    for (const [name, ms] of Object.entries(endsWithinMs)) {
      expect(service(name).restart, name).toBe('unless-stopped');
      expect(parseDuration(service(name).stop_grace_period ?? '') ?? 0, name).toBeGreaterThan(ms);
    }
    expect(service('migrate').restart).toBeUndefined();
  });

  test('lets nothing work on a database that was not migrated', () => {
    for (const [name, { depends_on }] of ours) {
      if (name === 'migrate') expect(depends_on?.postgres?.condition).toBe('service_healthy');
      else expect(depends_on?.migrate?.condition, name).toBe('service_completed_successfully');
    }
  });

  test('gives nobody the socket of a Docker daemon unless asked to, and nobody more rights than it needs', () => {
    for (const [name, each] of Object.entries(services)) {
      expect(each.privileged, name).toBeUndefined();
      if (JSON.stringify(each.volumes ?? []).includes('docker.sock'))
        expect(each.profiles, name).toEqual(['containers']);
    }
    for (const [name, each] of ours) expect(each.cap_drop, name).toEqual(['ALL']);
  });
});

const compose = ['compose', '--file', file, '--env-file', '/dev/null', '--ansi', 'never'];
const { PATH = '', HOME = '', DOCKER_HOST, DOCKER_CONFIG } = process.env;
const environment = {
  PATH,
  HOME,
  ...(DOCKER_HOST && { DOCKER_HOST }),
  ...(DOCKER_CONFIG && { DOCKER_CONFIG }),
};
const docker = (args: string[], variables: Record<string, string> = {}) =>
  execa('docker', args, { env: { ...environment, ...variables }, extendEnv: false, cwd: folder });
const answers = (...args: string[]) =>
  execaSync('docker', args, { reject: false, timeout: 20_000 }).exitCode === 0;

const hasCompose = answers('compose', 'version');
const base = {
  NODE_IMAGE: process.env.NODE_IMAGE ?? 'skipjack-test/node:20',
  POSTGRES_IMAGE: process.env.POSTGRES_IMAGE ?? 'skipjack-test/postgres:18',
};
const isNamed = process.env.NODE_IMAGE !== undefined && process.env.POSTGRES_IMAGE !== undefined;
const whyNoStack = !hasCompose
  ? 'there is no docker compose'
  : !answers('info')
    ? 'no Docker daemon answers'
    : !isNamed && !Object.values(base).every((image) => answers('image', 'inspect', image))
      ? 'there are no base images: run .ci/make-stand-ins, or name NODE_IMAGE and POSTGRES_IMAGE'
      : null;
if (!hasCompose) console.info('skipped: docker-compose.yml is not read by docker compose, which is not here');
if (whyNoStack !== null) console.info(`skipped: the stack of docker-compose.yml, for ${whyNoStack}`);

describe.skipIf(!hasCompose)('docker compose', () => {
  test('finds the file valid, with every profile', async () => {
    const variables = { SKIPJACK_API_KEYS: 'key' };
    await docker([...compose, 'config', '--quiet'], variables);
    const { stdout } = await docker([...compose, '--profile', '*', 'config', '--format', 'json'], variables);
    expect(Object.keys(JSON.parse(stdout).services).sort()).toEqual(Object.keys(services).sort());
  });

  test('starts nothing without a key', async () => {
    for (const variables of [{}, { SKIPJACK_API_KEYS: '' }]) {
      await expect(docker([...compose, 'config', '--quiet'], variables)).rejects.toMatchObject({
        stderr: expect.stringContaining('set SKIPJACK_API_KEYS to one or more keys'),
      });
    }
  });

  test('leaves the worker with a container runtime out', async () => {
    const { stdout } = await docker([...compose, 'config', '--services'], { SKIPJACK_API_KEYS: 'key' });
    expect(stdout.split('\n').sort()).toEqual(['migrate', 'postgres', 'server', 'worker']);
  });
});

describe.skipIf(whyNoStack !== null)('the stack', () => {
  test('is built from the checkout, runs a process with three workers, and ends in order', {
    timeout: 600_000,
  }, async () => {
    const { url, client, compose } = await startStack({ workers: 3 });

    // Containers have started before what is in them answers.
    await until('three workers live', async () => {
      const workers = await client.listWorkers().catch(() => []);
      return new Set(workers.filter(({ live }) => live).map(({ host }) => host)).size === 3;
    });
    expect((await fetch(`${url}/v1/workers`)).status).toBe(401);

    const loan = readFileSync(path.join(folder, 'test/examples/loan.yaml'), 'utf8');
    const process = await client.startProcess({ definition: parse(loan) }, { waitMs: 60_000 });
    expect(process).toMatchObject({
      state: 'completed',
      output: { 'Send Email': { to: 'Ann', amount: 25_000, decision: 'approved', against: [] } },
    });

    // More tasks than two workers have slots, each of which holds its slot until it is let go.
    const slots = readConfig({}, { environment: {} }).concurrency;
    const tasks = Array.from({ length: 2 * slots + 1 }, (_, index) => ({
      name: `hold ${index}`,
      run: 'until [ -e /tmp/go ]; do sleep 0.1; done',
      timeout: '2m',
    }));
    const { id } = await client.startProcess({ definition: { tasks } });
    await until('all of them run', async () => (await client.getProcess(id)).counts.running === tasks.length);
    for (const index of ['1', '2', '3'])
      await compose('exec', '--no-TTY', '--index', index, 'worker', 'touch', '/tmp/go');
    expect((await client.waitForProcess(id, { waitMs: 60_000 })).state).toBe('completed');
    const took = await client.listProcessTasks(id);
    expect(new Set(took.tasks.map(({ worker }) => worker)).size).toBe(3);

    await compose('stop');
    const { stdout } = await compose('ps', '--all', '--format', '{{.Service}} {{.ExitCode}}');
    const ended = ['migrate 0', 'postgres 0', 'server 0', 'worker 0', 'worker 0', 'worker 0'];
    expect(stdout.split('\n').sort()).toEqual(ended);
  });
});

/** Brought up for one test, and taken down with its volumes and its image. */
async function startStack({ workers }: { workers: number }) {
  const project = `skipjack-test-${process.pid}`;
  const image = `skipjack-test/${project}`;
  const apiKey = 'a-key-of-the-test';
  const variables = { ...base, SKIPJACK_API_KEYS: apiKey, SKIPJACK_PORT: '', SKIPJACK_IMAGE: image };
  const run = (...args: string[]) => docker([...compose, '--project-name', project, ...args], variables);
  onTestFinished(async ({ task }) => {
    if (task.result?.state === 'fail') console.error((await run('logs', '--tail', '50')).stdout);
    await run('down', '--volumes', '--timeout', '5');
    // A build that failed has left none.
    await docker(['image', 'rm', image]).catch(() => {});
  }, 120_000);
  await run('--progress', 'plain', 'build');
  // Not before: in the minute that the build takes, others would find it as free as we did.
  const port = String(await freePort());
  variables.SKIPJACK_PORT = port;
  await run('--progress', 'plain', 'up', '--no-build', '--detach', '--scale', `worker=${workers}`);
  const url = `http://127.0.0.1:${port}`;
  return { url, client: createClient({ url, apiKey }), compose: run };
}
