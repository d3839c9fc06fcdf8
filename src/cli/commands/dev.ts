import { Command } from 'commander';
import { type Flags, readConfig } from '../../config.ts';
import { createDatabaseTaskSource } from '../../queue/task-source.ts';
import { attachEngine } from '../attach-engine.ts';
import { attachQueue } from '../attach-queue.ts';
import { attachServer, requireKeysBeyondLoopback } from '../attach-server.ts';
import { attachWorker } from '../attach-worker.ts';
import { keepUp } from '../keep-up.ts';
import { liveUntilSignal } from '../lifetime.ts';
import { createLog } from '../log.ts';
import {
  concurrencyOption,
  containerRuntimeOption,
  databaseUrlOption,
  dataOption,
  queuesOption,
  withExamples,
} from '../options.ts';
import { prepareWorker } from '../prepare-worker.ts';
import { remark } from '../print.ts';
import { provideDatabase } from '../provide-database.ts';

/** Somebody waits at the terminal for it to end: ten seconds for everything, Postgres included. */
const graceMs = 5_000;
const killGraceMs = 1_000;
const closeMs = 1_000;
const endMsMax = 9_500;

export function devCommand(): Command {
  const command = new Command('dev')
    .description('Run everything in one OS process: Postgres, server and worker')
    .summary('run everything in one OS process')
    .option('--host <host>', 'address to listen on (SKIPJACK_HOST; 127.0.0.1)')
    .option('--port <port>', 'port to listen on; 0 takes a free one (SKIPJACK_PORT; 3000)')
    .addOption(dataOption())
    .addOption(databaseUrlOption())
    .addOption(queuesOption())
    .addOption(concurrencyOption())
    .option('--policy <file>', 'what tasks may do here, in YAML (SKIPJACK_POLICY)')
    .addOption(containerRuntimeOption())
    .option('--grace <duration>', 'how long a stop waits for what runs (SKIPJACK_GRACE; 5s)')
    .action(dev);
  return withExamples(command, [
    '$ skipjack dev',
    '$ skipjack dev --port 8080 --data /var/lib/skipjack',
    '$ DATABASE_URL=postgres://localhost/app skipjack dev',
  ]);
}

async function dev(flags: Flags): Promise<void> {
  const config = readConfig(flags, { defaults: { graceMs } });
  requireKeysBeyondLoopback(config);
  const log = createLog(config.logLevel);
  const prepared = await prepareWorker(config);
  await liveUntilSignal({ log, endMsMax: endMsMax + Math.max(0, config.graceMs - graceMs) }, async (life) => {
    const { url, description } = await provideDatabase(life, { config, flags, log });
    const queue = await attachQueue(life, { url, config, log, applicationName: 'skipjack dev' });
    if (life.signal.aborted) return;
    const engine = attachEngine(life, queue);
    const serverUrl = await attachServer(life, { engine, config, log, closeMs });
    keepUp(life, queue, { log, config });
    const ended = new AbortController();
    life.onEnd('task source', async () => ended.abort());
    const source = createDatabaseTaskSource(queue, { signal: ended.signal });
    attachWorker(life, { source, config, log, prepared, killGraceMs });
    log.info({ url: serverUrl, database: description }, `ready, pid ${process.pid}`);
    if (process.stderr.isTTY) greet(serverUrl, description);
  });
}

function greet(url: string, database: string): void {
  remark(`
  Skipjack runs at ${url} (${database}).

  Try it:
    curl -s '${url}/v1/tasks?wait=10s' -H 'content-type: application/json' \\
      -d '{"type":"command","command":"echo","args":["hello","world"]}'

  Ctrl-C stops it; the data stays.
`);
}
