/**
 * Send: events that processes wait for. All who wait are handed to the engine; where nobody does, the event is kept
 * for the first who comes to wait.
 *
 * The work is done by the SQL function `skipjack.send_events`, which `skipjack.send_event` calls too, so that the ways
 * in cannot drift. Ids come from here and a known one is passed over: a batch whose commit is unknown is sent again as
 * it is, and answers what it did.
 *
 * Who sends an event and who comes to wait for it take the same advisory lock, so that neither misses the other. A
 * stranger's open transaction may hold it: see `sender.ts` for how others are kept out of that.
 */
import { crashPoint } from '../../core/crash-point.ts';
import type { Json } from '../../core/json.ts';
import { type Database, inTransaction } from '../../database/connection.ts';
import { isLockTimeout } from '../../database/faults.ts';
import { engineLine } from '../processes/inbox.ts';

export interface NewEvent {
  id: string;
  name: string;
  /** Empty: none. */
  key: string;
  payload: Json;
  idempotency_key: string | null;
}

export type SendResult =
  /** `woken`: how many waited for it. None: it is kept, or was until somebody came to wait. */
  | { kind: 'created'; id: string; woken: number }
  /** The idempotency key had sent this event before, by the same request. */
  | { kind: 'existing'; id: string; woken: number }
  | { kind: 'key_conflict'; id: string }
  /** Another transaction sends the same event, or holds the key, and did not end in time. */
  | { kind: 'busy' }
  /** The database could not store this one. */
  | { kind: 'invalid'; message: string };

interface SendRow {
  event_id: string;
  outcome: 'created' | 'existing' | 'key_conflict' | 'busy';
  existing_id: string;
  woken: number | null;
}

/** How long a batch waits for other transactions that hold one of its events or keys; then for each of its halves. */
const lockTimeoutMsDefault = 2_000;
const halfLockTimeoutMs = 50;

/** Events without idempotency keys. One that another transaction holds is answered `busy` at once. */
export async function sendFreeEvents(db: Database, events: NewEvent[]): Promise<SendResult[]> {
  return inTransaction(db, async (tx) => {
    const { rows } = await tx.query<SendRow>(
      'select * from skipjack.send_events($1::jsonb, waits => false)',
      [JSON.stringify(events)],
    );
    crashPoint('event_sent');
    return toResults(events, rows);
  }).then((results) => announce(db, results));
}

/** Waits, but not for ever, for those who hold one of the events or keys. Answers in their order. */
export async function sendEvents(
  db: Database,
  events: NewEvent[],
  { lockTimeoutMs = lockTimeoutMsDefault }: { lockTimeoutMs?: number } = {},
): Promise<SendResult[]> {
  try {
    const results = await inTransaction(db, async (tx) => {
      await tx.query(`set local lock_timeout = ${Number(lockTimeoutMs)}`);
      const { rows } = await tx.query<SendRow>('select * from skipjack.send_events($1::jsonb)', [
        JSON.stringify(events),
      ]);
      crashPoint('event_sent');
      return toResults(events, rows);
    });
    return announce(db, results);
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    // One of the batch is held by a stranger. Halving finds it; its neighbours go through.
    if (events.length === 1) return [{ kind: 'busy' }];
    const middle = Math.ceil(events.length / 2);
    const options = { lockTimeoutMs: halfLockTimeoutMs };
    return [
      ...(await sendEvents(db, events.slice(0, middle), options)),
      ...(await sendEvents(db, events.slice(middle), options)),
    ];
  }
}

function announce(db: Database, results: SendResult[]): SendResult[] {
  crashPoint('event_committed');
  if (results.some((result) => result.kind === 'created' && result.woken > 0))
    db.hints.announce({ lines: [engineLine] });
  return results;
}

function toResults(events: NewEvent[], rows: SendRow[]): SendResult[] {
  const byId = new Map(rows.map((row) => [row.event_id, row]));
  return events.map(({ id }) => {
    const row = byId.get(id);
    if (row?.outcome === 'busy') return { kind: 'busy' };
    if (row?.outcome === 'key_conflict') return { kind: 'key_conflict', id: row.existing_id };
    // What the key had sent was pruned in between: the same again sends it anew.
    if (!row || row.woken === null) throw serializationFailure(`no answer for event ${id}`);
    return { kind: row.outcome, id: row.existing_id, woken: row.woken };
  });
}

/** As Postgres says that the same again may succeed: by its ids a batch is safe to repeat. */
function serializationFailure(message: string): Error {
  return Object.assign(new Error(message), { code: '40001' });
}
