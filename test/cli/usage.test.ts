/** The public surface of the command line. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { version } from '../../src/cli/version.ts';
import { skipjack } from './support/cli.ts';

/** A port on which nothing listens: the discard service, which nobody runs. */
const nowhere = 'http://127.0.0.1:9';

describe('help', async () => {
  const program = await createProgram();
  const commands = program.createHelp().visibleCommands(program);
  for (const command of [program, ...commands, ...commands.flatMap((each) => each.commands)]) {
    const names = [command.parent?.parent?.name(), command.parent?.name(), command.name()].filter(Boolean);
    test(names.join(' '), async () => {
      const { code, stdout, stderr } = await skipjack([...names.slice(1).map(String), '--help']);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toMatchSnapshot();
      expect(stdout).toMatch(/\nExamples:\n( {2}\$ .*\n)+$/);
    });
  }
});

test('without a command the help comes on stderr, with exit code 2', async () => {
  const { code, stdout, stderr } = await skipjack([]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain('Usage: skipjack');
});

test('--version prints the version of the package', async () => {
  expect(await skipjack(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
});

test.each([
  [['lst'], 'Did you mean list?'],
  [['list', '--quee', 'x'], 'Did you mean --queue?'],
  [['list', '--state', 'finished'], 'Allowed choices are active'],
  [['list', '--limit', 'many'], '--limit "many" is not a whole number'],
  [['get'], "missing required argument 'id'"],
  [['enqueue'], 'There is nothing to enqueue'],
  [['enqueue', '--run', 'true', '--', 'true'], 'not a command and --run'],
  [['enqueue', '--label', 'x', '--', 'true'], 'For example: --label name=value'],
  [['dead-letters', 'replay'], 'say --all'],
  [
    ['dev', '--port', '99999'],
    '--port "99999" is not a whole number from 0 to 65535. For example: --port 3000',
  ],
  [['run'], "missing required argument 'file'"],
  [['run', '-', '--wait-max', 'soon'], '--wait-max "soon" is not a duration'],
  [['start'], 'Name a published definition'],
  [['fail', 'x', 'y'], "required option '--error <message>' not specified"],
  [['publish', 'a', 'b', '--name', 'x'], '--name is for one file'],
  [['list', 'nonsense'], 'list tasks, processes or definitions'],
  [['dev', '--host', '0.0.0.0'], 'Set SKIPJACK_API_KEYS'],
  [['server', '--host', '0.0.0.0'], 'Set SKIPJACK_API_KEYS'],
  [['worker', '--server', nowhere, '--data', 'x'], '--server excludes'],
  [['worker', '--handlers', '/nowhere.js', '--server', nowhere], 'cannot be loaded'],
  [['server', '--data', '/nowhere'], 'DATABASE_URL is not set'],
])('%j is a mistake of usage', async (args, hint) => {
  const { code, stdout, stderr } = await skipjack(args);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  expect(stderr).toContain(hint);
});

test('a server that does not answer is exit code 7, as a sentence or as JSON', async () => {
  const asText = await skipjack(['list', '--server', nowhere]);
  expect({ code: asText.code, stdout: asText.stdout }).toEqual({ code: 7, stdout: '' });
  expect(asText.stderr).toMatch(/^skipjack: No server answers at http:\/\/127\.0\.0\.1:9 .*skipjack dev/);
  const asJson = await skipjack(['list', '--server', nowhere, '-o', 'json']);
  expect({ code: asJson.code, stdout: asJson.stdout }).toEqual({ code: 7, stdout: '' });
  expect(JSON.parse(asJson.stderr)).toMatchObject({ code: 'server_unreachable', status: 503 });
});

test('a mistake of usage is JSON too where JSON is asked for', async () => {
  const { code, stderr } = await skipjack(['list', '--output=json', '--nonsense']);
  expect(code).toBe(2);
  expect(JSON.parse(stderr)).toMatchObject({ code: 'usage' });
});

test('a wrong variable is named, and a secret one is not shown', async () => {
  const { code, stderr } = await skipjack(['migrate'], { env: { DATABASE_URL: 'mysql://me:hush@db/app' } });
  expect(code).toBe(2);
  expect(stderr).toContain(
    'DATABASE_URL is not the URL of a Postgres database. For example: DATABASE_URL=postgres://',
  );
  expect(stderr).not.toContain('hush');
});

test('a database that does not answer is exit code 7, without its password', async () => {
  const env = { DATABASE_URL: 'postgres://me:hush@127.0.0.1:9/app' };
  for (const command of ['migrate', 'doctor']) {
    const { code, stderr } = await skipjack([command], { env });
    expect(code).toBe(7);
    expect(stderr).toContain('No Postgres answers at postgres://me:***@127.0.0.1:9/app');
    expect(stderr).not.toContain('hush');
  }
});

test('a reader that has seen enough is no fault', async () => {
  const main = join(import.meta.dirname, '../../dist/cli/main.js');
  const shell = spawn('bash', ['-c', `set -o pipefail; "${process.execPath}" "${main}" --help | true`], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  shell.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const [code] = await once(shell, 'close');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
});
