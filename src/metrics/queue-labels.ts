/**
 * Queues as labels. A queue exists by being used, so there may be any number of them; each label value is a time
 * series, kept for as long as this OS process lives. The first 200 met keep their names, the others are one.
 */
export const queueLabelsMax = 200;
export const otherQueues = 'other';

export interface QueueLabels {
  labelOf(queue: string): string;
  /** Those that have their names. */
  readonly names: ReadonlySet<string>;
}

export function createQueueLabels(): QueueLabels {
  const names = new Set<string>();
  return {
    names,
    labelOf(queue) {
      if (names.has(queue)) return queue;
      if (names.size >= queueLabelsMax) return otherQueues;
      names.add(queue);
      return queue;
    },
  };
}
