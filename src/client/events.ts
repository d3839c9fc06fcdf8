import type { Json } from '../core/json.ts';
import { type CallOptions, type Calls, part } from './calls.ts';
import type { EventSummary, EventView, Page, SentEvent } from './views.ts';

export interface EventInput {
  name: string;
  /** Which of that name; only tasks that wait for the same name and key are woken. */
  key?: string | null | undefined;
  /** What the waiting tasks complete with: JSON of at most 1 MiB. */
  payload?: Json | undefined;
  /** The same key and the same event: sent once. */
  idempotencyKey?: string | undefined;
}

export interface EventClient {
  /**
   * Sends an event: every task that waits for its name and key completes with the payload; where none does, the event
   * is kept for the first that comes to wait.
   *
   * @throws SkipjackError `idempotency_conflict`, `event_busy`.
   */
  sendEvent(event: EventInput, options?: CallOptions): Promise<SentEvent>;
  /** Newest first, 50 a page; `next_cursor` is null on the last page. */
  listEvents(
    filter?: { name?: string | undefined; key?: string | undefined },
    page?: Page & CallOptions,
  ): Promise<{ events: EventSummary[]; next_cursor: string | null }>;
  /** With its payload. */
  getEvent(id: string, options?: CallOptions): Promise<EventView>;
}

export function createEventClient(calls: Calls): EventClient {
  return {
    sendEvent: ({ idempotencyKey, ...event }, options) =>
      calls.post('/v1/events', { ...event, idempotency_key: idempotencyKey }, options),
    listEvents: (filter = {}, { signal, ...page } = {}) =>
      calls.get('/v1/events', { ...filter, ...page }, { signal }),
    getEvent: (id, options) => calls.get(`/v1/events/${part(id)}`, {}, options),
  };
}
