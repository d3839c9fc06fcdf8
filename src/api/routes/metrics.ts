/** Metrics for Prometheus. */
import { createMetrics, metricsContentType } from '../../metrics/metrics.ts';
import type { ApiParts } from '../parts.ts';

export function addMetricsRoute({ endpoints, queue }: ApiParts): void {
  const metrics = createMetrics(queue);

  endpoints
    .declare({
      method: 'get',
      path: '/metrics',
      id: 'readMetrics',
      tag: 'operations',
      summary: 'Metrics in the text format of Prometheus',
      description:
        'Counters and histograms count what this server settled, for workers over HTTP and by reaping; workers over the database count their own and show them on a port of their own (`skipjack worker --metrics-port`). Gauges of queues, workers, slots and dead letters are read from the database and the same on every server.',
      answers: {
        200: { description: 'The metrics', text: metricsContentType },
      },
    })
    .serve(async () => ({ status: 200, body: await metrics.scrape() }));
}
