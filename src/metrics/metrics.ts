/**
 * Metrics for Prometheus: what this OS process has settled, what the database holds now, and how the process does.
 *
 * Counting listens to what the queue announces; nothing in the queue knows of it. Live figures are read when
 * somebody scrapes, once for all who ask meanwhile: scrapes of a database that is slow do not pile up.
 */
import { collectDefaultMetrics, Registry } from 'prom-client';
import { createBatcher } from '../core/batching.ts';
import { withinPatience } from '../core/within-patience.ts';
import { readLiveFigures } from '../queue/overview.ts';
import type { Queue } from '../queue/queue.ts';
import { createLiveMetrics } from './live-metrics.ts';
import { createQueueLabels, queueLabelsMax } from './queue-labels.ts';
import { createSettledMetrics } from './settled-metrics.ts';

/** The text format of Prometheus. */
export const metricsContentType = Registry.PROMETHEUS_CONTENT_TYPE;

export interface Metrics {
  /**
   * All metrics in the text format.
   *
   * @throws SkipjackError `database_unreachable`, within three seconds.
   */
  scrape(): Promise<string>;
  /** Counts no more. */
  close(): void;
}

/** Counts from now on what is settled over the queue's database by this OS process. */
export function createMetrics(queue: Pick<Queue, 'db' | 'onSettled'>): Metrics {
  const registry = new Registry();
  const labels = createQueueLabels();
  const live = createLiveMetrics(registry, labels);
  const unsubscribe = queue.onSettled(createSettledMetrics(registry, labels));
  const ownProcess = watchProcess();
  const reads = createBatcher({
    async flush(asking: null[]) {
      const figures = await readLiveFigures(queue.db, {
        known: [...labels.names],
        queuesMax: queueLabelsMax,
      });
      return asking.map(() => figures);
    },
  });

  return {
    async scrape() {
      live.show(await withinPatience(reads.add(null)));
      return (await Promise.all([registry.metrics(), ownProcess.metrics()])).join('\n');
    },
    close() {
      unsubscribe();
      registry.clear();
    },
  };
}

let processRegistry: Registry | null = null;

/** Memory, event loop, garbage collection: observed once, however many APIs an OS process makes. */
function watchProcess(): Registry {
  if (processRegistry === null) {
    processRegistry = new Registry();
    collectDefaultMetrics({ register: processRegistry });
  }
  return processRegistry;
}
