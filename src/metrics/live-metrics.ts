/** Shows what is in the database now. */
import { Gauge, type Registry } from 'prom-client';
import { type LiveFigures, lettersCountedMax, type QueueFigures } from '../queue/overview.ts';
import { otherQueues, type QueueLabels } from './queue-labels.ts';

const everywhere =
  'Read from the database: every server and worker shows the same, so take one or the maximum, not the sum.';

const states = ['ready', 'scheduled', 'running', 'held'] as const;

export function createLiveMetrics(
  registry: Registry,
  labels: QueueLabels,
): { show(figures: LiveFigures): void } {
  const gauge = <Label extends string>(name: string, help: string, labelNames: Label[] = []) =>
    new Gauge({ name, help: `${help} ${everywhere}`, labelNames, registers: [registry] });
  const tasks = gauge(
    'skipjack_queue_tasks',
    'Active tasks by queue and state; held: waits, but its process is paused.',
    ['queue', 'state'],
  );
  const age = gauge(
    'skipjack_queue_oldest_ready_age_seconds',
    'For how long the oldest ready task of a queue has been due; 0: none is ready.',
    ['queue'],
  );
  const workers = gauge('skipjack_workers_live', 'Workers that were heard of within the last 45 s.');
  const slots = gauge('skipjack_slots', 'Slots of live workers: all, and those that run an attempt.', [
    'state',
  ]);
  const letters = gauge(
    'skipjack_dead_letters_waiting',
    `Dead letters that nobody has replayed or deleted, counted up to ${lettersCountedMax}.`,
  );

  return {
    show(figures) {
      tasks.reset();
      age.reset();
      for (const [queue, shown] of foldByLabel(figures.queues, labels)) {
        for (const state of states) tasks.set({ queue, state }, shown[state]);
        age.set({ queue }, shown.oldestReadyAgeMs / 1_000);
      }
      workers.set(figures.workers);
      slots.set({ state: 'busy' }, figures.slots.busy);
      slots.set({ state: 'all' }, figures.slots.all);
      letters.set(figures.deadLettersWaiting);
    },
  };
}

type Depth = Omit<QueueFigures, 'name'>;
const nothing: Depth = { ready: 0, scheduled: 0, running: 0, held: 0, oldestReadyAgeMs: 0 };

/** A queue that was seen once and is empty shows zeros: a series that vanishes looks like a scrape that failed. */
function foldByLabel(queues: QueueFigures[], labels: QueueLabels): Map<string, Depth> {
  const live = queues.map(({ name, ...depth }) => ({
    label: name === null ? otherQueues : labels.labelOf(name),
    depth,
  }));
  const folded = new Map<string, Depth>([...labels.names].map((name) => [name, nothing]));
  for (const { label, depth } of live) {
    const sum = folded.get(label) ?? nothing;
    folded.set(label, {
      ready: sum.ready + depth.ready,
      scheduled: sum.scheduled + depth.scheduled,
      running: sum.running + depth.running,
      held: sum.held + depth.held,
      oldestReadyAgeMs: Math.max(sum.oldestReadyAgeMs, depth.oldestReadyAgeMs),
    });
  }
  return folded;
}
