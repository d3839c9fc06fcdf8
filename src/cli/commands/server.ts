import { Command } from 'commander';
import { type Flags, maskUrl, readConfig } from '../../config.ts';
import { attachEngine } from '../attach-engine.ts';
import { attachQueue } from '../attach-queue.ts';
import { attachServer, requireKeysBeyondLoopback } from '../attach-server.ts';
import { findDatabaseUrl } from '../database.ts';
import { keepUp } from '../keep-up.ts';
import { liveUntilSignal } from '../lifetime.ts';
import { createLog } from '../log.ts';
import { databaseUrlOption, dataOption, withExamples } from '../options.ts';

const endMsMax = 20_000;

export function serverCommand(): Command {
  const command = new Command('server')
    .description('Serve the HTTP API over a migrated Postgres; any number of replicas')
    .summary('serve the HTTP API')
    .option(
      '--host <host>',
      'address to listen on; others than loopback need SKIPJACK_API_KEYS (SKIPJACK_HOST)',
    )
    .option('--port <port>', 'port to listen on; 0 takes a free one (SKIPJACK_PORT; 3000)')
    .addOption(databaseUrlOption())
    .addOption(dataOption())
    .action(server);
  return withExamples(command, [
    '$ export DATABASE_URL=postgres://user:password@localhost:5432/app',
    '$ skipjack migrate && skipjack server',
    '$ SKIPJACK_API_KEYS=$KEY skipjack server --host 0.0.0.0',
  ]);
}

async function server(flags: Flags): Promise<void> {
  const config = readConfig(flags);
  requireKeysBeyondLoopback(config);
  const log = createLog(config.logLevel);
  await liveUntilSignal({ log, endMsMax }, async (life) => {
    const url = await findDatabaseUrl(config, flags);
    const queue = await attachQueue(life, { url, config, log, applicationName: 'skipjack server' });
    if (life.signal.aborted) return;
    keepUp(life, queue, { log, config });
    const engine = attachEngine(life, queue);
    const serverUrl = await attachServer(life, { engine, config, log });
    log.info({ url: serverUrl, database: maskUrl(url) }, `ready, pid ${process.pid}`);
  });
}
