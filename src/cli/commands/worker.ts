import { setTimeout as sleep } from 'node:timers/promises';
import { Command } from 'commander';
import type { Logger } from 'pino';
import { createClient } from '../../client/client.ts';
import { createHttpTaskSource } from '../../client/task-source.ts';
import { type Config, type Flags, findSource, maskUrl, readConfig } from '../../config.ts';
import { reconnectDelayMs } from '../../core/backoff.ts';
import { SkipjackError } from '../../core/errors.ts';
import type { TaskSource } from '../../core/task-source.ts';
import { createDatabaseTaskSource } from '../../queue/task-source.ts';
import { attachMetrics } from '../attach-metrics.ts';
import { attachQueue } from '../attach-queue.ts';
import { attachWorker } from '../attach-worker.ts';
import { complainer, findDatabaseUrl } from '../database.ts';
import { keepUp } from '../keep-up.ts';
import { type Lifetime, liveUntilSignal } from '../lifetime.ts';
import { loadHandlers } from '../load-handlers.ts';
import { createLog } from '../log.ts';
import {
  concurrencyOption,
  containerRuntimeOption,
  databaseUrlOption,
  dataOption,
  queuesOption,
  serverOption,
  usage,
  withExamples,
} from '../options.ts';
import { prepareWorker } from '../prepare-worker.ts';

/** A drain's own bounds beyond the grace: see worker/worker.ts. */
const endMsBeyondGrace = 40_000;

export function workerCommand(): Command {
  const command = new Command('worker')
    .description(
      'Claim tasks and run them. Over HTTP where --server or SKIPJACK_URL names a server, else over the database',
    )
    .summary('claim tasks and run them')
    .addOption(queuesOption())
    .addOption(concurrencyOption())
    .option('--lease <duration>', 'how long a claim holds without a heartbeat (SKIPJACK_LEASE; 30s)')
    .option('--grace <duration>', 'how long a stop waits for what runs (SKIPJACK_GRACE; 30s)')
    .option('--name <name>', "the beginning of the worker's id (the host's name)")
    .option('--policy <file>', 'what tasks may do here, in YAML (SKIPJACK_POLICY)')
    .addOption(containerRuntimeOption())
    .option(
      '--metrics-port <port>',
      'serve its metrics for Prometheus on this port of 127.0.0.1 (SKIPJACK_METRICS_PORT)',
    )
    .option('--metrics-host <host>', 'and of this address (SKIPJACK_METRICS_HOST; 127.0.0.1)')
    .option('--handlers <file>', 'an ES module that exports functions; also serves the queues of their names')
    .addOption(serverOption())
    .addOption(databaseUrlOption())
    .addOption(dataOption())
    .action(worker);
  return withExamples(command, [
    '$ skipjack worker --concurrency 4',
    '$ skipjack worker --queues mail --handlers ./handlers.js',
    '$ SKIPJACK_SECRET_TOKEN=… skipjack worker --policy policy.yaml --metrics-port 9464',
    '$ SKIPJACK_API_KEY=$KEY skipjack worker --server https://skipjack.example.com',
  ]);
}

async function worker(flags: Flags): Promise<void> {
  const config = readConfig(flags);
  const log = createLog(config.logLevel);
  const { name, handlers: file } = flags as { name?: string; handlers?: string };
  if (name !== undefined && !/^[\x21-\x7e]{1,100}$/.test(name)) {
    throw usage(`--name "${name}" is not 1 to 100 letters without spaces. For example: --name mail-1`);
  }
  const handlers = file === undefined ? {} : await loadHandlers(file);
  const isOverHttp = overHttp(flags, config);
  const prepared = await prepareWorker(config);
  await liveUntilSignal({ log, endMsMax: config.graceMs + endMsBeyondGrace }, async (life) => {
    const ended = new AbortController();
    const options = { config, flags, log, signal: ended.signal };
    const source = await (isOverHttp ? attachHttpSource(life, options) : attachDatabaseSource(life, options));
    if (life.signal.aborted) return;
    life.onEnd('task source', async () => ended.abort());
    attachWorker(life, { source, config, log, prepared, name, handlers });
  });
}

/** Flags before environment; a server before a database, which many a shell names for other ends. */
function overHttp(flags: Flags, config: Pick<Config, 'metricsPort'>): boolean {
  const server = findSource('serverUrl', flags);
  const direct = ['databaseUrl', 'data'].find((name) =>
    findSource(name as keyof Config & 'data', flags)?.startsWith('--'),
  );
  if (server !== null && direct === undefined && config.metricsPort !== null) {
    throw usage(
      '--metrics-port goes with a database: for workers over HTTP the server counts, at its /metrics.',
    );
  }
  if (server === '--server' && direct !== undefined) {
    throw usage('--server excludes --database-url and --data: tasks come from one place.');
  }
  return server !== null && direct === undefined;
}

interface SourceOptions {
  config: Config;
  flags: Flags;
  log: Logger;
  /** Aborted when the worker has drained. */
  signal: AbortSignal;
}

async function attachDatabaseSource(
  life: Lifetime,
  { config, flags, log, signal }: SourceOptions,
): Promise<TaskSource> {
  const url = await findDatabaseUrl(config, flags);
  const queue = await attachQueue(life, { url, config, log, applicationName: 'skipjack worker' });
  await attachMetrics(life, { queue, config, log });
  if (!life.signal.aborted) keepUp(life, queue, { log, config });
  log.info({ database: maskUrl(url) }, 'working over the database');
  return createDatabaseTaskSource(queue, { signal });
}

async function attachHttpSource(life: Lifetime, { config, log, signal }: SourceOptions): Promise<TaskSource> {
  const connection = { url: config.serverUrl ?? '', apiKey: config.apiKey };
  const complain = complainer(log);
  const client = createClient(connection);
  for (let tries = 1; !life.signal.aborted; tries += 1) {
    try {
      // Asks what needs the key: a worker that may not ask says so at once instead of trying for ever.
      await client.listWorkers();
      break;
    } catch (error) {
      if (!(error instanceof SkipjackError) || error.status < 500 || error.code === 'internal') throw error;
      complain(error);
      await sleep(reconnectDelayMs(tries), undefined, { signal: life.signal }).catch(() => {});
    }
  }
  log.info({ server: maskUrl(connection.url) }, 'working over HTTP');
  return createHttpTaskSource({ ...connection, signal, onRepeat: complain });
}
