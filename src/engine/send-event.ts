/** Events from programs, on their way to the processes that wait for them. */
import { SkipjackError } from '../core/errors.ts';
import { newId } from '../core/ids.ts';
import type { Json } from '../core/json.ts';
import { inputBytesMax } from '../core/task-input.ts';
import type { EventSender } from '../queue/events/sender.ts';
import { refused, requireJson, requireText } from './values.ts';

export interface EventToSend {
  /** 1 to 200 letters. */
  name: string;
  /** Which of that name: up to 200 letters. Only tasks that wait for the same name and key are woken. */
  key?: string | null;
  /** What the waiting tasks complete with: JSON of at most 1 MiB. */
  payload?: Json;
  /** The same key and the same event: sent once. 1 to 200 letters. */
  idempotencyKey?: string;
}

export interface SentEvent {
  id: string;
  name: string;
  key: string | null;
  /** How many tasks waited for it. */
  woken: number;
  /** Nobody waited: it was kept for the first that comes to wait. */
  kept: boolean;
  /** False: the idempotency key had sent it before. */
  created: boolean;
}

/** @throws SkipjackError `invalid_request`, `idempotency_conflict`, `event_busy`. */
export async function sendEvent(
  sender: EventSender,
  { name, key, payload, idempotencyKey }: EventToSend,
): Promise<SentEvent> {
  const event = {
    id: newId(),
    name: requireText(name, { pointer: '/name', lettersMax: 200 }),
    // Without one is with an empty one.
    key: (key ?? '') === '' ? '' : requireText(key, { pointer: '/key', lettersMax: 200 }),
    payload: requireJson(payload ?? null, { pointer: '/payload', bytesMax: inputBytesMax }),
    idempotency_key:
      idempotencyKey === undefined
        ? null
        : requireText(idempotencyKey, { pointer: '/idempotency_key', lettersMax: 200 }),
  };
  const result = await sender.send(event);
  switch (result.kind) {
    case 'created':
    case 'existing':
      return {
        id: result.id,
        name: event.name,
        key: event.key === '' ? null : event.key,
        woken: result.woken,
        kept: result.woken === 0,
        created: result.kind === 'created',
      };
    case 'key_conflict':
      throw new SkipjackError(
        'idempotency_conflict',
        `The idempotency key "${event.idempotency_key}" sent event ${result.id} by another request. Use a new key for a new event.`,
        { extra: { existing_id: result.id } },
      );
    case 'busy':
      throw new SkipjackError(
        'event_busy',
        `Another transaction sends "${event.name}"${event.key === '' ? '' : ` with the key "${event.key}"`}${event.idempotency_key === null ? '' : ', or uses the idempotency key,'} and has not ended. Try again.`,
      );
    case 'invalid':
      throw refused('invalid_request', [
        { pointer: '', message: `Postgres does not take it: ${result.message}` },
      ]);
  }
}
