/** Counts what this OS process settles. */
import { Counter, Histogram, type Registry } from 'prom-client';
import type { SettledListener } from '../queue/settled.ts';
import type { QueueLabels } from './queue-labels.ts';

const here =
  'Counted by the OS process that settled it, a server for workers over HTTP: add up all servers and workers.';

/** In seconds: a handler takes a millisecond, a container minutes, a person a day. */
const buckets = [0.005, 0.025, 0.1, 0.5, 1, 5, 15, 60, 300, 1_800, 7_200, 86_400];

export function createSettledMetrics(registry: Registry, { labelOf }: QueueLabels): SettledListener {
  const registers = [registry];
  const ended = new Counter({
    name: 'skipjack_tasks_ended_total',
    help: `Tasks that the outcome of an attempt ended, by how. One cancelled while it waited had no attempt and is not in here. ${here}`,
    labelNames: ['outcome', 'queue'],
    registers,
  });
  const failed = new Counter({
    name: 'skipjack_attempts_failed_total',
    help: `Attempts that failed, timed out or were lost with their worker, whether their task was tried again or not. ${here}`,
    labelNames: ['outcome', 'queue'],
    registers,
  });
  const wait = new Histogram({
    name: 'skipjack_task_wait_seconds',
    help: `From being due to being claimed, of ended tasks (their last attempt). ${here}`,
    labelNames: ['queue'],
    buckets,
    registers,
  });
  const run = new Histogram({
    name: 'skipjack_task_run_seconds',
    help: `From start to end, of ended tasks (their last attempt). ${here}`,
    labelNames: ['queue'],
    buckets,
    registers,
  });

  return (settled) => {
    for (const { queue: name, attempt, ended: how, waitMs, runMs } of settled) {
      const queue = labelOf(name);
      if (attempt === 'failed' || attempt === 'timed_out' || attempt === 'lost')
        failed.inc({ outcome: attempt, queue });
      if (how === null) continue;
      ended.inc({ outcome: how, queue });
      if (waitMs !== null) wait.observe({ queue }, waitMs / 1_000);
      if (runMs !== null) run.observe({ queue }, runMs / 1_000);
    }
  };
}
