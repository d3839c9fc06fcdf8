/**
 * Events of many callers travel together, in two lines: one that never waits for anybody, and one for those that may
 * have to wait for strangers: they have an idempotency key, or somebody else is sending the same event.
 */
import { createBatcher } from '../../core/batching.ts';
import type { Database } from '../../database/connection.ts';
import { isDataFault } from '../../database/faults.ts';
import { type RetryCounters, repeatingDatabaseFaults } from '../../database/repeat.ts';
import { type NewEvent, type SendResult, sendEvents, sendFreeEvents } from './send.ts';

export interface EventSender {
  send(event: NewEvent): Promise<SendResult>;
  /** Resolves when all are answered. */
  idle(): Promise<void>;
}

export function createEventSender(db: Database, counters: RetryCounters): EventSender {
  const line = (flush: (events: NewEvent[]) => Promise<SendResult[]>) =>
    createBatcher({
      flush,
      sizeOf: ({ payload }) => JSON.stringify(payload).length + 600,
      lanes: 2,
      ...repeatingDatabaseFaults({ patienceMs: 10_000, counters }),
    });
  const free = line((events) => sendFreeEvents(db, events));
  const patient = line((events) => sendEvents(db, events));
  return {
    async send(event) {
      try {
        const result = event.idempotency_key === null ? await free.add(event) : null;
        return result === null || result.kind === 'busy' ? await patient.add(event) : result;
      } catch (error) {
        if (!isDataFault(error)) throw error;
        return { kind: 'invalid', message: (error as Error).message };
      }
    },
    async idle() {
      // In this order: what was busy in the one line goes to the other.
      await free.idle();
      await patient.idle();
    },
  };
}
