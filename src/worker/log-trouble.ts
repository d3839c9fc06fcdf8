import type { Logger } from 'pino';
import type { Worker } from './worker.ts';

/** Kinds of refused tasks remembered, so that each is said once. */
const refusalsMax = 1_000;

/** Logs what goes wrong between a worker, its tasks and their source. Returns what ends it. */
export function logTrouble(worker: Pick<Worker, 'on'>, log: Logger): () => void {
  const refusals = new Set<string>();
  const subscriptions = [
    worker.on('task.refused', ({ task, why }) => {
      const kind = JSON.stringify([task.queue, task.name]);
      if (refusals.has(kind) || refusals.size >= refusalsMax) return;
      refusals.add(kind);
      log.warn(
        { task: task.id, name: task.name, queue: task.queue, why },
        'cannot run this task and gave it back; others of this name and queue are not mentioned',
      );
    }),
    worker.on('attempt.abandoned', ({ task, reason }) =>
      log.warn(
        { task: task.id, name: task.name, reason },
        'the handler ignored its signal and may still be running; its slot is used again',
      ),
    ),
    worker.on('lease.lost', ({ task }) =>
      log.warn({ task: task.id, name: task.name, attempt: task.attempt }, 'the claim is no longer ours'),
    ),
    worker.on('settle.refused', ({ task, result }) =>
      log.warn(
        { task: task.id, name: task.name, attempt: task.attempt, result },
        'the outcome was not taken',
      ),
    ),
    worker.on('source.failed', ({ call, error }) => log.error({ call, err: error }, `${call} failed`)),
    worker.on('leftovers.removed', (removed) =>
      log.warn(removed, 'removed what a worker left behind that was killed'),
    ),
    worker.on('drain.started', ({ running }) => log.info({ running }, 'draining')),
    worker.on('drain.ended', ({ unsettled }) => {
      if (unsettled === 0) log.info('drained');
      else
        log.error(
          { unsettled },
          'stopped; outcomes that did not reach the server are lost and will be run again',
        );
    }),
  ];
  return () => {
    for (const unsubscribe of subscriptions) unsubscribe();
  };
}
