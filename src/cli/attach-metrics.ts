import type { Logger } from 'pino';
import type { Config } from '../config.ts';
import { createMetrics } from '../metrics/metrics.ts';
import { serveMetrics } from '../metrics/serve.ts';
import type { Queue } from '../queue/queue.ts';
import type { Lifetime } from './lifetime.ts';

/** Serves what this OS process counts, where a port is said, until the command ends. */
export async function attachMetrics(
  life: Lifetime,
  { queue, config, log }: { queue: Queue; config: Pick<Config, 'metricsPort' | 'metricsHost'>; log: Logger },
): Promise<void> {
  if (config.metricsPort === null) return;
  const metrics = createMetrics(queue);
  const server = await serveMetrics({ metrics, host: config.metricsHost, port: config.metricsPort });
  life.onEnd('metrics', async () => {
    await server.close();
    metrics.close();
  });
  log.info({ url: server.url }, 'serving metrics');
}
