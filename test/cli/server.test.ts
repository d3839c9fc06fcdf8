import { connect as connectTo, createServer, type Server, type Socket } from 'node:net';
import { expect, onTestFinished } from 'vitest';
import { createClient } from '../../src/client/client.ts';
import { test } from '../support/database.ts';
import { freePort } from '../support/postgres.ts';
import { skipjack, startSkipjack, urlOf } from './support/cli.ts';

test('server and worker refuse a database that was not migrated, naming the command', async ({
  database,
}) => {
  database.skipAudit();
  await database.sql('drop schema skipjack cascade');
  const env = { DATABASE_URL: database.url };
  for (const command of ['server', 'worker']) {
    const refused = await skipjack([command], { env });
    expect(refused.code).toBe(7);
    expect(refused.stderr).toContain('Run "skipjack migrate" first.');
  }
  expect(await skipjack(['migrate'], { env })).toMatchObject({ code: 0, stderr: '' });
  const again = await skipjack(['migrate', '-o', 'json'], { env });
  expect(JSON.parse(again.stdout)).toMatchObject({ applied: 0 });
  const server = startSkipjack(['server', '--port', '0'], { env });
  expect(await createClient({ url: await urlOf(server) }).checkHealth()).toMatchObject({ status: 'ok' });
  expect(await server.stop()).toBe(0);
});

test('a database that does not exist and a login that is refused are final', async ({ database }) => {
  const url = new URL(database.url);
  url.pathname = '/nowhere_to_be_found';
  const missing = await skipjack(['server'], { env: { DATABASE_URL: url.href } });
  expect(missing.code).toBe(7);
  expect(missing.stderr).toContain('"nowhere_to_be_found" does not exist');
  const stranger = new URL(database.url);
  stranger.username = 'nobody_at_all';
  stranger.password = 'hush';
  const refused = await skipjack(['server'], { env: { DATABASE_URL: stranger.href } });
  expect(refused.code).toBe(7);
  expect(refused.stderr).toContain('Postgres refused the login');
  expect(refused.stderr).not.toContain('hush');
});

test('the server waits for a database that is not there yet, and outlives one that goes away', async ({
  database,
}) => {
  const target = new URL(database.url);
  const gate = await openGate(target);
  const behind = new URL(database.url);
  behind.host = `127.0.0.1:${gate.port}`;
  await gate.close();

  const server = startSkipjack(['server', '--port', '0'], { env: { DATABASE_URL: behind.href } });
  await server.untilLogged(({ msg }) => msg.includes('No Postgres answers') && msg.includes('Trying again'));
  await gate.open();
  const client = createClient({ url: await urlOf(server) });
  const { id } = await client.enqueue({ name: 'review' });

  await gate.close();
  await expect(client.checkHealth()).rejects.toMatchObject({ code: 'database_unreachable' });
  await gate.open();
  expect(await client.getTask(id)).toMatchObject({ state: 'ready' });
  expect(await server.stop()).toBe(0);
});

/**
 * A way to the database that a test closes and opens. Its port is none that the system gives away by itself, or another
 * program could have it while it is closed.
 */
async function openGate(target: URL) {
  const sockets = new Set<Socket>();
  let server: Server;
  const port = await freePort();
  const open = async () => {
    server = createServer((client) => {
      const upstream = connectTo(Number(target.port), target.hostname);
      for (const [socket, other] of [
        [client, upstream],
        [upstream, client],
      ] as const) {
        sockets.add(socket);
        socket.on('error', () => {});
        socket.on('close', () => {
          sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  };
  const close = async () => {
    const closed = new Promise((resolve) => server.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  onTestFinished(close);
  await open();
  return { port, open, close };
}
